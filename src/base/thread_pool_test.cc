#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, EveryIndexRunsExactlyOnceInThousandsOfSmallLoops) {
  ThreadPool pool(GetParam());
  // Plain ints, not atomics: under ThreadSanitizer this also proves that a loop is over before the next one starts.
  std::vector<int> hits(67, 0);
  for (int loop = 0; loop < 5000; ++loop) {
    const int64_t count = loop % 68;
    pool.ParallelFor(count, [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
  }
  std::vector<int> expected(67, 0);
  for (int loop = 0; loop < 5000; ++loop) {
    for (int i = 0; i < loop % 68; ++i) ++expected[static_cast<size_t>(i)];
  }
  EXPECT_EQ(hits, expected);
}

TEST_P(ThreadPoolTest, SleepingWorkersWakeForTheNextLoop) {
  ThreadPool pool(GetParam());
  std::atomic<int> done{0};
  for (int loop = 0; loop < 10; ++loop) {
    // Far longer than workers spin, so that they sleep.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    pool.ParallelFor(16, [&](int64_t) { done.fetch_add(1); });
    ASSERT_EQ(done.load(), 16 * (loop + 1));
  }
}

TEST_P(ThreadPoolTest, AnExceptionReachesTheCallerAndThePoolGoesOn) {
  ThreadPool pool(GetParam());
  for (int loop = 0; loop < 500; ++loop) {
    std::string caught;
    try {
      pool.ParallelFor(40, [&](int64_t i) {
        if (i == loop % 40) throw std::runtime_error(std::to_string(i));
      });
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    ASSERT_EQ(caught, std::to_string(loop % 40));
    std::atomic<int> done{0};
    pool.ParallelFor(40, [&](int64_t) { done.fetch_add(1); });
    ASSERT_EQ(done.load(), 40);
  }
}

TEST_P(ThreadPoolTest, OneOfManyExceptionsReachesTheCaller) {
  ThreadPool pool(GetParam());
  for (int loop = 0; loop < 200; ++loop) {
    EXPECT_THROW(pool.ParallelFor(64, [](int64_t) { throw std::runtime_error("each"); }), std::runtime_error);
  }
}

TEST_P(ThreadPoolTest, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 50; ++i) {
    const ThreadPool pool(GetParam());
    EXPECT_EQ(pool.size(), GetParam());
  }
}

TEST_P(ThreadPoolTest, NothingRunsForAnEmptyOrNegativeCount) {
  ThreadPool pool(GetParam());
  std::atomic<int> calls{0};
  pool.ParallelFor(0, [&](int64_t) { calls.fetch_add(1); });
  pool.ParallelFor(-3, [&](int64_t) { calls.fetch_add(1); });
  EXPECT_EQ(calls.load(), 0);
}

// 9 threads are more than the processors of most test machines: the oversubscribed case.
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 3, 9));

TEST(ThreadPoolLimitsTest, ALoopInsideALoopIsRefusedInsteadOfCorruptingIt) {
  ThreadPool pool(2);
  try {
    pool.ParallelFor(8, [&](int64_t) { pool.ParallelFor(8, [](int64_t) {}); });
    FAIL() << "the inner loop was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
  }
  std::atomic<int> done{0};
  pool.ParallelFor(8, [&](int64_t) { done.fetch_add(1); });
  EXPECT_EQ(done.load(), 8);
}

TEST(ThreadPoolLimitsTest, FewerThanOneThreadMeansOne) {
  ThreadPool pool(0);
  EXPECT_EQ(pool.size(), 1);
  int done = 0;
  pool.ParallelFor(5, [&](int64_t) { ++done; });
  EXPECT_EQ(done, 5);
}

TEST(ThreadPoolLimitsTest, WorkIsSharedBetweenThreads) {
  ThreadPool pool(2);
  // Each of the two tasks waits for the other, which only two threads can end.
  std::atomic<int> arrived{0};
  pool.ParallelFor(2, [&](int64_t) {
    arrived.fetch_add(1);
    while (arrived.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived.load(), 2);
}

// Freezes a thread from outside, as a system does that has no processor for it.
std::atomic<bool> g_frozen{false};
std::atomic<bool> g_thaw{false};
void Freeze(int) {
  g_frozen = true;
  while (!g_thaw) {
  }
}

TEST(ThreadPoolLimitsTest, ALoopEndsWithoutAWorkerThatDoesNotRun) {
  g_frozen = g_thaw = false;
  struct sigaction freeze = {};
  freeze.sa_handler = &Freeze;
  struct sigaction before = {};
  ASSERT_EQ(sigaction(SIGUSR1, &freeze, &before), 0);
  ThreadPool pool(2);
  // Each task waits for the other, so that the worker has one of them and says who it is.
  std::atomic<int> arrived{0};
  std::atomic<pthread_t> worker{pthread_self()};
  pool.ParallelFor(2, [&](int64_t) {
    if (pthread_equal(pthread_self(), worker) == 0) worker = pthread_self();
    arrived.fetch_add(1);
    while (arrived.load() < 2) std::this_thread::yield();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // it sleeps then
  ASSERT_EQ(pthread_kill(worker, SIGUSR1), 0);
  while (!g_frozen) std::this_thread::yield();
  int done = 0;
  for (int loop = 0; loop < 3; ++loop) pool.ParallelFor(16, [&](int64_t) { ++done; });
  EXPECT_EQ(done, 48);  // all by the caller
  g_thaw = true;
  sigaction(SIGUSR1, &before, nullptr);
}

TEST(HardwareThreadsTest, IsAtLeastOne) { EXPECT_GE(HardwareThreads(), 1); }

}  // namespace
}  // namespace assay
