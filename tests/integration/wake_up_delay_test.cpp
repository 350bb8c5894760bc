// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/wake_up_delay.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>

namespace wake_up_delay_test {

using namespace cgctl;
using namespace std::chrono_literals;
using detail::SentinelClass;

constexpr auto busy = 60ms;

void be_busy() {
  const auto end = std::chrono::steady_clock::now() + busy;
  while (std::chrono::steady_clock::now() < end) {
  }
}

/// Works as a kernel does that does not let others run: the sentinel has a lower priority.
void be_busy_alone() {
  const sched_param above{2};
  const sched_param ordinary{0};
  if (::sched_setscheduler(0, SCHED_FIFO, &above) != 0) return;
  be_busy();
  ::sched_setscheduler(0, SCHED_OTHER, &ordinary);
}

class RealDelay : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sentinel_) << sentinel_.error().message();
    const auto delay = sentinel_->watch([] {});
    ASSERT_TRUE(delay) << delay.error().message();
    if (delay->scheduling != SentinelClass::fifo) {
      GTEST_SKIP() << "needs the right to use SCHED_FIFO";
    }
  }
  const Result<detail::Sentinel> sentinel_ = detail::Sentinel::on_this_cpu();
};

TEST_F(RealDelay, IsAsLongAsWorkThatLetsNobodyRun) {
  const auto delay = sentinel_->watch(be_busy_alone);
  ASSERT_TRUE(delay) << delay.error().message();
  EXPECT_GE(delay->duration, busy);
  EXPECT_GE(delay->worst, busy - 5ms);
}

TEST_F(RealDelay, IsShortIfTheWorkCanBeInterrupted) {
  const auto delay = sentinel_->watch(be_busy);
  ASSERT_TRUE(delay) << delay.error().message();
  EXPECT_GE(delay->duration, busy);
  EXPECT_LT(delay->worst, busy / 2);
  EXPECT_GT(delay->wake_ups, 10U);
}

}  // namespace wake_up_delay_test
