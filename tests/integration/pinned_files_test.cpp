// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/pinned_files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "real_cgroups.hpp"

namespace pinned_files_test {

using namespace cgctl;
using census::Census;
using census::FileFinder;
using census::PinnedFile;
using census::PinnedFiles;
using census::Snapshot;
using lab::Pin;

/// A file's ranges of pages, by the name of the removed cgroup that they hold.
using Holds = std::map<std::string, std::vector<std::pair<std::uint64_t, std::uint64_t>>>;

class RealPinnedFiles : public test::CensusCgroups {
 protected:
  void SetUp() override {
    test::CensusCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    take_census();
    if (snapshot_.pages_move) return test::skip("pages move to the parent cgroup");
    // Removed cgroups of earlier tests may still be there, with their paths.
    top_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(top_.begin(), top_.end(), '/', '-');
    make(top_);
    hand_down(top_);
  }

  void take_census() {
    auto census = Census::open(host());
    ASSERT_TRUE(census) << census.error().message();
    const auto took = census->take(snapshot_);
    ASSERT_TRUE(took) << took.error().message();
  }

  /// Finds the files that hold the removed cgroups of this test.
  [[nodiscard]] PinnedFiles find(std::chrono::seconds time = std::chrono::seconds(60)) {
    take_census();
    FileFinder::Limits limits;
    limits.time = time;
    limits.cgroups = removed();
    PinnedFiles found;
    auto finder = FileFinder::open(host());
    EXPECT_TRUE(finder) << finder.error().message();
    if (!finder || limits.cgroups.empty()) return found;
    const auto took = finder->take(snapshot_, limits, found);
    EXPECT_TRUE(took) << took.error().message();
    return found;
  }

  [[nodiscard]] std::vector<std::size_t> removed() const {
    std::vector<std::size_t> removed;
    for (std::size_t i = 0; i < snapshot_.cgroups.size(); ++i) {
      if (!snapshot_.cgroups[i].live && snapshot_.path(i).rfind(path(top_) + "/", 0) == 0) {
        removed.push_back(i);
      }
    }
    return removed;
  }

  [[nodiscard]] Holds holds_of(const PinnedFile& file) const {
    Holds holds;
    for (const census::Holding& one : file.holds) {
      for (const census::PageRange& range : one.pages) {
        holds[std::string(snapshot_.cgroups[one.cgroup].name)].emplace_back(range.first,
                                                                            range.count);
      }
    }
    return holds;
  }

  /// Does `work` in a new cgroup.
  void in_cgroup(const std::string& name, const std::function<int()>& work) const {
    make(below(name));
    EXPECT_EQ(test::in_child([&]() -> std::string {
                int error = test::enter(directory(below(name)));
                if (error == 0) error = work();
                return error == 0 ? "" : std::to_string(error);
              }),
              "");
  }

  /// Does `work` in a cgroup that is removed then.
  void in_removed(const std::string& name, const std::function<int()>& work) const {
    in_cgroup(name, work);
    remove(below(name));
  }

  [[nodiscard]] std::string below(const std::string& name) const { return top_ + "/" + name; }

  static int write_pages(int file, off_t first, std::size_t count) {
    const auto page = static_cast<std::size_t>(::getpagesize());
    const std::string content(page * count, 'x');
    const auto place = first * static_cast<off_t>(page);
    return ::pwrite(file, content.data(), content.size(), place) ==
                   static_cast<ssize_t>(content.size())
               ? 0
               : EIO;
  }

  static const PinnedFile* find_in(const PinnedFiles& found, int file) {
    struct ::stat wanted {};
    EXPECT_EQ(::fstat(file, &wanted), 0);
    for (const PinnedFile& one : found.files) {
      if (one.device == wanted.st_dev && one.inode == wanted.st_ino) return &one;
    }
    return nullptr;
  }

