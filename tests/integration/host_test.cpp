// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/host.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../support/skip.hpp"
#include "../support/temp_directory.hpp"

namespace host_test {

using namespace cgctl;

/// A cgroup mount of this process, read without the library.
struct Mount {
  std::string type;
  std::string point;
  std::vector<std::string> options;
};

std::vector<std::string> words(const std::string& text, char separator) {
  std::vector<std::string> found;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) found.push_back(word);
  return found;
}

std::vector<Mount> cgroup_mounts() {
  std::vector<Mount> mounts;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = words(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.end() - dash < 4) continue;
    if (dash[1] != "cgroup" && dash[1] != "cgroup2") continue;
    mounts.push_back({dash[1], fields[4], words(dash[3], ',')});
  }
  return mounts;
}

struct Row {
  unsigned hierarchy = 0;
  std::uint64_t enabled = 0;
};

std::map<std::string, Row> proc_cgroups() {
  std::map<std::string, Row> rows;
  std::ifstream file("/proc/cgroups");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    Row row;
    std::uint64_t number = 0;
    if (fields >> name >> row.hierarchy >> number >> row.enabled) rows[name] = row;
  }
  return rows;
}

class ThisHost : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cgroup_mounts().empty()) return test::skip("no cgroup file system is mounted");
    ASSERT_TRUE(host_) << host_.error().message();
  }
  const Result<Host> host_ = Host::detect();
};

TEST_F(ThisHost, HasExactlyTheMountedHierarchies) {
  std::set<std::string> known;
  for (const Hierarchy& hierarchy : host_->hierarchies()) known.insert(hierarchy.mount_point);
  std::set<std::string> mounted;
  for (const Mount& mount : cgroup_mounts()) mounted.insert(mount.point);
  for (const std::string& point : known) EXPECT_TRUE(mounted.count(point)) << point;
  EXPECT_EQ(known.size(), host_->hierarchies().size());
  // A hierarchy may be mounted twice; the host must know it once.
  std::set<std::vector<std::string>> kinds;
  for (const Mount& mount : cgroup_mounts()) {
    kinds.insert(mount.type == "cgroup2" ? std::vector<std::string>{"v2"} : mount.options);
  }
  EXPECT_EQ(known.size(), kinds.size());
}

TEST_F(ThisHost, FindsEveryControllerOfV1WhereMountinfoSaysItIs) {
  const auto rows = proc_cgroups();
  unsigned found = 0;
  for (const auto& [name, row] : rows) {
    for (const Mount& mount : cgroup_mounts()) {
      if (mount.type != "cgroup") continue;
      if (std::find(mount.options.begin(), mount.options.end(), name) == mount.options.end())
        continue;
      const Hierarchy* const hierarchy = host_->find(name);
      ASSERT_NE(hierarchy, nullptr) << name;
      EXPECT_EQ(hierarchy->version, Version::v1) << name;
      EXPECT_NE(row.hierarchy, 0) << name;
      EXPECT_EQ(hierarchy->mount_point, mount.point) << name;
      ++found;
      break;
    }
    if (row.hierarchy != 0) {
      EXPECT_NE(host_->find(name), nullptr) << name;
    }
  }
  if (host_->mode() == Mode::v2) {
    EXPECT_EQ(found, 0);
  } else {
    EXPECT_GT(found, 0);
  }
}

TEST_F(ThisHost, FindsEveryControllerOfV2) {
  const auto mounts = cgroup_mounts();
  const auto v2 = std::find_if(mounts.begin(), mounts.end(),
                               [](const Mount& mount) { return mount.type == "cgroup2"; });
  if (v2 == mounts.end()) {
    EXPECT_EQ(host_->unified(), nullptr);
    EXPECT_EQ(host_->mode(), Mode::v1);
    return;
  }
  ASSERT_NE(host_->unified(), nullptr);
  EXPECT_EQ(host_->unified()->mount_point, v2->point);
  std::ifstream file(v2->point + "/cgroup.controllers");
  for (std::string name; file >> name;) {
    const Hierarchy* const hierarchy = host_->find(name);
    ASSERT_NE(hierarchy, nullptr) << name;
    EXPECT_EQ(hierarchy->version, Version::v2) << name;
  }
}

TEST_F(ThisHost, HasTheModeOfItsMounts) {
  const auto mounts = cgroup_mounts();
  const auto is = [](const char* type) {
    return [type](const Mount& mount) { return mount.type == type; };
  };
  const bool v1 = std::any_of(mounts.begin(), mounts.end(), is("cgroup"));
  const bool v2 = std::any_of(mounts.begin(), mounts.end(), is("cgroup2"));
  EXPECT_EQ(host_->mode(), v1 && v2 ? Mode::hybrid : v2 ? Mode::v2 : Mode::v1);
}

TEST_F(ThisHost, KnowsAHierarchysRootByItsInode) {
  for (const Hierarchy& hierarchy : host_->hierarchies()) {
    struct ::stat root {};
    ASSERT_EQ(::stat(hierarchy.mount_point.c_str(), &root), 0);
    EXPECT_EQ(hierarchy.whole, root.st_ino == 1) << hierarchy.mount_point;
  }
}

TEST_F(ThisHost, RepeatsTheRowsOfProcCgroups) {
  const auto rows = proc_cgroups();
  EXPECT_EQ(host_->subsystems().size(), rows.size());
  for (const SubsystemRow& row : host_->subsystems()) {
    ASSERT_TRUE(rows.count(row.name)) << row.name;
    EXPECT_EQ(row.hierarchy, rows.at(row.name).hierarchy) << row.name;
    EXPECT_EQ(row.enabled, rows.at(row.name).enabled != 0) << row.name;
  }
}

TEST_F(ThisHost, IsLiveAndHasThePageSizeOfTheMachine) {
  EXPECT_TRUE(host_->live());
  EXPECT_EQ(host_->page_size(), static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

TEST_F(ThisHost, SaysWhyAControllerIsMissing) {
  const auto missing = host_->require("no_such_controller");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, errc::unsupported);
  EXPECT_EQ(missing.error().path, "no_such_controller");
  for (const auto& [name, row] : proc_cgroups()) {
    if (host_->find(name) != nullptr) continue;
    const auto unmounted = host_->require(name);
    ASSERT_FALSE(unmounted) << name;
    EXPECT_EQ(unmounted.error().kind, errc::unsupported) << name;
  }
}

TEST_F(ThisHost, HasNothingBelowARootWithoutMounts) {
  const test::TempDirectory empty;
  const auto host = Host::detect({empty.path(), "/proc", "/sys"});
  ASSERT_FALSE(host);
  EXPECT_EQ(host.error().kind, errc::unsupported);
  EXPECT_NE(host.error().hint.find("Roots::cgroup"), std::string::npos);
}

}  // namespace host_test
