// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include "../support/captured.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "real_cgroups.hpp"

namespace squeeze_test {

using namespace cgctl;
using namespace std::chrono_literals;
using namespace cgctl::mitigation;

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;

/// Fills a file and writes it back. Returns 0 or an errno. Reclaim takes whole folios, and a write
/// of a mebibyte may make one as large.
int fill(const std::string& name, std::uint64_t bytes) {
  const UniqueFd file(::open(name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  if (!file) return errno;
  const std::string block(std::size_t{64} << 10, 'x');
  for (std::uint64_t done = 0; done < bytes; done += block.size()) {
    if (::write(file.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      return errno == 0 ? EIO : errno;
    }
  }
  return ::fsync(file.get()) == 0 ? 0 : errno;
}

/// Zombies below the test's own cgroup, whose name a test may squeeze; never one of others.
class RealSqueeze : public test::RealCgroups {
 protected:
  static constexpr std::uint64_t number = 300;
  static constexpr std::uint64_t neighbours_cache = 384 * mebibyte;

  static Policy policy_of_tests() {
    Policy policy;
    policy.guards = Guards::override_all;
    policy.zombies_high = 1;
    policy.still_for = 1s;
    policy.only = Rung::squeeze;
    // The machine has other work at the same time.
    policy.longest_delay = 1s;
    return policy;
  }

  /// Observes the machine, of which only the test's own cgroup may be squeezed.
  Result<Observation> look(const Policy& policy) {
    auto seen = observe(host(), guard_, policy);
    if (!seen) return seen;
    auto& tops = seen->squeezable;
    tops.erase(std::remove_if(tops.begin(), tops.end(),
                              [this](const auto& top) { return top.path != path(); }),
               tops.end());
    return seen;
  }
  Result<Outcome> squeeze(const Observation& seen, const Policy& policy) {
    return carry_out(host(), guard_, {Decision::act, "", {Rung::squeeze}}, policy, seen);
  }
  /// Returns the error of the only action.
  std::string refusal(const Observation& seen, const Policy& policy) {
    const auto outcome = squeeze(seen, policy);
    if (!outcome) return outcome.error().message();
    if (outcome->actions.size() != 1 || outcome->actions[0].end != End::failed) return "no failure";
    return outcome->actions[0].status.error().message();
  }
  [[nodiscard]] std::uint64_t cache_of(std::string_view below) const {
    return parse::value_of(test::file_text(directory(below) + "/memory.stat"), "cache").value_or(0);
  }
  [[nodiscard]] std::vector<std::string> limits() const {
    std::vector<std::string> texts;
    for (const char* const below : {"", "neighbour", "zombies"}) {
      for (const char* const name : {"limit_in_bytes", "soft_limit_in_bytes", "swappiness"}) {
        texts.push_back(test::file_text(directory(below) + "/memory." + name));
      }
    }
    return texts;
  }

  numa::CostGuard guard_;
};

TEST_F(RealSqueeze, FreesZombiesAndLeavesTheNeighboursCacheAlone) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  make("neighbour");
  const test::Tenant neighbour(directory("neighbour"),
                               [&] { return fill(files->path() / "neighbour", neighbours_cache); });
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  read_inode_tables(*files, number);
  ASSERT_TRUE(maker->make(number));
  (void)settled();
  const Policy policy = policy_of_tests();
  const auto seen = look(policy);
  ASSERT_TRUE(seen) << seen.error().message();
  ASSERT_EQ(seen->squeezable.size(), 1U) << "the zombies' pages were not found";
  const auto limits_before = limits();
  const std::uint64_t cache = cache_of("neighbour");
  // The kernel adds the per-CPU parts of the figure up every two seconds.
  ASSERT_GE(cache, neighbours_cache / 10 * 9);

  const auto outcome = squeeze(*seen, policy);
  ASSERT_TRUE(outcome) << outcome.error().message();
  ASSERT_EQ(outcome->actions.size(), 1U);
  const Action& action = outcome->actions[0];
  ASSERT_TRUE(action.status) << action.status.error().message();
  EXPECT_GE(action.freed(), number / 10 * 9)
      << action.zombies_before << " -> " << action.zombies_after;
  EXPECT_GE(cache_of("neighbour") + cache / 100, cache) << "it lost more than one percent";
  EXPECT_EQ(limits(), limits_before);
}

TEST_F(RealSqueeze, KilledAtAnyTimeLeavesNoProcessAndNoLimit) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  make("neighbour");
  const test::Tenant neighbour(directory("neighbour"),
                               [&] { return fill(files->path() / "neighbour", neighbours_cache); });
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  ASSERT_TRUE(maker->make(number));
  (void)settled();
  Policy policy = policy_of_tests();
  policy.still_for = 20ms;
  const auto seen = look(policy);
  ASSERT_TRUE(seen) << seen.error().message();
  const auto limits_before = limits();
  for (unsigned step = 0; step < 8; ++step) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::setpgid(0, 0);
      (void)squeeze(*seen, policy);
      ::pause();
    }
    constexpr useconds_t apart = 30'000;
    ::usleep(apart * step);
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_TRUE(test::eventually([&] { return ::kill(-child, 0) != 0 && errno == ESRCH; }))
        << "a process is left, killed after " << 30 * step << " ms";
  }
  EXPECT_EQ(limits(), limits_before);
}

