// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// Kills the mitigation of captured machines at its system calls, rung by rung.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/captured.hpp"
#include "../support/traced.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/mitigator.hpp"
#include "detail/kernel_release.hpp"
#include "faulty_sys.hpp"

namespace killed_test {

using namespace cgctl;
using namespace std::chrono_literals;
using fault::Call;
using fault::Faults;
using mitigation::Mitigator;
using mitigation::Policy;
using mitigation::Rung;

constexpr std::int64_t sysfs = 0x62656572;

/// A rung, and the files in which it is at work: names below the machine, with their texts.
struct Rungs {
  const char* name;
  Rung rung;
  const char* tree;
  std::vector<std::pair<std::string, std::string>> files;
  std::vector<std::string> restored;  ///< of these files: must have the old text at the end
};

std::vector<Rungs> all_rungs() {
  const char* const v1 = "linux-5.4-v1-numa2/2-zombies";
  const char* const v2 = "linux-6.12-v2-numa2/2-zombies";
  const std::string reaper = "sys/kernel/mm/memcg_reaper/";
  const std::string async = "proc/sys/vm/clean_dying_memcg_async";
  const std::string threshold = "proc/sys/vm/clean_dying_memcg_threshold";
  const std::string qos = "proc/sys/vm/memory_qos";
  const std::string background = reaper + "reap_background";
  const std::string nodes = "sys/devices/system/node/";
  const std::string lists_removed_first = "sys/kernel/mm/lru_gen/enabled";
  std::vector<Rungs> all = {
      {"Once", Rung::reap, v1, {{reaper + "reap", ""}}, {}},
      {"Background",
       Rung::reap,
       v1,
       {{background, "0\n"}, {reaper + "scan_interval", "0\n"}},
       {background, reaper + "scan_interval"}},
      {"Dying",
       Rung::reap,
       v1,
       {{qos, "1\n"}, {async, "0\n"}, {threshold, "100\n"}},
       {qos, async, threshold}},
      {"Threshold",
       Rung::reap,
       v1,
       {{qos, "1\n"}, {async, "1\n"}, {threshold, "100\n"}},
       {qos, async, threshold}},
      {"Fadvise", Rung::advise, v1, {{"some-file", "text"}}, {"some-file"}},
      {"NodeReclaim",
       Rung::node_reclaim,
       v2,
       {{nodes + "node0/reclaim", ""}, {nodes + "node1/reclaim", ""}},
       {}},
      {"Reclaim", Rung::reclaim, v2, {{"sys/fs/cgroup/kubepods.slice/memory.reclaim", ""}}, {}},
      {"DropPageCache", Rung::drop_page_cache, v1, {{"proc/sys/vm/drop_caches", ""}}, {}},
      {"DropSlab", Rung::drop_slab, v1, {{"proc/sys/vm/drop_caches", ""}}, {}},
      {"DropAll", Rung::drop_all, v1, {{"proc/sys/vm/drop_caches", ""}}, {}},
  };
  const auto kernel = detail::running_kernel();
  if (kernel && *kernel >= detail::KernelRelease(6, 3)) {
    all.push_back({"ReclaimFromTheRoot",
                   Rung::reclaim,
                   v2,
                   {{"sys/fs/cgroup/memory.reclaim", ""}, {lists_removed_first, "0x0007\n"}},
                   {lists_removed_first}});
  }
  return all;
}

/// Returns the texts of all files, by name.
std::map<std::string, std::string> texts_below(const std::filesystem::path& top) {
  std::map<std::string, std::string> texts;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
    if (!entry.is_regular_file()) continue;
    texts[entry.path().lexically_relative(top)] = test::file_text(entry.path());
  }
  return texts;
}

/// Number by which the numbers of the calls differ at which the work is killed. CGCTL_KILL_EVERY=1
/// in the environment kills it at each call.
unsigned every() {
  const char* const told = std::getenv("CGCTL_KILL_EVERY");
  const int number = told == nullptr ? 0 : std::atoi(told);
  constexpr unsigned sample = 151;
  return number > 0 ? static_cast<unsigned>(number) : sample;
}

