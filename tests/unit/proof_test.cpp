// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/proof.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "../support/made.hpp"
#include "../support/result.hpp"

/// The proof of a census, on machines and censuses that the test makes.
namespace proof_test {

using namespace cgctl;
using census::Cgroup;
using census::Pages;
using census::Snapshot;
using kernel::Slots;

using PagesOfAll = std::vector<Pages>;
using CountersOfAll = std::vector<census::Counters>;

/// Lets a test write the lists by node and the counters, which only the walker writes. Access is
/// not checked where a template is instantiated explicitly.
template <PagesOfAll Snapshot::*lists, CountersOfAll Snapshot::*counters>
struct Inside {
  friend PagesOfAll& lists_by_node(Snapshot& snapshot) { return snapshot.*lists; }
  friend CountersOfAll& counters_of(Snapshot& snapshot) { return snapshot.*counters; }
};
PagesOfAll& lists_by_node(Snapshot& snapshot);
CountersOfAll& counters_of(Snapshot& snapshot);
template struct Inside<&Snapshot::by_node_, &Snapshot::counters_>;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t large = 100000 * page;  // far more than any tolerance

/// A machine with two NUMA nodes, the first of which has little memory. /a has pages on the second,
/// the removed cgroup /a/gone on the first, and /b next to nothing.
class Proof : public ::testing::Test {
 protected:
  Proof() : machine_(test::v1_mount("/sys/fs/cgroup/memory", "memory")) {
    machine_.put_v1("memory");
    put_usage("a", large + 3 * page);
    put_usage("b", 10 * page);
    machine_.put("proc/cgroups", "#subsys_name hierarchy num_cgroups enabled\nmemory 4 4 1\n");
    machine_.put("proc/vmstat",
                 "nr_slab_reclaimable 100\nnr_slab_unreclaimable 100\nnr_inactive_file 100003\n"
                 "nr_active_file 0\nnr_inactive_anon 0\nnr_active_anon 0\nnr_unevictable 0\n");
    put_node(0, 3);
    put_node(1, 100000);
    for (kernel::Slot& slot : known_) slot.index = 0;
  }

  void put_usage(const std::string& cgroup, std::uint64_t bytes) const {
    machine_.put("sys/fs/cgroup/memory/" + cgroup + "/memory.usage_in_bytes",
                 std::to_string(bytes) + "\n");
  }
  void put_node(unsigned node, std::uint64_t pages) const {
    machine_.put("sys/devices/system/node/node" + std::to_string(node) + "/vmstat",
                 "nr_inactive_anon 0\nnr_active_anon 0\nnr_inactive_file " + std::to_string(pages) +
                     "\nnr_active_file 0\nnr_unevictable 0\n");
  }

  [[nodiscard]] Cgroup live(const char* name, std::uint64_t serial, std::uint64_t usage) const {
    Cgroup one;
    one.name = name;
    one.live = true;
    one.serial = serial;
    one.usage = usage;
    struct ::stat found {};
    EXPECT_EQ(::stat(machine_.cgroup(std::string("memory/") + name).c_str(), &found), 0);
    one.inode = found.st_ino;
    return one;
  }

  /// Fills in the truth.
  void take(Snapshot& snapshot) const {
    snapshot.clear();
    Cgroup root;
    root.live = true;
    root.serial = 1;
    Cgroup gone;
    gone.name = "gone";
    gone.parent = 1;
    gone.serial = 4;
    gone.references = 3;
    gone.usage = 3 * page;
    gone.own.file = 3 * page;
    snapshot.cgroups = {root, live("a", 2, large + 3 * page), gone, live("b", 3, 10 * page)};
    snapshot.cgroups[1].own.file = large;
    snapshot.nodes = 2;
    snapshot.node_numbers = {0, 1};
    counters_of(snapshot).assign(snapshot.cgroups.size(), {});
    lists_by_node(snapshot) = {{}, {}, {}, {large, 0, 0}, {3 * page, 0, 0}, {}, {}, {}};
  }

  using Lie = std::function<void(Snapshot&)>;
  /// Returns the error for a census with a lie; empty if it is believed.
  [[nodiscard]] std::string refusal(const Lie& lie, unsigned rounds = 1) const {
    const Host host = test::must(machine_.host());
    const auto proved = kernel::prove(
        host, *host.find("memory"), known_,
        [&](Snapshot& snapshot, const census::Wanted&) -> Status {
          take(snapshot);
          lie(snapshot);
          return {};
        },
        rounds);
    if (proved) return "";
    EXPECT_EQ(proved.error().kind, errc::malformed);
    return proved.error().message();
  }

  static bool has(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  }

