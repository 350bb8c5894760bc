// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/evict.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/census.hpp"
#include "real_cgroups.hpp"

namespace evict_test {

using namespace cgctl;
using namespace std::chrono_literals;
using detail::Evicted;
using detail::Eviction;
using lab::Pin;
using mitigation::Left;
using mitigation::Obstacle;
using mitigation::Policy;

UniqueFd new_file(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

std::size_t page_size() { return static_cast<std::size_t>(::getpagesize()); }

/// Writes pages of a file; with `to_disk` they are clean then.
int write_pages(int file, std::size_t first, std::size_t count, bool to_disk = true) {
  const std::string content(page_size() * count, static_cast<char>('a' + first % 26));
  const auto place = static_cast<off_t>(first * page_size());
  if (::pwrite(file, content.data(), content.size(), place) !=
      static_cast<ssize_t>(content.size())) {
    return EIO;
  }
  return to_disk && ::fdatasync(file) != 0 ? errno : 0;
}

/// Returns which of the first `count` pages of a file are in memory: "x" or "." for each.
std::string cached(int file, std::size_t count) {
  void* const memory = ::mmap(nullptr, count * page_size(), PROT_READ, MAP_SHARED, file, 0);
  std::vector<unsigned char> in_memory(count);
  EXPECT_EQ(::mincore(memory, count * page_size(), in_memory.data()), 0);
  ::munmap(memory, count * page_size());
  std::string text;
  for (const unsigned char one : in_memory) text += (one & 1) != 0 ? 'x' : '.';
  return text;
}

class RealEviction : public test::RealCgroups {
 protected:
  void SetUp() override {
    test::RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!test::kernel_is_at_least(5, 10))
      return test::skip("BPF programs run on demand since 5.10");
    if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) return test::skip("the kernel has no BTF");
    if (test::kernel_is_at_least(7, 1)) return test::skip("pages move to the parent cgroup");
    files_ = folder(Pin::page_cache);
    if (!files_) return test::skip("no folder on a disk");
    top_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    make(top_);
    hand_down(top_);
  }

  /// Does `work` in a new cgroup, which is removed then unless it is to stay.
  void in_cgroup(const std::string& name, const std::function<int()>& work, bool stays = false) {
    const std::string group = top_ + "/" + name;
    make(group);
    EXPECT_EQ(test::in_child([&]() -> std::string {
                int error = test::enter(directory(group));
                if (error == 0) error = work();
                return error == 0 ? "" : std::to_string(error);
              }),
              "");
    if (!stays) remove(group);
  }

  /// Creates a file with so many pages, charged to a cgroup that is removed then.
  UniqueFd pinning_file(const std::string& path, std::size_t pages) {
    UniqueFd created = new_file(path);
    in_cgroup("a", [&] { return write_pages(created.get(), 0, pages); });
    return created;
  }
  /// Creates a file with eight pages in the cache, which no removed cgroup holds.
  static UniqueFd bystander(const std::string& path) {
    UniqueFd created = new_file(path);
    EXPECT_EQ(write_pages(created.get(), 0, 8), 0);
    return created;
  }

  /// Finds the files that hold this test's removed cgroups.
  [[nodiscard]] census::PinnedFiles find() {
    census::PinnedFiles found;
    auto census = census::Census::open(host());
    auto finder = census::FileFinder::open(host());
    EXPECT_TRUE(test::ok(census) && test::ok(finder));
    census::Snapshot snapshot;
    if (!census || !finder || !census->take(snapshot)) return found;
    census::FileFinder::Limits limits;
    for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
      const bool own = snapshot.path(i).rfind(path(top_) + "/", 0) == 0;
      if (!snapshot.cgroups[i].live && own) limits.cgroups.push_back(i);
    }
    if (limits.cgroups.empty()) return found;
    EXPECT_TRUE(test::ok(finder->take(snapshot, limits, found)));
    return found;
  }

  std::vector<Left> evict(const Policy& policy = {}) {
    std::vector<Left> left;
    const auto took = detail::evict(host(), policy, {60s, -1, "", {}}, left);
    EXPECT_TRUE(test::ok(took));
    return left;
  }

  [[nodiscard]] std::string file(const std::string& name) const { return *files_ / name; }

  std::unique_ptr<test::TempDirectory> files_;
  std::string top_;
};

const Left* left_for(const std::vector<Left>& all, Obstacle why) {
  const auto found =
      std::find_if(all.begin(), all.end(), [why](const Left& one) { return one.why == why; });
  return found == all.end() ? nullptr : &*found;
}

