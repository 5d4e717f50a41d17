// What loading a model costs against reading its file, all from the page cache. Each round measures everything once, so
// that what slows the machine meets all alike; medians of times and of ratios within a round.
//
//   load_bench FILE [ROUNDS [BACKEND]]

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/loaded_model.h"

namespace {

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// As `cat FILE >/dev/null` reads, through a buffer that stays in the cache.
void Read(const std::string& path) {
  constexpr size_t kBuffer = size_t{128} << 10;
  std::vector<char> buffer(kBuffer);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) assay::Fail(assay::ErrorKind::kUsage, "{} cannot be opened", path);
  while (read(file, buffer.data(), kBuffer) > 0) {
  }
  close(file);
}

// The same into memory of its own, as a loader must that keeps what it read.
void ReadWhole(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) assay::Fail(assay::ErrorKind::kUsage, "{} cannot be opened", path);
  const auto size = static_cast<size_t>(lseek(file, 0, SEEK_END));
  const std::unique_ptr<char[]> memory(new char[size]);
  for (size_t at = 0; at < size;) {
    const ssize_t got = pread(file, memory.get() + at, size - at, static_cast<off_t>(at));
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  close(file);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Run(const std::string& path, int rounds, const std::string& name) {
  std::map<std::string, std::vector<double>> seconds;
  std::vector<int> thread_counts = {1};
  if (assay::HardwareThreads() > 1) thread_counts.push_back(assay::HardwareThreads());
  for (int round = 0; round < rounds; ++round) {
    seconds["read"].push_back(Seconds([&] { Read(path); }));
    seconds["read, kept"].push_back(Seconds([&] { ReadWhole(path); }));
    for (const int threads : thread_counts) {
      const std::unique_ptr<assay::Backend> backend = assay::MakeBackend(name, threads);
      std::unique_ptr<assay::Model> model;
      std::unique_ptr<assay::Engine> engine;
      const double open = Seconds([&] { model = assay::Model::Open(path); });
      const double weights = Seconds([&] { engine = std::make_unique<assay::Engine>(*model, *backend); });
      seconds["open"].push_back(open);
      seconds[fmt::format("weights, {} threads", threads)].push_back(weights);
    }
  }
  for (const auto& [what, all] : seconds) {
    std::vector<double> ratios;
    for (size_t i = 0; i < all.size(); ++i) {
      ratios.push_back(all[i] / seconds["read"][i * static_cast<size_t>(rounds) / all.size()]);
    }
    std::vector<double> sorted = all;
    std::sort(sorted.begin(), sorted.end());
    fmt::print("{:<20} {:8.1f} ms  (least {:.1f}, most {:.1f})  {:6.2f} of reading\n", what, 1e3 * Median(all),
               1e3 * sorted.front(), 1e3 * sorted.back(), Median(ratios));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    fmt::print(stderr, "load_bench FILE [ROUNDS [BACKEND]]\n");
    return 2;
  }
  try {
    Run(argv[1], argc > 2 ? std::atoi(argv[2]) : 9, argc > 3 ? argv[3] : "cpu");
  } catch (const assay::Error& error) {
    fmt::print(stderr, "load_bench: {}\n", error.what());
    return 1;
  }
}
