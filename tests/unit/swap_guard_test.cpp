// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/swap_guard.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <string>

#include "../support/captured.hpp"
#include "../support/result.hpp"

namespace swap_guard_test {

using namespace cgctl;
using detail::Swappable;

/// Cgroups /kubepods, /kubepods/pod-a and /kubepods/pod-b.
class SwapGuard : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* const below : {"", "/pod-a", "/pod-b"}) set_swappiness(below, 0);
    set_free_swap(4096);
  }
  void set_free_swap(unsigned kibibytes) const {
    std::ofstream(machine_.path("proc/meminfo"))
        << "MemTotal: 2000000 kB\nSwapFree: " << kibibytes << " kB\n";
  }
  void set_swappiness(const std::string& below, unsigned value) const {
    std::ofstream(machine_.cgroup("memory/kubepods" + below + "/memory.swappiness")) << value;
  }
  [[nodiscard]] Swappable swappable() const {
    const auto host = machine_.host();
    EXPECT_TRUE(test::ok(host));
    return host ? detail::swappable(*host, seen_, "/kubepods") : Swappable::none;
  }
  /// Adds zombies below a cgroup that hold page cache and `anon` bytes of anonymous memory.
  void add_zombies(const std::string& path, std::uint64_t anon) {
    zombies::Residual pages;
    pages.file = 4096;
    pages.anon = anon;
    seen_.ancestors.push_back({path, 1, pages.total(), pages});
  }

  mitigation::Observation seen_;

 private:
  test::CapturedMachine machine_{"linux-5.4-v1-numa2/2-zombies"};
};

TEST_F(SwapGuard, LetsReclaimIfNoCgroupSwaps) {
  add_zombies("/kubepods", 0);
  add_zombies("/kubepods-other", 4096);
  EXPECT_EQ(swappable(), Swappable::none);
}

TEST_F(SwapGuard, ObjectsIfTheCgroupSwaps) {
  set_swappiness("", 60);
  EXPECT_EQ(swappable(), Swappable::of_live_cgroups);
}

TEST_F(SwapGuard, ObjectsIfACgroupBelowSwaps) {
  set_swappiness("/pod-b", 1);
  EXPECT_EQ(swappable(), Swappable::of_live_cgroups);
}

TEST_F(SwapGuard, ObjectsIfZombiesHoldMemoryOfProcesses) {
  add_zombies("/kubepods", 0);
  add_zombies("/kubepods/pod-a", 4096);
  EXPECT_EQ(swappable(), Swappable::of_zombies);
  set_free_swap(0);
  EXPECT_EQ(swappable(), Swappable::none);
}

TEST_F(SwapGuard, AsksTheWholeMachineWhereTheSourceDoesNotTellKinds) {
  seen_.ancestors.push_back({"/kubepods/pod-a", std::nullopt, 4096});
  EXPECT_EQ(swappable(), Swappable::of_zombies) << "nothing is known";
  seen_.residual.emplace().file = 4096;
  EXPECT_EQ(swappable(), Swappable::none);
  seen_.residual->anon = 4096;
  EXPECT_EQ(swappable(), Swappable::of_zombies);
}

TEST_F(SwapGuard, LetsReclaimWithoutFreeSwap) {
  set_swappiness("", 60);
  set_free_swap(0);
  EXPECT_EQ(swappable(), Swappable::none);
}

}  // namespace swap_guard_test
