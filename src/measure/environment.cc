#include "measure/environment.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "base/cpu_features.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/thread_pool.h"
#include "base/version.h"
#include "model/digest.h"

namespace assay {
namespace {

// Every value of a key of /proc/cpuinfo, one for each core.
std::vector<std::string> CpuInfo(std::string_view key) {
  std::vector<std::string> values;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    if (line.find_first_not_of(" \t", key.size()) != colon) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string::npos) values.push_back(line.substr(begin));
  }
  return values;
}

std::string CpuName() {
  const std::vector<std::string> names = CpuInfo("model name");
  return names.empty() ? "unknown" : names.front();
}

// "" where there is none.
std::string LineOf(const char* path) { return FirstLine(path).value_or(""); }

// Of 128 random bits 64 remain, so that the system's own identifier, which is nobody else's business, cannot be had
// back.
std::string LastingMachineId(std::string_view cpu) {
  std::vector<std::string> parts = {LineOf("/etc/machine-id")};
  if (parts.front().empty()) {
    const std::string folder = "/sys/class/dmi/id/";
    for (const char* name : {"board_vendor", "board_name"}) parts.push_back(LineOf((folder + name).c_str()));
  }
  Hash hash;
  hash.Add("assay machine");
  hash.Add(cpu);
  for (const std::string& part : parts) hash.Add(part);
  return fmt::format("{:016x}", hash.value());
}

std::optional<double> CpuMhz() {
  const std::vector<std::string> speeds = CpuInfo("cpu MHz");
  if (speeds.empty()) return std::nullopt;
  double sum = 0.0;
  for (const std::string& speed : speeds) sum += std::strtod(speed.c_str(), nullptr);
  return sum / static_cast<double>(speeds.size());
}

std::optional<double> LoadAverage() {
  double load = 0.0;
  if (getloadavg(&load, 1) != 1) return std::nullopt;
  return load;
}

// Pages that the machine has swapped in and out since it started.
std::optional<int64_t> SwappedPages() {
  std::ifstream file("/proc/vmstat");
  std::string key;
  int64_t pages = 0;
  int64_t sum = 0;
  bool found = false;
  while (file >> key >> pages) {
    if (key != "pswpin" && key != "pswpout") continue;
    sum += pages;
    found = true;
  }
  return found ? std::optional(sum) : std::nullopt;
}

std::string Kernel() {
  utsname name{};
  if (uname(&name) != 0) return "unknown";
  return fmt::format("{} {} {}", name.sysname, name.release, name.machine);
}

std::string Compiler() {
#if defined(__clang__)
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("gcc {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

rusage Usage() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage;
}

}  // namespace

Environment CaptureEnvironment() {
  Environment environment;
  environment.cpu = CpuName();
  environment.cores = HardwareThreads();
  environment.isa = CpuFeatureNames();
  environment.memory_bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  environment.kernel = Kernel();
  environment.compiler = Compiler();
  environment.assay_version = Version();
  environment.build_type = ASSAY_BUILD_TYPE;
  environment.governor = FirstLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  environment.machine = LastingMachineId(environment.cpu);
  return environment;
}

ModelIdentity Identify(const GgufFile& file) {
  ModelIdentity identity;
  identity.file = file.path().filename().string();
  identity.digest = FileDigest(file);
  identity.architecture = file.GetString("general.architecture");
  identity.name = file.FindString("general.name").value_or(file.path().stem().string());
  identity.quant = QuantName(file);
  identity.mix = TensorMix(file);
  identity.file_bytes = file.file_bytes();
  for (const GgufTensor& tensor : file.tensors()) {
    identity.parameters += tensor.elements();
    identity.tensor_bytes += tensor.data.size();
  }
  return identity;
}

ConditionsWatch::ConditionsWatch() : swapped_pages_(SwappedPages()) {
  const rusage usage = Usage();
  involuntary_switches_ = usage.ru_nivcsw;
  major_faults_ = usage.ru_majflt;
}

Conditions ConditionsWatch::Finish() const {
  const rusage usage = Usage();
  Conditions conditions{.load_average = LoadAverage(),
                        .cpu_mhz = CpuMhz(),
                        .involuntary_switches = usage.ru_nivcsw - involuntary_switches_,
                        .major_faults = usage.ru_majflt - major_faults_};
  const std::optional<int64_t> swapped = SwappedPages();
  if (swapped && swapped_pages_) conditions.swapped_pages = *swapped - *swapped_pages_;
  return conditions;
}

}  // namespace assay
