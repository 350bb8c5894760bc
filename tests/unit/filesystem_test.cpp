// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/filesystem.hpp"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "../support/temp_directory.hpp"

namespace filesystem_test {

using namespace cgctl;
using test::fails;
using test::must;
using test::ok;

TEST(CleanRelativePath, HasNoRedundantSlashesAndDots) {
  EXPECT_EQ(must(fs::clean_relative_path("/kubepods/pod-a")), "kubepods/pod-a");
  EXPECT_EQ(must(fs::clean_relative_path("kubepods//./pod-a/")), "kubepods/pod-a");
  EXPECT_EQ(must(fs::clean_relative_path("./a/.")), "a");
}

TEST(CleanRelativePath, OfTheDirectoryItselfIsDot) {
  for (const char* path : {"", "/", ".", "./", "//", "/./."})
    EXPECT_EQ(must(fs::clean_relative_path(path)), ".") << path;
}

TEST(CleanRelativePath, RefusesDotDotWhereverItStands) {
  for (const char* path : {"..", "/..", "../a", "a/..", "a/../b", "a/b/../../..", ".//..//a"}) {
    const auto clean = fs::clean_relative_path(path);
    EXPECT_TRUE(fails(clean, errc::outside)) << path;
    EXPECT_EQ(clean.error().path, path);
    EXPECT_FALSE(clean.error().hint.empty());
  }
}

TEST(CleanRelativePath, KeepsNamesThatOnlyLookLikeDotDot) {
  for (const char* path : {"...", "..a", "a..", ".a", "a/.../b", "-", " ", "a b\nc", "\\x2e\\x2e"})
    EXPECT_EQ(must(fs::clean_relative_path(path)), path);
}

TEST(CleanRelativePath, RefusesANulByte) {
  const auto clean = fs::clean_relative_path(std::string_view("a\0/../b", 7));
  ASSERT_TRUE(fails(clean, errc::invalid_argument));
  EXPECT_EQ(clean.error().message(), "resolve a: the path has a NUL byte");
}

TEST(CleanRelativePath, TakesNamesOf255BytesAndNoLongerOnes) {
  const std::string longest(255, 'n');
  EXPECT_EQ(must(fs::clean_relative_path("/a/" + longest)), "a/" + longest);
  EXPECT_TRUE(fails(fs::clean_relative_path("/a/" + longest + "n/b"), errc::invalid_argument));
}

TEST(CleanRelativePath, TakesPathsBeyondTheKernelsLongest) {
  std::string path = "1234567890";
  while (path.size() < 10000) path += "/1234567890";
  EXPECT_EQ(must(fs::clean_relative_path(path)), path);
  EXPECT_EQ(must(fs::clean_relative_path(std::string(5000, '/') + path)), path);
  EXPECT_TRUE(fails(fs::clean_relative_path(path + "/.."), errc::outside));
}

TEST(Join, PutsOneSlashBetween) {
  EXPECT_EQ(fs::join("/sys/fs/cgroup", "memory"), "/sys/fs/cgroup/memory");
  EXPECT_EQ(fs::join("/sys/fs/cgroup//", "//memory"), "/sys/fs/cgroup/memory");
  EXPECT_EQ(fs::join("a", "b/c"), "a/b/c");
}

TEST(Join, AddsNothingForNothing) {
  EXPECT_EQ(fs::join("/a", ""), "/a");
  EXPECT_EQ(fs::join("/a", "."), "/a");
  EXPECT_EQ(fs::join("/a/", "/"), "/a");
}

TEST(Join, OfTheRootHasOneSlash) {
  EXPECT_EQ(fs::join("/", ""), "/");
  EXPECT_EQ(fs::join("/", "/"), "/");
  EXPECT_EQ(fs::join("/", "a"), "/a");
}

TEST(Parent, IsThePathWithoutTheLastName) {
  EXPECT_EQ(fs::parent("/a/b"), "/a");
  EXPECT_EQ(fs::parent("/a"), "/");
  EXPECT_EQ(fs::parent("/"), "/");
}

/// A directory "root" with the file a/b/file, and beside it a file that must not be reached.
class OpenBeneath : public ::testing::Test {
 protected:
  void SetUp() override {
    test::put_file(tree_ / "root/a/b/file", "inside\n");
    test::put_file(tree_ / "secret", "outside\n");
    open_root();
  }
  void open_root() { root_ = must(fs::open_trusted(tree_ / "root", O_PATH | O_DIRECTORY)); }
  [[nodiscard]] Result<UniqueFd> open(std::string_view path, int flags = O_RDONLY) const {
    return fs::open_beneath(root_.get(), path, flags, path);
  }

