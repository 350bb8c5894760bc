// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/recorder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/detail/sys.hpp"
#include "real_cgroups.hpp"

namespace recorder_real_test {

using namespace cgctl;
using lab::Pin;
using recorder::Ledger;
using recorder::Maker;

/// The directory of tracefs, on a mount of its own.
UniqueFd tracefs() { return UniqueFd(sys::mount_nowhere("tracefs")); }

class RealRecorder : public test::RealCgroups {
 protected:
  void SetUp() override {
    test::RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!test::is_root()) return test::skip("recording needs root");
    const auto status = recorder::start(host(), settings_);
    if (!status && status.error().kind == errc::unsupported) {
      return test::skip(status.error().message());
    }
    ASSERT_TRUE(test::ok(status));
  }
  void TearDown() override {
    EXPECT_TRUE(test::ok(recorder::stop(host(), settings_)));
    test::RealCgroups::TearDown();
  }

  [[nodiscard]] Result<Ledger> collect() const {
    return recorder::collect(host(), directory_, settings_);
  }
  [[nodiscard]] Result<Ledger> peek() const { return recorder::peek(host(), directory_); }

  /// Creates a cgroup and removes it.
  void come_and_go(const std::string& name) const {
    make(name);
    remove(name);
  }

  /// Returns the maker of the cgroups /cgctl-test-PID/NAME-1, ...; one without figures if there is
  /// none.
  static Maker maker_of(const Ledger& ledger, const std::string& name) {
    const auto found = std::find_if(
        ledger.makers.begin(), ledger.makers.end(),
        [&](const Maker& maker) { return maker.pattern == "/cgctl-test-*/" + name + "-*"; });
    return found == ledger.makers.end() ? Maker() : *found;
  }

  /// Returns the number of cgroups below this test's own that the ledger holds for zombies.
  [[nodiscard]] std::size_t dead_below(const Ledger& ledger) const {
    return static_cast<std::size_t>(std::count_if(
        ledger.dead.begin(), ledger.dead.end(),
        [this](const recorder::Removed& one) { return one.path.rfind(path() + "/", 0) == 0; }));
  }

  /// Opens a file of the test's own tracing instance.
  [[nodiscard]] UniqueFd trace_file(const std::string& file, int flags) const {
    const UniqueFd top = tracefs();
    const std::string path = "instances/" + settings_.instance + "/" + file;
    return UniqueFd(sys::open_at(top.get(), path.c_str(), flags));
  }

  const recorder::Settings settings_{"cgctl-test-" + std::to_string(::getpid())};
  const test::TempDirectory temp_;
  const std::string directory_ = temp_ / "state";
};

TEST_F(RealRecorder, EachRemovalAndReleaseIsRecorded) {
  constexpr std::uint64_t number = 1000;
  // A name with a space and bytes that are no text; one letter more each round.
  std::string name = "a \x1b\xff";
  // Other programs that make cgroups meanwhile can fill the kernel's buffers.
  const auto round = [&]() -> std::string {
    name += 'x';
    const std::uint64_t lost = test::must(collect()).lost;
    for (std::uint64_t i = 0; i < number; ++i) {
      come_and_go(name + "-" + std::to_string(i));
      if (i % 100 == 0) test::must(collect());
    }
    Ledger ledger;
    test::eventually([&] {
      ledger = test::must(collect());
      return ledger.lost != lost || maker_of(ledger, name).released == number;
    });
    if (ledger.lost != lost) return std::to_string(ledger.lost - lost) + " records were lost";
    EXPECT_EQ(maker_of(ledger, name).removals, number);
    EXPECT_EQ(maker_of(ledger, name).released, number);
    EXPECT_LE(ledger.since, ledger.written);
    EXPECT_EQ(maker_of(test::must(peek()), name).released, number);
    return {};
  };
  EXPECT_EQ(test::persist(5, round), "");
}

