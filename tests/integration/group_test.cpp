// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/group.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "../support/child.hpp"
#include "../support/random_tree.hpp"
#include "../support/skip.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/zombies.hpp"
#include "real_cgroups.hpp"

namespace group_test {

using namespace cgctl;

class RealGroup : public test::RealCgroups {
 protected:
  static constexpr const char* file = "memory.stat";
};

TEST_F(RealGroup, ReadsTheFile) {
  make("a");
  const auto group = host().open(path("a"));
  ASSERT_TRUE(group) << group.error().message();
  EXPECT_EQ(group->path(), path("a"));
  EXPECT_EQ(group->shown(file), directory("a/memory.stat"));
  EXPECT_EQ(group->read("cgroup.procs").value_or("failed"), "");
  const test::Tenant tenant(directory("a"), [] { return 0; });
  const auto place = group->place("memory");
  ASSERT_TRUE(place);
  const auto procs = open_file_in(**place, group->path(), "cgroup.procs", O_RDONLY);
  ASSERT_TRUE(procs);
  EXPECT_EQ(fs::read_all(procs->get(), "procs").value_or("failed"),
            test::file_text(directory("a/cgroup.procs")));
}

TEST_F(RealGroup, WritesAndReadsBack) {
  make("a");
  const char* const control = v2() ? "memory.max" : "memory.limit_in_bytes";
  const auto group = host().open(path("a"));
  ASSERT_TRUE(group);
  const auto fd = group->open_file(control, O_WRONLY);
  ASSERT_TRUE(fd) << fd.error().message();
  const auto status = fs::write_once(fd->get(), "67108864", control);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(group->read(control).value_or("failed"), "67108864\n");
  const auto refused = fs::write_once(fd->get(), "nonsense", control);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().os_errno, EINVAL);
}

TEST_F(RealGroup, IsReportedAsVanishedAfterItsRemoval) {
  make("gone");
  const auto group = host().open(path("gone"));
  ASSERT_TRUE(group);
  const auto place = group->place("memory");
  ASSERT_TRUE(place);
  const auto kept = open_file_in(**place, group->path(), file, O_RDONLY);
  ASSERT_TRUE(kept);
  remove("gone");

  const auto by_kept_file = fs::read_all(kept->get(), file);
  ASSERT_FALSE(by_kept_file);
  EXPECT_EQ(by_kept_file.error().kind, errc::vanished);
  EXPECT_EQ(by_kept_file.error().os_errno, ENODEV);
  const auto by_kept_directory = group->read(file);
  ASSERT_FALSE(by_kept_directory);
  EXPECT_EQ(by_kept_directory.error().kind, errc::vanished);
  const auto children = group->children();
  ASSERT_FALSE(children);
  EXPECT_EQ(children.error().kind, errc::vanished);
  const auto anew = host().open(path("gone"));
  ASSERT_FALSE(anew);
  EXPECT_EQ(anew.error().kind, errc::vanished);
  EXPECT_EQ(anew.error().os_errno, ENOENT);
}

TEST_F(RealGroup, IsNotMistakenForANewOneOfTheSameName) {
  make("again");
  const auto old = host().open(path("again"));
  ASSERT_TRUE(old);
  remove("again");
  make("again");
  const auto text = old->read(file);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::vanished);
  EXPECT_TRUE(host().open(path("again"))->read(file));
}

TEST_F(RealGroup, ReportsAFileThatTheKernelLacks) {
  make("a");
  const auto group = host().open(path("a"));
  ASSERT_TRUE(group);
  const auto text = group->read("memory.no_such_file");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::unsupported);
  const auto controller = group->read("no_such_controller.stat");
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().kind, errc::unsupported);
}

TEST_F(RealGroup, IsNotReachedThroughDotDot) {
  make("a");
  for (const std::string& sly :
       {path("a") + "/../..", path("a") + "/..", std::string("../../etc"), std::string("..")}) {
    const auto group = host().open(sly);
    ASSERT_FALSE(group) << sly;
    EXPECT_EQ(group.error().kind, errc::outside) << sly;
  }
  const auto group = host().open(path("a"));
  ASSERT_TRUE(group);
  for (const char* sly : {"../memory.stat", "memory.stat/..", "..", "."}) {
    const auto fd = group->open_file(sly, O_RDONLY);
    ASSERT_FALSE(fd) << sly;
    EXPECT_TRUE(fd.error().kind == errc::outside || fd.error().kind == errc::unsupported)
        << fd.error().message();
  }
}