  test::MadeMachine machine_;
  Slots known_{};
};

TEST_F(Proof, BelievesTheTruth) {
  EXPECT_EQ(refusal([](Snapshot&) {}), "");
}

TEST_F(Proof, SeesThatANodeHasThePagesOfAnother) {
  // The kernel's array of nodes, read one place too far: nothing is behind the last one.
  const std::string far = refusal([](Snapshot& snapshot) {
    auto& pages = lists_by_node(snapshot);
    for (std::size_t i = 0; i < pages.size(); i += 2) {
      pages[i] = pages[i + 1];
      pages[i + 1] = {};
    }
    snapshot.cgroups[2].own.file = 0;
  });
  EXPECT_TRUE(has(far, "node0/vmstat") && has(far, "nr_inactive_file")) << far;
  const std::string near = refusal([](Snapshot& snapshot) {
    auto& pages = lists_by_node(snapshot);
    for (std::size_t i = 0; i < pages.size(); i += 2) {
      pages[i + 1] = pages[i];
      pages[i] = {};
    }
  });
  EXPECT_TRUE(has(near, "node1/vmstat")) << near;
}

TEST_F(Proof, WantsSmallUsagesToBeExact) {
  put_usage("a", 20 * page);
  const auto says = [](std::uint64_t a, std::uint64_t b) {
    return [=](Snapshot& snapshot) {
      snapshot.cgroups[1].usage = a;
      snapshot.cgroups[3].usage = b;
    };
  };
  constexpr unsigned rounds = 2;  // the second one allows for more than these usages
  EXPECT_EQ(refusal(says(20 * page, 10 * page), rounds), "");
  EXPECT_EQ(refusal(says(20 * page, 9 * page), rounds), "") << "one may have moved";
  const std::string text = refusal(says(0, 0), rounds);
  EXPECT_TRUE(has(text, "the usage of only 0 of 2 directories")) << text;
  EXPECT_NE(refusal(says(19 * page, 9 * page), rounds), "");
}

TEST_F(Proof, WantsThePagesOfARemovedCgroupToBeCharged) {
  const std::string text = refusal([](Snapshot& snapshot) { snapshot.cgroups[2].usage = page; });
  EXPECT_TRUE(has(text, "/a/gone") && has(text, "a usage of 4096 bytes")) << text;
  EXPECT_EQ(refusal([](Snapshot& snapshot) {
              snapshot.cgroups[2].usage = page;
              snapshot.pages_move = true;
            }),
            "")
      << "its lists are out of date";
}

TEST_F(Proof, WantsReferencesToRemovedCgroupsOnly) {
  const auto of_gone = [](std::uint64_t references) {
    return [=](Snapshot& snapshot) { snapshot.cgroups[2].references = references; };
  };
  EXPECT_EQ(refusal(of_gone(0)), "") << "it is being released";
  EXPECT_NE(refusal(of_gone(0xffff888012345678)), "");
  const std::string text = refusal([](Snapshot& snapshot) { snapshot.cgroups[3].references = 1; });
  EXPECT_TRUE(has(text, "/b")) << text;
}

TEST_F(Proof, WantsSerialNumbersInOrder) {
  for (const std::uint64_t b : {0UL, 1UL, 2UL, 3UL << 34}) {
    const std::string text = refusal([=](Snapshot& snapshot) { snapshot.cgroups[3].serial = b; });
    EXPECT_TRUE(has(text, "/b") && has(text, "serial number")) << b << ": " << text;
  }
  EXPECT_NE(refusal([](Snapshot& snapshot) { snapshot.cgroups[2].serial = 2; }), "");
}

TEST_F(Proof, WantsNoCgroupToBeOlderThanOneBefore) {
  const auto ages = [](int a, int b, int gone) {
    return [=](Snapshot& snapshot) {
      snapshot.cgroups[1].age = std::chrono::seconds(a);
      snapshot.cgroups[3].age = std::chrono::seconds(b);
      snapshot.cgroups[2].age = std::chrono::seconds(gone);
    };
  };
  EXPECT_EQ(refusal(ages(100, 50, 50)), "");
  const std::string text = refusal(ages(100, 50, 60));
  EXPECT_TRUE(has(text, "/a/gone") && has(text, "older")) << text;
}

TEST_F(Proof, WantsNoMoreSlabAndSwapThanTheMachineHas) {
  const auto slab = [](std::uint64_t bytes) {
    return [=](Snapshot& snapshot) {
      const auto place = static_cast<std::size_t>(census::Counter::slab_unreclaimable);
      counters_of(snapshot)[0][place] = static_cast<std::int64_t>(bytes);
    };
  };
  EXPECT_EQ(refusal(slab(150 * page)), "");
  const auto of_slab = slab(large);
  EXPECT_TRUE(has(refusal(of_slab), "nr_slab_reclaimable"));
  constexpr std::uint64_t much = std::uint64_t{1} << 50;
  const auto of_swap = [](Snapshot& snapshot) { snapshot.cgroups[1].own.swap = much; };
  EXPECT_TRUE(has(refusal(of_swap), "used_swap"));
  known_ = {};
  EXPECT_EQ(refusal(of_slab), "") << "a census does not have it";
}

TEST_F(Proof, ComparesTheListsWithTheMachineWhereTheRootTellsNothing) {
  const std::string text = refusal([](Snapshot& snapshot) { snapshot.cgroups[1].own.file *= 2; });
  EXPECT_TRUE(has(text, "nr_inactive_file")) << text;
}

}  // namespace proof_test
