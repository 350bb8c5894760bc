// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/sampler.hpp"

#include <gtest/gtest.h>

#include "../support/captures.hpp"
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

}  // namespace sampler_unit_test
