#include "remote/compute_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <utility>
#include <vector>

namespace assay {
namespace {

TEST(ComputeThread, DoesJobsInTheirOrderAndTheLastBeforeItEnds) {
  std::vector<int> done;
  {
    ComputeThread thread([] { return false; });
    for (int i = 0; i < 100; ++i) thread.Post([&done, i] { done.push_back(i); });
  }
  ASSERT_EQ(done.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(done[static_cast<size_t>(i)], i);
}

TEST(ComputeThread, DoesIdleWorkBehindEachJobUntilThereIsNoMore) {
  std::atomic<int> left = 0;
  std::promise<void> first;
  std::promise<void> second;
  std::promise<void>* finished = &first;
  ComputeThread thread([&] {
    if (left == 0) return false;
    if (--left == 0) finished->set_value();
    return true;
  });
  thread.Post([&] { left = 5; });
  first.get_future().wait();
  thread.Post([&] {
    finished = &second;
    left = 3;
  });
  second.get_future().wait();
}

TEST(ComputeThread, AJobInterruptsIdleWorkBetweenTwoSteps) {
  std::promise<void> begun;
  std::promise<void> came;
  bool told = false;
  ComputeThread thread([&] {
    if (!std::exchange(told, true)) begun.set_value();
    return true;  // without end
  });
  thread.Post([] {});
  begun.get_future().wait();
  thread.Post([&] { came.set_value(); });
  came.get_future().wait();
}

}  // namespace
}  // namespace assay
