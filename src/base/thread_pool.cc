#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/error.h"

namespace assay {
namespace {

void CpuRelax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// How long a worker polls for the next loop before it sleeps: well above the gap between two loops of a forward pass.
constexpr int kSpins = 20000;
// While waiting, give the processor away after a few microseconds, again and again: on a busy or oversubscribed machine
// the thread that is waited for may need it. (With 1000 here, small loops took ten times longer beside another
// program.)
constexpr int kSpinsPerYield = 50;

// One step of a polling loop, the `spins`-th.
void Relax(int spins) {
  CpuRelax();
  if (spins % kSpinsPerYield == kSpinsPerYield - 1) std::this_thread::yield();
}

}  // namespace

struct ThreadPool::Shared {
  std::mutex mutex;
  std::condition_variable wake;
  // One loop: task, call, count and next. `generation` is written last (release) and starts the workers; `busy` counts
  // those that have not yet finished it, so a new loop never meets a worker still inside the old one.
  std::atomic<uint64_t> generation{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> running{false};
  std::atomic<bool> stop{false};
  const void* task = nullptr;
  Call call = nullptr;
  int64_t count = 0;
  std::mutex error_mutex;
  std::exception_ptr error;
  // The two words that all threads write, each on a cache line of its own.
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<int> busy{0};
};

ThreadPool::ThreadPool(int threads) : threads_(std::max(threads, 1)), shared_(std::make_unique<Shared>()) {
  try {
    for (int i = 1; i < threads_; ++i) workers_.emplace_back([this] { WorkerLoop(); });
  } catch (const std::system_error& error) {
    StopWorkers();
    Fail(ErrorKind::kUsage, "{} threads: the system gave only {}: {}; ask for fewer with --threads", threads_,
         workers_.size() + 1, error.what());
  }
}

ThreadPool::~ThreadPool() { StopWorkers(); }

void ThreadPool::StopWorkers() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stop.store(true);
    shared_->generation.fetch_add(1);
  }
  shared_->wake.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Work(const void* task, Call call, int64_t count) {
  for (;;) {
    const int64_t i = shared_->next.fetch_add(1, std::memory_order_relaxed);
    if (i >= count) return;
    try {
      call(task, i);
    } catch (...) {
      const std::lock_guard lock(shared_->error_mutex);
      if (!shared_->error) shared_->error = std::current_exception();
      shared_->next.store(count, std::memory_order_relaxed);
    }
  }
}

void ThreadPool::Run(int64_t count, const void* task, Call call) {
  Shared& s = *shared_;
  if (s.running.exchange(true)) {
    Fail(ErrorKind::kInternal, "a parallel loop was started inside another one of the same pool");
  }
  s.task = task;
  s.call = call;
  s.count = count;
  s.next.store(0, std::memory_order_relaxed);
  s.busy.store(threads_ - 1, std::memory_order_relaxed);
  s.generation.fetch_add(1);
  if (s.sleepers.load() > 0) {
    // Taking the mutex orders this against a worker that is about to sleep on the old generation.
    { const std::lock_guard lock(s.mutex); }
    s.wake.notify_all();
  }
  Work(task, call, count);
  for (int spins = 0; s.busy.load(std::memory_order_acquire) != 0; spins = (spins + 1) % kSpinsPerYield) Relax(spins);
  const std::exception_ptr error = std::exchange(s.error, nullptr);
  s.running.store(false);
  if (error) std::rethrow_exception(error);
}

void ThreadPool::WorkerLoop() {
  Shared& s = *shared_;
  uint64_t seen = 0;
  for (;;) {
    for (int spins = 0; s.generation.load(std::memory_order_acquire) == seen && spins < kSpins; ++spins) Relax(spins);
    if (s.generation.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(s.mutex);
      s.sleepers.fetch_add(1);
      s.wake.wait(lock, [&] { return s.generation.load() != seen; });
      s.sleepers.fetch_sub(1);
    }
    seen = s.generation.load(std::memory_order_acquire);
    if (s.stop.load()) return;
    Work(s.task, s.call, s.count);
    s.busy.fetch_sub(1, std::memory_order_release);
  }
}

int HardwareThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // More processors than cpu_set_t holds make the call fail; the standard library then counts all of them.
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace assay
