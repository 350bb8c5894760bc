// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/libcgroup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libcgroup.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "../integration/real_cgroups.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"

namespace libcgroup_test {

using namespace cgctl;
using test::fails;
using test::must;
using ::testing::HasSubstr;

class RealLibcgroup : public test::RealCgroups {
 protected:
  [[nodiscard]] bool cpu_v1() const {
    const Hierarchy* const cpu = host().find("cpu");
    return cpu != nullptr && cpu->version == Version::v1;
  }
};

tree::Cgroup with_shares(const std::string& path, const std::string& shares) {
  return {path, {{"cpu", {{"cpu.shares", shares}}}, {"memory", {}}}};
}

TEST_F(RealLibcgroup, MakesACgroupThatWasConverted) {
  ASSERT_TRUE(libcgroup::is_available());
  if (!cpu_v1()) return test::skip("needs the v1 cpu controller");
  const auto handle = must(libcgroup::to_libcgroup(with_shares(path("made"), "77")));
  ASSERT_EQ(::cgroup_init(), 0);
  ASSERT_EQ(::cgroup_create_cgroup(handle.get(), 0), 0);
  EXPECT_EQ(must(must(host().open(path("made"))).read("cpu.shares")), "77\n");
}

TEST_F(RealLibcgroup, ConvertsACgroupThatLibcgroupHasRead) {
  if (!cpu_v1()) return test::skip("needs the v1 cpu controller");
  const Group made = must(Group::create(host(), path("read")));
  must(made.write("cpu.shares", "99"));
  ASSERT_EQ(::cgroup_init(), 0);
  const libcgroup::Handle handle(::cgroup_new_cgroup(path("read").c_str() + 1));
  ASSERT_EQ(::cgroup_get_cgroup(handle.get()), 0);
  const auto found =
      must(libcgroup::from_libcgroup(handle.get(), path("read"), {"cpu", "memory", "no-such"}));
  EXPECT_EQ(found.path, path("read"));
  ASSERT_EQ(found.sections.size(), 2U);
  EXPECT_EQ(found.sections[0].controller, "cpu");
  const auto& settings = found.sections[0].settings;
  EXPECT_TRUE(std::any_of(settings.begin(), settings.end(), [](const settings::Setting& one) {
    return one.file == "cpu.shares" && one.value == "99";
  }));
}

TEST_F(RealLibcgroup, RefusesWhatLibcgroupWouldCutShortOrTakeOutside) {
  EXPECT_TRUE(fails(libcgroup::to_libcgroup(with_shares("/../../tmp/x", "1")), errc::outside));
  EXPECT_TRUE(fails(libcgroup::to_libcgroup(with_shares("/a", std::string(4096, '1'))),
                    errc::invalid_argument));
  tree::Cgroup many{"/a", {{"cpu", {}}}};
  for (int i = 0; i < 101; ++i)
    many.sections[0].settings.push_back({"cpu.x" + std::to_string(i), "1"});
  EXPECT_TRUE(fails(libcgroup::to_libcgroup(many), errc::invalid_argument));
  const tree::Cgroup twice{"/a", {{"cpu", {}}, {"cpu", {}}}};
  EXPECT_TRUE(fails(libcgroup::to_libcgroup(twice), errc::invalid_argument));
}

TEST_F(RealLibcgroup, RefusesNamesThatAreNoFileNames) {
  const auto refused = [](const std::string& controller, const std::string& file,
                          const std::string& value = "1") {
    return fails(libcgroup::to_libcgroup({"/a", {{controller, {{file, value}}}}}),
                 errc::invalid_argument);
  };
  for (const std::string& name :
       {std::string("../../tmp/x"), std::string("a/b"), std::string("/"), std::string("."),
        std::string(".."), std::string(), std::string("a\0b", 3)}) {
    EXPECT_TRUE(refused("cpu", name)) << name;
    EXPECT_TRUE(refused(name, "cpu.shares")) << name;
  }
  EXPECT_TRUE(refused("cpu", "cpu.shares", std::string("5\0 6", 4)));
  EXPECT_TRUE(refused(std::string(32, 'c'), "cpu.shares"));
  EXPECT_TRUE(libcgroup::to_libcgroup({"/a", {{std::string(31, 'c'), {{"cpu.shares", "1"}}}}}));
}

TEST_F(RealLibcgroup, KeepsLongValuesWhole) {
  const std::string value(4000, '7');
  const auto handle = must(libcgroup::to_libcgroup(with_shares("/a", value)));
  const auto back = must(libcgroup::from_libcgroup(handle.get(), "/a", {"cpu"}));
  EXPECT_EQ(back.sections[0].settings[0].value, value);
}

TEST_F(RealLibcgroup, MapsItsCodesToErrors) {
  const auto kind = [](int code) { return libcgroup::error_of(code, 0, "x", "/a").kind; };
  EXPECT_EQ(kind(ECGROUPNOTEXIST), errc::vanished);
  EXPECT_EQ(kind(ECGROUPNOTMOUNTED), errc::unsupported);
  EXPECT_EQ(kind(ECGINVAL), errc::invalid_argument);
  EXPECT_EQ(kind(ECGROUPNOTALLOWED), errc::system);
  EXPECT_EQ(kind(ECGROUPPARSEFAIL), errc::malformed);
  const Error other = libcgroup::error_of(ECGOTHER, EBUSY, "x", "/a");
  EXPECT_EQ(other.kind, errc::system);
  EXPECT_EQ(other.os_errno, EBUSY);
  const Error nonempty = libcgroup::error_of(ECGNONEMPTY, 0, "x", "/a");
  EXPECT_EQ(nonempty.os_errno, EBUSY);
  EXPECT_THAT(nonempty.message(), HasSubstr("not empty"));
  EXPECT_THAT(libcgroup::error_of(99999, 0, "x", "/a").message(), HasSubstr("99999"));
}

TEST_F(RealLibcgroup, IsCalledFromSeveralThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 200; ++i) {
        const auto handle = libcgroup::to_libcgroup(with_shares("/a", std::to_string(i)));
        ASSERT_TRUE(handle);
        const auto back = libcgroup::from_libcgroup(handle->get(), "/a", {"cpu"});
        ASSERT_TRUE(back);
        EXPECT_EQ(back->sections[0].settings[0].value, std::to_string(i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(RealLibcgroup, IsAskedForRulesFromSeveralThreads) {
  constexpr pid_t nobody = 0x3fffffff;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 20; ++i) {
        const auto asked =
            libcgroup::classify(host(), {::getpid(), nobody}, libcgroup::Purpose::ask);
        ASSERT_EQ(asked.size(), 2U);
        // The host may have rules or not; both results are right.
        if (!asked.front()) {
          EXPECT_NE(asked.front().error().os_errno, ESRCH);
        }
        EXPECT_EQ(asked.back().error().os_errno, ESRCH);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(RealLibcgroup, SaysThatAProcessIsNotThere) {
  constexpr pid_t nobody = 0x3fffffff;
  const auto asked = libcgroup::classify(host(), {nobody}, libcgroup::Purpose::ask);
  ASSERT_EQ(asked.size(), 1U);
  ASSERT_FALSE(asked.front());
  EXPECT_EQ(asked.front().error().os_errno, ESRCH);
}

}  // namespace libcgroup_test
