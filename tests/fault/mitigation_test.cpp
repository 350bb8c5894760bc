// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/mitigation.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../support/captured.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/filesystem.hpp"
#include "detail/kernel_release.hpp"
#include "faulty_sys.hpp"
#include "mitigation/reaper.hpp"
#include "mitigation/rungs.hpp"

namespace mitigation_test {

using namespace cgctl;
using namespace std::chrono_literals;
using fault::Call;
using fault::Faults;
using mitigation::History;
using mitigation::Rung;
using mitigation::Store;

/// A captured machine with a plain file in the place of procfs's drop_caches.
class DropCaches : public ::testing::Test {
 protected:
  void SetUp() override { test::put_file(control_, ""); }
  static void pretend_procfs(Faults& faults) {
    faults.on(Call::file_system, name).returns(fs::proc_magic);
  }
  [[nodiscard]] Result<std::chrono::nanoseconds> drop(Rung rung) const {
    return mitigation::drop_caches(*host_, rung, 60s);
  }

  static constexpr const char* name = "vm/drop_caches";
  test::CapturedMachine machine_{"linux-5.4-v1-numa2/2-zombies"};
  const std::filesystem::path control_ = machine_.path("proc/sys/vm/drop_caches");
  const Result<Host> host_ = machine_.host();
};

TEST_F(DropCaches, WritesTheLevelOfTheRung) {
  for (const auto& [rung, level] :
       {std::pair(Rung::drop_page_cache, "1"), std::pair(Rung::drop_slab, "2"),
        std::pair(Rung::drop_all, "3")}) {
    test::put_file(control_, "");
    Faults faults;
    pretend_procfs(faults);
    const auto took = drop(rung);
    ASSERT_TRUE(took) << took.error().message();
    EXPECT_EQ(test::file_text(control_), level);
  }
}

TEST_F(DropCaches, RepeatsAnInterruptedWrite) {
  Faults faults;
  pretend_procfs(faults);
  faults.on(Call::write, name).fails(EINTR).times(3).in_child();
  const auto took = drop(Rung::drop_slab);
  EXPECT_TRUE(took) << took.error().message();
  EXPECT_EQ(test::file_text(control_), "2");
}

TEST_F(DropCaches, HandsOnTheErrnoOfTheWrite) {
  Faults faults;
  pretend_procfs(faults);
  faults.on(Call::write, name).fails(EINVAL).always();
  const auto took = drop(Rung::drop_slab);
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().kind, errc::system);
  EXPECT_EQ(took.error().os_errno, EINVAL);
  EXPECT_EQ(took.error().path, control_.string());
}

TEST_F(DropCaches, WritesNothingToAFileThatIsNotOfProcfs) {
  Faults faults;
  const auto took = drop(Rung::drop_slab);
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().kind, errc::outside);
  EXPECT_NE(took.error().hint.find("Roots::proc"), std::string::npos);
  EXPECT_EQ(test::file_text(control_), "");
}

TEST_F(DropCaches, HasNoLevelForReclaim) {
  const auto took = drop(Rung::reclaim);
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().kind, errc::invalid_argument);
}

TEST_F(DropCaches, SaysWhoMayWriteWhenTheOpenIsRefused) {
  for (const int reason : {EACCES, EPERM, EROFS}) {
    Faults faults;
    faults.on(Call::open_beneath, name).fails(reason);
    faults.on(Call::open_at, name)
        .fails(reason)
        .always();  // after EPERM the path is opened component by component
    const auto took = drop(Rung::drop_slab);
    ASSERT_FALSE(took);
    EXPECT_EQ(took.error().os_errno, reason);
    EXPECT_NE(took.error().hint.find("only root may write it"), std::string::npos)
        << took.error().message();
  }
}

TEST_F(DropCaches, NamesTheProcRootWhenThereIsNoSuchFile) {
  std::filesystem::remove(control_);
  const auto took = drop(Rung::drop_slab);
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().os_errno, ENOENT);
  EXPECT_NE(took.error().hint.find("Roots::proc"), std::string::npos);
}

