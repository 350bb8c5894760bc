// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/zombies.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "../support/child.hpp"
#include "../support/skip.hpp"
#include "cgctl/filesystem.hpp"
#include "real_cgroups.hpp"

namespace zombies_test {

using namespace cgctl;

/// Number of zombies that other programs on this machine may add or remove during a test.
constexpr std::uint64_t others = 20;

bool near(std::uint64_t value, std::uint64_t expected) {
  return std::max(value, expected) - std::min(value, expected) <= others;
}

class RealZombies : public test::RealCgroups {};

TEST_F(RealZombies, RiseByThreeHundredWhenThreeHundredAreMade) {
  constexpr std::uint64_t number = 300;
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  unsigned attempt = 0;
  EXPECT_EQ(test::persist(3,
                          [&]() -> std::string {
                            auto maker = zombies(lab::Pin::page_cache, *files,
                                                 "zombies" + std::to_string(attempt++));
                            if (!maker) return maker.error().message();
                            const std::uint64_t before = settled();
                            if (const auto made = maker->make(number); !made)
                              return made.error().message();
                            const std::uint64_t after = settled();
                            const bool right = near(after, before + number);
                            return right ? ""
                                         : std::to_string(before) + " before, " +
                                               std::to_string(after) + " after";
                          }),
            "");
}

TEST_F(RealZombies, DoNotRiseWithTwoThousandLiveCgroups) {
  constexpr std::uint64_t number = 2000;
  unsigned attempt = 0;
  EXPECT_EQ(test::persist(3,
                          [&]() -> std::string {
                            const std::string parent = "live" + std::to_string(attempt++);
                            make(parent);
                            if (v2()) {
                              std::ofstream(directory(parent) + "/cgroup.subtree_control")
                                  << "+memory";
                            }
                            const std::uint64_t before = settled();
                            const auto live_before = zombies::count(host());
                            for (std::uint64_t i = 0; i < number; ++i)
                              make(parent + "/" + std::to_string(i));
                            const auto after = zombies::count(host());
                            if (!live_before || !after) return "cannot count";
                            if (!near(after->live, live_before->live + number)) {
                              return std::to_string(live_before->live) + " live before, " +
                                     std::to_string(after->live) + " after";
                            }
                            const std::uint64_t zombies_after = settled();
                            const bool right = near(zombies_after, before);
                            return right ? ""
                                         : std::to_string(before) + " before, " +
                                               std::to_string(zombies_after) + " after";
                          }),
            "");
}

TEST_F(RealZombies, AndLiveCgroupsTogetherAreTheKernelsNumber) {
  const auto count = zombies::count(host());
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->hierarchy, hierarchy().version);
  EXPECT_GE(count->live, 2) << "the root and this test's cgroup";
  if (count->exact()) {
    EXPECT_EQ(count->kernel, count->live + count->low);
  }
}

/// A thread that creates and removes empty cgroups as fast as it can.
class Churn {
 public:
  explicit Churn(std::string directory)
      : directory_(std::move(directory)), thread_([this] { run(); }) {}
  Churn(const Churn&) = delete;
  Churn& operator=(const Churn&) = delete;
  ~Churn() { stop(); }
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// Returns the number of cgroups that it has tried to create.
  [[nodiscard]] std::uint64_t made() const { return made_; }
  [[nodiscard]] int error() const { return error_; }

 private:
  void run() {
    for (std::uint64_t i = 0; !stopping_ && error_ == 0; ++i) {
      const std::string group = directory_ + "/" + std::to_string(i);
      ++made_;
      if (::mkdir(group.c_str(), 0755) != 0 || ::rmdir(group.c_str()) != 0) error_ = errno;
    }
  }

  std::string directory_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> made_{0};
  std::atomic<int> error_{0};
  std::thread thread_;
};

