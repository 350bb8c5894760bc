// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/swap_guard.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "../support/captured.hpp"
#include "../support/result.hpp"

namespace swap_guard_test {

using namespace cgctl;

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
  [[nodiscard]] bool may_swap() const {
    const auto host = machine_.host();
    EXPECT_TRUE(test::ok(host));
    return host && detail::may_swap(*host, "/kubepods");
  }

 private:
  test::CapturedMachine machine_{"linux-5.4-v1-numa2/2-zombies"};
};

TEST_F(SwapGuard, LetsReclaimIfNoCgroupSwaps) { EXPECT_FALSE(may_swap()); }

TEST_F(SwapGuard, ObjectsIfTheCgroupSwaps) {
  set_swappiness("", 60);
  EXPECT_TRUE(may_swap());
}

TEST_F(SwapGuard, ObjectsIfACgroupBelowSwaps) {
  set_swappiness("/pod-b", 1);
  EXPECT_TRUE(may_swap());
}

TEST_F(SwapGuard, LetsReclaimWithoutFreeSwap) {
  set_swappiness("", 60);
  set_free_swap(0);
  EXPECT_FALSE(may_swap());
}

}  // namespace swap_guard_test