/// Drops the page cache to free the captured machine's zombies.
class Acting : public DropCaches {
 protected:
  [[nodiscard]] Result<mitigation::Outcome> act() {
    mitigation::Policy policy;
    policy.still_for = 10ms;
    const auto before = mitigation::observe(*host_, guard_, policy);
    EXPECT_TRUE(before) << before.error().message();
    Faults faults;
    faults.on(Call::file_system, name).returns(fs::proc_magic).always();
    prepare_(faults);
    return mitigation::carry_out(
        *host_, guard_, {mitigation::Decision::act, "", {Rung::drop_page_cache}}, policy, *before);
  }
  numa::CostGuard guard_;
  std::function<void(Faults&)> prepare_;
};

TEST_F(Acting, IsDoneEvenWhenItCannotBeCountedAfterwards) {
  for (const auto& prepare :
       {+[](Faults& faults) { faults.on(Call::pread, "proc/cgroups").fails(EIO).always(); },
        +[](Faults& faults) {
          faults.on(Call::open_beneath, "proc/cgroups").skip(1).fails(EMFILE);
        }}) {
    test::put_file(control_, "");
    prepare_ = prepare;
    const auto outcome = act();
    ASSERT_TRUE(outcome) << outcome.error().message();
    EXPECT_EQ(test::file_text(control_), "1");
    ASSERT_EQ(outcome->actions.size(), 1U);
    EXPECT_EQ(outcome->actions[0].end, mitigation::End::done);
    EXPECT_EQ(outcome->actions[0].zombies_after, outcome->actions[0].zombies_before);
    ASSERT_FALSE(outcome->status);
    EXPECT_NE(outcome->status.error().path.find("cgroups"), std::string::npos);
    EXPECT_EQ(outcome->effect, mitigation::Effect::ineffective);
    EXPECT_FALSE(outcome->after.read_cost_measured);
  }
}

TEST_F(Acting, IsAnErrorOnlyBeforeTheFirstRung) {
  prepare_ = [](Faults& faults) { faults.on(Call::open_beneath, "proc/cgroups").fails(EMFILE); };
  const auto outcome = act();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(test::file_text(control_), "");
}

TEST_F(Acting, IsIneffectiveAndHasAReasonIfAllRungsFail) {
  prepare_ = [](Faults& faults) { faults.on(Call::write, name).fails(EACCES).always(); };
  const auto outcome = act();
  ASSERT_TRUE(outcome) << outcome.error().message();
  ASSERT_FALSE(outcome->status);
  EXPECT_EQ(outcome->status.error().os_errno, EACCES);
  EXPECT_EQ(outcome->actions.at(0).end, mitigation::End::failed);
  EXPECT_EQ(outcome->effect, mitigation::Effect::ineffective);
}

/// A captured machine of v2 whose root and one cgroup have a plain file in the place of
/// memory.reclaim.
class Reclaim : public ::testing::Test {
 protected:
  void SetUp() override {
    test::put_file(of_root_, "");
    test::put_file(of_ancestor_, "");
    faults_.on(Call::file_system, "memory.reclaim").returns(fs::cgroup_v2_magic).always();
  }
  /// Reclaims where /sys/kernel/mm/lru_gen/enabled has the text `switches`.
  void reclaim(const char* switches) {
    test::put_file(machine_.path("sys/kernel/mm/lru_gen/enabled"), switches);
    mitigation::Policy policy;
    policy.only = Rung::reclaim;
    policy.sync = {machine_.path("proc")};
    policy.still_for = 1ms;
    policy.settle_limit = 2ms;
    const auto seen = mitigation::observe(*host_, guard_, policy);
    ASSERT_TRUE(seen) << seen.error().message();
    ASSERT_TRUE(seen->can_reclaim);
    const mitigation::Plan plan{mitigation::Decision::act, {}, {Rung::reclaim}};
    const auto outcome = mitigation::carry_out(*host_, guard_, plan, policy, *seen);
    ASSERT_TRUE(outcome) << outcome.error().message();
  }

  Faults faults_;
  numa::CostGuard guard_;
  test::CapturedMachine machine_{"linux-6.12-v2-numa2/2-zombies"};
  const std::filesystem::path of_root_ = machine_.cgroup("memory.reclaim");
  const std::filesystem::path of_ancestor_ = machine_.cgroup("kubepods.slice/memory.reclaim");
  const Result<Host> host_ = machine_.host();
};

