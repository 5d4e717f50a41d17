#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace assay {

// One thread that does jobs in the order in which they come; while there is none it does idle work, step by step. An
// engine is used by one session at a time: whoever has one thread for it has no more to do for that.
class ComputeThread {
 public:
  // `idle_step` returns whether there is more to do; after false it is called again when a job was done.
  explicit ComputeThread(std::function<bool()> idle_step);
  ~ComputeThread();  // after the jobs that are left
  ComputeThread(const ComputeThread&) = delete;
  ComputeThread& operator=(const ComputeThread&) = delete;

  // From any thread. Jobs may not throw.
  void Post(std::function<void()> job);

 private:
  void Run();
  // The next job, or none when it is time for an idle step.
  std::function<void()> Next(bool idle_work);

  std::function<bool()> idle_step_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace assay