TEST_F(RealGroup, CannotHoldASymbolicLink) {
  make("a");
  EXPECT_NE(::symlink("/etc", directory("a/link").c_str()), 0);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(RealGroup, IsNotOpenedWhereAnotherFileSystemIsMountedOverIt) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  make("a");
  make("a/covered");
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              if (::mount("tmpfs", directory("a/covered").c_str(), "tmpfs", 0, nullptr) != 0)
                return "mount failed";
              test::put_file(directory("a/covered/memory.stat"), "cache 1\n");
              test::put_file(directory("a/covered/inner/memory.stat"), "cache 1\n");
              // The host is detected again, since descriptors see the mounts of the namespace in
              // which they were opened.
              const auto here = Host::detect();
              if (!here) return here.error().message();
              for (const char* below : {"a/covered", "a/covered/inner"}) {
                const auto group = here->open(path(below));
                if (group) return std::string(below) + " was opened";
                if (group.error().kind != errc::outside) return group.error().message();
              }
              const auto parent = here->open(path("a"));
              if (!parent) return parent.error().message();
              return parent->read(file) ? "" : "the parent cannot be read";
            }),
            "");
  EXPECT_TRUE(host().open(path("a/covered"))) << "outside that mount namespace nothing covers it";
}

TEST_F(RealGroup, RefusesAWriteToAFileThatIsMountedOver) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  make("a");
  const char* const control = v2() ? "memory.max" : "memory.limit_in_bytes";
  EXPECT_EQ(
      test::in_private_mounts([&]() -> std::string {
        const test::TempDirectory elsewhere;
        test::put_file(elsewhere / "file", "mine");
        const std::string target = directory("a") + "/" + control;
        if (::mount((elsewhere / "file").c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
          return "mount failed";
        }
        const auto here = Host::detect();
        if (!here) return here.error().message();
        const auto group = here->open(path("a"));
        if (!group) return group.error().message();
        const auto fd = group->open_file(control, O_WRONLY);
        if (fd) return "the file was opened";
        if (fd.error().kind != errc::outside) return fd.error().message();
        return test::file_text(elsewhere / "file") == "mine" ? "" : "the file was written to";
      }),
      "");
}

class RealNames : public RealGroup {};

TEST_F(RealNames, OfEveryKindAreReadUnchanged) {
  std::vector<std::string> names = {
      " leading",           "two  spaces", "trailing ", "tab\there", "back\\slash", "\\040",
      "quote\"s'",          "*?[a]",       "-r",        "...",       "\xff\xfe",    "caf\xc3\xa9",
      std::string(255, 'n')};
  for (const std::string& name : names) make(name);
  std::sort(names.begin(), names.end());
  const auto mine = host().open(path());
  ASSERT_TRUE(mine);
  EXPECT_EQ(mine->children().value_or(std::vector<std::string>{"failed"}), names);
  for (const std::string& name : names) {
    const auto group = host().open(path(name));
    ASSERT_TRUE(group) << name << ": " << group.error().message();
    EXPECT_EQ(group->path(), path(name));
    EXPECT_TRUE(group->read(file)) << name;
  }
  const auto place = mine->place("memory");
  ASSERT_TRUE(place);
  EXPECT_EQ(zombies::count_directories((*place)->directory.get(), "mine").value_or(0),
            names.size() + 1);
}

TEST_F(RealGroup, IsCountedCorrectlyAfterRandomChanges) {
  make("random");
  const auto group = host().open(path("random"));
  ASSERT_TRUE(group) << group.error().message();
  const auto place = group->place("memory");
  ASSERT_TRUE(place) << place.error().message();
  const int top = (*place)->directory.get();
  zombies::DirectoryCounter none_kept;
  zombies::DirectoryCounter some_kept(5);
  test::RandomTree random(directory("random"), 1);
  for (int round = 0; round < 500; ++round) {
    for (int changes = round % 5; changes > 0; --changes) random.change();
    ASSERT_EQ(none_kept.count(top, "random").value_or(0), random.size()) << round;
    ASSERT_EQ(some_kept.count(top, "random").value_or(0), random.size()) << round;
  }
}

TEST_F(RealNames, WithANewlineAreRefusedByTheKernel) {
  EXPECT_NE(::mkdir(directory("new\nline").c_str(), 0755), 0);
  const auto group = host().open(path("new\nline"));
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().kind, errc::vanished);
}

TEST_F(RealNames, OfMoreThan255BytesAreRefusedBeforeTheKernelIsAsked) {
  const auto group = host().open(path(std::string(256, 'n')));
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().kind, errc::invalid_argument);
}

TEST_F(RealNames, MayNestDeeply) {
  std::string below;
  for (int level = 0; level < 40; ++level) {
    below += (below.empty() ? "" : "/") + std::string("deep ") + std::to_string(level);
    make(below);
    if (v2()) {
      const auto group = host().open(path(below));
      ASSERT_TRUE(group);
      const auto control = group->open_file("cgroup.subtree_control", O_WRONLY);
      ASSERT_TRUE(control);
      ASSERT_TRUE(fs::write_once(control->get(), "+memory", below));
    }
  }
  EXPECT_TRUE(host().open(path(below))->read(file));
  const auto mine = host().open(path());
  const auto place = mine->place("memory");
  ASSERT_TRUE(place);
  EXPECT_EQ(zombies::count_directories((*place)->directory.get(), "mine").value_or(0), 41);
}

}  // namespace group_test
