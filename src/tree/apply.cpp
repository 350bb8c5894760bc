// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/tree.hpp"
#include "group/detail.hpp"
#include "settings/device_rules.hpp"
#include "settings/values.hpp"
#include "tree/plan.hpp"
#include "tree/prune.hpp"

namespace cgctl::tree {
namespace {

using detail::Job;
using detail::Work;
using settings::Setting;

/// Returns the change that undoes `change`.
cpu::Change back(const cpu::State& before, const cpu::Change& change) {
  cpu::Change undo;
  if (before.bandwidth && (change.quota || change.cpus || change.period || change.burst)) {
    undo.quota = cpu::Quota{before.bandwidth->quota};
    undo.period = before.bandwidth->period;
    undo.burst = before.bandwidth->burst;
  }
  if (change.shares || change.weight || change.nice || change.idle) {
    undo.idle = before.idle;
    const bool idle = before.idle.value_or(false);
    if (before.shares && !idle) undo.shares = before.shares;
    if (before.weight && !idle) undo.weight = before.weight;
  }
  if (before.real_time && (change.rt_runtime || change.rt_period)) {
    undo.rt_runtime = before.real_time->runtime;
    undo.rt_period = before.real_time->period;
  }
  return undo;
}

memory::Change back(const memory::State& before, const memory::Change& change) {
  memory::Change undo;
  if (change.max || change.memsw_max || change.swap_max) {
    undo.max = before.max;
    undo.memsw_max = before.memsw_max;
    undo.swap_max = before.swap_max;
  }
  if (change.high) undo.high = before.high;
  if (change.low) undo.low = before.low;
  if (change.min) undo.min = before.min;
  if (change.soft_limit) undo.soft_limit = before.soft_limit;
  if (change.swap_high) undo.swap_high = before.swap_high;
  if (change.swappiness) undo.swappiness = before.swappiness;
  if (change.oom_group) undo.oom_group = before.oom_group;
  if (change.oom_kill) undo.oom_kill = before.oom_kill;
  return undo;
}

/// True if the kernel may accept the value once other cgroups have theirs.
bool may_pass_later(const Error& error) {
  return error.os_errno == EINVAL || error.os_errno == EBUSY || error.os_errno == EACCES ||
         error.os_errno == ENOSPC || error.os_errno == EPERM || error.os_errno == ERANGE;
}

/// Carries out a plan's work and can undo it.
class Transaction {
 public:
  Transaction(const Host& host, const Options& options) noexcept : host_(host), options_(options) {}

  Status run(const Work& work) {
    for (const detail::Creation& creation : work.creations) {
      if (detail::is_stopped(options_)) return fail(detail::cancelled("apply", creation.path));
      Creation how;
      how.controllers = creation.controllers;
      const auto group = Group::create(host_, creation.path, how, made_);
      if (!group) return fail(group.error());
      if (creation.rules.empty()) continue;
      const auto written = settings::apply(*group, creation.rules);
      if (!written) return fail(written.error());
    }
    if (auto status = write(work.jobs); !status) return status;
    for (const std::string& path : work.removals) {
      if (detail::is_stopped(options_)) return fail(detail::cancelled("apply", path));
      if (auto status = remove(path); !status) return status;
    }
    return {};
  }

  /// Undoes all steps. Returns the first error.
  Status undo() {
    Status status;
    const auto note = [&status](Status one) {
      if (!one && status) status = std::move(one);
    };
    for (auto one = undo_.rbegin(); one != undo_.rend(); ++one) note((*one)());
    note(unmake(made_));
    return status;
  }

  /// Adds the values that the kernel kept to the steps.
  void report(std::vector<Step>& steps) const {
    for (Step& step : steps) {
      const auto kept = kept_.find({step.path, step.file});
      if (step.kind == Step::Kind::change && kept != kept_.end()) step.kept = kept->second;
    }
  }

 private:
  /// Writes the jobs. Retries refused ones as long as others succeed.
  Status write(const std::vector<Job>& jobs) {
    std::vector<const Job*> left;
    left.reserve(jobs.size());
    for (const Job& job : jobs) left.push_back(&job);
    while (!left.empty()) {
      std::vector<const Job*> refused;
      Error first;
      for (const Job* const job : left) {
        if (detail::is_stopped(options_)) return fail(detail::cancelled("apply", job->path));
        auto status = write(*job);
        if (status) continue;
        if (!may_pass_later(status.error())) return status;
        if (refused.empty()) first = status.error();
        refused.push_back(job);
      }
      if (refused.size() == left.size()) return fail(first);
      left = std::move(refused);
    }
    return {};
  }

