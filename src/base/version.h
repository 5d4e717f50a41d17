#pragma once

namespace assay {

// What was built: `git describe` of the tree when it was configured, or the project's version outside of a repository.
const char* Version();

}  // namespace assay