TEST_F(Reclaim, IsOfTheWholeMachineWhereThatBeginsWithRemovedCgroups) {
  reclaim("0x0007\n");
  const auto kernel = detail::running_kernel();
  const bool lists_removed_first = kernel && *kernel >= detail::KernelRelease(6, 3);
  EXPECT_NE(test::file_text(lists_removed_first ? of_root_ : of_ancestor_), "");
  EXPECT_EQ(test::file_text(lists_removed_first ? of_ancestor_ : of_root_), "");
}

TEST_F(Reclaim, TakesNothingWhereLiveCgroupsMayLoseNothing) {
  mitigation::Policy policy;
  policy.cache_loss = 0;
  const auto seen = mitigation::observe(*host_, guard_, policy);
  ASSERT_TRUE(seen) << seen.error().message();
  for (const Rung rung : {Rung::squeeze, Rung::node_reclaim, Rung::reclaim}) {
    const auto took = detail::take(*host_, rung, *seen, policy, -1);
    ASSERT_FALSE(took) << to_string(rung);
    EXPECT_EQ(took.error().kind, errc::over_budget);
    EXPECT_EQ(took.error().path, to_string(rung));
    EXPECT_NE(took.error().hint.find("cache_loss"), std::string::npos);
  }
  EXPECT_EQ(test::file_text(of_ancestor_), "");
}

TEST_F(Reclaim, IsOfTheAncestorsWithoutTheMultiGenerationalLru) {
  reclaim("0x0006\n");
  EXPECT_NE(test::file_text(of_ancestor_), "");
  EXPECT_EQ(test::file_text(of_root_), "");
}

TEST_F(Reclaim, IsOfTheAncestorsWhereTheRootHasNoSuchFile) {
  std::filesystem::remove(of_root_);
  reclaim("0x0007\n");
  EXPECT_NE(test::file_text(of_ancestor_), "");
}

/// A captured machine with a plain file in the place of a vendor's reaper.
class Reaper : public DropCaches {
 protected:
  void SetUp() override { test::put_file(reap_, ""); }
  [[nodiscard]] Result<std::chrono::nanoseconds> reap() const {
    return detail::take(*host_, Rung::reap, {}, {}, -1);
  }
  static constexpr std::int64_t sysfs = 0x62656572;
  const std::filesystem::path reap_ = machine_.path("sys/kernel/mm/memcg_reaper/reap");
};

TEST_F(Reaper, ReapsSeveralTimes) {
  Faults faults;
  faults.on(Call::file_system, "memcg_reaper/reap").returns(sysfs);
  const auto took = reap();
  ASSERT_TRUE(took) << took.error().message();
  EXPECT_EQ(test::file_text(reap_), "1111");
}

TEST_F(Reaper, HandsOnTheErrnoOfTheWrite) {
  Faults faults;
  faults.on(Call::file_system, "memcg_reaper/reap").returns(sysfs);
  faults.on(Call::write, "memcg_reaper/reap").fails(EINVAL).always();
  const auto took = reap();
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().os_errno, EINVAL);
}

TEST_F(Reaper, IsDoneWhenItReapedOnce) {
  Faults faults;
  faults.on(Call::file_system, "memcg_reaper/reap").returns(sysfs);
  faults.on(Call::write, "memcg_reaper/reap").skip(1).fails(EBUSY).in_child();
  const auto took = reap();
  EXPECT_TRUE(took) << took.error().message();
  EXPECT_EQ(test::file_text(reap_), "1");
}

TEST_F(Reaper, WritesOnlyToSysfs) {
  const auto took = reap();
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().kind, errc::outside);
  EXPECT_NE(took.error().hint.find("Roots::sys"), std::string::npos);
  EXPECT_EQ(test::file_text(reap_), "");
}

TEST_F(Reaper, IsFoundIfTheKernelHasOne) {
  numa::CostGuard guard;
  EXPECT_TRUE(mitigation::observe(*host_, guard, {})->can_reap);
  std::filesystem::remove(reap_);
  EXPECT_FALSE(mitigation::observe(*host_, guard, {})->can_reap);
}