TEST_F(RealZombies, AreAnIntervalWhileCgroupsComeAndGo) {
  constexpr std::uint64_t pinned = 100;
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  const auto made = maker->make(pinned);
  ASSERT_TRUE(made) << made.error().message();
  make("churn");
  const std::uint64_t quiet = settled();
  ASSERT_GE(quiet, pinned);

  auto counter = zombies::Counter::open(host());
  ASSERT_TRUE(counter) << counter.error().message();
  Churn churn(directory("churn"));
  while (churn.made() < 100 && churn.error() == 0) std::this_thread::yield();
  for (int i = 0; i < 100; ++i) {
    const auto count = counter->count(3);
    ASSERT_TRUE(count) << count.error().message();
    // Each cgroup of the churn is a zombie for a moment after its removal. There can be no more of
    // these than were created.
    const std::uint64_t transient = churn.made();
    EXPECT_LE(count->low, count->high);
    EXPECT_LE(count->low, quiet + transient + others);
    EXPECT_LE(count->high, quiet + transient + others) << "no underflow either";
    EXPECT_GE(count->high + others, quiet) << "the pinned zombies are there all the time";
    EXPECT_GE(count->live, 3);
  }
  churn.stop();
  EXPECT_EQ(churn.error(), 0) << std::strerror(churn.error());
  EXPECT_GE(churn.made(), 100);
  EXPECT_TRUE(near(settled(), quiet));
}

/// Why there is no census here, or null.
const char* no_census() {
  if (!test::kernel_is_at_least(5, 10)) return "BPF programs run on demand since 5.10";
  return ::access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? nullptr : "the kernel has no BTF";
}

TEST_F(RealZombies, AreTheSameByDirectoriesAndByACensus) {
  if (v2()) return test::skip("on v2 the kernel counts zombies instead");
  if (const char* const why = no_census()) return test::skip(why);
  constexpr std::uint64_t pinned = 100;
  const auto files = folder(lab::Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  auto maker = zombies(lab::Pin::tmpfs, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  ASSERT_TRUE(maker->make(pinned));
  using zombies::Counter;
  auto by_census = Counter::open(host(), 0, Counter::Use::census);
  ASSERT_TRUE(by_census) << by_census.error().message();
  auto by_directories = Counter::open(host(), 0, Counter::Use::directories);
  ASSERT_TRUE(by_directories) << by_directories.error().message();
  const auto difference = [&]() -> std::string {
    ::usleep(50'000);
    const auto census = by_census->count();
    const auto directories = by_directories->count();
    if (!census) return census.error().message();
    if (!directories) return directories.error().message();
    EXPECT_EQ(census->source, zombies::CountSource::census);
    EXPECT_EQ(directories->source, zombies::CountSource::directories);
    EXPECT_GE(census->low, pinned);
    EXPECT_TRUE(census->exact());
    const bool same = census->low == directories->low && census->live == directories->live &&
                      census->kernel == directories->kernel;
    return same ? ""
                : std::to_string(census->low) + " and " + std::to_string(directories->low) +
                      " zombies, " + std::to_string(census->live) + " and " +
                      std::to_string(directories->live) + " live";
  };
  EXPECT_EQ(test::persist(200, difference), "");
}

TEST_F(RealZombies, AreCountedByACensusOnceThatPays) {
  if (v2()) return test::skip("on v2 the kernel counts zombies instead");
  if (const char* const why = no_census()) return test::skip(why);
  for (int i = 0; i < 200; ++i) make("live" + std::to_string(i));
  auto counter = zombies::Counter::open(host());
  ASSERT_TRUE(counter) << counter.error().message();
  auto source = zombies::CountSource::kernel;
  // Counting some 200 directories takes half a millisecond, opening a census about 60.
  for (int i = 0; i < 20'000 && source != zombies::CountSource::census; ++i) {
    const auto count = counter->count();
    ASSERT_TRUE(count) << count.error().message();
    EXPECT_GT(count->live, 200);
    if (i == 0) {
      EXPECT_EQ(count->source, zombies::CountSource::directories);
    }
    source = count->source;
  }
  EXPECT_EQ(source, zombies::CountSource::census);
}

TEST_F(RealZombies, AreNotCountedWhereOnlyAPartOfTheHierarchyIsMounted) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              const test::TempDirectory elsewhere;
              const std::string point = elsewhere / "memory";
              if (::mkdir(point.c_str(), 0755) != 0) return "mkdir failed";
              if (::mount(directory().c_str(), point.c_str(), nullptr, MS_BIND, nullptr) != 0)
                return "mount failed";
              const auto here = Host::detect({elsewhere.path(), "/proc", "/sys"});
              if (!here) return here.error().message();
              if (here->find("memory")->mount_root != path())
                return here->find("memory")->mount_root;
              const auto count = zombies::count(*here);
              const auto where = zombies::attribute(*here);
              ::umount2(point.c_str(), MNT_DETACH);
              if (count || where) return "it was counted";
              for (const Error& error : {count.error(), where.error()}) {
                if (error.kind != errc::incomplete_view) return error.message();
                if (error.path != point) return "names " + error.path;
                if (error.message().find("only a part") == std::string::npos)
                  return error.message();
                if (error.hint.find("nsenter") == std::string::npos) return error.message();
              }
              return {};
            }),
            "");
}

