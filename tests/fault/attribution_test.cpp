// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>

#include "../support/captured.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/zombies.hpp"
#include "faulty_sys.hpp"

namespace attribution_test {

using namespace cgctl;
using namespace std::chrono_literals;
using fault::Call;
using fault::Faults;

/// The captured machine has zombies below kubepods, charged with some pages of cache. pod-a is live
/// and has some pages of its own.
class AttributionFaults : public ::testing::Test {
 protected:
  static constexpr const char* parent = "/cgctl-capture/kubepods";
  static constexpr const char* child = "kubepods/pod-a";

  explicit AttributionFaults(std::string_view tree = "linux-6.18-hybrid/2-zombies")
      : machine_(tree) {}

  [[nodiscard]] zombies::Attribution attribute(
      const zombies::AttributionLimits& limits = patient) const {
    const auto host = machine_.host();
    EXPECT_TRUE(host) << host.error().message();
    auto out = zombies::attribute(*host, limits);
    EXPECT_TRUE(out) << out.error().message();
    return out ? std::move(*out) : zombies::Attribution();
  }
  static const zombies::Ancestor* find(const zombies::Attribution& out, std::string_view path) {
    const auto found =
        std::find_if(out.ancestors.begin(), out.ancestors.end(),
                     [&](const zombies::Ancestor& ancestor) { return ancestor.path == path; });
    return found == out.ancestors.end() ? nullptr : &*found;
  }
  static void expect_bytes(const zombies::Attribution& out, std::string_view path,
                           std::uint64_t bytes) {
    const zombies::Ancestor* const ancestor = find(out, path);
    ASSERT_NE(ancestor, nullptr) << path;
    ASSERT_TRUE(ancestor->bytes) << path;
    EXPECT_EQ(*ancestor->bytes, bytes) << path;
  }
  static void expect_unknown(const zombies::Attribution& out, std::string_view path) {
    const zombies::Ancestor* const ancestor = find(out, path);
    ASSERT_NE(ancestor, nullptr) << path << " is not marked as unknown";
    EXPECT_FALSE(ancestor->bytes) << path << " has " << ancestor->bytes.value_or(0);
  }

  static constexpr zombies::AttributionLimits patient{1h, 1h};
  test::CapturedMachine machine_;
  const std::uint64_t of_pod_a = charged("pod-a");
  const std::uint64_t of_zombies = charged("") - of_pod_a - charged("pod-b");

 private:
  /// Returns total_cache and total_rss of a cgroup at or below kubepods. kubepods itself has no
  /// pages of its own.
  [[nodiscard]] std::uint64_t charged(const char* below) const {
    const std::string text =
        test::file_text(machine_.cgroup("memory/cgctl-capture/kubepods") / below / "memory.stat");
    return parse::value_of(text, "total_cache").value_or(0) +
           parse::value_of(text, "total_rss").value_or(0);
  }
};

TEST_F(AttributionFaults, SubtractsLiveCgroups) {
  ASSERT_GT(of_zombies, 0);
  ASSERT_GT(of_pod_a, 0);
  const auto out = attribute();
  EXPECT_TRUE(out.complete);
  EXPECT_EQ(out.skipped, 0);
  expect_bytes(out, parent, of_zombies);
  EXPECT_TRUE(out.residual);
}

class AttributionOfAnUnreadableCgroup : public AttributionFaults,
                                        public ::testing::WithParamInterface<Call> {};

TEST_P(AttributionOfAnUnreadableCgroup, DoesNotCountItsMemoryAsZombies) {
  Faults faults;
  faults.on(GetParam(), "pod-a/memory.stat").fails(EIO);
  const auto out = attribute();
  expect_unknown(out, parent);
  expect_unknown(out, "/cgctl-capture/kubepods/pod-a");
  EXPECT_TRUE(out.complete);
  EXPECT_EQ(out.skipped, 1);
  EXPECT_FALSE(out.residual) << "pod-a's pages would count as those of zombies";
  EXPECT_EQ(find(out, "/cgctl-capture"), nullptr) << "further up the bytes are known as before";
}

INSTANTIATE_TEST_SUITE_P(AtOpenOrRead, AttributionOfAnUnreadableCgroup,
                         ::testing::Values(Call::open_beneath, Call::pread));

TEST_F(AttributionFaults, AnUnreadableCgroupDoesNotHideItsChildren) {
  test::put_file(machine_.cgroup("memory/cgctl-capture/kubepods/pod-b/inner/memory.stat"),
                 "cache 0\ntotal_cache 0\n");
  test::put_file(machine_.cgroup("memory/cgctl-capture/kubepods/pod-b/memory.stat"),
                 "cache 4096\ntotal_cache 12288\n");
  Faults faults;
  faults.on(Call::pread, "kubepods/memory.stat").fails(EIO);
  const auto out = attribute();
  expect_bytes(out, "/cgctl-capture/kubepods/pod-b", 8192);
  expect_unknown(out, parent);
  expect_unknown(out, "/cgctl-capture");
}

TEST_F(AttributionFaults, ACgroupThatVanishesBeforeItIsReadIsNeitherUnknownNorAnError) {
  for (const int reason : {ENOENT, ENODEV}) {
    Faults faults;
    faults.on(reason == ENOENT ? Call::open_beneath : Call::pread, "pod-a/memory.stat")
        .fails(reason);
    if (reason == ENODEV) faults.on(Call::stat_at, "pod-a/memory.stat").fails(ENOENT).always();
    const auto out = attribute();
    expect_bytes(out, parent, of_zombies + of_pod_a);
    EXPECT_EQ(out.skipped, 0);
    EXPECT_FALSE(out.failure);
  }
}

TEST_F(AttributionFaults, AnUnreadableFileOfALiveCgroupIsUnknownAndHasAReason) {
  for (const int reason : {ENODEV, EIO}) {
    Faults faults;
    faults.on(Call::pread, "pod-a/memory.stat").fails(reason);
    const auto out = attribute();
    EXPECT_EQ(out.skipped, 1);
    ASSERT_TRUE(out.failure);
    EXPECT_EQ(out.failure->os_errno, reason);
    EXPECT_FALSE(out.residual);
  }
}

TEST_F(AttributionFaults, ACgroupThatVanishesBeforeItIsOpenedIsLeftOut) {
  Faults faults;
  faults.on(Call::open_beneath, "pod-a/memory.stat").after([&] {
    std::filesystem::remove_all(machine_.cgroup("memory/cgctl-capture/kubepods/pod-a"));
  });
  expect_bytes(attribute(), parent, of_zombies + of_pod_a);
}

TEST_F(AttributionFaults, ACgroupThatVanishesBeforeItsChildrenAreListedHasNone) {
  std::filesystem::create_directory(machine_.cgroup("memory/cgctl-capture/kubepods/pod-a/inner"));
  for (const Call call : {Call::open_at, Call::getdents64}) {
    Faults faults;
    faults.on(call, child).fails(ENOENT);
    expect_bytes(attribute(), parent, of_zombies);
  }
}

TEST_F(AttributionFaults, AListingThatFailsIsAnErrorWithItsPath) {
  Faults faults;
  faults.on(Call::getdents64, "kubepods").fails(EIO);
  const auto host = machine_.host();
  ASSERT_TRUE(host);
  const auto out = zombies::attribute(*host, patient);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().os_errno, EIO);
  EXPECT_EQ(out.error().path, machine_.cgroup("memory").string() + parent);
}

