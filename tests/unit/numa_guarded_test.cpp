// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/numa_guarded.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <utility>

#include "../support/captured.hpp"
#include "../support/result.hpp"

namespace numa_guarded_test {

using namespace cgctl;
using namespace std::chrono_literals;
using numa::CostGuard;
using numa::GuardedReader;
using numa::NumaStat;
using test::must;
using test::ok;

class Guarded : public ::testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  [[nodiscard]] Result<GuardedReader> open(const char* path, CostGuard::nanoseconds budget) const {
    CostGuard::Config config;
    config.budget = budget;
    return GuardedReader::open(host_, path, config);
  }

  test::CapturedMachine machine_{GetParam().first};
  Host host_ = must(machine_.host());
};

TEST_P(Guarded, ReadsTheFileWithinTheBudget) {
  auto reader = must(open("/", 1h));
  NumaStat stat;
  ASSERT_TRUE(ok(reader.read(stat)));
  EXPECT_EQ(stat.source(), numa::Source::file);
  EXPECT_FALSE(reader.refused());
}

TEST_P(Guarded, ReadsTheRootByNodesAboveTheBudget) {
  auto reader = must(open("/", 1ns));
  NumaStat stat;
  ASSERT_TRUE(ok(reader.read(stat)));
  EXPECT_EQ(stat.source(), numa::Source::nodes);
  ASSERT_TRUE(reader.refused());
  EXPECT_EQ(reader.refused()->budget, 1ns);
  EXPECT_GT(reader.refused()->memcgs, 1);
}

TEST_P(Guarded, RefusesAnotherCgroupAboveTheBudget) {
  auto reader = must(open(GetParam().second, 1ns));
  NumaStat stat;
  const auto status = reader.read(stat);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::over_budget);
  EXPECT_TRUE(reader.refused());
  auto patient = must(open(GetParam().second, 1h));
  EXPECT_TRUE(ok(patient.read(stat)));
}

TEST_P(Guarded, ReadsTheRootByNodesWhereThereIsNoFile) {
  const bool v1 = host_.find("memory")->version == Version::v1;
  std::filesystem::remove(machine_.cgroup(v1 ? "memory/memory.numa_stat" : "memory.numa_stat"));
  auto reader = must(open("/", 1h));
  NumaStat stat;
  ASSERT_TRUE(ok(reader.read(stat)));
  EXPECT_EQ(stat.source(), numa::Source::nodes);
  EXPECT_FALSE(reader.refused());
}

INSTANTIATE_TEST_SUITE_P(OnBothVersions, Guarded,
                         ::testing::Values(std::pair("linux-5.4-v1-numa2/2-zombies", "/kubepods"),
                                           std::pair("linux-5.10-v2-numa2/2-zombies",
                                                     "/kubepods.slice")));

}  // namespace numa_guarded_test
