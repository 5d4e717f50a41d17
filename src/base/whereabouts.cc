#include "base/whereabouts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <random>

#include "base/file.h"
#include "base/hash.h"

namespace assay {
namespace {

// Drawn by the kernel when it starts; where it does not tell, the installed system's number, else the host's name.
std::string BootId() {
  for (const char* file : {"/proc/sys/kernel/random/boot_id", "/etc/machine-id"}) {
    if (const auto line = FirstLine(file)) return *line;
  }
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace

std::string MachineId() {
  Hash hash;
  hash.Add(BootId());
  return fmt::format("{:016x}", hash.value());
}

std::string ProcessId() {
  // Numbers of processes come again, within the namespaces of containers too; drawn ones do not.
  static const std::string id = [] {
    std::random_device device;
    return fmt::format("{:08x}{:08x}", device(), device());
  }();
  return id;
}

}  // namespace assay
