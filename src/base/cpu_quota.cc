#include "base/cpu_quota.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "base/file.h"

namespace assay {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// Takes the text up to the separator off the front.
std::string_view TakeField(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return field;
}

double QuotaOfGroup(const std::filesystem::path& group) {
  const std::string quota = FirstLine(group / "cpu.cfs_quota_us").value_or("");
  if (!quota.empty()) return ParseQuota(quota + " " + FirstLine(group / "cpu.cfs_period_us").value_or(""));
  return ParseQuota(FirstLine(group / "cpu.max").value_or(""));
}

// Of a group below `mount` and all around it. In a container the path may be the host's, which is not there: the groups
// that it does not find set no limit, and the mount is the container's own.
double TightestQuota(const std::filesystem::path& mount, std::string_view group) {
  double quota = QuotaOfGroup(mount);
  std::filesystem::path path = mount;
  for (const std::filesystem::path& part : std::filesystem::path(group).relative_path()) {
    path /= part;
    quota = std::min(quota, QuotaOfGroup(path));
  }
  return quota;
}

bool HasCpuController(std::string_view controllers) {
  while (!controllers.empty()) {
    if (TakeField(controllers, ',') == "cpu") return true;
  }
  return false;
}

}  // namespace

double ParseQuota(std::string_view text) {
  const std::string_view first = TakeField(text, ' ');
  double quota = 0;
  double period = 0;
  const auto parse = [](std::string_view number, double& value) {
    return std::from_chars(number.data(), number.data() + number.size(), value).ec == std::errc();
  };
  if (!parse(first, quota) || !parse(text, period) || quota <= 0 || period <= 0) return kNoLimit;
  return quota / period;
}

double CpuQuota(std::string_view membership, const std::filesystem::path& root) {
  double quota = kNoLimit;
  while (!membership.empty()) {
    // HIERARCHY:CONTROLLERS:PATH. Version 2 has hierarchy 0 and names no controllers.
    std::string_view line = TakeField(membership, '\n');
    const std::string_view hierarchy = TakeField(line, ':');
    const std::string_view controllers = TakeField(line, ':');
    if (hierarchy == "0" && controllers.empty()) quota = std::min(quota, TightestQuota(root, line));
    if (!HasCpuController(controllers)) continue;
    for (const std::string_view mount : {controllers, std::string_view("cpu")}) {
      quota = std::min(quota, TightestQuota(root / mount, line));
    }
  }
  return quota;
}

int ThreadsFor(int processors, double quota) {
  return static_cast<int>(std::clamp(std::ceil(quota), 1.0, static_cast<double>(std::max(processors, 1))));
}

}  // namespace assay
