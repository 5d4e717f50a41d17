#include "remote/compute_thread.h"

#include <utility>

namespace assay {

ComputeThread::ComputeThread(std::function<bool()> idle_step)
    : idle_step_(std::move(idle_step)), thread_([this] { Run(); }) {}

ComputeThread::~ComputeThread() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    changed_.notify_one();
  }
  thread_.join();
}

void ComputeThread::Post(std::function<void()> job) {
  const std::scoped_lock lock(mutex_);
  jobs_.push_back(std::move(job));
  changed_.notify_one();
}

std::function<void()> ComputeThread::Next(bool idle_work) {
  std::unique_lock lock(mutex_);
  if (!idle_work) changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
  if (jobs_.empty()) return {};
  std::function<void()> job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

void ComputeThread::Run() {
  bool idle_work = false;
  for (;;) {
    if (const std::function<void()> job = Next(idle_work)) {
      job();
      idle_work = true;
      continue;
    }
    {
      const std::scoped_lock lock(mutex_);
      if (ending_) return;
    }
    idle_work = idle_step_();
  }
}

}  // namespace assay
