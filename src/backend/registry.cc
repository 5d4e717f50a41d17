#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/ref/ref_backend.h"
#include "base/error.h"
#include "base/thread_pool.h"

namespace assay {
namespace {

// A backend's name, and how to make it. `variant` is what follows the colon, or empty. The first row is the default.
struct BackendRow {
  std::string_view name;
  std::unique_ptr<Backend> (*make)(int threads, std::string_view variant);
};

constexpr BackendRow kBackends[] = {
    {"cpu", &MakeCpuBackend},
    {"ref", &MakeRefBackend},
};

}  // namespace

std::unique_ptr<Backend> MakeBackend(std::string_view name, int threads) {
  const std::string_view family = name.substr(0, name.find(':'));
  const std::string_view variant = family.size() < name.size() ? name.substr(family.size() + 1) : std::string_view();
  for (const BackendRow& row : kBackends) {
    if (family.empty() || family == row.name) return row.make(threads > 0 ? threads : HardwareThreads(), variant);
  }
  std::string known;
  for (const BackendRow& row : kBackends) known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
  Fail(ErrorKind::kUsage, "--backend {}: no such backend; known: {}", name, known);
}

std::vector<std::string> BackendNames() {
  std::vector<std::string> names;
  for (const BackendRow& row : kBackends) names.emplace_back(row.name);
  return names;
}

}  // namespace assay
