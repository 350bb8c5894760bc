// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "../support/captured.hpp"
#include "../support/result.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/memory_stat.hpp"
#include "faulty_sys.hpp"

namespace memory_test {

using namespace cgctl;
using namespace cgctl::memory;
using cgctl::test::fails;
using cgctl::test::must;
using cgctl::test::ok;
using fault::Call;
using fault::Faults;
using ::testing::HasSubstr;

/// A captured v2 host whose plain files pretend to be on a cgroup file system.
class MemoryOnV2 : public ::testing::Test {
 protected:
  MemoryOnV2() { faults_.on(Call::file_system).returns(fs::cgroup_v2_magic).always(); }

  void put(const std::string& file, std::string_view text) const {
    test::put_file(machine_.cgroup("kubepods.slice/pod-a/" + file), text);
  }

  test::CapturedMachine machine_{"linux-6.12-v2-numa2/2-zombies"};
  Host host_ = must(machine_.host());
  Group group_ = must(host_.open("/kubepods.slice/pod-a"));
  Faults faults_;
};

TEST_F(MemoryOnV2, TheStateIsWhatTheFilesSay) {
  put("memory.high", "1048576\n");
  put("memory.oom.group", "1\n");
  const State state = must(Controller{group_}.state());
  EXPECT_EQ(state.version, Version::v2);
  EXPECT_EQ(state.max, Limit{64 << 20});
  EXPECT_EQ(state.high, Limit{1 << 20});
  EXPECT_EQ(state.low, Limit{0});
  EXPECT_EQ(state.swap_max, Limit{});
  EXPECT_EQ(state.oom_group, true);
  EXPECT_TRUE(state.usage && state.peak && state.swap_usage);
  EXPECT_FALSE(state.soft_limit || state.memsw_max || state.swappiness || state.oom_kill);
}

TEST_F(MemoryOnV2, AMalformedFileIsNamed) {
  put("memory.max", "much\n");
  EXPECT_TRUE(fails(Controller{group_}.state(), errc::malformed));
  put("memory.max", "max\n");
  put("memory.current", "\n");
  EXPECT_TRUE(fails(Controller{group_}.state(), errc::malformed));
}

TEST_F(MemoryOnV2, ReclaimOfTooLittleIsAnError) {
  put("memory.reclaim", "");
  faults_.on(Call::write, "memory.reclaim").fails(EAGAIN);
  const auto partly = Controller{group_}.reclaim(1 << 30);
  ASSERT_TRUE(ok(partly));
  EXPECT_FALSE(partly->complete);
  faults_.on(Call::write, "memory.reclaim").fails(EINVAL);
  EXPECT_FALSE(Controller{group_}.reclaim(1 << 30));
}

TEST_F(MemoryOnV2, EventsEqualTheFile) {
  put("memory.events", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
  const Events all = must(memory::events(group_));
  EXPECT_EQ(all.low, 1U);
  EXPECT_EQ(all.max, 3U);
  EXPECT_EQ(all.oom_group_kill, 6U);
  put("memory.events.local", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n");
  EXPECT_FALSE(must(local_events(group_)).oom_group_kill) << "before Linux 5.17";
  put("memory.events", "low 1\n");
  EXPECT_TRUE(fails(memory::events(group_), errc::malformed));
  put("memory.events", "low 1\nhigh -2\nmax\noom_kill 5\n");
  const Events rest = must(memory::events(group_));
  EXPECT_EQ(rest.low, 1U);
  EXPECT_FALSE(rest.high);
  EXPECT_EQ(rest.oom_kill, 5U);
  EXPECT_EQ(rest.skipped_lines, 2U);
}

TEST_F(MemoryOnV2, APeakThatCannotBeResetSaysWhatItNeeds) {
  const Peak peak = must(Peak::open(group_));
  EXPECT_GT(must(peak.read()), 0U);
  for (const int reason : {EINVAL, EACCES}) {
    faults_.on(Call::write, "memory.peak").fails(reason);
    const auto reset = peak.reset();
    EXPECT_TRUE(fails(reset, errc::unsupported));
    EXPECT_THAT(reset.error().message(), HasSubstr("Linux 6.12"));
  }
  faults_.on(Call::write, "memory.peak").fails(ENODEV);
  EXPECT_TRUE(fails(peak.reset(), errc::vanished));
}

TEST_F(MemoryOnV2, ATextThatGrowsIsReadWhole) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "vendor_" + std::to_string(i) + " 1\n";
  put("memory.stat", text);
  const Stat stat = must(memory::stat(group_));
  EXPECT_EQ(stat.unknown_count(), 1000U);
}

TEST_F(MemoryOnV2, ReadFailuresHaveDifferentErrors) {
  const auto reader = must(StatReader::open(group_));
  Stat stat;
  faults_.on(Call::pread, "memory.stat").fails(EINTR).times(2);
  ASSERT_TRUE(ok(reader.read(stat)));
  faults_.on(Call::pread, "memory.stat").fails(ENODEV);
  EXPECT_TRUE(fails(reader.read(stat), errc::vanished));
  faults_.on(Call::pread, "memory.stat").gives("anon 1\nfi");
  EXPECT_TRUE(fails(reader.read(stat), errc::truncated));
  faults_.on(Call::pread, "memory.stat").gives("anon = 1\n");
  const auto malformed = reader.read(stat);
  EXPECT_TRUE(fails(malformed, errc::malformed));
  EXPECT_THAT(malformed.error().message(), HasSubstr("pod-a/memory.stat"));
  ASSERT_TRUE(ok(reader.read(stat))) << "the reader goes on";
}

/// v1 can refuse a change that was planned correctly, because others write between the read and the
/// write.
TEST(MemoryOnV1, ARefusalIsExplainedByTheRule) {
  const test::CapturedMachine machine("linux-6.1-v1-numa2/2-zombies");
  Faults faults;
  faults.on(Call::file_system).returns(fs::cgroup_v1_magic).always();
  const Host host = must(machine.host());
  const Group group = must(host.open("/kubepods"));
  const Controller controller{group};
  const State now = must(controller.state());
  Change change;
  change.max = Limit{4096};
  faults.on(Call::write, "memory.limit_in_bytes").fails(EBUSY);
  const auto busy = controller.set(change);
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().os_errno, EBUSY);
  EXPECT_THAT(busy.error().message(),
              HasSubstr("the memory in use, " + std::to_string(*now.usage) + " bytes, cannot be"));
  faults.on(Call::pread, "memory.memsw.limit_in_bytes").gives("8192\n").always();
  faults.on(Call::write, "memory.limit_in_bytes").fails(EINVAL);
  const auto above = controller.set(change);
  ASSERT_FALSE(above);
  EXPECT_THAT(above.error().message(), HasSubstr("would be above that of memory and swap"));
}

}  // namespace memory_test