TEST_F(RealEviction, TakesThePagesOfRemovedCgroupsAndLeavesThoseOfTheLiving) {
  constexpr unsigned number = 300;
  read_inode_tables(*files_, number);
  const UniqueFd shared = new_file(file("shared"));
  ASSERT_EQ(::ftruncate(shared.get(), static_cast<off_t>(number * page_size())), 0);
  const std::uint64_t others = settled();
  in_cgroup(
      "live",
      [&] {
        int error = 0;
        for (std::size_t i = 1; i < number; i += 2) error |= write_pages(shared.get(), i, 1, false);
        return error | ::fdatasync(shared.get());
      },
      true);
  for (unsigned i = 0; i < number; i += 2) {
    // Half of the pages are dirty.
    in_cgroup(std::to_string(i), [&] {
      const UniqueFd own = new_file(file(std::to_string(i)));
      return write_pages(shared.get(), i, 1, i % 4 == 0) | write_pages(own.get(), 0, 2, false);
    });
  }
  ASSERT_GT(settled(), others + number / 2 * 9 / 10);
  const std::vector<Left> left = evict();
  std::string living;
  for (unsigned i = 0; i < number; i += 2) living += ".x";
  EXPECT_EQ(cached(shared.get(), number), living);
  EXPECT_LE(falls_to(others + number / 2 / 10), others + number / 2 / 10);
  for (unsigned i = 0; i < number; i += 2) {
    const UniqueFd own(::open(file(std::to_string(i)).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(cached(own.get(), 2), "..");
    std::string content(2 * page_size(), 0);
    ASSERT_EQ(::pread(own.get(), content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    EXPECT_EQ(content, std::string(content.size(), 'a'));
    char byte = 0;
    ASSERT_EQ(::pread(shared.get(), &byte, 1, static_cast<off_t>(i * page_size())), 1);
    EXPECT_EQ(byte, 'a' + static_cast<char>(i % 26));
  }
}

TEST_F(RealEviction, SaysWhatItLeavesAndWhy) {
  const auto memory = folder(Pin::tmpfs);
  if (!memory) return test::skip("no tmpfs");
  const UniqueFd mapped = new_file(file("mapped"));
  const UniqueFd in_memory = new_file(*memory / "in-memory");
  const UniqueFd deleted = new_file(file("deleted"));
  in_cgroup("a", [&] { return write_pages(mapped.get(), 0, 1); });
  in_cgroup("b", [&] { return write_pages(in_memory.get(), 0, 1); });
  in_cgroup("c", [&] { return write_pages(deleted.get(), 0, 1); });
  std::filesystem::remove(file("deleted"));
  make(top_ + "/home");
  const test::Tenant tenant(directory(top_ + "/home"), [&] {
    void* const at =
        ::mmap(nullptr, page_size(), PROT_READ, MAP_SHARED | MAP_POPULATE, mapped.get(), 0);
    return at == MAP_FAILED ? errno : 0;
  });
  const std::vector<Left> left = evict();
  const Left* const by_mapping = left_for(left, Obstacle::mapped);
  ASSERT_NE(by_mapping, nullptr);
  EXPECT_GE(by_mapping->zombies, 1);
  EXPECT_NE(by_mapping->remedy.find("is mapped by"), std::string::npos) << by_mapping->remedy;
  const Left* const by_tmpfs = left_for(left, Obstacle::memory_file);
  ASSERT_NE(by_tmpfs, nullptr);
  EXPECT_GE(by_tmpfs->pages, 1);
  EXPECT_EQ(cached(mapped.get(), 1), "x");
  EXPECT_EQ(cached(deleted.get(), 1), ".") << "a process has it open";
}

TEST_F(RealEviction, ReachesFilesInTheMountsOfTheFirstProcess) {
  const std::string refused = test::cannot_mount();
  if (!refused.empty()) return test::skip(refused);
  const UniqueFd hidden = pinning_file(file("hidden"), 1);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              // This process has other mounts than the first one, as a service may have; the
              // test's own process stands for the first one, which may be out of reach.
              const std::string first = "/proc/" + std::to_string(::getppid());
              if (::mount(first.c_str(), "/proc/1", nullptr, MS_BIND, nullptr) != 0) {
                return "no first process";
              }
              const std::string over = files_->path();
              if (::mount("none", over.c_str(), "tmpfs", 0, nullptr) != 0) return "no mount";
              std::vector<Left> left;
              const auto took = detail::evict(host(), {}, {60s, -1, "", {}}, left);
              return took ? "" : took.error().message();
            }),
            "");
  EXPECT_EQ(cached(hidden.get(), 1), ".");
}

TEST_F(RealEviction, LeavesFilesBeyondTheLimit) {
  for (const char* const name : {"a", "b", "c"}) {
    in_cgroup(name, [&] { return write_pages(new_file(file(name)).get(), 0, 1); });
  }
  const census::PinnedFiles found = find();
  const Eviction some(host(), found, 1, Eviction::Clock::now() + 1s);
  EXPECT_TRUE(some.cut());
  Evicted figures;
  EXPECT_EQ(some.run(Eviction::Clock::now() + 10s, figures), 0);
  EXPECT_EQ(figures.opened, 1);
  const Eviction late(host(), found, 100, Eviction::Clock::now() + 1s);
  EXPECT_EQ(late.run(Eviction::Clock::now(), figures), 0);
  EXPECT_TRUE(figures.stopped);
}

/// Replaces the file that was found, again and again, and evicts it each time.
TEST_F(RealEviction, TouchesNothingElseWhenAFileIsReplaced) {
  const std::string target = file("target");
  const std::string away = file("away");
  const UniqueFd outside = bystander(file("outside"));
  const UniqueFd found_file = pinning_file(target, 8);
  const census::PinnedFiles found = find();
  const Eviction eviction(host(), found, 100, Eviction::Clock::now() + 1s);
  ASSERT_FALSE(eviction.empty());
  ASSERT_EQ(::rename(target.c_str(), away.c_str()), 0);
  const std::string fifo = file("fifo");
  const std::string device = file("device");
  const std::string link = file("link");
  const std::string hard = file("hard");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  ASSERT_EQ(::symlink("outside", link.c_str()), 0);
  ASSERT_EQ(::link(file("outside").c_str(), hard.c_str()), 0);
  std::vector<std::string> impostors{fifo, link, hard};
  if (::mknod(device.c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) impostors.push_back(device);
  // Nobody may open the FIFO for reading: then a writer would find a reader.
  const UniqueFd watch(::open(fifo.c_str(), O_PATH | O_CLOEXEC));
  constexpr unsigned races = 2500;
  Evicted figures;
  std::size_t refused = 0;
  for (unsigned race = 0; race < races; ++race) {
    for (const std::string& impostor : impostors) {
      ASSERT_EQ(::rename(impostor.c_str(), target.c_str()), 0);
      figures = {};
      ASSERT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
      ASSERT_EQ(figures.opened, 0);
      refused += figures.changed;
      ASSERT_EQ(::rename(target.c_str(), impostor.c_str()), 0);
    }
  }
  EXPECT_EQ(refused, races * impostors.size());
  EXPECT_EQ(cached(outside.get(), 8), "xxxxxxxx");
  EXPECT_EQ(cached(found_file.get(), 8), "xxxxxxxx");
  ASSERT_EQ(::rename(away.c_str(), target.c_str()), 0);
  EXPECT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
  EXPECT_EQ(figures.opened, 1);
  EXPECT_EQ(cached(found_file.get(), 8), "........");
}

TEST_F(RealEviction, TouchesNothingWhileAFileIsSwappedTruncatedOrUnlinked) {
  const std::string target = file("target");
  const std::string other = file("other");
  const UniqueFd outside = bystander(other);
  const UniqueFd found_file = pinning_file(target, 8);
  const census::PinnedFiles found = find();
  const Eviction eviction(host(), found, 100, Eviction::Clock::now() + 1s);
  ASSERT_FALSE(eviction.empty());
  // Another process exchanges the two files all the time. On v2 a cgroup with children that have
  // controllers takes no process.
  make(top_ + "/swapper");
  const test::Tenant swapper(directory(top_ + "/swapper"), [&] {
    if (::fork() != 0) return 0;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      if (::renameat2(AT_FDCWD, target.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) != 0) {
        ::_exit(1);
      }
      ::ftruncate(found_file.get(), 0);
    }
  });
  Evicted figures;
  for (unsigned race = 0; race < 1000; ++race) {
    ASSERT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
  }
  EXPECT_EQ(figures.opened + figures.changed, 1000);
  EXPECT_EQ(cached(outside.get(), 8), "xxxxxxxx");
}

TEST_F(RealEviction, IsNotFooledByAFileThatGotTheInodeNumber) {
  const std::string target = file("target");
  const UniqueFd found_file = pinning_file(target, 1);
  census::PinnedFiles found = find();
  // As if the number had been given to another file since.
  for (census::PinnedFile& one : found.files) ++one.generation;
  const Eviction eviction(host(), found, 100, Eviction::Clock::now() + 1s);
  Evicted figures;
  EXPECT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
  EXPECT_EQ(figures.opened, 0);
  EXPECT_EQ(cached(found_file.get(), 1), "x");
}

}  // namespace evict_test