/// A captured machine with plain files in the place of settings that switch a vendor's reaper on.
class SwitchedReaper : public DropCaches {
 protected:
  void SetUp() override {
    faults_.on(Call::file_system, "memcg_reaper/reap_background").returns(sysfs).always();
    faults_.on(Call::file_system, async).returns(fs::proc_magic).always();
    faults_.on(Call::file_system, threshold).returns(fs::proc_magic).always();
  }
  /// Alibaba's kernel with the thread that is off.
  void give_background() const {
    test::put_file(background_, "0\n");
    test::put_file(machine_.path("sys/kernel/mm/memcg_reaper/scan_interval"), "0\n");
  }
  /// TencentOS with its three settings.
  void give_dying(const char* qos, const char* is_on) const {
    test::put_file(machine_.path("proc/sys/vm/memory_qos"), qos);
    test::put_file(machine_.path("proc/sys/vm/clean_dying_memcg_async"), is_on);
    test::put_file(machine_.path("proc/sys/vm/clean_dying_memcg_threshold"), "100\n");
  }
  [[nodiscard]] bool is_found() const { return detail::reaper_of(*host_) != detail::Reaper::none; }
  /// Runs the rung; `seen_` then has the text of the setting before it was restored.
  [[nodiscard]] Result<std::chrono::nanoseconds> reap(const char* setting) {
    const std::string path = machine_.path(setting);
    const auto copy = [this, path] { test::put_file(seen_, test::file_text(path)); };
    faults_.on(Call::write, path).skip(1).after(copy).in_child();
    return detail::take(*host_, Rung::reap, {}, {}, -1);
  }
  static constexpr std::int64_t sysfs = 0x62656572;
  static constexpr const char* async = "vm/clean_dying_memcg_async";
  static constexpr const char* threshold = "vm/clean_dying_memcg_threshold";
  Faults faults_;
  const std::string background_ = machine_.path("sys/kernel/mm/memcg_reaper/reap_background");
  const std::string seen_ = machine_.path("seen");
};

TEST_F(SwitchedReaper, IsOnForAWhile) {
  give_background();
  ASSERT_TRUE(is_found());
  const auto took = reap("sys/kernel/mm/memcg_reaper/reap_background");
  ASSERT_TRUE(took) << took.error().message();
  EXPECT_EQ(test::file_text(seen_), "1\n");
  EXPECT_EQ(test::file_text(background_), "0\n");
}

TEST_F(SwitchedReaper, IsLeftAloneWhereItRunsAlready) {
  test::put_file(background_, "1\n");
  EXPECT_FALSE(is_found());
}

TEST_F(SwitchedReaper, IsSwitchedOffByTheCallerIfTheChildDies) {
  give_background();
  faults_.on(Call::write, background_).skip(1).after([] { ::_exit(1); }).in_child();
  const auto took = detail::take(*host_, Rung::reap, {}, {}, -1);
  ASSERT_FALSE(took);
  EXPECT_EQ(test::file_text(background_), "0\n");
}

TEST_F(SwitchedReaper, IsSwitchedOffByTheChildIfTheCallerDies) {
  give_background();
  test::put_file(machine_.path("sys/kernel/mm/memcg_reaper/scan_interval"), "1000\n");
  faults_.on(Call::write, background_).after([] { ::kill(::getppid(), SIGKILL); }).in_child();
  const auto copy = [this] { test::put_file(seen_, test::file_text(background_)); };
  faults_.on(Call::write, background_).after(copy).in_child();
  const pid_t caller = ::fork();
  if (caller == 0) {
    (void)detail::take(*host_, Rung::reap, {}, {}, -1);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(caller, &status, 0), caller);
  EXPECT_TRUE(WIFSIGNALED(status));
  const auto give_up = std::chrono::steady_clock::now() + 10s;
  while ((!std::filesystem::exists(seen_) || test::file_text(background_) != "0\n") &&
         std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(test::file_text(seen_), "1\n");
  EXPECT_EQ(test::file_text(background_), "0\n");
}

TEST_F(SwitchedReaper, IsSwitchedOffByTheCallerIfTheChildCannot) {
  give_dying("1\n", "0\n");
  faults_.on(Call::write, async).skip(1).fails(EINVAL).in_child();
  const auto took = detail::take(*host_, Rung::reap, {}, {}, -1);
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().os_errno, EINVAL);
  EXPECT_EQ(test::file_text(machine_.path("proc/sys/vm/clean_dying_memcg_async")), "0\n");
}

