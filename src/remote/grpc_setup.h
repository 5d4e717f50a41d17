#pragma once

namespace assay {

// Before the first use of gRPC; any number of times. What it says of itself goes to the log (-v), not to stderr: errors
// of Assay are one line each. Names are looked up as the system does (/etc/hosts, nsswitch), not by c-ares, which loses
// a few bytes for each.
void SetUpGrpc();

}  // namespace assay