TEST_F(RealRecorder, ZombiesAreTheRemovalsWithoutRelease) {
  constexpr std::uint64_t number = 50;
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  // Since Linux 7.1 pages move to the parent cgroup.
  const std::uint64_t staying = test::kernel_is_at_least(7, 1) ? 0 : number;
  auto maker = zombies(Pin::tmpfs, *files);
  ASSERT_TRUE(test::ok(maker));
  ASSERT_TRUE(test::ok(maker->make(number)));
  come_and_go("empty");
  Result<Ledger> ledger = collect();
  EXPECT_TRUE(test::eventually([&] {
    ledger = collect();
    return ledger && dead_below(*ledger) <= staying;
  }));
  ASSERT_TRUE(test::ok(ledger));
  EXPECT_EQ(dead_below(*ledger), staying);
  ASSERT_TRUE(test::ok(maker->cure()));
  EXPECT_TRUE(test::eventually([&] {
    ledger = collect();
    return ledger && dead_below(*ledger) == 0;
  })) << dead_below(*ledger);
}

TEST_F(RealRecorder, AZombieIsFoundByTheInodeOfItsDirectory) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  make("held-1");
  struct ::stat live {};
  ASSERT_EQ(::stat(directory("held-1").c_str(), &live), 0);
  const std::string file = *files / "page";
  EXPECT_EQ(test::in_child([&]() -> std::string {
              if (test::enter(directory("held-1")) != 0) return "enter";
              test::put_file(file, "x");
              return {};
            }),
            "");
  remove("held-1");
  Result<Ledger> ledger = collect();
  ASSERT_TRUE(test::ok(ledger));
  if (!ledger->inodes) return test::skip("before Linux 5.5 records have no inodes");
  ASSERT_NE(ledger->find(live.st_ino), nullptr);
  EXPECT_EQ(ledger->find(live.st_ino)->path, path("held-1"));
  EXPECT_EQ(ledger->makers[ledger->find(live.st_ino)->maker].pattern, "/cgctl-test-*/held-*");
  std::filesystem::remove(file);
  EXPECT_TRUE(test::eventually([&] {
    ledger = collect();
    return ledger && ledger->find(live.st_ino) == nullptr;
  }));
}

TEST_F(RealRecorder, OtherHierarchiesAreNotRecorded) {
  const Hierarchy* const cpu = host().find("cpu");
  if (v2() || cpu == nullptr || cpu->version == Version::v2)
    return test::skip("v2 has one hierarchy");
  const std::string other = cpu->mount_point + "/" + settings_.instance + "-other";
  ASSERT_EQ(::mkdir(other.c_str(), 0755), 0);
  ASSERT_EQ(::rmdir(other.c_str()), 0);
  come_and_go("own-1");
  const auto ledger = collect();
  ASSERT_TRUE(test::ok(ledger));
  EXPECT_EQ(maker_of(*ledger, "own").removals, 1U);
  for (const Maker& maker : ledger->makers) {
    EXPECT_EQ(maker.example.find("-other"), std::string::npos) << maker.example;
  }
}

TEST_F(RealRecorder, RecordsReadByOthersAreToldAsLost) {
  come_and_go("first-1");
  ASSERT_TRUE(test::ok(collect()));
  come_and_go("second-1");
  std::uint64_t read = 0;
  const UniqueFd pipe = trace_file("trace_pipe", O_RDONLY | O_NONBLOCK);
  std::string text(1 << 16, '\0');
  for (;;) {
    const ssize_t got = sys::read(pipe.get(), text.data(), text.size());
    if (got <= 0) break;
    read += static_cast<std::uint64_t>(std::count(text.begin(), text.begin() + got, '\n'));
  }
  EXPECT_GE(read, 2U);
  const auto ledger = collect();
  ASSERT_TRUE(test::ok(ledger));
  EXPECT_EQ(maker_of(*ledger, "second").removals, 0U);
  EXPECT_GE(ledger->lost, 2U);
}

TEST_F(RealRecorder, OverwrittenRecordsAreToldAsLost) {
  ASSERT_TRUE(test::ok(collect()));
  {
    const UniqueFd size = trace_file("buffer_size_kb", O_WRONLY);
    ASSERT_EQ(sys::write(size.get(), "8", 1), 1);
  }
  for (int i = 0; i < 1000; ++i) come_and_go("many-" + std::to_string(i));
  const auto ledger = collect();
  ASSERT_TRUE(test::ok(ledger));
  const std::uint64_t kept = maker_of(*ledger, "many").removals;
  EXPECT_LT(kept, 1000U);
  EXPECT_GE(ledger->lost, 1000 - kept);
}