TEST_F(AttributionFaults, RunningOutOfDescriptorsIsAnErrorWithAHint) {
  std::filesystem::create_directory(machine_.cgroup("memory/cgctl-capture/kubepods/pod-a/inner"));
  Faults faults;
  faults.on(Call::open_at, child).fails(EMFILE).always();
  const auto host = machine_.host();
  ASSERT_TRUE(host);
  const auto out = zombies::attribute(*host, patient);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().os_errno, EMFILE);
  EXPECT_NE(out.error().hint.find("ulimit -n"), std::string::npos);
}

TEST_F(AttributionFaults, WithoutTimeOnlyTheFirstIsReadAndTheOthersAreCountedAsSkipped) {
  Faults faults;
  const auto out = attribute({0ns, 1h});
  EXPECT_FALSE(out.complete);
  EXPECT_EQ(out.skipped, 4) << "pod-b and its three ancestors";
  EXPECT_EQ(faults.calls(Call::open_beneath, "memory.stat"), 1)
      << "no ancestor: reading one costs more";
  EXPECT_TRUE(out.ancestors.empty()) << "a sum without the skipped cgroups would be wrong";
  EXPECT_FALSE(out.residual);
}

TEST_F(AttributionFaults, StopsAfterOneSlowRead) {
  Faults faults;
  faults.on(Call::pread, "pod-a/memory.stat").after([] { std::this_thread::sleep_for(600ms); });
  const auto out = attribute({1h, 500ms});
  EXPECT_FALSE(out.complete);
  EXPECT_EQ(out.skipped, 4) << "pod-b, which comes after pod-a, and its three ancestors";
  EXPECT_FALSE(out.residual);
}

/// The same cgroups on v2. Changes the counts: 50 cgroups are dying below kubepods, and two more
/// below its parent.
class AttributionFaultsOnV2 : public AttributionFaults {
 protected:
  AttributionFaultsOnV2() : AttributionFaults("linux-6.1-hybrid-numa2/2-zombies") {}
  void SetUp() override {
    put_stat("unified", 4, 52);
    put_stat("unified/cgctl-capture", 3, 52);
  }
  void put_stat(std::string_view group, unsigned live, unsigned dying) const {
    test::put_file(machine_.cgroup(group) / "cgroup.stat",
                   "nr_descendants " + std::to_string(live) + "\nnr_dying_descendants " +
                       std::to_string(dying) + "\n");
  }
  [[nodiscard]] std::uint64_t current(std::string_view group) const {
    return parse::whole_number(
               test::file_text(machine_.cgroup("unified") / group / "memory.current"))
        .value_or(0);
  }
};

TEST_F(AttributionFaultsOnV2, CountsDyingChildrenOfEachCgroup) {
  const auto out = attribute();
  const auto* const outer = find(out, "/cgctl-capture");
  const auto* const inner = find(out, parent);
  ASSERT_TRUE(outer != nullptr && inner != nullptr);
  EXPECT_EQ(outer->count, 2);
  EXPECT_EQ(inner->count, 50);
  EXPECT_GT(current("cgctl-capture"), current("cgctl-capture/kubepods"));
  EXPECT_EQ(outer->bytes, current("cgctl-capture") - current("cgctl-capture/kubepods"));
}

TEST_F(AttributionFaultsOnV2, AnUnreadableCountMakesTheParentsUnknown) {
  Faults faults;
  faults.on(Call::pread, "kubepods/cgroup.stat").fails(EIO);
  const auto out = attribute();
  const auto* const outer = find(out, "/cgctl-capture");
  ASSERT_NE(outer, nullptr);
  EXPECT_FALSE(outer->count) << "its child may have any part of the 52";
  EXPECT_EQ(out.skipped, 1);
}

}  // namespace attribution_test
