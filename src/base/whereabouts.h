#pragma once

#include <string>

namespace assay {

// Where this program runs, as 16 hexadecimal digits each that say nothing else of it: a record may be published.

// The same for all programs on this machine until it starts anew; machines of one make differ. Containers and network
// namespaces are of the machine that they run on.
std::string MachineId();

// Of this process alone, the same for as long as it lives.
std::string ProcessId();

}  // namespace assay