TEST(DirectoriesOfTwoMounts, AreDistinguishedDespiteEqualInodes) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  EXPECT_EQ(test::in_private_mounts([]() -> std::string {
              const test::TempDirectory top;
              const std::string point = top / "point";
              zombies::DirectoryCounter counter(10);
              std::string counted;
              for (const char* leaves : {"a/1", "a/1/2/3"}) {
                std::filesystem::create_directories(point);
                if (::mount("tmpfs", point.c_str(), "tmpfs", 0, nullptr) != 0)
                  return "mount failed";
                std::filesystem::create_directories(std::filesystem::path(point) / leaves);
                std::filesystem::create_directories(std::filesystem::path(point) / "b/1");
                const auto fd = fs::open_trusted(top.path(), O_PATH | O_DIRECTORY);
                for (int i = 0; i < 2; ++i) {
                  counted += std::to_string(counter.count(fd->get(), "top").value_or(0)) + " ";
                }
                ::umount2(point.c_str(), MNT_DETACH);
              }
              return counted;
            }),
            "6 6 8 8 ");
}

TEST_F(RealZombies, AreNotCountedInACgroupNamespace) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  make("namespace");
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              if (const int error = test::enter(directory("namespace")); error != 0)
                return std::strerror(error);
              if (::unshare(CLONE_NEWCGROUP) != 0)
                return std::string("unshare: ") + std::strerror(errno);
              const test::TempDirectory elsewhere;
              const std::string point = elsewhere / "memory";
              if (::mkdir(point.c_str(), 0755) != 0) return "mkdir failed";
              const int mounted = v2() ? ::mount("cgroup2", point.c_str(), "cgroup2", 0, nullptr)
                                       : ::mount("cgroup", point.c_str(), "cgroup", 0, "memory");
              if (mounted != 0) return std::string("mount: ") + std::strerror(errno);
              const auto here = Host::detect({elsewhere.path(), "/proc", "/sys"});
              const std::string root = here ? here->find("memory")->mount_root : "";
              const auto count = here ? zombies::count(*here) : fail(here.error());
              ::umount2(point.c_str(), MNT_DETACH);
              if (root != "/") return "a namespace shows its own root as /, not as " + root;
              if (count) return "it was counted";
              return count.error().kind == errc::incomplete_view ? "" : count.error().message();
            }),
            "");
}

TEST_F(RealZombies, AreCountedThroughTheWholeMountWhereAPartIsMountedAsWell) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              const test::TempDirectory elsewhere;
              if (::mount(directory().c_str(), elsewhere.path().c_str(), nullptr, MS_BIND,
                          nullptr) != 0) {
                return "mount failed";
              }
              const auto here = Host::detect();
              const auto count = here ? zombies::count(*here) : fail(here.error());
              ::umount2(elsewhere.path().c_str(), MNT_DETACH);
              return count ? "" : count.error().message();
            }),
            "");
}

}  // namespace zombies_test
