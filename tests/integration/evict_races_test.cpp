// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// Evicts while files are replaced, written and unlinked, and is killed half-way. CGCTL_RACES=N and
// CGCTL_KILL_EVERY=place in the environment race and kill more often.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../support/child.hpp"
#include "../support/skip.hpp"
#include "../support/traced.hpp"
#include "cgctl/mitigator.hpp"
#include "real_eviction.hpp"

namespace evict_test {

/// Notices when somebody opens, reads or writes one of the files (inotify(7)). Opening with O_PATH
/// goes unnoticed.
class Touches {
 public:
  explicit Touches(const std::vector<std::string>& files)
      : notices_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    for (const std::string& file : files) {
      constexpr std::uint32_t any = IN_OPEN | IN_ACCESS | IN_MODIFY;
      EXPECT_GE(::inotify_add_watch(notices_.get(), file.c_str(), any), 0)
          << file << ": " << std::strerror(errno);
    }
  }
  [[nodiscard]] bool seen() const {
    std::array<char, 4096> notices{};
    return ::read(notices_.get(), notices.data(), notices.size()) > 0;
  }

 private:
  UniqueFd notices_;
};

/// Does work in another thread, again and again, for its lifetime. An exception of `work` ends it.
class Meanwhile {
 public:
  explicit Meanwhile(std::function<void()> work)
      : thread_([this, again = std::move(work)] {
          while (!over_) again();
        }) {}
  Meanwhile(const Meanwhile&) = delete;
  Meanwhile& operator=(const Meanwhile&) = delete;
  ~Meanwhile() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

/// The file place/target holds a removed cgroup. Impostors that want to be taken for it are
/// other/target, a FIFO, a device, and links.
class EvictionRaces : public RealEviction {
 protected:
  void SetUp() override {
    RealEviction::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const char* const folder : {"place", "other"}) {
      ASSERT_EQ(::mkdir(file(folder).c_str(), 0700), 0);
    }
    target_ = pinning_file(file("place/target"), 8);
    outside_ = new_file(file("other/target"));
    ASSERT_EQ(write_pages(outside_.get(), 0, 8), 0);
    ASSERT_EQ(::mkfifo(file("fifo").c_str(), 0600), 0);
    ASSERT_EQ(::symlink(file("other/target").c_str(), file("link").c_str()), 0);
    ASSERT_EQ(::symlink("other", file("folder-link").c_str()), 0);
    impostors_ = {file("other/target"), file("fifo")};
    if (::mknod(file("device").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) {
      impostors_.push_back(file("device"));
    }
    found_ = find();
    ASSERT_FALSE(eviction().empty());
  }

  [[nodiscard]] Eviction eviction() const {
    return Eviction(host(), found_, 100, Eviction::Clock::now() + 1s);
  }

  void exchange(const char* a, const char* b) const {
    ::renameat2(AT_FDCWD, file(a).c_str(), AT_FDCWD, file(b).c_str(), RENAME_EXCHANGE);
  }

  /// Evicts again and again while `disturb` is done. Returns a complaint, or an empty text.
  [[nodiscard]] std::string race(const std::function<void()>& disturb) const {
    constexpr unsigned few = 200;
    const Touches touches(impostors_);
    Evicted sum;
    {
      const Meanwhile meanwhile(disturb);
      for (unsigned i = 0; i < races(few); ++i) {
        Evicted figures;
        (void)eviction().run(Eviction::Clock::time_point::max(), figures);
        sum.opened += figures.opened;
        sum.changed += figures.changed;
        sum.refused += figures.refused;
      }
    }
    std::printf("  evicted %zu times, found another file %zu times, refused %zu times\n",
                sum.opened, sum.changed, sum.refused);
    std::fflush(stdout);
    if (touches.seen()) return "a file was opened that was not found";
    return cached(outside_.get(), 8) == "xxxxxxxx" ? "" : "pages of another file were dropped";
  }