class Killed : public ::testing::TestWithParam<Rungs> {
 protected:
  void SetUp() override {
    machine_.emplace(GetParam().tree);
    for (const auto& [name, text] : GetParam().files) test::put_file(machine_->path(name), text);
    test::put_file(machine_->path("proc/sys/kernel/random/boot_id"), "the-boot\n");
    policy_.only = GetParam().rung;
    policy_.files = {machine_->path("some-file")};
    policy_.sync = {machine_->path("proc")};
    policy_.guards = mitigation::Guards::override_all;
    policy_.still_for = 1ms;
    policy_.settle_limit = 2ms;
    // The machine has little page cache.
    policy_.cache_loss = 100;
    for (const char* const file : {"reap", "reap_background"}) {
      faults_.on(Call::file_system, std::string("memcg_reaper/") + file).returns(sysfs).always();
    }
    for (const char* const file :
         {"drop_caches", "clean_dying_memcg_async", "clean_dying_memcg_threshold"}) {
      faults_.on(Call::file_system, std::string("vm/") + file).returns(fs::proc_magic).always();
    }
    for (const char* const file : {"node0/reclaim", "node1/reclaim"}) {
      faults_.on(Call::file_system, file).returns(sysfs).always();
    }
    faults_.on(Call::file_system, "memory.reclaim").returns(fs::cgroup_v2_magic).always();
  }

  [[nodiscard]] std::string state() const { return machine_->path("state"); }

  /// Acts once. Returns a complaint, or an empty text.
  [[nodiscard]] std::string act() const {
    auto host = machine_->host();
    if (!host) return host.error().message();
    auto mitigator = Mitigator::open(std::move(*host), state());
    if (!mitigator) return mitigator.error().message();
    auto report = mitigator->run(policy_, mitigation::Urgency::as_configured);
    if (!report) return report.error().message();
    if (!report->warnings.empty()) return report->warnings.front();
    if (report->plan.decision != mitigation::Decision::act) return report->plan.reason;
    return mitigator->save() ? "" : "not saved";
  }

  /// Compares the machine with what it was before, without the files that a rung writes to for
  /// their effect. Returns a complaint, or an empty text.
  [[nodiscard]] std::string complaint(const std::map<std::string, std::string>& before) const {
    const auto host = machine_->host();
    if (!host) return host.error().message();
    for (const auto& [name, text] : texts_below(machine_->path(""))) {
      if (name.rfind("state/", 0) == 0) continue;
      const auto known = before.find(name);
      if (known == before.end()) return name + " is new";
      if (known->second != text && is_setting(name)) return name + " has the text " + text;
    }
    return complaint_of_history(*host);
  }

  [[nodiscard]] static bool is_setting(const std::string& name) {
    for (const auto& [file, text] : GetParam().files) {
      if (file != name) continue;
      const auto& kept = GetParam().restored;
      return std::find(kept.begin(), kept.end(), name) != kept.end();
    }
    return true;
  }

  /// The history must be whole, its lock free, and an action that has begun must be in it.
  [[nodiscard]] std::string complaint_of_history(const Host& host) const {
    const auto mitigator = Mitigator::open(*machine_->host(), state());
    if (!mitigator) return mitigator.error().message();
    const auto history = mitigation::Store::peek(host, state());
    if (!history) return history.error().message();
    if (acted() && history->actions.size() != 1) return "the history lacks the action";
    return std::filesystem::exists(state() + "/history.corrupt") ? "the history is damaged" : "";
  }

  /// True if the rung has written something.
  [[nodiscard]] bool acted() const {
    for (const auto& [name, text] : GetParam().files) {
      if (test::file_text(machine_->path(name)) != text) return true;
    }
    return false;
  }

  void restore() const {
    for (const auto& [name, text] : GetParam().files) test::put_file(machine_->path(name), text);
    std::filesystem::remove_all(state());
  }

  std::optional<test::CapturedMachine> machine_;
  Policy policy_;
  Faults faults_;
};

TEST_P(Killed, LeavesNothingBehindAtAnySystemCall) {
  const auto before = texts_below(machine_->path(""));
  ASSERT_EQ(act(), "");
  ASSERT_EQ(complaint(before), "");
  ASSERT_EQ(acted(), GetParam().restored.size() < GetParam().files.size());
  const auto work = [this] { (void)act(); };
  unsigned kills = 0;
  for (unsigned at = 1;; at += every()) {
    restore();
    const test::Traced run = test::run_traced(work, {at, nullptr});
    ASSERT_EQ(run.trouble, "") << "killed at call " << at;
    EXPECT_EQ(complaint(before), "") << "killed at call " << at;
    if (!run.killed) break;
    ++kills;
  }
  RecordProperty("kills", static_cast<int>(kills));
  EXPECT_GT(kills, 2);
}

INSTANTIATE_TEST_SUITE_P(EachRung, Killed, ::testing::ValuesIn(all_rungs()),
                         [](const auto& parameters) { return parameters.param.name; });

}  // namespace killed_test