TEST_F(RealRecorder, ARecordingThatIsIncompleteIsRepaired) {
  {
    const UniqueFd enable = trace_file("events/cgroup/cgroup_release/enable", O_WRONLY);
    ASSERT_EQ(sys::write(enable.get(), "0", 1), 1);
  }
  EXPECT_TRUE(test::fails(collect(), errc::vanished));
  ASSERT_TRUE(test::ok(recorder::start(host(), settings_)));
  come_and_go("repaired-1");
  const auto ledger = collect();
  ASSERT_TRUE(test::ok(ledger));
  EXPECT_EQ(maker_of(*ledger, "repaired").removals, 1U);
}

TEST_F(RealRecorder, StartingAgainKeepsTheRecords) {
  come_and_go("kept-1");
  ASSERT_TRUE(test::ok(recorder::start(host(), settings_)));
  const auto ledger = collect();
  ASSERT_TRUE(test::ok(ledger));
  EXPECT_EQ(maker_of(*ledger, "kept").removals, 1U);
}

TEST_F(RealRecorder, StopLeavesNothingAndANewRecordingBeginsAnew) {
  come_and_go("old-1");
  ASSERT_TRUE(test::ok(collect()));
  EXPECT_EQ(test::must(recorder::stop(host(), settings_)), true);
  EXPECT_EQ(test::must(recorder::stop(host(), settings_)), false);
  EXPECT_FALSE(trace_file("trace_clock", O_RDONLY));
  EXPECT_TRUE(test::fails(collect(), errc::vanished));
  EXPECT_EQ(maker_of(test::must(peek()), "old").removals, 1U);
  ASSERT_TRUE(test::ok(recorder::start(host(), settings_)));
  const auto ledger = collect();
  ASSERT_TRUE(test::ok(ledger));
  EXPECT_EQ(maker_of(*ledger, "old").removals, 0U);
}

TEST_F(RealRecorder, WorksWhetherTracefsIsMountedOrNot) {
  if (const std::string why = test::cannot_mount(); !why.empty()) return test::skip(why);
  const auto in_view = [&](bool mounted) -> std::string {
    while (::umount2("/sys/kernel/tracing", MNT_DETACH) == 0) {
    }
    int done = 0;
    if (mounted) {
      done = ::mount("nodev", "/sys/kernel/tracing", "tracefs", 0, nullptr);
    } else if (::access("/sys/kernel/debug", F_OK) == 0) {
      // tracefs is mounted in debugfs by itself.
      done = ::mount("none", "/sys/kernel/debug", "tmpfs", 0, nullptr);
    }
    if (done != 0) return "mount";
    come_and_go(mounted ? "mounted-1" : "hidden-1");
    const auto ledger = collect();
    if (!ledger) return ledger.error().message();
    return maker_of(*ledger, mounted ? "mounted" : "hidden").removals == 1 ? "" : "not recorded";
  };
  EXPECT_EQ(test::in_private_mounts([&] { return in_view(true); }), "");
  EXPECT_EQ(test::in_private_mounts([&] { return in_view(false); }), "");
}

TEST_F(RealRecorder, WithoutRightsTheLastLedgerIsRead) {
  come_and_go("seen-1");
  ASSERT_TRUE(test::ok(collect()));
  for (const auto& one : {temp_.path(), std::filesystem::path(directory_)}) {
    ASSERT_EQ(::chmod(one.c_str(), 0755), 0);
  }
  EXPECT_EQ(test::in_child([&]() -> std::string {
              constexpr uid_t nobody = 65534;
              if (::setresuid(nobody, nobody, nobody) != 0) return "setresuid";
              const auto started = recorder::start(host(), settings_);
              if (started) return "it was started";
              if (started.error().message().find("run as root of the host") == std::string::npos) {
                return started.error().message();
              }
              if (collect()) return "it was collected";
              const auto ledger = peek();
              if (!ledger) return ledger.error().message();
              return maker_of(*ledger, "seen").removals == 1 ? "" : "it is not in the ledger";
            }),
            "");
}