  UniqueFd target_;
  UniqueFd outside_;
  std::vector<std::string> impostors_;
  census::PinnedFiles found_;
};

TEST_F(EvictionRaces, TouchNothingElseWhenTheFileIsReplaced) {
  EXPECT_EQ(race([&] {
              exchange("place/target", "other/target");
              exchange("place/target", "other/target");
            }),
            "");
  for (const char* const impostor : {"link", "fifo", "device"}) {
    EXPECT_EQ(race([&] {
                exchange("place/target", impostor);
                exchange("place/target", impostor);
              }),
              "")
        << impostor;
  }
}

TEST_F(EvictionRaces, TouchNothingElseWhenAFolderIsReplaced) {
  for (const char* const impostor : {"other", "folder-link"}) {
    EXPECT_EQ(race([&] {
                exchange("place", impostor);
                exchange("place", impostor);
              }),
              "")
        << impostor;
  }
}

TEST_F(EvictionRaces, TouchNothingElseWhenTheFileIsTruncatedMovedOrUnlinked) {
  const std::string target = file("place/target");
  const std::string spare = file("spare");
  EXPECT_EQ(race([&] {
              (void)!::ftruncate(target_.get(), 0);
              (void)write_pages(target_.get(), 0, 8, false);
            }),
            "");
  EXPECT_EQ(race([&] {
              ::rename(target.c_str(), spare.c_str());
              ::rename(spare.c_str(), target.c_str());
            }),
            "");
  EXPECT_EQ(race([&] {
              ::link(target.c_str(), spare.c_str());
              ::unlink(target.c_str());
              ::link(file("other/target").c_str(), target.c_str());
              ::rename(spare.c_str(), target.c_str());
            }),
            "");
}

TEST_F(EvictionRaces, TouchNothingElseWhenMountsChange) {
  const std::string refused = test::cannot_mount();
  if (!refused.empty()) return test::skip(refused);
  const auto bind = [&](const char* from, const char* to) {
    ::mount(file(from).c_str(), file(to).c_str(), nullptr, MS_BIND, nullptr);
  };
  const auto unmount = [&] { ::umount2(file("place").c_str(), MNT_DETACH); };
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              // Another folder covers the file's.
              const std::string covered = race([&] {
                bind("other", "place");
                unmount();
              });
              if (!covered.empty()) return covered;
              // The mount that shows the file is replaced by another one.
              for (census::PinnedFile& one : found_.files) one.mount = file("place");
              return race([&] {
                bind("place", "place");
                unmount();
                bind("other", "place");
                unmount();
              });
            }),
            "");
}

TEST_F(EvictionRaces, TakeTheFileOnceItIsBack) {
  exchange("place", "other");
  Evicted figures;
  EXPECT_EQ(eviction().run(Eviction::Clock::time_point::max(), figures), 0);
  EXPECT_EQ(figures.opened, 0);
  EXPECT_EQ(cached(target_.get(), 8), "xxxxxxxx");
  exchange("place", "other");
  EXPECT_EQ(eviction().run(Eviction::Clock::time_point::max(), figures), 0);
  EXPECT_EQ(figures.opened, 1);
  EXPECT_EQ(cached(target_.get(), 8), "........");
}

// ---- contents

/// Files of four pages each, whose content changes from one version to the next.
class Versions {
 public:
  Versions(std::string folder, unsigned files) : folder_(std::move(folder)), versions_(files) {}