TEST_F(SwitchedReaper, OfDyingCgroupsIsOnForAMoment) {
  give_dying("1\n", "0\n");
  ASSERT_TRUE(is_found());
  const auto took = reap("proc/sys/vm/clean_dying_memcg_async");
  ASSERT_TRUE(took) << took.error().message();
  EXPECT_EQ(test::file_text(seen_), "1\n");
  EXPECT_EQ(test::file_text(machine_.path("proc/sys/vm/clean_dying_memcg_async")), "0\n");
}

TEST_F(SwitchedReaper, OfDyingCgroupsThatRunsIsWokenByItsThreshold) {
  give_dying("1\n", "1\n");
  ASSERT_EQ(detail::reaper_of(*host_), detail::Reaper::threshold);
  const auto took = reap("proc/sys/vm/clean_dying_memcg_threshold");
  ASSERT_TRUE(took) << took.error().message();
  EXPECT_EQ(test::file_text(seen_).front(), '1');
  EXPECT_EQ(test::file_text(machine_.path("proc/sys/vm/clean_dying_memcg_threshold")), "100\n");
}

TEST_F(SwitchedReaper, OfDyingCgroupsNeedsMemoryQos) {
  give_dying("0\n", "0\n");
  EXPECT_FALSE(is_found());
}

class StoreFaults : public ::testing::Test {
 protected:
  void SetUp() override {
    test::put_file(machine_.path("proc/sys/kernel/random/boot_id"), "the-boot\n");
    ASSERT_TRUE(host_) << host_.error().message();
  }
  [[nodiscard]] Store open() const {
    auto store = Store::open(*host_, directory_);
    EXPECT_TRUE(store) << store.error().message();
    return std::move(*store);
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  test::CapturedMachine machine_{"linux-5.4-v1-numa2/2-zombies"};
  const Result<Host> host_ = machine_.host();
  const std::string directory_ = machine_.path("state");
};

TEST_F(StoreFaults, AFullDiskLeavesTheOldHistoryAndNothingElse) {
  const Store store = open();
  ASSERT_TRUE(store.save({1s, 1}));
  for (const std::size_t written : {0U, 20U}) {
    Faults faults;
    if (written != 0) faults.on(Call::write, "history.new").at_most(written);
    faults.on(Call::write, "history.new").fails(ENOSPC);
    const auto status = store.save({2s, 2});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().os_errno, ENOSPC);
    EXPECT_NE(status.error().hint.find("a state directory"), std::string::npos);
  }
  const auto history = store.load();
  ASSERT_TRUE(history);
  EXPECT_EQ(history->last_action, 1s);
  EXPECT_EQ(history->ineffective, 1);
  EXPECT_EQ(files(), (std::vector<std::string>{"history", "lock"}));
}

TEST_F(StoreFaults, ShortAndInterruptedWritesAreContinued) {
  const Store store = open();
  Faults faults;
  faults.on(Call::write, "history.new").at_most(7).times(3);
  faults.on(Call::write, "history.new").fails(EINTR);
  const auto status = store.save({2s, 3});
  ASSERT_TRUE(status) << status.error().message();
  const auto history = store.load();
  ASSERT_TRUE(history);
  EXPECT_EQ(history->last_action, 2s);
  EXPECT_EQ(history->ineffective, 3);
  EXPECT_TRUE(store.warning().empty()) << store.warning();
}

TEST_F(StoreFaults, AHistoryThatCannotBeReadIsAnErrorAndStaysWhereItIs) {
  const Store store = open();
  ASSERT_TRUE(store.save({1s, 1}));
  Faults faults;
  faults.on(Call::pread, "history").fails(EIO);
  const auto history = store.load();
  ASSERT_FALSE(history);
  EXPECT_EQ(history.error().os_errno, EIO);
  EXPECT_EQ(store.load()->last_action, 1s);
}

TEST_F(StoreFaults, ALockFileThatCannotBeOpenedNamesTheOption) {
  Faults faults;
  faults.on(Call::open_at, "state/lock").fails(EROFS);
  const auto store = Store::open(*host_, directory_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().os_errno, EROFS);
  EXPECT_NE(store.error().hint.find("a state directory"), std::string::npos);
}

TEST_F(StoreFaults, WithoutABootIdThereIsNoStore) {
  Faults faults;
  faults.on(Call::open_beneath, "random/boot_id").fails(ENOENT);
  const auto store = Store::open(*host_, directory_);
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().path.find("boot_id"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(directory_))
      << "no file is created before the boot id is known";
}

