// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/freezer.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/group.hpp"
#include "real_cgroups.hpp"

namespace freezer_test {

using namespace cgctl;
using namespace std::chrono_literals;

/// A process that uses CPU time until the object ends.
class Spinning {
 public:
  explicit Spinning(const std::string& directory) : process_(::fork()) {
    if (process_ != 0) return;
    if (test::enter(directory) != 0) ::_exit(1);
    for (volatile unsigned spins = 0;; spins = spins + 1) {
    }
  }
  Spinning(const Spinning&) = delete;
  Spinning& operator=(const Spinning&) = delete;
  ~Spinning() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  [[nodiscard]] std::chrono::nanoseconds used() const {
    ::clockid_t clock{};
    ::timespec time{};
    if (::clock_getcpuclockid(process_, &clock) != 0) return {};
    ::clock_gettime(clock, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
  /// True if it uses CPU time.
  [[nodiscard]] bool runs() const {
    return test::eventually([&, before = used()] { return used() > before + 1ms; });
  }

 private:
  pid_t process_;
};

/// A cgroup with one below, in a hierarchy that can freeze them.
class RealFreezer : public ::testing::TestWithParam<Version> {
 protected:
  void SetUp() override {
    auto host = Host::detect();
    ASSERT_TRUE(test::ok(host));
    host_.emplace(std::move(*host));
    const auto& all = host_->hierarchies();
    const auto found = std::find_if(all.begin(), all.end(), [](const Hierarchy& one) {
      const auto& names = one.controllers;
      return one.version == GetParam() &&
             (one.version == Version::v2 ||
              std::find(names.begin(), names.end(), "freezer") != names.end());
    });
    if (found == all.end()) {
      return test::skip(GetParam() == Version::v1 ? "no freezer on v1" : "no v2 hierarchy");
    }
    directory_ = found->mount_point + top_;
    if (::mkdir(directory_.c_str(), 0755) != 0) return test::skip("cgroups cannot be created");
    ASSERT_EQ(::mkdir((directory_ + "/below").c_str(), 0755), 0);
    if (GetParam() == Version::v2 && ::access((directory_ + "/cgroup.freeze").c_str(), F_OK) != 0) {
      return test::skip("no cgroup.freeze before Linux 5.2");
    }
  }
  void TearDown() override {
    if (directory_.empty()) return;
    if (const auto group = host_->open(top_)) (void)freezer::thaw(*group);
    Removal how;
    how.below = Removal::Below::remove;
    const auto group = host_->open(top_);
    EXPECT_TRUE(group && test::ok(group->remove(how)));
  }

  [[nodiscard]] Group group(const std::string& below = "") const {
    auto opened = host_->open(top_ + below);
    EXPECT_TRUE(test::ok(opened));
    return std::move(*opened);
  }

  const std::string top_ = "/cgctl-test-" + std::to_string(::getpid());
  std::optional<Host> host_;
  std::string directory_;
};

TEST_P(RealFreezer, StopsTheProcessesBelowAndLetsThemContinue) {
  if (IsSkipped()) return;
  const Spinning process(directory_ + "/below");
  ASSERT_TRUE(process.runs());
  const Group top = group();
  const Group below = group("/below");
  ASSERT_TRUE(test::ok(freezer::freeze(top)));
  const auto used = process.used();
  auto state = freezer::state(top);
  ASSERT_TRUE(test::ok(state));
  EXPECT_EQ(state->version, GetParam());
  EXPECT_TRUE(state->asked && state->frozen && !state->above);
  state = freezer::state(below);
  ASSERT_TRUE(test::ok(state));
  EXPECT_TRUE(!state->asked && state->frozen && state->above);
  state = freezer::thaw(below);
  ASSERT_TRUE(test::ok(state));
  EXPECT_TRUE(state->frozen && state->above) << "the cgroup above is still frozen";
  EXPECT_EQ(process.used(), used);
  state = freezer::thaw(top);
  ASSERT_TRUE(test::ok(state));
  EXPECT_FALSE(state->asked || state->above);
  EXPECT_TRUE(process.runs());
}

TEST_P(RealFreezer, IsAsBeforeIfTimeRunsOut) {
  if (IsSkipped()) return;
  const Spinning process(directory_ + "/below");
  ASSERT_TRUE(process.runs());
  const Group top = group();
  unsigned timed_out = 0;
  for (unsigned tries = 0; tries < 3; ++tries) {
    const auto status = freezer::freeze(top, 0ms);
    if (!status) {
      EXPECT_EQ(status.error().kind, errc::timed_out);
      ++timed_out;
      const auto state = freezer::state(top);
      EXPECT_TRUE(test::ok(state) && !state->asked);
    }
    ASSERT_TRUE(test::ok(freezer::thaw(top)));
    EXPECT_TRUE(process.runs());
  }
  std::printf("  not frozen in time: %u of 3\n", timed_out);
}

TEST_P(RealFreezer, RefusesTheCallersOwnCgroupAndTheRoot) {
  if (IsSkipped()) return;
  EXPECT_EQ(test::in_child([&]() -> std::string {
              if (test::enter(directory_ + "/below") != 0) return "cannot enter";
              const auto status = freezer::freeze(group());
              const auto state = freezer::state(group());
              if (!state || state->asked) return "it is frozen";
              return status ? "no error" : status.error().reason;
            }),
            "the calling process is in it");
  const auto root = host_->open("/");
  ASSERT_TRUE(test::ok(root));
  const auto status = freezer::freeze(*root);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::unsupported);
}

INSTANTIATE_TEST_SUITE_P(Each, RealFreezer, ::testing::Values(Version::v1, Version::v2),
                         [](const auto& one) { return one.param == Version::v1 ? "V1" : "V2"; });

}  // namespace freezer_test