  /// Writes the next version of a file, every other one through a mapping. Returns an errno.
  int write_next(unsigned file) {
    const UniqueFd fd(::open(path(file).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const std::string text = content(file, ++versions_[file]);
    if (file % 2 == 0 || versions_[file] == 1) {
      const ssize_t done = ::pwrite(fd.get(), text.data(), text.size(), 0);
      return done == static_cast<ssize_t>(text.size()) ? 0 : EIO;
    }
    void* const memory = ::mmap(nullptr, text.size(), PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) return errno;
    std::memcpy(memory, text.data(), text.size());
    ::munmap(memory, text.size());
    return 0;
  }
  /// True if the disk has the last version.
  [[nodiscard]] bool is_on_disk(unsigned file) const {
    const UniqueFd fd(::open(path(file).c_str(), O_RDONLY | O_CLOEXEC));
    std::string text = content(file, versions_[file]);
    ::fdatasync(fd.get());
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    std::string read(text.size() + 1, '\0');
    const ssize_t got = ::pread(fd.get(), read.data(), read.size(), 0);
    return got == static_cast<ssize_t>(text.size()) && read.compare(0, text.size(), text) == 0;
  }
  [[nodiscard]] unsigned size() const { return static_cast<unsigned>(versions_.size()); }

 private:
  [[nodiscard]] std::string path(unsigned file) const {
    return folder_ + "/" + std::to_string(file);
  }
  [[nodiscard]] static std::string content(unsigned file, unsigned version) {
    const std::string word = std::to_string(file) + "." + std::to_string(version) + " ";
    std::string text;
    while (text.size() < 4 * page_size()) text += word;
    text.resize(4 * page_size());
    return text;
  }

  std::string folder_;
  std::vector<unsigned> versions_;
};

TEST_F(RealEviction, LosesNothingThatIsWrittenMeanwhile) {
  constexpr unsigned few = 200;
  constexpr unsigned a_cgroup = 20;
  Versions files(files_->path(), races(few));
  for (unsigned first = 0; first < files.size(); first += a_cgroup) {
    const unsigned end = std::min(first + a_cgroup, files.size());
    // The children's copy of `files` is lost, so that each file is made here, and written there.
    in_cgroup("a", [&] {
      int error = 0;
      for (unsigned i = first; i < end; ++i) error |= files.write_next(i);
      return error;
    });
  }
  Versions written(files_->path(), files.size());
  const census::PinnedFiles found = find();
  Eviction eviction(host(), found, files.size(), Eviction::Clock::now() + 1s);
  ASSERT_FALSE(eviction.empty());
  int error = 0;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    constexpr unsigned versions = 10;
    for (unsigned round = 0; round < versions; ++round) {
      for (unsigned i = 0; i < written.size(); ++i) error |= written.write_next(i);
    }
    done = true;
  });
  Evicted figures;
  unsigned rounds = 0;
  for (; !done; ++rounds) (void)eviction.run(Eviction::Clock::time_point::max(), figures);
  writer.join();
  EXPECT_EQ(error, 0);
  EXPECT_EQ(figures.changed + figures.refused, 0);
  std::printf("  evicted %zu files, in %u rounds, while they were written ten times\n",
              figures.opened, rounds);
  unsigned wrong = 0;
  for (unsigned i = 0; i < written.size(); ++i) wrong += written.is_on_disk(i) ? 0U : 1U;
  EXPECT_EQ(wrong, 0);
}

// ---- mounts of containers