TEST_F(RealRecorder, SaysWhyThereIsNoTracefs) {
  if (const std::string why = test::cannot_mount(); !why.empty()) return test::skip(why);
  const auto refused = [&](unsigned error, const char* cause) {
    return test::in_private_mounts([&]() -> std::string {
      for (const char* const place : {"/sys/kernel/tracing", "/sys/kernel/debug"}) {
        // A file system without tracefs in it hides what is mounted there.
        if (::access(place, F_OK) == 0) ::mount("none", place, "tmpfs", 0, nullptr);
      }
      test::refuse_call(SYS_fsopen, error);
      const auto status = recorder::start(host(), settings_);
      if (status) return "it was started";
      const std::string text = status.error().message();
      return text.find(cause) != std::string::npos ? "" : text;
    });
  };
  EXPECT_EQ(refused(EPERM, "a seccomp filter or kernel lockdown"), "");
  EXPECT_EQ(refused(ENOSYS, "mount -t tracefs nodev /sys/kernel/tracing"), "");
  EXPECT_EQ(refused(ENODEV, "this kernel has no tracefs"), "");
}

/// Runs `work` in a child that is killed at its stop number `last`, of two for each system call.
/// Returns false if the child ended before; nothing if it could not be traced.
std::optional<bool> killed_at(unsigned last, const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child < 0) return std::nullopt;
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    work();
    ::_exit(0);
  }
  int status = 0;
  for (unsigned stop = 0; ::waitpid(child, &status, 0) == child; ++stop) {
    if (WIFEXITED(status)) {
      if (stop == 0) return std::nullopt;
      return false;
    }
    if (stop == last) break;
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return true;
}

TEST_F(RealRecorder, ACollectionKilledAnywhereLosesNothingUnsaid) {
  ASSERT_TRUE(test::ok(collect()));
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
  for (unsigned stop = 1;; ++stop) {
    come_and_go("killed-" + std::to_string(stop));
    const auto killed = killed_at(stop, [this] { (void)collect(); });
    if (!killed) return test::skip("processes cannot be traced here");
    ASSERT_TRUE(test::ok(peek()));
    const auto ledger = collect();
    ASSERT_TRUE(test::ok(ledger)) << "killed at " << stop;
    const std::uint64_t now_missing = stop - maker_of(*ledger, "killed").removals;
    if (now_missing > missing) {
      EXPECT_GT(ledger->lost, lost) << "killed at " << stop;
    }
    missing = now_missing;
    lost = ledger->lost;
    if (!*killed) break;
  }
  EXPECT_GT(missing, 0U) << "no kill hit the time between the reading and the writing";
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    EXPECT_EQ(entry.path().string().find(".corrupt"), std::string::npos) << entry.path();
  }
}

TEST_F(RealRecorder, AStartKilledAnywhereLeavesAtMostTheOneInstance) {
  const auto instances = [] {
    std::size_t count = 0;
    const UniqueFd top = tracefs();
    const std::string path = "/proc/self/fd/" + std::to_string(top.get()) + "/instances";
    for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator(path)) ++count;
    return count;
  };
  ASSERT_TRUE(test::must(recorder::stop(host(), settings_)));
  const std::size_t before = instances();
  for (unsigned stop = 1;; stop += 3) {
    const auto killed = killed_at(stop, [this] { (void)recorder::start(host(), settings_); });
    if (!killed) return test::skip("processes cannot be traced here");
    EXPECT_LE(instances(), before + 1);
    if (stop % 2 == 0) {
      // A later start completes the work.
      ASSERT_TRUE(test::ok(recorder::start(host(), settings_)));
      ASSERT_TRUE(test::ok(collect()));
    }
    ASSERT_TRUE(test::ok(recorder::stop(host(), settings_))) << "killed at " << stop;
    EXPECT_EQ(instances(), before);
    if (!*killed) break;
  }
}

class RealWatch : public test::RealCgroups {
 protected:
  void SetUp() override {
    test::RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!test::is_root()) return test::skip("a state directory needs root");
  }
  [[nodiscard]] Result<Ledger> collect(recorder::Watch& watch) const {
    return watch.collect(host(), directory_);
  }
  /// Returns the removal of a cgroup of this test; null if it is not in the ledger.
  [[nodiscard]] const recorder::Removed* find(const Ledger& ledger, const std::string& name) const {
    for (const recorder::Removed& one : ledger.dead) {
      if (one.path == path(name)) return &one;
    }
    return nullptr;
  }
  [[nodiscard]] std::uint64_t inode_of(const std::string& name) const {
    struct ::stat about {};
    EXPECT_EQ(::stat(directory(name).c_str(), &about), 0);
    return about.st_ino;
  }

  const test::TempDirectory temp_;
  const std::string directory_ = temp_ / "state";
};

