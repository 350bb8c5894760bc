// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cpu.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "../support/captured.hpp"
#include "../support/result.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "faulty_sys.hpp"

namespace cpu_test {

using namespace cgctl;
using namespace cgctl::cpu;
using namespace std::chrono_literals;
using cgctl::test::fails;
using cgctl::test::must;
using cgctl::test::ok;
using fault::Call;
using fault::Faults;
using ::testing::HasSubstr;

/// A captured v2 host whose plain files pretend to be on a cgroup file system.
class CpuOnV2 : public ::testing::Test {
 protected:
  CpuOnV2() { faults_.on(Call::file_system).returns(fs::cgroup_v2_magic).always(); }

  [[nodiscard]] std::string text(const std::string& file) const {
    return test::file_text(machine_.cgroup("kubepods.slice/pod-a/" + file));
  }

  test::CapturedMachine machine_{"linux-6.12-v2-numa2/2-zombies"};
  Host host_ = must(machine_.host());
  Group group_ = must(host_.open("/kubepods.slice/pod-a"));
  Faults faults_;
};

TEST_F(CpuOnV2, TheStateIsWhatTheFilesSay) {
  test::put_file(machine_.cgroup("kubepods.slice/pod-a/cpu.max"), "50000 200000\n");
  test::put_file(machine_.cgroup("kubepods.slice/pod-a/cpu.max.burst"), "1000\n");
  test::put_file(machine_.cgroup("kubepods.slice/pod-a/cpu.weight.nice"), "-3\n");
  const State state = must(Controller{group_}.state());
  EXPECT_EQ(state.version, Version::v2);
  EXPECT_EQ(state.bandwidth->quota, 50000us);
  EXPECT_EQ(state.bandwidth->period, 200000us);
  EXPECT_EQ(state.bandwidth->burst, 1000us);
  EXPECT_EQ(state.weight->value, 50U);
  EXPECT_EQ(state.nice, -3);
  EXPECT_EQ(state.idle, false);
  EXPECT_FALSE(state.shares);
  EXPECT_FALSE(state.real_time);
}

TEST_F(CpuOnV2, AMalformedFileIsNamed) {
  for (const char* const bad : {"", "max", "max 0", "50000", "x 100000", "50000 x"}) {
    test::put_file(machine_.cgroup("kubepods.slice/pod-a/cpu.max"), bad);
    EXPECT_TRUE(fails(Controller{group_}.state(), errc::malformed)) << bad;
  }
  test::put_file(machine_.cgroup("kubepods.slice/pod-a/cpu.max"), "max 100000\n");
  test::put_file(machine_.cgroup("kubepods.slice/pod-a/cpu.weight"), "heavy\n");
  EXPECT_TRUE(fails(Controller{group_}.state(), errc::malformed));
}

TEST_F(CpuOnV2, ABadFifthValueRestoresTheFourBeforeIt) {
  Change change;
  change.quota = Quota{20ms};
  change.weight = Weight{200};
  auto settings = must(Controller{group_}.plan(change));
  settings.push_back({"memory.high", "1048576"});
  settings.push_back({"memory.max", "2097152"});
  settings.push_back({"memory.low", "x"});
  ASSERT_EQ(settings.size(), 5U);
  faults_.on(Call::write, "memory.low").fails(EINVAL);
  // Empties the file before each write: the kernel replaces the whole text of such a file, a plain
  // file keeps the rest.
  std::string before;
  for (const auto& setting : settings) {
    before += text(setting.file);
    const auto emptied = [this, file = setting.file] {
      test::put_file(machine_.cgroup("kubepods.slice/pod-a/" + file), "");
    };
    faults_.on(Call::write, setting.file).after(emptied).always();
  }
  const auto written = settings::apply(group_, settings);
  ASSERT_FALSE(written);
  std::string after;
  for (const auto& setting : settings) {
    after += text(setting.file);
    // Removes the NUL bytes that a plain file has before the offset of the second write.
    after.erase(std::remove(after.begin(), after.end(), '\0'), after.end());
    if (after.back() != '\n') after += '\n';
  }
  EXPECT_EQ(after, before);
  EXPECT_THAT(written.error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(faults_.calls(Call::write), 9U) << "four written, one refused, four restored";
}

struct Refusal {
  const char* file;
  int os_errno;
  Change change;
  const char* said;
};

TEST_F(CpuOnV2, ARefusalIsExplainedByTheRule) {
  const auto quota = [](microseconds limit, microseconds period) {
    return change_to({limit, period, std::nullopt});
  };
  Change weight;
  weight.weight = Weight{10000};
  Change nice;
  nice.nice = 20;
  const Refusal refusals[] = {
      {"cpu.max", EINVAL, quota(999us, 100ms), "a quota of 999 us is too small"},
      {"cpu.max", EINVAL, quota(50ms, 2s), "a period of 2000000 us is out of range"},
      {"cpu.max", EACCES, quota(50ms, 100ms), "Permission denied"},
      {"cpu.weight", ERANGE, weight, "1 to 10000"},
      {"cpu.weight.nice", ERANGE, nice, "-20 to 19"},
  };
  for (const Refusal& refusal : refusals) {
    faults_.on(Call::write, refusal.file).fails(refusal.os_errno);
    const auto written = Controller{group_}.set(refusal.change);
    ASSERT_FALSE(written) << refusal.said;
    EXPECT_THAT(written.error().message(), HasSubstr(refusal.said));
    EXPECT_EQ(written.error().os_errno, refusal.os_errno);
  }
}

TEST_F(CpuOnV2, ARemovedCgroupIsReportedAsVanished) {
  const auto reader = must(StatReader::open(group_));
  faults_.on(Call::pread, "cpu.stat").fails(ENODEV);
  Stat stat;
  EXPECT_TRUE(fails(reader.read(stat), errc::vanished));
}

TEST_F(CpuOnV2, AnInterruptedReadIsRepeated) {
  const auto reader = must(StatReader::open(group_));
  faults_.on(Call::pread, "cpu.stat").fails(EINTR).times(2);
  Stat stat;
  ASSERT_TRUE(ok(reader.read(stat)));
  EXPECT_TRUE(stat.usage);
}

TEST_F(CpuOnV2, ATextThatEndsEarlyIsTruncated) {
  const auto reader = must(StatReader::open(group_));
  faults_.on(Call::pread, "cpu.stat").gives("usage_usec 1\nuser_us");
  Stat stat;
  EXPECT_TRUE(fails(reader.read(stat), errc::truncated));
}

}  // namespace cpu_test
