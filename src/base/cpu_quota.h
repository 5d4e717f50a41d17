#pragma once

#include <filesystem>
#include <string_view>

namespace assay {

// The processors' worth of time that control groups leave to this process, infinity without a limit: the tightest of
// its groups and those around them. `membership` is the text of /proc/self/cgroup, `root` where the groups are mounted
// (/sys/fs/cgroup). Both versions of control groups are understood; what cannot be read sets no limit.
double CpuQuota(std::string_view membership, const std::filesystem::path& root);

// Of a quota and its period in microseconds, as cpu.max has them: "150000 100000" is 1.5; "max 100000" and
// "-1 100000" are infinity, as is what is neither.
double ParseQuota(std::string_view text);

// Threads for so many processors and such a quota: a last part of a processor is worth a thread.
int ThreadsFor(int processors, double quota);

}  // namespace assay