  Status write(const Job& job) {
    auto group = job.controllers.empty() ? Group::open(host_, job.path)
                                         : Group::open(host_, job.path, job.controllers);
    if (!group) return fail(group.error());
    if (const auto* const wanted = std::get_if<permissions::Permissions>(&job.what)) {
      return give(std::make_shared<Group>(std::move(*group)), *wanted);
    }
    if (const auto* const wanted = std::get_if<cpu::Change>(&job.what)) {
      return change<cpu::Controller>(*group, *wanted);
    }
    if (const auto* const wanted = std::get_if<memory::Change>(&job.what)) {
      return change<memory::Controller>(*group, *wanted);
    }
    if (const auto* const rules = std::get_if<std::vector<Setting>>(&job.what)) {
      return write(*group, *rules);
    }
    return write(*group, std::get<Setting>(job.what));
  }

  /// Applies a cpu::Change or memory::Change.
  template <class Controller, class Change>
  Status change(const Group& group, const Change& wanted) {
    const Controller controller(group);
    const auto before = controller.state();
    if (!before) return fail(before.error());
    const auto written = controller.set(wanted);
    if (!written) return fail(written.error());
    note_kept(group, *written);
    undo_.push_back([this, path = group.path(), undo = back(*before, wanted)]() -> Status {
      const auto again = Group::open(host_, path);
      if (!again) return fail(again.error());
      const auto restored = Controller(*again).set(undo);
      return restored ? Status{} : fail(restored.error());
    });
    return {};
  }

  Status write(const Group& group, const Setting& setting) {
    auto written = settings::apply(group, {setting});
    if (!written) return fail(written.error());
    note_kept(group, *written);
    const std::string& before = written->front().before;
    const auto file = cgctl::detail::kernel_file(setting.file);
    std::string old = cgctl::detail::restoring_text(file, before, setting.value);
    // A file that reads as several lines may not accept them as a value.
    const bool doubtful = old.empty();
    if (doubtful) old = before;
    undo_.push_back([this, path = group.path(), file = setting.file, old, doubtful]() -> Status {
      const auto again = Group::open(host_, path);
      if (!again) return fail(again.error());
      const auto restored = settings::apply(*again, {{file, old}});
      if (!restored) return fail(restored.error());
      if (!doubtful || restored->front().kept == old) return {};
      return fail(
          Error::make(errc::system, "restore", fs::join(path, file), "it does not read as before"));
    });
    return {};
  }

  /// Writes device rules.
  Status write(const Group& group, const std::vector<Setting>& rules) {
    auto before = cgctl::detail::device_lists(group);
    if (!before) return fail(before.error());
    const auto written = settings::apply(group, rules);
    if (!written) return fail(written.error());
    undo_.push_back([this, before = std::move(*before)] {
      return cgctl::detail::restore_devices(host_, before);
    });
    return {};
  }

  void note_kept(const Group& group, const std::vector<settings::Written>& written) {
    for (const settings::Written& one : written) {
      if (settings::is_as_asked(one)) {
        kept_.erase({group.path(), one.file});
      } else {
        kept_[{group.path(), one.file}] = one.kept;
      }
    }
  }

  Status give(std::shared_ptr<Group> group, const permissions::Permissions& wanted) {
    auto changed = permissions::set(*group, wanted);
    if (!changed) return fail(changed.error());
    undo_.push_back([group = std::move(group), changed = std::move(*changed)] {
      return permissions::restore(changed);
    });
    return {};
  }

  Status remove(const std::string& path) {
    const auto group = Group::open(host_, path);
    if (!group) return group.error().kind == errc::vanished ? Status{} : fail(group.error());
    auto was = detail::Removed::remember(host_, *group);
    if (!was) return fail(was.error());
    // Recorded before the removal, which may fail in one hierarchy after it succeeded in another.
    undo_.push_back([this, was = std::move(*was)] { return was.bring_back(host_); });
    const auto removed = group->remove();
    return removed ? Status{} : fail(removed.error());
  }

  const Host& host_;
  const Options& options_;
  std::vector<Made> made_;
  std::vector<std::function<Status()>> undo_;
  std::map<std::pair<std::string, std::string>, std::string> kept_;  // by path and file
};

}  // namespace

Result<Plan> apply(const Host& host, const Tree& wanted, const Options& options) {
  auto work = detail::work_for(host, wanted, options);
  if (!work) return fail(work.error());
  Transaction transaction(host, options);
  auto status = transaction.run(*work);
  if (status) {
    transaction.report(work->plan.steps);
    return std::move(work->plan);
  }
  Error error = std::move(status.error());
  const auto undone = transaction.undo();
  if (!error.hint.empty()) error.hint += "; ";
  error.hint +=
      undone ? "nothing was changed" : "not all could be restored: " + undone.error().message();
  return fail(std::move(error));
}

}  // namespace cgctl::tree
