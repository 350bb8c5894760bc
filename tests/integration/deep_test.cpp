// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../support/deep_chain.hpp"
#include "../support/result.hpp"
#include "cgctl/cgctl.hpp"
#include "cgctl/filesystem.hpp"
#include "real_cgroups.hpp"

namespace deep_test {

using namespace cgctl;
using namespace std::chrono_literals;
using test::DeepChain;
using test::FewDescriptors;
using test::must;

/// A chain of cgroups deeper than the process may have descriptors. Any user to whom a cgroup is
/// delegated can create one.
class DeepCgroups : public test::RealCgroups {
 protected:
  static constexpr std::size_t depth = 1100;

  DeepCgroups() : RealCgroups(Needs::memory) {}
  void SetUp() override {
    RealCgroups::SetUp();
    if (IsSkipped()) return;
    make("deep");
    chain_.emplace(directory("deep"), depth);
    few_.emplace(256);
  }
  void TearDown() override {
    few_.reset();
    chain_.reset();
    RealCgroups::TearDown();
  }
  [[nodiscard]] Group deep() const { return must(host().open(path("deep"))); }

  std::optional<DeepChain> chain_;
  std::optional<FewDescriptors> few_;
};

TEST_F(DeepCgroups, AreCounted) {
  const UniqueFd top = must(fs::open_trusted(directory("deep"), O_PATH | O_DIRECTORY));
  EXPECT_EQ(must(zombies::count_directories(top.get(), "deep")), chain_->size() + 1);
  EXPECT_TRUE(zombies::count(host()));
}

TEST_F(DeepCgroups, DoNotStopTheAttribution) {
  const auto where = zombies::attribute(host(), {1min, 10s, zombies::Source::memory_stat});
  ASSERT_TRUE(where) << where.error().message();
  EXPECT_TRUE(where->complete);
}

TEST_F(DeepCgroups, AreSampled) {
  auto sampler = Sampler::open(host(), path("deep"));
  ASSERT_TRUE(sampler) << sampler.error().message();
  EXPECT_EQ(sampler->size(), chain_->size() + 1);
  std::size_t seen = 0;
  EXPECT_EQ(sampler->sample([&](const Sample&) { ++seen; }), 0U);
  EXPECT_EQ(seen, chain_->size() + 1);
}

TEST_F(DeepCgroups, AreInASnapshot) {
  const auto tree = tree::snapshot(host(), path("deep"));
  ASSERT_TRUE(tree) << tree.error().message();
  EXPECT_EQ(tree->size(), chain_->size() + 1);
}

TEST_F(DeepCgroups, CalibrateTheGuardOfReads) {
  numa::CostGuard guard;
  const auto cost = numa::calibrate(host(), guard, {});
  EXPECT_TRUE(cost) << cost.error().message();
}

TEST_F(DeepCgroups, AreKilledAndRemoved) {
  const test::Tenant tenant(directory("deep") + chain_->path(depth), [] { return 0; });
  EXPECT_EQ(must(deep().processes_below()).size(), 1U);
  const auto removed = deep().remove({Removal::Below::remove, Removal::Tasks::kill});
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(removed->directories, chain_->size() + 1);
}

/// Cgroups whose paths are longer than the kernel accepts.
class LongPaths : public test::RealCgroups {
 protected:
  [[nodiscard]] std::string long_path() const {
    std::string below = path("long");
    for (int level = 0; level < 25; ++level) below.append("/").append(250, 'n');
    return below;
  }
};

TEST_F(LongPaths, AreCreatedUsedAndDeleted) {
  const std::string below = long_path();
  const auto group = Group::create(host(), below, {{"memory"}, {}});
  ASSERT_TRUE(group) << group.error().message();
  EXPECT_EQ(group->path(), below);
  EXPECT_TRUE(group->write(v2() ? "memory.max" : "memory.limit_in_bytes", "104857600"));
  const auto found = tree::settings_of(*group);
  ASSERT_TRUE(found) << found.error().message();
  const auto top = must(host().open(path("long")));
  tree::Tree wanted{*found};
  wanted[0].path.append("/below");
  const auto applied = tree::apply(host(), wanted);
  EXPECT_TRUE(applied) << applied.error().message();
  EXPECT_TRUE(host().open(below + "/below"));
  const auto removed = top.remove({Removal::Below::remove});
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(removed->directories, 27U);
}

}  // namespace deep_test