TEST_F(RealSqueeze, LeavesACgroupWithLittlePageCacheAlone) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  ASSERT_TRUE(maker->make(100));
  (void)settled();
  const Policy policy = policy_of_tests();
  const auto seen = look(policy);
  ASSERT_TRUE(seen) << seen.error().message();
  ASSERT_EQ(seen->squeezable.size(), 1U);
  const std::string said = refusal(*seen, policy);
  EXPECT_NE(said.find("of clean page cache"), std::string::npos) << said;
  EXPECT_NE(said.find(path()), std::string::npos) << said;

  Observation gone = *seen;
  gone.squeezable[0].path = path("removed-before");
  EXPECT_NE(refusal(gone, policy).find("removed-before"), std::string::npos);
}

TEST_F(RealSqueeze, IsOfNoUseWhereTmpfsPinsTheZombies) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::tmpfs);
  if (!files) return test::skip("no folder on tmpfs");
  auto maker = zombies(lab::Pin::tmpfs, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  ASSERT_TRUE(maker->make(100));
  (void)settled();
  const Policy policy = policy_of_tests();
  const auto seen = look(policy);
  ASSERT_TRUE(seen) << seen.error().message();
  if (seen->source != zombies::Source::census) return test::skip("only a census tells tmpfs apart");
  EXPECT_TRUE(seen->squeezable.empty());
  const std::string said = refusal(*seen, policy);
  EXPECT_NE(said.find("out of reach"), std::string::npos) << said;
}

TEST_F(RealSqueeze, NodeReclaimTakesNoMoreThanItMay) {
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  read_inode_tables(*files, number);
  ASSERT_TRUE(maker->make(number));
  (void)settled();
  Policy policy = policy_of_tests();
  policy.only = Rung::node_reclaim;
  const auto seen = look(policy);
  ASSERT_TRUE(seen) << seen.error().message();
  if (!seen->can_reclaim_nodes) return test::skip("no reclaim of NUMA nodes before Linux 6.17");
  const auto outcome =
      carry_out(host(), guard_, {Decision::act, "", {Rung::node_reclaim}}, policy, *seen);
  ASSERT_TRUE(outcome) << outcome.error().message();
  ASSERT_TRUE(outcome->actions.at(0).status) << outcome->actions[0].status.error().message();
  // The share that may be lost is one hundredth.
  EXPECT_GE(outcome->after.page_cache + seen->page_cache / 20 + 64 * mebibyte, seen->page_cache);
}

}  // namespace squeeze_test
