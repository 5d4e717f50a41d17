#pragma once

namespace assay {

// What gRPC says of itself goes to the log (-v), not to stderr: errors of Assay are one line each. Any number of times.
void QuietGrpcLog();

}  // namespace assay