  test::TempDirectory tree_;
  UniqueFd root_;
};

TEST_F(OpenBeneath, OpensFilesInside) {
  for (const char* path : {"a/b/file", "/a/b/file", "a//b/./file", "./a/b/file"}) {
    EXPECT_EQ(must(fs::read_beneath(root_.get(), path, path)), "inside\n");
  }
  for (const char* path : {"", ".", "/", "a", "a/b/"})
    EXPECT_TRUE(ok(open(path, O_PATH | O_DIRECTORY))) << path;
}

TEST_F(OpenBeneath, TreatsAnAbsolutePathAsRelative) {
  const auto fd = open(tree_ / "secret");
  ASSERT_TRUE(fails(fd, errc::system));
  EXPECT_EQ(fd.error().os_errno, ENOENT);
}

TEST_F(OpenBeneath, RefusesDotDotEvenWhereItWouldStayInside) {
  for (const char* path : {"..", "../secret", "a/../../secret", "a/b/..", "a/../a/b/file"})
    EXPECT_TRUE(fails(open(path), errc::outside)) << path;
}

TEST_F(OpenBeneath, RefusesNulBytesAndNamesThatAreTooLong) {
  for (const std::string_view path :
       {std::string_view("a/b/file\0x", 10), std::string_view("a\0x", 3)})
    EXPECT_TRUE(fails(open(path), errc::invalid_argument));
  for (const char* parent : {"", "a/"})
    EXPECT_TRUE(fails(open(parent + std::string(256, 'n')), errc::invalid_argument)) << parent;
}

TEST_F(OpenBeneath, RefusesASymbolicLinkAtTheEndAndInTheMiddle) {
  std::filesystem::create_symlink(tree_ / "secret", tree_ / "root/absolute");
  std::filesystem::create_symlink("../secret", tree_ / "root/relative");
  std::filesystem::create_symlink("a/b/file", tree_ / "root/inner");
  std::filesystem::create_symlink("nowhere", tree_ / "root/dangling");
  std::filesystem::create_directory_symlink(tree_.path(), tree_ / "root/up");
  std::filesystem::create_directory_symlink("b", tree_ / "root/a/down");
  for (const char* path :
       {"absolute", "relative", "inner", "dangling", "up", "up/secret", "a/down", "a/down/file"}) {
    EXPECT_TRUE(fails(open(path), errc::outside)) << path;
    EXPECT_TRUE(fails(open(path, O_PATH), errc::outside)) << path;
  }
}

TEST_F(OpenBeneath, RefusesWhatIsMountedInside) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              const std::string where = tree_ / "root/a/b";
              if (::mount("tmpfs", where.c_str(), "tmpfs", 0, nullptr) != 0) return "mount failed";
              open_root();  // a descriptor sees the mounts of the namespace in which it was opened
              test::put_file(where + "/file", "of the tmpfs\n");
              for (const char* path : {"a/b", "a/b/file"}) {
                const auto fd = open(path);
                if (!fails(fd, errc::outside)) return fails(fd, errc::outside).message();
              }
              return ok(open("a")) ? "" : "the directory above does not open";
            }),
            "");
}

