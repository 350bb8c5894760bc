// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/filesystem.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "../support/temp_directory.hpp"
#include "cgctl/zombies.hpp"
#include "faulty_sys.hpp"

namespace filesystem_test {

using namespace cgctl;
using fault::Call;
using fault::Faults;

/// A file that a test can make look like one of the kernel's.
class Filesystem : public ::testing::Test {
 protected:
  UniqueFd open(int flags) {
    auto fd = fs::open_trusted(path_, flags);
    EXPECT_TRUE(fd) << fd.error().message();
    return fd ? std::move(*fd) : UniqueFd();
  }
  static void pretend_cgroupfs(Faults& faults) {
    faults.on(Call::file_system, "file").returns(fs::cgroup_v1_magic);
  }

  test::TempDirectory directory_;
  const std::string path_ = directory_ / "file";
};

TEST_F(Filesystem, AnInterruptedReadIsRepeated) {
  test::put_file(path_, "value\n");
  const UniqueFd fd = open(O_RDONLY);
  Faults faults;
  faults.on(Call::pread, "file").fails(EINTR).times(3);
  std::vector<char> buffer;
  const auto text = fs::read_once(fd.get(), buffer, path_);
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_EQ(*text, "value\n");
  EXPECT_EQ(faults.calls(Call::pread, "file"), 4);
}

TEST_F(Filesystem, AnInterruptedReadToTheEndIsRepeated) {
  test::put_file(path_, "value\n");
  const UniqueFd fd = open(O_RDONLY);
  Faults faults;
  faults.on(Call::pread, "file").fails(EINTR);
  faults.on(Call::pread, "file").fails(EINTR).skip(1);
  EXPECT_EQ(fs::read_all(fd.get(), path_).value_or("failed"), "value\n");
}

TEST_F(Filesystem, AReadToTheEndGoesOnAfterShortReads) {
  std::string long_text;
  for (int i = 0; i < 3000; ++i) long_text += std::to_string(i) + "\n";
  test::put_file(path_, long_text);
  const UniqueFd fd = open(O_RDONLY);
  Faults faults;
  faults.on(Call::pread, "file").at_most(1000).always();
  EXPECT_EQ(fs::read_all(fd.get(), path_).value_or("failed"), long_text);
}

TEST_F(Filesystem, ATextThatFillsTheBufferIsReadAgainWhole) {
  test::put_file(path_, "small\n");
  const UniqueFd fd = open(O_RDONLY);
  const std::string first(4096, 'a');
  const std::string second(5000, 'b');
  Faults faults;
  faults.on(Call::pread, "file").gives(first);
  faults.on(Call::pread, "file").gives(second);
  std::vector<char> buffer;
  const auto text = fs::read_once(fd.get(), buffer, path_);
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_EQ(*text, second) << "no part of the first read may be left in the text";
}

TEST_F(Filesystem, AReadErrorSaysWhichFileAndWhy) {
  test::put_file(path_, "value\n");
  const UniqueFd fd = open(O_RDONLY);
  Faults faults;
  faults.on(Call::pread, "file").fails(EIO);
  std::vector<char> buffer;
  const auto text = fs::read_once(fd.get(), buffer, "/shown");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::system);
  EXPECT_EQ(text.error().os_errno, EIO);
  EXPECT_EQ(text.error().message(), "read /shown: Input/output error");
}

TEST_F(Filesystem, ENODEVFromAReadMeansThatTheCgroupVanished) {
  test::put_file(path_, "value\n");
  const UniqueFd fd = open(O_RDONLY);
  Faults faults;
  faults.on(Call::pread, "file").fails(ENODEV).times(2);
  std::vector<char> buffer;
  const auto once = fs::read_once(fd.get(), buffer, path_);
  ASSERT_FALSE(once);
  EXPECT_EQ(once.error().kind, errc::vanished);
  const auto all = fs::read_all(fd.get(), path_);
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().kind, errc::vanished);
}