TEST_F(RealWatch, RemovalsAreRecordedWithoutTracefs) {
  make("old");
  make("old/inner");
  const std::uint64_t old = inode_of("old/inner");
  auto watch = test::must(recorder::Watch::start(host()));
  make("new");
  const std::uint64_t fresh = inode_of("new");
  test::must(watch.follow());
  // It is found although it is made before its parent is watched.
  make("deep");
  make("deep/er");
  test::must(watch.follow());
  for (const char* const one : {"old/inner", "new", "deep/er", "deep"}) remove(one);
  make("fleeting");
  remove("fleeting");
  const Ledger ledger = test::must(collect(watch));
  EXPECT_FALSE(ledger.releases);
  for (const char* const one : {"old/inner", "new", "deep/er", "deep", "fleeting"}) {
    ASSERT_NE(find(ledger, one), nullptr) << one;
  }
  EXPECT_EQ(find(ledger, "old/inner")->id, old);
  EXPECT_EQ(find(ledger, "new")->id, fresh);
  EXPECT_EQ(find(ledger, "fleeting")->id, 0U);
  EXPECT_EQ(find(ledger, "old"), nullptr);
  EXPECT_LE(ledger.since, find(ledger, "new")->at);
  for (const Maker& maker : ledger.makers) EXPECT_EQ(maker.least_dead(), 0U);
  EXPECT_EQ(watch.unwatched(), 0U);
  // The next watch continues the ledger.
  watch = test::must(recorder::Watch::start(host()));
  remove("old");
  const Ledger later = test::must(collect(watch));
  EXPECT_NE(find(later, "old"), nullptr);
  EXPECT_NE(find(later, "new"), nullptr);
  EXPECT_EQ(later.since, ledger.since);
  EXPECT_EQ(test::must(recorder::peek(host(), directory_)).removals(), later.removals());
}

TEST_F(RealWatch, ARenamedCgroupIsNoRemoval) {
  if (v2()) return test::skip("a cgroup of v2 cannot be renamed");
  make("before");
  make("before/inner");
  auto watch = test::must(recorder::Watch::start(host()));
  const std::uint64_t inner = inode_of("before/inner");
  ASSERT_EQ(::rename(directory("before").c_str(), directory("after").c_str()), 0);
  test::must(watch.follow());
  remove("after/inner");
  const Ledger ledger = test::must(collect(watch));
  EXPECT_EQ(find(ledger, "before"), nullptr);
  EXPECT_EQ(find(ledger, "before/inner"), nullptr);
  ASSERT_NE(find(ledger, "after/inner"), nullptr);
  EXPECT_EQ(find(ledger, "after/inner")->id, inner);
}

TEST_F(RealWatch, TheNumberOfWatchesIsBounded) {
  make("a");
  auto watch = test::must(recorder::Watch::start(host(), 1));
  EXPECT_GT(watch.unwatched(), 0U);
  remove("a");
  EXPECT_EQ(find(test::must(collect(watch)), "a"), nullptr);
  EXPECT_TRUE(test::fails(recorder::Watch::start(host(), 0), errc::system));
}

TEST_F(RealWatch, EventsThatTheKernelDroppedAreMadeUpFor) {
  for (int i = 0; i < 10; ++i) make("many-" + std::to_string(i));
  auto watch = test::must(recorder::Watch::start(host()));
  std::ifstream in("/proc/sys/fs/inotify/max_queued_events");
  unsigned most = 0;
  ASSERT_TRUE(in >> most);
  if (most > 100'000) return test::skip("the kernel's queue is too long to be filled");
  // Events that are equal and follow each other are one.
  make("x");
  for (unsigned i = 0; i <= most / 2; ++i) {
    remove("x");
    make("x");
  }
  for (int i = 0; i < 10; ++i) remove("many-" + std::to_string(i));
  make("late");
  const Ledger ledger = test::must(collect(watch));
  EXPECT_GT(ledger.lost, 0U);
  for (int i = 0; i < 10; ++i) {
    EXPECT_NE(find(ledger, "many-" + std::to_string(i)), nullptr) << i;
  }
  remove("late");
  EXPECT_NE(find(test::must(collect(watch)), "late"), nullptr);
}

}  // namespace recorder_real_test
