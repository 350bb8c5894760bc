// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Checks what a path must not reach. Each test opens in every way there is: by openat2(2), and by
// the walk that replaces it where the kernel lacks openat2 (ENOSYS) or a seccomp filter refuses it
// (EPERM).

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "../support/child.hpp"
#include "../support/skip.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/filesystem.hpp"
#include "faulty_sys.hpp"

namespace containment_test {

using namespace cgctl;
using fault::Call;
using fault::Faults;

/// The parameter is 0 for a working openat2, else the errno with which it fails.
class Containment : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    test::put_file(tree_ / "root/a/b/file", "inside\n");
    test::put_file(tree_ / "secret", "outside\n");
    namespace sf = std::filesystem;
    sf::create_symlink(tree_ / "secret", tree_ / "root/a/absolute_link");
    sf::create_symlink("../../secret", tree_ / "root/a/relative_link");
    sf::create_symlink("b/file", tree_ / "root/a/inner_link");
    sf::create_directory_symlink("b", tree_ / "root/a/inner_directory_link");
    sf::create_directory_symlink(tree_.path(), tree_ / "root/a/directory_link");
    open_root();
    if (GetParam() != 0) faults_.on(Call::open_beneath).fails(GetParam()).always();
  }

  void open_root() {
    auto root = fs::open_trusted(tree_ / "root", O_PATH | O_DIRECTORY);
    ASSERT_TRUE(root) << root.error().message();
    root_ = std::move(*root);
  }
  [[nodiscard]] Result<UniqueFd> open(std::string_view path, int flags = O_RDONLY) const {
    return fs::open_beneath(root_.get(), path, flags, path);
  }
  void expect_outside(std::string_view path, int flags = O_RDONLY) const {
    const auto fd = open(path, flags);
    ASSERT_FALSE(fd) << path << " was opened";
    EXPECT_EQ(fd.error().kind, errc::outside) << fd.error().message();
  }
  void expect_errno(std::string_view path, int expected, int flags = O_RDONLY) const {
    const auto fd = open(path, flags);
    ASSERT_FALSE(fd) << path << " was opened";
    EXPECT_EQ(fd.error().kind, errc::system) << fd.error().message();
    EXPECT_EQ(fd.error().os_errno, expected) << fd.error().message();
  }

  test::TempDirectory tree_;
  UniqueFd root_;
  Faults faults_;
};

TEST_P(Containment, FilesInsideOpen) {
  for (const char* path : {"a/b/file", "/a/b/file", "a//b/./file"}) {
    const auto fd = open(path);
    ASSERT_TRUE(fd) << fd.error().message();
    EXPECT_EQ(fs::read_all(fd->get(), path).value_or(""), "inside\n");
  }
  for (const char* path : {"a/b", ".", "", "/"}) {
    const auto fd = open(path, O_PATH | O_DIRECTORY);
    EXPECT_TRUE(fd) << fd.error().message();
  }
}

TEST_P(Containment, TheWalkIsUsedOnlyWhereOpenat2IsMissing) {
  ASSERT_TRUE(open("a/b/file"));
  EXPECT_EQ(faults_.calls(Call::open_beneath), 1);
  EXPECT_EQ(faults_.calls(Call::open_at, "b/file"), GetParam() == 0 ? 0 : 1);
}

TEST_P(Containment, DotDotIsRefusedWithoutAskingTheKernel) {
  for (const char* path : {"..", "../secret", "a/../../secret", "a/b/..", "a/.."})
    expect_outside(path);
  EXPECT_EQ(faults_.calls(Call::open_beneath), 0);
}

TEST_P(Containment, AnAbsolutePathIsTakenBelowTheDirectory) {
  expect_errno(tree_ / "secret", ENOENT);
}

TEST_P(Containment, ASymbolicLinkAtTheEndIsRefused) {
  for (const char* link : {"a/absolute_link", "a/relative_link", "a/inner_link"}) {
    expect_outside(link);
    expect_outside(link, O_PATH);
    expect_outside(link, O_WRONLY);
  }
}

TEST_P(Containment, ASymbolicLinkToADirectoryAtTheEndIsRefused) {
  for (const char* link : {"a/directory_link", "a/inner_directory_link"}) {
    expect_outside(link, O_PATH | O_DIRECTORY);
    expect_outside(link, O_RDONLY | O_DIRECTORY);
  }
}

TEST_P(Containment, ASymbolicLinkInTheMiddleIsRefused) {
  expect_outside("a/directory_link/secret");
  expect_outside("a/inner_directory_link/file");
}

TEST_P(Containment, AFileInTheMiddleOfThePathIsRefused) { expect_errno("a/b/file/more", ENOTDIR); }

TEST_P(Containment, AFileIsRefusedWhereADirectoryIsWanted) {
  expect_errno("a/b/file", ENOTDIR, O_PATH | O_DIRECTORY);
}

