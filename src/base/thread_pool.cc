#include "base/thread_pool.h"

#include <sched.h>

#include <condition_variable>
#include <exception>
#include <mutex>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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
// While waiting on an oversubscribed machine, give the processor away now and then: the other side may need it.
constexpr int kSpinsPerYield = 1000;

}  // namespace

struct ThreadPool::Shared {
  std::mutex mutex;
  std::condition_variable wake;
  // One loop. `generation` is written last (release) and starts the workers; `busy` counts those still inside it.
  std::atomic<uint64_t> generation{0};
  std::atomic<int> busy{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};
  const void* task = nullptr;
  Call call = nullptr;
  int64_t count = 0;
  alignas(64) std::atomic<int64_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;
};

ThreadPool::ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads), shared_(std::make_unique<Shared>()) {
  for (int i = 1; i < threads_; ++i) workers_.emplace_back([this] { WorkerLoop(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(shared_->mutex);
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
      std::lock_guard lock(shared_->error_mutex);
      if (!shared_->error) shared_->error = std::current_exception();
    }
  }
}

void ThreadPool::Run(int64_t count, const void* task, Call call) {
  Shared& s = *shared_;
  s.task = task;
  s.call = call;
  s.count = count;
  s.next.store(0, std::memory_order_relaxed);
  s.busy.store(threads_ - 1, std::memory_order_relaxed);
  s.generation.fetch_add(1);
  if (s.sleepers.load() > 0) {
    // Taking the mutex orders this against a worker that is about to sleep on the old generation.
    { std::lock_guard lock(s.mutex); }
    s.wake.notify_all();
  }
  Work(task, call, count);
  for (int spins = 0; s.busy.load(std::memory_order_acquire) != 0; ++spins) {
    CpuRelax();
    if (spins % kSpinsPerYield == kSpinsPerYield - 1) std::this_thread::yield();
  }
  if (s.error) std::rethrow_exception(std::exchange(s.error, nullptr));
}

void ThreadPool::WorkerLoop() {
  Shared& s = *shared_;
  uint64_t seen = 0;
  for (;;) {
    for (int spins = 0; s.generation.load(std::memory_order_acquire) == seen && spins < kSpins; ++spins) {
      CpuRelax();
      if (spins % kSpinsPerYield == kSpinsPerYield - 1) std::this_thread::yield();
    }
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
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace assay