  Snapshot snapshot_;
  std::string top_;
};

UniqueFd new_file(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

class PinnedFileKinds : public RealPinnedFiles, public ::testing::WithParamInterface<Pin> {};

TEST_P(PinnedFileKinds, AreFoundWithTheExactPagesOfEachRemovedCgroup) {
  const auto files = folder(GetParam());
  if (!files) return test::skip("no folder on such a file system");
  const std::string name = *files / "shared\n\xff";
  const UniqueFd file = new_file(name);
  const UniqueFd other = new_file(*files / "other");
  in_removed("a", [&] {
    return write_pages(file.get(), 3, 3) | write_pages(file.get(), 9, 1) |
           write_pages(other.get(), 0, 1);
  });
  in_removed("b", [&] { return write_pages(file.get(), 20, 1); });
  in_cgroup("live", [&] { return write_pages(file.get(), 100, 4); });
  in_removed("c", [&] { return write_pages(file.get(), 30, 40); });
  const PinnedFiles found = find();
  EXPECT_TRUE(found.complete());
  EXPECT_EQ(found.examined, 3);
  const PinnedFile* const one = find_in(found, file.get());
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->path, name);
  EXPECT_TRUE(one->proven);
  EXPECT_FALSE(one->deleted);
  EXPECT_FALSE(one->mapped);
  EXPECT_EQ(one->pages, 45);
  EXPECT_LE(one->dirty, GetParam() == Pin::tmpfs ? 0 : 45);
  EXPECT_EQ(holds_of(*one), (Holds{{"a", {{3, 3}, {9, 1}}}, {"b", {{20, 1}}}, {"c", {{30, 40}}}}));
  // The files that hold the most cgroups come first.
  const PinnedFile* const second = find_in(found, other.get());
  ASSERT_NE(second, nullptr);
  EXPECT_LT(one, second);
  EXPECT_EQ(holds_of(*second), (Holds{{"a", {{0, 1}}}}));
  EXPECT_GT(found.runs, 0);
}

std::string kind_name(const ::testing::TestParamInfo<Pin>& kind) {
  return kind.param == Pin::tmpfs ? "Tmpfs" : "PageCache";
}

INSTANTIATE_TEST_SUITE_P(Each, PinnedFileKinds, ::testing::Values(Pin::page_cache, Pin::tmpfs),
                         kind_name);

TEST_F(RealPinnedFiles, ThatAreDeletedOrHaveNoFolderSaySo) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  const UniqueFd file = new_file(*files / "gone");
  const UniqueFd memory(::memfd_create("cgctl-lost", MFD_CLOEXEC));
  in_removed("a", [&] { return write_pages(file.get(), 0, 1) | write_pages(memory.get(), 0, 1); });
  std::filesystem::remove(*files / "gone");
  const PinnedFiles found = find();
  for (const int one : {file.get(), memory.get()}) {
    const PinnedFile* const seen = find_in(found, one);
    ASSERT_NE(seen, nullptr);
    EXPECT_TRUE(seen->deleted);
    EXPECT_FALSE(seen->proven);
    EXPECT_EQ(holds_of(*seen), (Holds{{"a", {{0, 1}}}}));
    const std::string end = one == file.get() ? "/gone" : "memfd:cgctl-lost";
    EXPECT_EQ(seen->path.substr(seen->path.size() - std::min(seen->path.size(), end.size())), end);
  }
}

TEST_F(RealPinnedFiles, ThatAreMappedTellTheProcesses) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  const UniqueFd file = new_file(*files / "mapped");
  in_removed("a", [&] { return write_pages(file.get(), 0, 2); });
  make(below("live"));
  const test::Tenant tenant(directory(below("live")), [&] {
    ::prctl(PR_SET_NAME, "cgctl-\xffmapper");
    const auto size = 2 * static_cast<std::size_t>(::getpagesize());
    void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, file.get(), 0);
    return memory == MAP_FAILED ? errno : 0;
  });
  const PinnedFiles found = find();
  const PinnedFile* const one = find_in(found, file.get());
  ASSERT_NE(one, nullptr);
  EXPECT_TRUE(one->mapped);
  auto finder = FileFinder::open(host());
  ASSERT_TRUE(finder);
  const auto mappers = finder->mappers(*one);
  ASSERT_TRUE(mappers) << mappers.error().message();
  ASSERT_EQ(mappers->size(), 1);
  EXPECT_EQ(mappers->front().name, "cgctl-\xffmapper");
  EXPECT_EQ(test::file_text(directory(below("live")) + "/cgroup.procs"),
            std::to_string(mappers->front().pid) + "\n");
}