TEST_F(OpenBeneath, NamesAMissingPath) {
  const auto fd = fs::open_beneath(root_.get(), "a/nothing", O_RDONLY, "/mnt/a/nothing");
  ASSERT_TRUE(fails(fd, errc::system));
  EXPECT_EQ(fd.error().message(), "open /mnt/a/nothing: No such file or directory");
}

TEST_F(OpenBeneath, DescriptorsAreNotInheritedByOtherPrograms) {
  EXPECT_EQ(::fcntl(must(open("a/b/file")).get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(root_.get(), F_GETFD), FD_CLOEXEC);
}

TEST(OpenTrusted, FollowsLinksAsTheCallerTrustsThePath) {
  const test::TempDirectory tree;
  test::put_file(tree / "file", "text");
  std::filesystem::create_symlink("file", tree / "link");
  EXPECT_EQ(must(fs::read_trusted(tree / "link")), "text");
}

TEST_F(OpenBeneath, WaitsForNobodyAtAFifo) {
  const std::string fifo = tree_ / "root/a/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto text = fs::read_beneath(root_.get(), "a/fifo", "a/fifo");
  ASSERT_TRUE(fails(text, errc::system));
  EXPECT_EQ(text.error().os_errno, ESPIPE);
  EXPECT_TRUE(fails(fs::read_trusted(fifo), errc::system));
  const auto writing = open("a/fifo", O_WRONLY);
  ASSERT_TRUE(fails(writing, errc::system));
  EXPECT_EQ(writing.error().os_errno, ENXIO);
}

TEST_F(OpenBeneath, LeavesWritesAsTheCallerWantsThem) {
  const UniqueFd fd = must(open("a/b/file", O_WRONLY));
  EXPECT_EQ(::fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY);
}

TEST(OpenInRoot, FollowsNoLinkOfACapturedTree) {
  const test::TempDirectory tree;
  test::put_file(tree / "outside", "text");
  test::put_file(tree / "proc/inside", "text");
  std::filesystem::create_symlink("../outside", tree / "proc/link");
  EXPECT_EQ(must(fs::read_in_root(tree / "proc", "inside")), "text");
  EXPECT_TRUE(fails(fs::read_in_root(tree / "proc", "link"), errc::outside));
  EXPECT_TRUE(fails(fs::read_in_root(tree / "proc", "../outside"), errc::outside));
}

TEST(OpenInRoot, FollowsTheKernelsOwnLinks) {
  EXPECT_TRUE(ok(fs::read_in_root("/proc/.", "self/cgroup")));
  EXPECT_TRUE(ok(fs::read_in_root("/proc", "self/cgroup")));
}

TEST(OpenMountPoint, StaysBelowItsRoot) {
  const test::TempDirectory tree;
  test::put_file(tree / "root/a/b/file", "");
  std::filesystem::create_directory_symlink("a", tree / "root/link");
  EXPECT_TRUE(ok(fs::open_mount_point(tree / "root", "/a/b")));
  EXPECT_TRUE(ok(fs::open_mount_point(tree / "root", "")));
  EXPECT_TRUE(fails(fs::open_mount_point(tree / "root", "/link/b"), errc::outside));
  EXPECT_TRUE(fails(fs::open_mount_point(tree / "root", "/../root"), errc::outside));
}

TEST(WriteOutput, ReplacesAFileAndNothingElse) {
  const test::TempDirectory tree;
  test::put_file(tree / "file", "old");
  std::filesystem::create_symlink("file", tree / "link");
  const std::string fifo = tree / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(fails(fs::write_output(tree / "link", "new"), errc::invalid_argument));
  EXPECT_TRUE(fails(fs::write_output(fifo, "new"), errc::invalid_argument));
  EXPECT_TRUE(fails(fs::write_output(tree.path(), "new"), errc::system));
  EXPECT_EQ(test::file_text(tree / "file"), "old");
  EXPECT_TRUE(ok(fs::write_output(tree / "file", "new")));
  EXPECT_TRUE(ok(fs::write_output(tree / "another", "new")));
  EXPECT_EQ(test::file_text(tree / "file"), "new");
  EXPECT_EQ(test::file_text(tree / "another"), "new");
}

TEST(WriteOutput, WritesToAFifoThatIsRead) {
  const test::TempDirectory tree;
  const std::string fifo = tree / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_TRUE(ok(fs::write_output(fifo, "new")));
  std::array<char, 8> text{};
  EXPECT_EQ(::read(reader.get(), text.data(), text.size()), 3);
}

TEST(ReplaceFile, RemovesALinkOrAFifoInTheWay) {
  const test::TempDirectory tree;
  test::put_file(tree / "victim", "kept");
  std::filesystem::create_symlink("victim", tree / "file.new");
  EXPECT_TRUE(ok(fs::replace_file(tree / "file", tree / "file.new", "new", fs::Sync::none)));
  EXPECT_EQ(test::file_text(tree / "victim"), "kept");
  const std::string fifo = tree / "file.new";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(ok(fs::replace_file(tree / "file", fifo, "newer", fs::Sync::to_disk)));
  EXPECT_EQ(test::file_text(tree / "file"), "newer");
}

TEST(OpenTrusted, NamesAMissingFile) {
  const test::TempDirectory tree;
  const auto text = fs::read_trusted(tree / "nothing");
  ASSERT_TRUE(fails(text, errc::system));
  EXPECT_EQ(text.error().os_errno, ENOENT);
  EXPECT_EQ(text.error().path, tree / "nothing");
}

TEST(OpenTrusted, SaysWhatToDoWhenDescriptorsRunOut) {
  EXPECT_EQ(test::in_child([]() -> std::string {
              const rlimit none{0, 0};
              if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return "setrlimit failed";
              const auto fd = fs::open_trusted("/", O_PATH);
              if (fd) return "was opened";
              return fd.error().os_errno == EMFILE && !fd.error().hint.empty()
                         ? ""
                         : fd.error().message();
            }),
            "");
}

/// Returns a text in which no 16 bytes occur twice.
std::string numbered_lines(std::size_t size) {
  std::string text;
  for (unsigned line = 0; text.size() < size; ++line) text += std::to_string(line) + "\n";
  text.resize(size);
  return text;
}

class ReadsOfSize : public ::testing::TestWithParam<std::size_t> {};

TEST_P(ReadsOfSize, AreWholeWhateverTheBuffer) {
  const test::TempDirectory tree;
  const std::string text = numbered_lines(GetParam());
  test::put_file(tree / "file", text);
  const UniqueFd fd = must(fs::open_trusted(tree / "file", O_RDONLY));
  std::vector<char> buffer;
  for (int again = 0; again < 2; ++again) {
    EXPECT_EQ(must(fs::read_once(fd.get(), buffer, "file")), text);
    EXPECT_EQ(must(fs::read_all(fd.get(), "file")), text);
  }
}

INSTANTIATE_TEST_SUITE_P(AroundTheBuffers, ReadsOfSize,
                         ::testing::Values(0, 1, 4095, 4096, 4097, 16383, 16384, 16385, 300000));

TEST(ReadOnce, KeepsTheBufferOfACaller) {
  const test::TempDirectory tree;
  test::put_file(tree / "file", "text");
  const UniqueFd fd = must(fs::open_trusted(tree / "file", O_RDONLY));
  std::vector<char> buffer(100);
  const std::string_view text = must(fs::read_once(fd.get(), buffer, "file"));
  EXPECT_EQ(text.data(), buffer.data());
  EXPECT_EQ(buffer.size(), 100U);
}

TEST(ReadOnce, StartsAtTheBeginningEachTime) {
  const test::TempDirectory tree;
  test::put_file(tree / "file", "first");
  const UniqueFd fd = must(fs::open_trusted(tree / "file", O_RDONLY));
  std::vector<char> buffer;
  EXPECT_EQ(must(fs::read_once(fd.get(), buffer, "file")), "first");
  test::put_file(tree / "file", "2nd");
  EXPECT_EQ(must(fs::read_once(fd.get(), buffer, "file")), "2nd");
}

TEST(ReadOnce, RefusesAFileThatNoKernelMakes) {
  const test::TempDirectory tree;
  test::put_file(tree / "file", "");
  std::filesystem::resize_file(tree / "file", (std::uintmax_t{64} << 20) + 1);
  const UniqueFd fd = must(fs::open_trusted(tree / "file", O_RDONLY));
  std::vector<char> buffer;
  EXPECT_TRUE(fails(fs::read_once(fd.get(), buffer, "file"), errc::malformed));
  EXPECT_TRUE(fails(fs::read_all(fd.get(), "file"), errc::malformed));
}

TEST(ReadOnce, OfADirectorySaysSo) {
  const test::TempDirectory tree;
  const UniqueFd fd = must(fs::open_trusted(tree.path(), O_RDONLY));
  std::vector<char> buffer;
  const auto text = fs::read_once(fd.get(), buffer, "/shown");
  ASSERT_TRUE(fails(text, errc::system));
  EXPECT_EQ(text.error().message(), "read /shown: Is a directory");
  EXPECT_TRUE(fails(fs::read_all(fd.get(), "/shown"), errc::system));
}

TEST(ReadAll, ReadsTextsThatComeInPieces) {
  const std::string maps = must(fs::read_trusted("/proc/self/smaps"));
  EXPECT_GT(maps.size(), 4096U);
  EXPECT_EQ(maps.back(), '\n');
}

TEST(WriteOnce, WritesTheValueToAFileOfTheFileSystemNamed) {
  const test::TempDirectory tree;
  test::put_file(tree / "file", "");
  struct ::statfs found {};
  ASSERT_EQ(::statfs((tree / "file").c_str(), &found), 0);
  const UniqueFd fd = must(fs::open_trusted(tree / "file", O_WRONLY));
  EXPECT_TRUE(ok(fs::write_once(fd.get(), "50000", "file", {1, found.f_type})));
  EXPECT_EQ(test::file_text(tree / "file"), "50000");
}

TEST(WriteOnce, RefusesAFileThatIsNotTheKernels) {
  const test::TempDirectory tree;
  test::put_file(tree / "file", "as it was");
  const UniqueFd fd = must(fs::open_trusted(tree / "file", O_WRONLY));
  EXPECT_TRUE(fails(fs::write_once(fd.get(), "50000", "file"), errc::outside));
  EXPECT_EQ(test::file_text(tree / "file"), "as it was");
}

TEST(WriteOnce, HandsOnTheErrno) {
  const test::TempDirectory tree;
  test::put_file(tree / "file", "as it was");
  struct ::statfs found {};
  ASSERT_EQ(::statfs((tree / "file").c_str(), &found), 0);
  const UniqueFd fd = must(fs::open_trusted(tree / "file", O_RDONLY));
  const auto status = fs::write_once(fd.get(), "50000", "file", {found.f_type});
  ASSERT_TRUE(fails(status, errc::system));
  EXPECT_EQ(status.error().os_errno, EBADF);
}

TEST(SystemError, OfARemovedCgroupIsVanished) {
  const Error error = fs::system_error("read", "/f", ENODEV);
  EXPECT_EQ(error.kind, errc::vanished);
  EXPECT_EQ(error.message(), "read /f: the cgroup was removed");
}

TEST(SystemError, HasAHintWhereSomethingCanBeDone) {
  for (const int os_errno : {EACCES, EPERM, EROFS, EMFILE}) {
    const Error error = fs::system_error("open", "/f", os_errno);
    EXPECT_EQ(error.kind, errc::system);
    EXPECT_EQ(error.os_errno, os_errno);
    EXPECT_FALSE(error.hint.empty()) << os_errno;
  }
  EXPECT_TRUE(fs::system_error("open", "/f", EIO).hint.empty());
}

}  // namespace filesystem_test
