// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/evict.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/made.hpp"
#include "../support/temp_directory.hpp"
#include "faulty_sys.hpp"

namespace evict_test {

using namespace cgctl;
using namespace std::chrono_literals;
using detail::Evicted;
using detail::Eviction;
using fault::Call;
using fault::Faults;

class FaultyEviction : public ::testing::Test {
 protected:
  FaultyEviction() {
    machine_.put_v1("memory");
    std::filesystem::create_symlink("/proc/self/fd", machine_.path("proc/self/fd"));
    test::put_file(files_ / "target", "text");
    struct ::stat about {};
    EXPECT_EQ(::stat((files_ / "target").c_str(), &about), 0);
    census::PinnedFile file;
    file.path = files_ / "target";
    file.mount = files_.path();
    file.proven = true;
    file.device = about.st_dev;
    file.inode = about.st_ino;
    std::array<std::uint32_t, 2> generation{};
    const UniqueFd opened(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (::ioctl(opened.get(), FS_IOC_GETVERSION, generation.data()) == 0) {
      file.generation = generation[0];
    }
    file.holds.push_back({0, {{0, 1}}});
    file.pages = 1;
    found_.files.push_back(file);
  }

  int run(Evicted& figures) {
    const auto host = machine_.host();
    EXPECT_TRUE(host);
    Eviction eviction(*host, found_, 10, Eviction::Clock::now() + 1s);
    EXPECT_FALSE(eviction.empty());
    return eviction.run(Eviction::Clock::time_point::max(), figures);
  }

  test::MadeMachine machine_{test::v1_mount("/sys/fs/cgroup/memory", "memory")};
  test::TempDirectory files_;
  census::PinnedFiles found_;
};

TEST_F(FaultyEviction, TakesAFileThatCanBeOpened) {
  Evicted figures;
  EXPECT_EQ(run(figures), 0);
  EXPECT_EQ(figures.opened, 1);
}

TEST_F(FaultyEviction, TellsWhichFilesItTried) {
  const auto host = machine_.host();
  ASSERT_TRUE(host);
  Eviction eviction(*host, found_, 10, Eviction::Clock::now() + 1s);
  Evicted figures;
  EXPECT_TRUE(eviction.tried(figures).empty());
  EXPECT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
  const auto& target = found_.files.front();
  EXPECT_EQ(eviction.tried(figures), std::vector<detail::FileId>(1, {target.device, target.inode}));
}

TEST_F(FaultyEviction, HasNothingToDoWithoutFilesOnADisk) {
  const auto host = machine_.host();
  ASSERT_TRUE(host);
  found_.files.front().file_system = "tmpfs";
  EXPECT_TRUE(Eviction(*host, found_, 10, Eviction::Clock::now() + 1s).empty());
  found_.files.clear();
  Eviction none(*host, found_, 10, Eviction::Clock::now() + 1s);
  EXPECT_TRUE(none.empty());
  EXPECT_FALSE(none.cut());
}

TEST_F(FaultyEviction, HandsOnTheErrnoOfAFileThatCannotBeOpened) {
  for (const int reason : {EACCES, EMFILE, EIO}) {
    Faults faults;
    faults.on(Call::open_beneath, "target").fails(reason);
    Evicted figures;
    EXPECT_EQ(run(figures), reason);
    EXPECT_EQ(figures.opened, 0);
    EXPECT_EQ(figures.refused, 1);
    EXPECT_EQ(figures.error, reason);
  }
}

TEST_F(FaultyEviction, TakesAFileThatIsGoneForNoError) {
  for (const int reason : {ENOENT, ENOTDIR, ELOOP}) {
    Faults faults;
    faults.on(Call::open_beneath, "target").fails(reason);
    Evicted figures;
    EXPECT_EQ(run(figures), 0);
    EXPECT_EQ(figures.opened, 0);
    EXPECT_EQ(figures.changed, 1);
  }
}

TEST_F(FaultyEviction, OpensNothingAboutWhichTheKernelDoesNotTell) {
  Faults faults;
  faults.on(Call::stat, "target").fails(EIO);
  Evicted figures;
  EXPECT_EQ(run(figures), EIO);
  EXPECT_EQ(figures.refused, 1);
}

/// A machine of v2. An eviction there also makes the kernel release cgroups that only writeback
/// refers to.
class FaultyNudge : public FaultyEviction {
 protected:
  FaultyNudge() {
    v2_.put_v2("", "memory");
    std::filesystem::create_symlink("/proc/self/fd", v2_.path("proc/self/fd"));
    faults_.on(Call::sync_all).returns(0).always();
    faults_.on(Call::sync_file_system).returns(0).always();
  }

  void evict(std::optional<std::vector<std::string>> write_back) {
    const auto host = v2_.host();
    ASSERT_TRUE(host);
    Eviction eviction(*host, found_, 10, Eviction::Clock::now() + 1s);
    if (write_back) {
      auto file_systems = detail::WriteBack::open(*write_back);
      ASSERT_TRUE(file_systems) << file_systems.error().message();
      eviction.write_back_before_nudge(std::move(*file_systems));
    }
    Evicted figures;
    EXPECT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
    EXPECT_EQ(faults_.calls(Call::make_directory_at, "cgctl-nudge"), 1);
    EXPECT_FALSE(std::filesystem::exists(v2_.cgroup("cgctl-nudge")));
  }

  test::MadeMachine v2_{test::v2_mount("/sys/fs/cgroup")};
  Faults faults_;
};

TEST_F(FaultyNudge, WritesBackAllFileSystemsWhereOnlyWritebackRefersToCgroups) {
  found_.files.clear();
  bool written = false;
  faults_.on(Call::make_directory_at, "cgctl-nudge").after([&] {
    written = faults_.calls(Call::sync_all) == 1;
  });
  evict(std::vector<std::string>());
  EXPECT_TRUE(written) << "the kernel releases a cgroup only if its inodes are clean";
  EXPECT_EQ(faults_.calls(Call::sync_file_system), 0);
}

TEST_F(FaultyNudge, WritesBackOnlyTheFileSystemsOfThePolicy) {
  found_.files.clear();
  evict(std::vector<std::string>(1, files_.path()));
  EXPECT_EQ(faults_.calls(Call::sync_all), 0);
  EXPECT_EQ(faults_.calls(Call::sync_file_system), 1);
}

TEST_F(FaultyNudge, WritesBackTheFileSystemsOfTheFilesThatItEvicted) {
  found_.files.push_back(found_.files.front());
  evict(std::nullopt);
  EXPECT_EQ(faults_.calls(Call::sync_all), 0);
  EXPECT_EQ(faults_.calls(Call::sync_file_system), 1) << "both files are on one";
}

TEST_F(FaultyNudge, WritesBackWhereNoPageTellsTheFileSystemToo) {
  evict(std::vector<std::string>());
  EXPECT_EQ(faults_.calls(Call::sync_all), 1);
  EXPECT_EQ(faults_.calls(Call::sync_file_system), 1);
}

}  // namespace evict_test