/// A container's process, with an overlay in its own mounts, has a file open that is deleted.
TEST_F(RealEviction, ReachesFilesOfProcessesWithOtherMounts) {
  const std::string refused = test::cannot_mount();
  if (!refused.empty()) return test::skip(refused);
  for (const char* const folder : {"lower", "upper", "work", "merged", "own", "private"}) {
    ASSERT_EQ(::mkdir(file(folder).c_str(), 0700), 0);
  }
  make(top_ + "/a");
  make(top_ + "/home");
  const test::Tenant container(directory(top_ + "/a"), [&] {
    const std::string layers =
        "lowerdir=" + file("lower") + ",upperdir=" + file("upper") + ",workdir=" + file("work");
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", file("merged").c_str(), "overlay", 0, layers.c_str()) != 0 ||
        ::mount(file("own").c_str(), file("private").c_str(), nullptr, MS_BIND, nullptr) != 0) {
      return errno;
    }
    int error = write_pages(new_file(file("merged/in-overlay")).get(), 0, 1);
    error |= write_pages(new_file(file("private/in-volume")).get(), 0, 1);
    const int deleted = new_file(file("private/deleted")).release();
    error |= write_pages(deleted, 0, 1);
    ::unlink(file("private/deleted").c_str());
    return error | test::enter(directory(top_ + "/home"));
  });
  remove(top_ + "/a");
  const census::PinnedFiles found = find();
  std::vector<std::string> kinds;
  for (const census::PinnedFile& one : found.files) {
    if (!one.block_device) kinds.push_back(one.deleted ? "deleted" : one.proven ? "named" : "?");
  }
  std::sort(kinds.begin(), kinds.end());
  EXPECT_EQ(kinds, (std::vector<std::string>{"deleted", "named", "named"}));
  Eviction eviction(host(), found, 100, Eviction::Clock::now() + 1s);
  Evicted figures;
  EXPECT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
  EXPECT_EQ(figures.opened, 3);
  for (const char* const name : {"upper/in-overlay", "own/in-volume"}) {
    const UniqueFd evicted(::open(file(name).c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(cached(evicted.get(), 1), ".") << name;
  }
  for (const census::PinnedFile& one : find().files) EXPECT_TRUE(one.block_device) << one.path;
}

/// Since Linux 6.8, /proc/PID/maps shows the device and inode of the overlay.
TEST_F(RealEviction, TakesPagesThatOneProcessMapsFromAnOverlay) {
  const std::string refused = test::cannot_mount();
  if (!refused.empty()) return test::skip(refused);
  for (const char* const folder : {"lower", "upper", "work", "merged"}) {
    ASSERT_EQ(::mkdir(file(folder).c_str(), 0700), 0);
  }
  make(top_ + "/home");
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              const std::string layers = "lowerdir=" + file("lower") +
                                         ",upperdir=" + file("upper") + ",workdir=" + file("work");
              const std::string merged = file("merged");
              if (::mount("none", merged.c_str(), "overlay", 0, layers.c_str()) != 0) {
                return "no overlay";
              }
              const UniqueFd mapped = pinning_file(merged + "/mapped", 1);
              const test::Tenant tenant(directory(top_ + "/home"),
                                        [&] { return map_and_read(mapped.get(), 1); });
              (void)evict();
              return cached(mapped.get(), 1) == "." ? "" : "the page is still there";
            }),
            "");
}

// ---- killed

TEST_F(RealEviction, LeavesNothingBehindWhenKilledAtAnySystemCall) {
  const std::string state = file("state");
  Policy policy;
  policy.only = mitigation::Rung::evict;
  policy.guards = mitigation::Guards::override_all;
  policy.still_for = 1ms;
  policy.settle_limit = 2ms;
  const auto act = [&]() -> std::string {
    auto mitigator = mitigation::Mitigator::open(host(), state);
    if (!mitigator) return mitigator.error().message();
    const auto report = mitigator->run(policy, mitigation::Urgency::as_configured);
    if (!report) return report.error().message();
    return report->warnings.empty() ? "" : report->warnings.front();
  };
  make(top_ + "/home");
  unsigned number = 0;
  const unsigned kills = test::kill_in_turn([&](const test::Kill& kill) {
    const std::string name = file(std::to_string(++number));
    const UniqueFd made = pinning_file(name, 2);
    const test::Tenant tenant(directory(top_ + "/home"),
                              [&] { return map_and_read(made.get(), 1); });
    test::Traced run = test::run_traced([&] { (void)act(); }, kill);
    const std::string at = "killed at call " + std::to_string(run.killed_at);
    EXPECT_EQ(run.trouble, "") << at;
    EXPECT_FALSE(std::filesystem::exists(hierarchy().mount_point + "/cgctl-nudge")) << at;
    EXPECT_TRUE(test::ok(mitigation::Mitigator::open(host(), state))) << at;
    std::string content(2 * page_size(), '\0');
    EXPECT_EQ(::pread(made.get(), content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    EXPECT_EQ(content, std::string(content.size(), 'a'));
    // The next run has as much to do as this one, and makes as many calls.
    std::filesystem::remove(name);
    return run;
  });
  std::printf("  killed %u times\n", kills);
  EXPECT_GT(kills, 1);
  EXPECT_FALSE(std::filesystem::exists(state + "/history.corrupt"));
  const UniqueFd last = pinning_file(file("last"), 2);
  // A run has limits, and others may leave more than these allow.
  constexpr unsigned most_runs = 5;
  for (unsigned i = 0; i < most_runs && cached(last.get(), 2) != ".."; ++i) EXPECT_EQ(act(), "");
  EXPECT_EQ(cached(last.get(), 2), "..") << "the next runs do their work";
}

}  // namespace evict_test