TEST_F(Filesystem, AnInterruptedOpenIsHandedToTheCaller) {
  // Opening a cgroup, proc or sysfs file never waits, so that no signal can interrupt it.
  test::put_file(path_, "value\n");
  Faults faults;
  faults.on(Call::open_at, "file").fails(EINTR);
  const auto trusted = fs::open_trusted(path_, O_RDONLY);
  ASSERT_FALSE(trusted);
  EXPECT_EQ(trusted.error().os_errno, EINTR);
  EXPECT_EQ(faults.calls(Call::open_at, "file"), 1);

  const auto directory = fs::open_trusted(directory_.path(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(directory);
  faults.on(Call::open_beneath, "file").fails(EINTR);
  const auto beneath = fs::open_beneath(directory->get(), "file", O_RDONLY, path_);
  ASSERT_FALSE(beneath);
  EXPECT_EQ(beneath.error().os_errno, EINTR);
  EXPECT_EQ(faults.calls(Call::open_beneath, "file"), 1);
}

TEST_F(Filesystem, AnInterruptedListingIsRepeated) {
  for (const char* name : {"a", "b", "c"}) std::filesystem::create_directory(directory_ / name);
  const auto directory = fs::open_trusted(directory_.path(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(directory);
  Faults faults;
  faults.on(Call::getdents64).fails(EINTR).times(2);
  EXPECT_EQ(zombies::count_directories(directory->get(), "shown").value_or(0), 4);
}

TEST_F(Filesystem, AnInterruptedWriteIsRepeated) {
  test::put_file(path_, "");
  const UniqueFd fd = open(O_WRONLY);
  Faults faults;
  pretend_cgroupfs(faults);
  faults.on(Call::write, "file").fails(EINTR).times(2);
  const auto status = fs::write_once(fd.get(), "100", path_);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(test::file_text(path_), "100");
}

TEST_F(Filesystem, AShortWriteIsAnErrorAndIsNotContinued) {
  test::put_file(path_, "");
  const UniqueFd fd = open(O_WRONLY);
  Faults faults;
  pretend_cgroupfs(faults);
  faults.on(Call::write, "file").at_most(2);
  const auto status = fs::write_once(fd.get(), "100", path_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message(),
            "write " + path_ + ": the kernel took only a part of the value");
  EXPECT_EQ(faults.calls(Call::write, "file"), 1);
}

TEST_F(Filesystem, EAGAINFromAWriteIsHandedToTheCaller) {
  test::put_file(path_, "");
  const UniqueFd fd = open(O_WRONLY);
  Faults faults;
  pretend_cgroupfs(faults);
  faults.on(Call::write, "file").fails(EAGAIN);
  const auto status = fs::write_once(fd.get(), "100", path_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::system);
  EXPECT_EQ(status.error().os_errno, EAGAIN);
  EXPECT_EQ(faults.calls(Call::write, "file"), 1);
}

TEST_F(Filesystem, AWriteToAFileThatIsNotTheKernelsIsRefusedBeforeItHappens) {
  test::put_file(path_, "mine");
  const UniqueFd fd = open(O_WRONLY);
  Faults faults;
  const auto status = fs::write_once(fd.get(), "100", path_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::outside);
  EXPECT_EQ(faults.calls(Call::write), 0);
  EXPECT_EQ(test::file_text(path_), "mine");
}

TEST_F(Filesystem, AWriteIsRefusedOnAnUnknownFileSystem) {
  test::put_file(path_, "mine");
  const UniqueFd fd = open(O_WRONLY);
  Faults faults;
  faults.on(Call::file_system, "file").fails(ENOSYS);
  const auto status = fs::write_once(fd.get(), "100", path_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().os_errno, ENOSYS);
  EXPECT_EQ(faults.calls(Call::write), 0);
}

TEST_F(Filesystem, OnlyTheRequestedFileSystemIsWrittenTo) {
  test::put_file(path_, "");
  const UniqueFd fd = open(O_WRONLY);
  Faults faults;
  pretend_cgroupfs(faults);
  const auto status = fs::write_once(fd.get(), "100", path_, {fs::cgroup_v2_magic});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::outside);
}

struct Hint {
  int os_errno;
  const char* says;
};

class AnOpenThatFails : public ::testing::TestWithParam<Hint> {};

TEST_P(AnOpenThatFails, HasTheHintForItsErrno) {
  test::TempDirectory directory;
  test::put_file(directory / "file", "value\n");
  const auto held = fs::open_trusted(directory.path(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(held);
  Faults faults;
  faults.on(Call::open_at, "file").fails(GetParam().os_errno).always();
  faults.on(Call::open_beneath, "file").fails(GetParam().os_errno);
  for (const auto& opened : {fs::open_trusted(directory / "file", O_RDONLY),
                             fs::open_beneath(held->get(), "file", O_RDONLY, "shown")}) {
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, errc::system);
    EXPECT_EQ(opened.error().os_errno, GetParam().os_errno);
    EXPECT_NE(opened.error().hint.find(GetParam().says), std::string::npos)
        << opened.error().message();
  }
}

INSTANTIATE_TEST_SUITE_P(ForEachReason, AnOpenThatFails,
                         ::testing::Values(Hint{EMFILE, "ulimit -n"}, Hint{EACCES, "root"},
                                           Hint{EPERM, "root"}, Hint{EROFS, "read-only"}));

}  // namespace filesystem_test
