#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <iterator>
#include <limits>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/cpu_quota.h"
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

// The tasks of one thread that are not yet begun: [first, end) in one word, so that it changes at once.
struct Share {
  uint32_t first, end;
};

constexpr uint64_t Pack(Share share) { return uint64_t{share.end} << 32U | share.first; }
constexpr Share Unpack(uint64_t packed) {
  return {static_cast<uint32_t>(packed), static_cast<uint32_t>(packed >> 32U)};
}

// Takes one task from a share, its first or its last; false: none is left.
bool Take(std::atomic<uint64_t>& share, bool last, int64_t& task) {
  uint64_t seen = share.load(std::memory_order_relaxed);
  for (;;) {
    Share left = Unpack(seen);
    if (left.first >= left.end) return false;
    task = last ? --left.end : left.first++;
    if (share.compare_exchange_weak(seen, Pack(left), std::memory_order_relaxed)) return true;
  }
}

// One step of a polling loop, the `spins`-th.
void Relax(int spins) {
  CpuRelax();
  if (spins % kSpinsPerYield == kSpinsPerYield - 1) std::this_thread::yield();
}

constexpr uint32_t kClosed = uint32_t{1} << 31U;

}  // namespace

struct ThreadPool::Shared {
  std::mutex mutex;
  std::condition_variable wake;
  // One loop: task, call and the threads' shares. `entrance` is opened last (release); workers that are awake then
  // enter and leave. The caller closes it when no task is left, and waits for those inside alone: a worker that is
  // asleep, or that the system keeps from running, holds nobody up, and a new loop never meets one still inside the old
  // one. `generation` tells waiting workers that there is a new loop.
  std::atomic<uint64_t> generation{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> running{false};
  std::atomic<bool> stop{false};
  const void* task = nullptr;
  Call call = nullptr;
  std::mutex error_mutex;
  std::exception_ptr error;
  // What several threads write lies on cache lines of its own.
  alignas(64) std::atomic<uint32_t> entrance{kClosed};  // workers inside, and kClosed when nobody may enter
  struct alignas(64) Slot {
    std::atomic<uint64_t> share{0};
  };
  std::vector<Slot> slots;  // a thread each; the caller's is the first
};

ThreadPool::ThreadPool(int threads) : threads_(std::max(threads, 1)), shared_(std::make_unique<Shared>()) {
  shared_->slots = std::vector<Shared::Slot>(static_cast<size_t>(threads_));
  try {
    for (int i = 1; i < threads_; ++i) workers_.emplace_back([this, i] { WorkerLoop(i); });
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

void ThreadPool::Work(int thread) {
  Shared& s = *shared_;
  const auto run = [&s](int64_t i) {
    try {
      s.call(s.task, i);
    } catch (...) {
      const std::lock_guard lock(s.error_mutex);
      if (!s.error) s.error = std::current_exception();
      for (Shared::Slot& slot : s.slots) slot.share.store(0, std::memory_order_relaxed);
    }
  };
  int64_t i = 0;
  while (Take(s.slots[static_cast<size_t>(thread)].share, false, i)) run(i);
  // Then help the others, from the far end of what they have left.
  for (int other = 1; other < threads_; ++other) {
    while (Take(s.slots[static_cast<size_t>((thread + other) % threads_)].share, true, i)) run(i);
  }
}

void ThreadPool::Run(int64_t count, const void* task, Call call) {
  Shared& s = *shared_;
  if (count > std::numeric_limits<uint32_t>::max()) Fail(ErrorKind::kInternal, "a parallel loop of {} tasks", count);
  if (s.running.exchange(true)) {
    Fail(ErrorKind::kInternal, "a parallel loop was started inside another one of the same pool");
  }
  s.task = task;
  s.call = call;
  for (int i = 0; i < threads_; ++i) {
    const Share share = {static_cast<uint32_t>(count * i / threads_),
                         static_cast<uint32_t>(count * (i + 1) / threads_)};
    s.slots[static_cast<size_t>(i)].share.store(Pack(share), std::memory_order_relaxed);
  }
  s.entrance.store(0, std::memory_order_release);
  s.generation.fetch_add(1);
  if (s.sleepers.load() > 0) {
    // Taking the mutex orders this against a worker that is about to sleep on the old generation.
    { const std::lock_guard lock(s.mutex); }
    s.wake.notify_all();
  }
  Work(0);
  s.entrance.fetch_or(kClosed, std::memory_order_relaxed);
  for (int spins = 0; s.entrance.load(std::memory_order_acquire) != kClosed; spins = (spins + 1) % kSpinsPerYield) {
    Relax(spins);
  }
  const std::exception_ptr error = std::exchange(s.error, nullptr);
  s.running.store(false);
  if (error) std::rethrow_exception(error);
}

void ThreadPool::WorkerLoop(int thread) {
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
    uint32_t inside = s.entrance.load(std::memory_order_relaxed);
    while ((inside & kClosed) == 0 &&
           !s.entrance.compare_exchange_weak(inside, inside + 1, std::memory_order_acquire)) {
    }
    if ((inside & kClosed) != 0) continue;  // the loop is over already
    Work(thread);
    s.entrance.fetch_sub(1, std::memory_order_release);
  }
}

int HardwareThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // More processors than cpu_set_t holds make the call fail; the standard library then counts all of them.
  const int processors = sched_getaffinity(0, sizeof(set), &set) == 0
                             ? CPU_COUNT(&set)
                             : static_cast<int>(std::thread::hardware_concurrency());
  std::ifstream membership("/proc/self/cgroup");
  const std::string text(std::istreambuf_iterator<char>(membership), {});
  return ThreadsFor(processors, CpuQuota(text, "/sys/fs/cgroup"));
}

}  // namespace assay