TEST_P(Containment, AMissingFileIsENOENT) {
  expect_errno("a/nothing", ENOENT);
  expect_errno("nothing/file", ENOENT);
}

TEST_P(Containment, AnotherFileSystemMountedInsideIsRefused) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              const std::string where = tree_ / "root/a/b";
              if (::mount("tmpfs", where.c_str(), "tmpfs", 0, nullptr) != 0) return "mount failed";
              open_root();  // a descriptor sees the mounts of the namespace in which it was opened
              test::put_file(where + "/file", "of the tmpfs\n");
              for (const char* path : {"a/b", "a/b/file"}) {
                const auto fd = open(path);
                if (fd) return std::string(path) + " was opened";
                if (fd.error().kind != errc::outside) return fd.error().message();
              }
              return open("a") ? "" : "the directory above does not open";
            }),
            "");
}

TEST_P(Containment, AFileMountedOverAFileIsRefused) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              const std::string where = tree_ / "root/a/b/file";
              if (::mount("/proc/version", where.c_str(), nullptr, MS_BIND, nullptr) != 0)
                return "mount failed";
              open_root();
              const auto fd = open("a/b/file");
              if (fd) return "was opened";
              return fd.error().kind == errc::outside ? "" : fd.error().message();
            }),
            "");
}

TEST_P(Containment, APermissionRefusedByTheFileItselfStaysAnError) {
  if (!test::is_root()) return test::skip("becoming somebody else needs root");
  std::filesystem::permissions(tree_.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(tree_ / "root/a/b/file", std::filesystem::perms(0600));
  EXPECT_EQ(test::in_child([&]() -> std::string {
              constexpr uid_t nobody = 65534;
              if (::setresuid(nobody, nobody, nobody) != 0) return "setresuid failed";
              const auto fd = open("a/b/file");
              if (fd) return "was opened";
              if (fd.error().kind != errc::system || fd.error().os_errno != EACCES ||
                  fd.error().hint.empty()) {
                return fd.error().message();
              }
              return {};
            }),
            "");
}

std::string door(const ::testing::TestParamInfo<int>& info) {
  if (info.param == 0) return "ByOpenat2";
  return info.param == ENOSYS ? "WhereOpenat2IsMissing" : "WhereOpenat2IsForbidden";
}

INSTANTIATE_TEST_SUITE_P(Beneath, Containment, ::testing::Values(0, ENOSYS, EPERM), door);

TEST(ContainmentFallback, AnEpermOfTheFileItselfIsAnErrorWithItsHint) {
  test::TempDirectory tree;
  test::put_file(tree / "file", "");
  const auto root = fs::open_trusted(tree.path(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(root);
  Faults faults;
  faults.on(Call::open_beneath, "file").fails(EPERM);
  faults.on(Call::open_at, "file").fails(EPERM);
  const auto fd = fs::open_beneath(root->get(), "file", O_WRONLY, "/shown");
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().kind, errc::system);
  EXPECT_EQ(fd.error().os_errno, EPERM);
  EXPECT_NE(fd.error().hint.find("root"), std::string::npos);
}

TEST(ContainmentFallback, AfterEaccesThereIsNoWalk) {
  test::TempDirectory tree;
  test::put_file(tree / "file", "");
  const auto root = fs::open_trusted(tree.path(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(root);
  Faults faults;
  faults.on(Call::open_beneath, "file").fails(EACCES);
  const auto fd = fs::open_beneath(root->get(), "file", O_WRONLY, "/shown");
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().os_errno, EACCES);
  EXPECT_NE(fd.error().hint.find("root"), std::string::npos);
  EXPECT_EQ(faults.calls(Call::open_at, "file"), 0);
}

TEST(ContainmentFallback, AMountInTheWayIsNoticedByItsFileSystem) {
  test::TempDirectory tree;
  test::put_file(tree / "file", "");
  const auto root = fs::open_trusted(tree.path(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(root);
  Faults faults;
  faults.on(Call::open_beneath, "file").fails(EXDEV);
  EXPECT_TRUE(fs::open_beneath(root->get(), "file", O_RDONLY, "/shown"));
  EXPECT_EQ(faults.calls(Call::open_at, "file"), 1);
}

TEST(ContainmentFallback, AnUnknownFileSystemIsNotTrusted) {
  test::TempDirectory tree;
  test::put_file(tree / "file", "");
  const auto root = fs::open_trusted(tree.path(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(root);
  for (const char* which : {"", "file"}) {
    Faults faults;
    faults.on(Call::open_beneath, "file").fails(EXDEV);
    faults.on(Call::stat, which).fails(EIO);
    const auto fd = fs::open_beneath(root->get(), "file", O_RDONLY, "/shown");
    ASSERT_FALSE(fd);
    EXPECT_EQ(fd.error().os_errno, EIO);
  }
}

}  // namespace containment_test
