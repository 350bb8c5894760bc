// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Checks what a container, or a user without privileges, can do in the delegated part of the
// hierarchy.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/cpu.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/process.hpp"
#include "cgctl/zombies.hpp"
#include "real_cgroups.hpp"

namespace delegation_test {

using namespace cgctl;
using test::must;

/// Creates `path`, limits it to half a CPU and 64 MiB, runs a command in it that checks its own
/// cgroup, and removes it. Returns the first error, or an empty text.
std::string use(const Host& host, const std::string& path) {
  Creation how;
  how.controllers = {"cpu", "memory"};
  const auto group = Group::create(host, path, how);
  if (!group) return group.error().message();
  const auto half = cpu::Controller{*group}.set(cpu::Bandwidth::cpus(0.5));
  if (!half) return half.error().message();
  memory::Change limit;
  limit.max = memory::Limit{std::uint64_t{64} << 20};
  const auto limited = memory::Controller{*group}.set(limit);
  if (!limited) return limited.error().message();
  const auto child =
      process::start(*group, {{"grep", "-q", path + "$", "/proc/self/cgroup"}, nullptr});
  if (!child) return child.error().message();
  int status = 0;
  ::waitpid(child->pid, &status, 0);
  if (status != 0) return "the command was not in " + path;
  const auto removed = group->remove();
  return removed ? "" : removed.error().message();
}

class RealDelegation : public test::RealCgroups {
 protected:
  /// Creates a cgroup that belongs to `owner`, with a child cgroup "own" for processes: on v2 a
  /// cgroup that gives controllers to its children has no processes of its own.
  void delegate(std::string_view below, const Owner& owner) const {
    Creation how;
    how.controllers = {"cpu", "memory"};
    how.owner = owner;
    const auto given = Group::create(host(), path(below), how);
    ASSERT_TRUE(given) << given.error().message();
    for (const Group::Place& place : given->places()) {
      const std::string own = place.hierarchy->mount_point + path(below) + "/own";
      ASSERT_EQ(::mkdir(own.c_str(), 0755), 0) << std::strerror(errno);
      ASSERT_EQ(::chown((own + "/cgroup.procs").c_str(), owner.user, owner.group), 0);
    }
  }
  /// Moves the calling process into the child cgroup. Returns the error, or an empty text.
  [[nodiscard]] std::string enter(std::string_view below) const {
    for (const char* const controller : {"cpu", "memory"}) {
      const std::string own = host().find(controller)->mount_point + path(below) + "/own";
      if (const int error = test::enter(own); error != 0) return own + ": " + std::strerror(error);
    }
    return {};
  }
};

TEST_F(RealDelegation, AnUnprivilegedUserCreatesLimitsAndRunsInIt) {
  constexpr id_t nobody = 65534;
  delegate("given", {nobody, nobody});
  EXPECT_EQ(test::in_child([&]() -> std::string {
              std::string wrong = enter("given");
              if (!wrong.empty()) return wrong;
              if (::setgid(nobody) != 0 || ::setuid(nobody) != 0) return std::strerror(errno);
              const auto here = Host::detect();
              if (!here) return here.error().message();
              wrong = use(*here, path("given/job"));
              if (!wrong.empty()) return wrong;
              const auto above = Group::create(*here, path("beside"));
              return above ? "a cgroup was created outside of the delegated one" : "";
            }),
            "");
}

TEST_F(RealDelegation, InACgroupNamespaceAllWorksButTheCountOfZombies) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  if (hierarchy().version != host().find("cpu")->version)
    return test::skip("cpu and memory are on different versions");
  delegate("box", {0, 0});
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              std::string wrong = enter("box");
              if (!wrong.empty()) return wrong;
              // The namespace's root is to be the box itself, which gives controllers to its
              // children.
              for (const char* const controller : {"cpu", "memory"}) {
                test::enter(host().find(controller)->mount_point + path("box"));
              }
              if (::unshare(CLONE_NEWCGROUP) != 0) return std::strerror(errno);
              wrong = enter("box");
              if (!wrong.empty()) return wrong;
              const test::TempDirectory elsewhere;
              const auto mounted = [&](const char* point, const char* type, const char* options) {
                const std::string directory = elsewhere / point;
                ::mkdir(directory.c_str(), 0755);
                return ::mount("cgroup", directory.c_str(), type, 0, options) == 0;
              };
              const char* const cpu =
                  host().find("cpuacct") != nullptr && host().find("cpuacct") == host().find("cpu")
                      ? "cpu,cpuacct"
                      : "cpu";
              const bool all =
                  v2() ? mounted("unified", "cgroup2", nullptr)
                       : mounted("memory", "cgroup", "memory") && mounted("cpu", "cgroup", cpu);
              if (!all) return std::string("mount: ") + std::strerror(errno);
              const auto here = Host::detect({elsewhere.path(), "/proc", "/sys"});
              if (!here) return here.error().message();
              wrong = use(*here, "/job");
              const auto count = zombies::count(*here);
              for (const char* const point : {"unified", "memory", "cpu"}) {
                ::umount2((elsewhere / point).c_str(), MNT_DETACH);
              }
              if (!wrong.empty()) return wrong;
              if (count) return "zombies were counted";
              return count.error().kind == errc::incomplete_view ? "" : count.error().message();
            }),
            "");
}

}  // namespace delegation_test
