#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace assay {

// A fixed team of threads for short parallel loops (the caller is one of them). Workers spin briefly between loops and
// then sleep, so that a forward pass of hundreds of small loops costs microseconds apiece and an idle pool nothing.
class ThreadPool {
 public:
  // The pool starts threads-1 workers (threads below 1 count as 1). Throws kUsage when the system has not that many.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return threads_; }

  // Calls task(i) once for each i in [0, count), from any thread, in any order; returns when all are done. Each thread
  // starts with a contiguous share, which it takes in ascending order (a processor's prefetchers want long streams),
  // and when that is done helps with what others have left. count is below 2^32. The tasks must be independent: nothing
  // of a result may depend on which thread ran what. The first exception thrown by a task is thrown again here, and
  // indices not yet begun are skipped. One loop at a time: a task may not start another.
  template <typename Task>
  void ParallelFor(int64_t count, const Task& task) {
    if (count <= 0) return;
    if (threads_ == 1 || count == 1) {
      for (int64_t i = 0; i < count; ++i) task(i);
      return;
    }
    Run(count, &task, [](const void* t, int64_t i) { (*static_cast<const Task*>(t))(i); });
  }

 private:
  using Call = void (*)(const void* task, int64_t index);
  struct Shared;

  void StopWorkers();
  void Run(int64_t count, const void* task, Call call);
  void Work(int thread);
  void WorkerLoop(int thread);

  int threads_;
  std::unique_ptr<Shared> shared_;
  std::vector<std::thread> workers_;
};

// The processors that this process may run on, by its affinity and by the time that its control groups leave it; at
// least 1.
int HardwareThreads();

}  // namespace assay
