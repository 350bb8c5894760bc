// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/sampler.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>

#include "../support/captured.hpp"
#include "../support/result.hpp"

namespace sampler_unit_test {

using namespace cgctl;
using test::must;

TEST(Sampler, ReadsFilesWhereNoCensusIsPossible) {
  const Host host = test::captured("linux-6.18-hybrid/1-fresh");
  Sampler::Config config;
  auto files = must(Sampler::open(host, "/", config));
  EXPECT_EQ(files.memory_source(), MemorySource::files);
  EXPECT_TRUE(test::ok(files.gather())) << "there is nothing to gather";
  config.memory = Sampler::Config::Memory::cheapest;
  EXPECT_EQ(must(Sampler::open(host, "/", config)).memory_source(), MemorySource::files);
  config.memory = Sampler::Config::Memory::census;
  const auto refused = Sampler::open(host, "/", config);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, errc::unsupported);
}

std::map<std::string, std::chrono::nanoseconds> usages(Sampler& sampler) {
  std::map<std::string, std::chrono::nanoseconds> all;
  EXPECT_EQ(sampler.sample([&](const Sample& sample) {
    all[std::string(sample.path)] = sample.cpu.usage.value_or(std::chrono::nanoseconds(-1));
  }),
            0U);
  return all;
}

TEST(Sampler, SkipsIdleCgroupsOnlyBelowOneWithTheSameUsage) {
  using std::chrono::seconds;
  const test::CapturedMachine machine("linux-6.1-v2-numa2/1-fresh");
  const auto set = [&](const std::string& cgroup, int usage, int periods) {
    test::put_file(machine.cgroup(cgroup + "/cpu.stat"),
                   "usage_usec " + std::to_string(usage) + "000000\nuser_usec 0\nsystem_usec 0\n" +
                       "nr_periods " + std::to_string(periods) + "\nnr_throttled 0\n");
  };
  const std::string top = "kubepods.slice";
  set(top, 10, 0);
  set(top + "/pod-a", 1, 7);
  set(top + "/pod-b", 1, 0);
  Sampler::Config config;
  auto reads = must(Sampler::open(must(machine.host()), "/" + top, config));
  config.skip_idle = true;
  auto skips = must(Sampler::open(must(machine.host()), "/" + top, config));
  (void)usages(reads);
  EXPECT_EQ(usages(skips).at("/" + top + "/pod-b"), seconds(1));

  set(top + "/pod-a", 2, 7);
  set(top + "/pod-b", 2, 0);
  EXPECT_EQ(usages(reads).at("/" + top + "/pod-b"), seconds(2));
  const auto idle = usages(skips);
  EXPECT_EQ(idle.size(), 3U);
  EXPECT_EQ(idle.at("/" + top + "/pod-b"), seconds(1)) << "the cgroup above is idle";
  EXPECT_EQ(idle.at("/" + top + "/pod-a"), seconds(2)) << "it has a quota";

  set(top, 12, 0);
  EXPECT_EQ(usages(skips).at("/" + top + "/pod-b"), seconds(2));
}

}  // namespace sampler_unit_test
