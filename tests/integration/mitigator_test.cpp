// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/mitigator.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/filesystem.hpp"

namespace mitigator_test {

using namespace cgctl;
using mitigation::Decision;
using mitigation::Mitigator;
using mitigation::Policy;
using mitigation::Urgency;
using test::must;

class RealMitigator : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) return test::skip("needs root");
  }

  /// Returns a policy that never acts.
  [[nodiscard]] static Policy patient() {
    Policy policy;
    policy.zombies_high = policy.memcgs_high = 1'000'000'000;
    policy.read_cost_limit = std::chrono::hours(1);
    return policy;
  }

  Host host_ = must(Host::detect());
  test::TempDirectory directory_;
  std::string state_ = directory_ / "state";
};

TEST_F(RealMitigator, ObservesSavesItsHistoryAndHoldsTheLock) {
  auto mitigator = must(Mitigator::open(host_, state_));
  const auto report = must(mitigator.run(patient(), Urgency::as_configured));
  EXPECT_EQ(report.plan.decision, Decision::idle) << report.plan.reason;
  EXPECT_FALSE(report.outcome);
  EXPECT_TRUE(report.warnings.empty());
  const auto other = Mitigator::open(host_, state_);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind, errc::busy);
  ASSERT_TRUE(mitigator.save());
  EXPECT_TRUE(fs::read_trusted(state_ + "/history"));
}

TEST_F(RealMitigator, WarnsOnceOfAHistoryThatWasDamaged) {
  ASSERT_TRUE(must(Mitigator::open(host_, state_)).save());
  ASSERT_TRUE(fs::write_output(state_ + "/history", "garbage"));
  auto mitigator = must(Mitigator::open(host_, state_));
  EXPECT_EQ(must(mitigator.run(patient(), Urgency::as_configured)).warnings.size(), 1);
  EXPECT_EQ(must(mitigator.run(patient(), Urgency::as_configured)).warnings.size(), 0);
}

TEST_F(RealMitigator, RehearsesWithoutAStateDirectory) {
  const auto report = must(mitigation::rehearse(host_, state_, patient()));
  EXPECT_EQ(report.plan.decision, Decision::idle) << report.plan.reason;
  EXPECT_FALSE(fs::read_trusted(state_ + "/history"));
}

}  // namespace mitigator_test