TEST_F(RealPinnedFiles, AreNoneForLockedMemory) {
  make(below("a"));
  make(below("home"));
  const auto lock_and_leave = [&] {
    const auto size = 4 * static_cast<std::size_t>(::getpagesize());
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    if (memory == MAP_FAILED) return errno;
    return test::enter(directory(below("home")));
  };
  // The first one to run this code is charged for its pages.
  const test::Tenant first(directory(below("home")), lock_and_leave);
  const test::Tenant tenant(directory(below("a")), lock_and_leave);
  remove(below("a"));
  const PinnedFiles found = find();
  EXPECT_EQ(found.examined, 1);
  EXPECT_TRUE(found.files.empty());
  EXPECT_EQ(found.anonymous + found.unlisted, 1);
}

TEST_F(RealPinnedFiles, InAnOverlayAreFoundInTheMount) {
  const std::string refused = test::cannot_mount();
  if (!refused.empty()) return test::skip(refused);
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  for (const char* one : {"lower", "upper", "work", "merged"}) {
    std::filesystem::create_directory(*files / one);
  }
  const std::string options = "lowerdir=" + *files / "lower" + ",upperdir=" + *files / "upper" +
                              ",workdir=" + *files / "work";
  const std::string merged = *files / "merged";
  const std::string said = test::in_private_mounts([&]() -> std::string {
    if (::mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) != 0) return "no overlay";
    UniqueFd file = new_file(merged + "/file");
    if (!file) return "no file";
    in_removed("a", [&] { return write_pages(file.get(), 7, 1); });
    const PinnedFiles found = find();
    for (const PinnedFile& one : found.files) {
      if (one.path != *files / "upper/file") continue;
      return !one.proven                               ? "not proven"
             : one.overlay != merged + "/file"         ? "in " + one.overlay
             : holds_of(one) != Holds{{"a", {{7, 1}}}} ? "other pages"
                                                       : "";
    }
    return "not found";
  });
  if (said == "no overlay") return test::skip("the kernel has no overlay file system");
  EXPECT_EQ(said, "");
}

TEST_F(RealPinnedFiles, AreNotLookedForWhenTimeIsUp) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  const UniqueFd file = new_file(*files / "file");
  in_removed("a", [&] { return write_pages(file.get(), 0, 1); });
  in_removed("b", [&] { return write_pages(file.get(), 1, 1); });
  const PinnedFiles found = find(std::chrono::seconds(0));
  EXPECT_FALSE(found.complete());
  EXPECT_EQ(found.skipped, 2);
  EXPECT_TRUE(found.files.empty());
}

TEST_F(RealPinnedFiles, AreOnlyThoseOfTheCgroupThatIsMeant) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  const UniqueFd file = new_file(*files / "file");
  in_removed("a", [&] { return write_pages(file.get(), 0, 1); });
  in_cgroup("live", [&] { return write_pages(file.get(), 1, 1); });
  take_census();
  const auto dead = removed();
  ASSERT_EQ(dead.size(), 1);
  std::uint64_t live = 0;
  for (std::size_t i = 0; i < snapshot_.cgroups.size(); ++i) {
    if (snapshot_.path(i) == path(below("live"))) live = snapshot_.cgroups[i].address;
  }
  ASSERT_NE(live, 0);
  // As if the removed cgroup's memory were another cgroup's by now, or no memory at all.
  auto finder = FileFinder::open(host());
  ASSERT_TRUE(finder);
  for (const std::uint64_t address : {live, live + 8, std::uint64_t{0}}) {
    snapshot_.cgroups[dead[0]].address = address;
    PinnedFiles found;
    FileFinder::Limits limits;
    limits.cgroups = dead;
    ASSERT_TRUE(finder->take(snapshot_, limits, found));
    EXPECT_EQ(found.released, 1);
    EXPECT_TRUE(found.files.empty());
  }
}

}  // namespace pinned_files_test