/// The running machine, where reads of the root's numa_stat take as long as a test says.
class ReadCost : public ::testing::Test {
 protected:
  void SetUp() override {
    host_ = Host::detect();
    const Hierarchy* const memory = host_ ? host_->find("memory") : nullptr;
    if (memory == nullptr || !memory->whole) return test::skip("no whole memory hierarchy");
    numa::CostGuard guard;
    const auto leaf = numa::calibrate(*host_, guard, {});
    if (!leaf) return test::skip(leaf.error().message());
    const auto memcgs = zombies::count(*host_);
    if (!memcgs) return test::skip(memcgs.error().message());
    file_ = memory->mount_point.substr(1) + "/memory.numa_stat";
    // A read is predicted to be cheap: at most a fourth of the limit. Twice that is for chance.
    policy_.read_cost_limit = std::max<std::chrono::nanoseconds>(
        40ms, 8 * guard.predict(std::max<std::uint64_t>(memcgs->kernel, 1)));
    if (policy_.read_cost_limit > 1s) test::skip("there are too many memory cgroups");
  }

  mitigation::Observation look(Faults& faults, unsigned slow_reads, std::chrono::nanoseconds time) {
    if (slow_reads != 0) {
      faults.on(Call::pread, file_)
          .after([time] { std::this_thread::sleep_for(time); })
          .times(slow_reads);
    }
    numa::CostGuard guard;
    auto seen = mitigation::observe(*host_, guard, policy_);
    EXPECT_TRUE(test::ok(seen));
    return seen ? std::move(*seen) : mitigation::Observation();
  }

  Result<Host> host_ = fail(Error{});
  std::string file_;
  mitigation::Policy policy_;
};

TEST_F(ReadCost, FoundTooHighIsMeasuredAgainWithTheDelayOfOthers) {
  Faults faults;
  const auto seen = look(faults, 2, 2 * policy_.read_cost_limit);
  EXPECT_EQ(faults.calls(Call::pread, file_), 2U);
  ASSERT_TRUE(seen.read_cost_measured);
  EXPECT_GE(*seen.read_cost, 2 * policy_.read_cost_limit);
  ASSERT_TRUE(seen.read_delay) << "a sleeping reader lets others run";
  EXPECT_LE(*seen.read_delay, policy_.read_cost_limit);
}

TEST_F(ReadCost, ThatMayGrowTooHighIsMeasuredWithTheDelayOfOthers) {
  Faults faults;
  const auto seen = look(faults, 3, policy_.read_cost_limit / 2);
  EXPECT_EQ(faults.calls(Call::pread, file_), 3U);
  ASSERT_TRUE(seen.read_cost_measured);
  EXPECT_LT(*seen.read_cost, policy_.read_cost_limit);
  ASSERT_TRUE(seen.read_delay) << "a sleeping reader lets others run";
  EXPECT_LE(*seen.read_delay, policy_.read_cost_limit / 2);
}

TEST_F(ReadCost, IsNotThatOfOneReadThatWasSlowByChance) {
  Faults faults;
  const auto seen = look(faults, 1, 2 * policy_.read_cost_limit);
  ASSERT_TRUE(seen.read_cost_measured);
  EXPECT_LT(*seen.read_cost, policy_.read_cost_limit);
  EXPECT_FALSE(seen.read_delay);
}

TEST_F(ReadCost, FoundFarTooHighIsNotMeasuredAgain) {
  Faults faults;
  const auto seen = look(faults, 1, 11 * policy_.read_cost_limit);
  EXPECT_EQ(faults.calls(Call::pread, file_), 1U);
  EXPECT_TRUE(seen.read_cost_measured);
  EXPECT_FALSE(seen.read_delay) << "others are taken to wait for the whole read";
}

TEST_F(ReadCost, PredictedFarTooHighIsNotMeasured) {
  policy_.read_cost_limit = 1ns;
  Faults faults;
  const auto seen = look(faults, 0, {});
  EXPECT_EQ(faults.calls(Call::pread, file_), 0U);
  EXPECT_TRUE(seen.read_cost);
  EXPECT_FALSE(seen.read_cost_measured);
  EXPECT_FALSE(seen.read_delay) << "others are taken to wait for the whole read";
}

}  // namespace mitigation_test
