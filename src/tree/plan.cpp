// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "tree/plan.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/octal.hpp"
#include "group/detail.hpp"
#include "settings/device_rules.hpp"
#include "settings/values.hpp"
#include "tree/conversion.hpp"
#include "tree/prune.hpp"

namespace cgctl::tree {
namespace {

using cgctl::detail::KernelFile;
using cgctl::detail::Wanted;
using detail::Work;
using settings::Setting;

/// True if an error of Group::place() means that the host or the hierarchy does not have the
/// controller or cgroup.
bool is_nowhere(const Error& error) {
  return error.kind == errc::unsupported || error.kind == errc::vanished;
}

/// True if the controller can already be used in the cgroup.
Result<bool> serves(const Group& group, const std::string& controller) {
  if (controller == "cgroup") {
    if (auto status = group.require_all(); !status) return fail(status.error());
    // v2 comes first.
    return !group.places().empty() && group.places().front().hierarchy->version == Version::v2;
  }
  const auto place = group.place(controller);
  if (!place && !is_nowhere(place.error())) return fail(place.error());
  if (!place) return false;
  if ((*place)->hierarchy->version == Version::v1) return true;
  const auto enabled = fs::read_beneath((*place)->directory.get(), "cgroup.controllers",
                                        fs::join(group.path(), "cgroup.controllers"),
                                        (*place)->hierarchy->open_flags);
  if (!enabled) return fail(enabled.error());
  return parse::has_word(*enabled, controller);
}

/// Returns the state of a new cgroup, as far as plans need it.
cpu::State new_cpu_state(Version version) {
  cpu::State state;
  state.version = version;
  state.bandwidth = cpu::Bandwidth{{}, cpu::default_period, cpu::microseconds(0)};
  state.idle = false;
  if (version == Version::v1) {
    state.shares = cpu::Shares{1024};
    state.real_time = cpu::RealTime{cpu::microseconds(0), cpu::microseconds(1000000)};
  } else {
    state.weight = cpu::Weight{100};
    state.nice = 0;
  }
  return state;
}

memory::State new_memory_state(Version version) {
  const memory::Limit none;
  const memory::Limit zero{0};
  memory::State state;
  state.version = version;
  state.max = none;
  if (version == Version::v1) {
    state.soft_limit = none;
    state.memsw_max = none;
    state.swappiness = 60;
    state.oom_kill = true;
  } else {
    state.high = none;
    state.low = zero;
    state.min = zero;
    state.swap_max = none;
    state.swap_high = none;
    state.oom_group = false;
  }
  return state;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void add_text(const char* what, const permissions::Access& access, std::string& out) {
  const auto add = [&](const char* key, const std::string& value) {
    out += std::string(out.empty() ? "" : ", ") + what + " " + key + " " + value;
  };
  if (access.user) add("user", std::to_string(*access.user));
  if (access.group) add("group", std::to_string(*access.group));
  if (access.mode) add("mode", cgctl::detail::octal(*access.mode));
}

std::string text_of(const permissions::Permissions& wanted) {
  std::string text;
  add_text("files'", wanted.files, text);
  if (wanted.directory_mode) {
    text += (text.empty() ? "" : ", ") +
            ("directory's mode " + cgctl::detail::octal(*wanted.directory_mode));
  }
  add_text("tasks'", wanted.tasks, text);
  return text;
}

/// Returns the last value written to each file.
std::map<std::string, std::string> final_values(const std::vector<Setting>& writes) {
  std::map<std::string, std::string> values;
  for (const Setting& write : writes) values[write.file] = write.value;
  return values;
}

/// Plans the work for a tree, cgroup by cgroup.
class Planner {
 public:
  Planner(const Host& host, const Options& options) : host_(host), options_(options) {}

  Status add(const Cgroup& cgroup) {
    const auto clean = fs::clean_relative_path(cgroup.path);
    if (!clean) return fail(clean.error());
    path_ = *clean == "." ? "/" : "/" + *clean;
    named_.insert(path_);
    if (auto status = check_sections(cgroup); !status) return status;
    auto group = Group::open(host_, path_);
    if (!group && group.error().kind != errc::vanished) return fail(group.error());
    group_ = group ? &*group : nullptr;
    controllers_.clear();
    rules_.clear();
    const std::size_t at = work_.plan.steps.size();
    std::vector<std::string> missing;
    for (const Section& section : cgroup.sections) {
      if (auto status = add(section, missing); !status) {
        if (status.error().path.empty()) status.error().path = path_;
        return status;
      }
    }
    if (!missing.empty()) {
      auto status = cgctl::detail::check_creation(host_, path_, missing);
      if (!status) return status;
    }
    if (auto status = add_permissions(cgroup.permissions, missing); !status) return status;
    add_creation(at, std::move(missing));
    return {};
  }

  Status add_removals() { return detail::add_removals(host_, named_, work_); }

  Work take() { return std::move(work_); }

 private:
  Status add(const Section& section, std::vector<std::string>& missing) {
    const auto settings = settings_of(section);
    if (!settings) return fail(settings.error());
    const auto version = version_of(section.controller, !settings->empty());
    if (!version) return fail(version.error());
    if (!*version) return {};
    const std::string controller = cgctl::detail::controller_name(section.controller, **version);
    is_new_ = group_ == nullptr;
    if (!is_new_) {
      const auto there = serves(*group_, controller);
      if (!there) return fail(there.error());
      is_new_ = !*there;
    }
    if (is_new_) missing.push_back(controller);
    controllers_.push_back(controller);
    auto wanted = cgctl::detail::wanted_of(*settings, **version);
    if (!wanted) return fail(wanted.error());
    for (const std::string& note : wanted->notes) {
      work_.plan.notes.push_back(path_ + ": " + note);
    }
    wanted->cpu.conversion = options_.conversion;
    if (auto status = add_cpu(**version, *wanted); !status) return status;
    if (auto status = add_memory(**version, *wanted); !status) return status;
    std::vector<Setting> rules;
    for (const Setting& setting : wanted->files) {
      if (cgctl::detail::kernel_file(setting.file).is_device_rule()) {
        rules.push_back(setting);
      } else if (auto status = add_file(setting); !status) {
        return status;
      }
    }
    return rules.empty() ? Status{} : add_rules(std::move(rules));
  }

  /// Checks the sections of the present cgroup.
  [[nodiscard]] Status check_sections(const Cgroup& cgroup) const {
    if (!cgroup.sections.empty()) return {};
    return fail(Error::make(errc::invalid_argument, "plan", path_,
                            "without a controller its hierarchy is not known",
                            "name a controller, with or without settings"));
  }

  /// Returns the settings of a section, one for each line. Files that are no settings get a note
  /// instead.
  Result<std::vector<Setting>> settings_of(const Section& section) {
    std::vector<Setting> settings;
    std::set<std::string> once;
    for (const Setting& setting : cgctl::detail::one_line_each(section.settings)) {
      const KernelFile file = cgctl::detail::kernel_file(setting.file);
      if (auto status = check(section, setting, file); !status) return fail(status.error());
      if (file.is_reading()) {
        work_.plan.notes.push_back(path_ + ": " + setting.file + ": left out, it is no setting");
        continue;
      }
      if (!file.is_keyed() && !once.insert(setting.file).second) {
        return fail(Error::make(errc::invalid_argument, "plan", fs::join(path_, setting.file),
                                "it is set twice", "give one value"));
      }
      settings.push_back(setting);
    }
    return settings;
  }

  /// Returns the version of the host's controller; nothing if the section can be left out.
  Result<std::optional<Version>> version_of(const std::string& controller, bool has_settings) {
    if (controller == "cgroup" && host_.unified() != nullptr) return Version::v2;
    for (const Version version : {Version::v1, Version::v2}) {
      const auto* const hierarchy = host_.find(cgctl::detail::controller_name(controller, version));
      if (hierarchy != nullptr && hierarchy->version == version) return version;
    }
    const auto needed = host_.require(controller);
    if (!needed && (has_settings || !is_nowhere(needed.error()))) return fail(needed.error());
    work_.plan.notes.push_back(path_ + ": " + controller +
                               ": left out, this host has no such controller");
    return std::optional<Version>();
  }

  [[nodiscard]] Status check(const Section& section, const Setting& setting,
                             const KernelFile& file) const {
    if (file.is_kept_out_of_trees()) {
      return fail(Error::make(errc::invalid_argument, "plan", fs::join(path_, setting.file),
                              "it is no setting", "move processes with Group::attach()"));
    }
    if (setting.file.substr(0, setting.file.find('.')) == section.controller) return {};
    return fail(Error::make(errc::invalid_argument, "plan", fs::join(path_, setting.file),
                            "it is no file of the controller " + section.controller,
                            "name it as the kernel does, such as " + section.controller + ".max"));
  }

  /// Fails if a new cgroup is known to lack a file: the nearest cgroup above has other files of
  /// that controller, but not this one. The root is not examined, because it lacks many files that
  /// its children have.
  [[nodiscard]] Status check_kernel(const std::string& file) const {
    const std::string controller = file.substr(0, file.find('.'));
    for (std::string above = fs::parent(path_); above != "/"; above = fs::parent(above)) {
      const auto group = Group::open(host_, above);
      // A v2 cgroup has cpu.stat even without the controller.
      if (!group || !serves(*group, controller).value_or(false)) continue;
      const auto files = group->files(controller);
      if (!files || files->empty()) continue;
      if (std::find(files->begin(), files->end(), file) != files->end()) return {};
      return fail(Error::make(errc::unsupported, "plan", fs::join(path_, file),
                              "this kernel has no such file, as " + above + " shows",
                              "leave it out"));
    }
    return {};
  }

  /// Returns the present text of the file; nothing for a new cgroup and for a write-only file.
  [[nodiscard]] Result<std::optional<std::string>> current(const std::string& file) const {
    if (is_new_) {
      if (auto status = check_kernel(file); !status) return fail(status.error());
      return std::nullopt;
    }
    auto text = group_->read(file);
    if (!text && text.error().os_errno == EINVAL) return std::nullopt;
    if (!text) return fail(text.error());
    return std::optional<std::string>(std::move(*text));
  }

  /// Adds a step for each file written. Returns true if any value differs from the present one.
  Result<bool> add_steps(const std::vector<Setting>& writes) {
    bool differs = false;
    for (const auto& [name, value] : final_values(writes)) {
      const auto text = current(name);
      if (!text) return fail(text.error());
      const KernelFile file = cgctl::detail::kernel_file(name);
      const std::string before = *text ? cgctl::detail::written_form(file, **text) : std::string();
      const bool same = *text && cgctl::detail::same_value(file, before, value, host_.page_size());
      add_step(name, before, value, same);
      differs = differs || !same;
    }
    return differs;
  }

  void add_step(const std::string& file, const std::string& before, const std::string& after,
                bool same) {
    Step step;
    step.kind = same ? Step::Kind::leave : Step::Kind::change;
    step.path = path_;
    step.file = file;
    step.before = before;
    step.after = same ? before : after;
    work_.plan.steps.push_back(std::move(step));
  }

  /// Adds notes for converted settings, and the job if anything changes.
  template <class Change>
  Status add_change(const Change& change, const std::vector<Setting>& writes, const Wanted& wanted,
                    bool names_conversion) {
    if (!wanted.converted.empty()) {
      std::vector<std::string> after;
      for (const auto& [file, value] : final_values(writes))
        after.push_back(fmt::format("{} {}", file, value));
      std::string note = path_ + ": " + joined(wanted.converted) + " -> " + joined(after);
      if (names_conversion) note += " (" + std::string(to_string(options_.conversion)) + ")";
      work_.plan.notes.push_back(std::move(note));
    }
    const auto differs = add_steps(writes);
    if (!differs) return fail(differs.error());
    if (*differs) work_.jobs.push_back({path_, {}, change});
    return {};
  }

  Status add_cpu(Version version, const Wanted& wanted) {
    if (wanted.cpu.empty()) return {};
    const auto writes = is_new_ ? cpu::plan(new_cpu_state(version), wanted.cpu)
                                : cpu::Controller(*group_).plan(wanted.cpu);
    if (!writes) return fail(writes.error());
    const bool converts =
        (version == Version::v2 ? wanted.cpu.shares.has_value() : wanted.cpu.weight.has_value());
    return add_change(wanted.cpu, *writes, wanted, converts);
  }

  Status add_memory(Version version, const Wanted& wanted) {
    if (wanted.memory.empty()) return {};
    const auto writes = is_new_ ? memory::plan(new_memory_state(version), wanted.memory)
                                : memory::Controller(*group_).plan(wanted.memory);
    if (!writes) return fail(writes.error());
    return add_change(wanted.memory, *writes, wanted, false);
  }

  Status add_file(const Setting& setting) {
    const auto text = current(setting.file);
    if (!text) return fail(text.error());
    if (!*text && !is_new_) {
      return fail(Error::make(errc::invalid_argument, "plan", fs::join(path_, setting.file),
                              "it is write-only, so its value could not be restored",
                              "write it with settings::apply()"));
    }
    if (!*text) {
      add_step(setting.file, {}, setting.value, false);
      work_.jobs.push_back({path_, {}, setting});
      return {};
    }
    const KernelFile file = cgctl::detail::kernel_file(setting.file);
    const std::string before = file.is_keyed()
                                   ? cgctl::detail::current_line(file, **text, setting.value)
                                   : cgctl::detail::written_form(file, **text);
    const bool same =
        file.is_keyed() ? cgctl::detail::same_line(before, setting.value)
                        : cgctl::detail::same_value(file, before, setting.value, host_.page_size());
    add_step(setting.file, before, setting.value, same);
    if (!same) work_.jobs.push_back({path_, {}, setting});
    return {};
  }

  /// Adds device rules. A new cgroup gets them before cgroups are made below it, because the kernel
  /// then refuses rules for all devices (cgroup-v1/devices.rst).
  Status add_rules(std::vector<Setting> rules) {
    bool same = false;
    if (!is_new_) {
      const auto list = group_->read("devices.list");
      if (!list) return fail(list.error());
      same = cgctl::detail::rules_change_nothing(*list, rules);
    }
    for (const Setting& rule : rules) {
      add_step(rule.file, same ? rule.value : std::string(), rule.value, same);
    }
    if (is_new_) {
      rules_ = std::move(rules);
    } else if (!same) {
      work_.jobs.push_back({path_, {}, std::move(rules)});
    }
    return {};
  }

  Status add_permissions(const permissions::Permissions& wanted,
                         const std::vector<std::string>& missing) {
    if (wanted.empty() || controllers_.empty()) return {};
    bool same = false;
    if (missing.empty()) {
      const auto group = Group::open(host_, path_, controllers_);
      if (!group) return fail(group.error());
      const auto differing = permissions::differing(*group, wanted);
      if (!differing) return fail(differing.error());
      same = differing->empty();
    }
    const std::string text = text_of(wanted);
    add_step("permissions", same ? text : std::string(), text, same);
    if (!same) work_.jobs.push_back({path_, controllers_, wanted});
    return {};
  }

  /// Inserts the steps that make the cgroup and its missing ancestors before its other steps.
  void add_creation(std::size_t at, std::vector<std::string> missing) {
    std::vector<Step> steps;
    if (missing.empty()) {
      if (work_.plan.steps.size() == at && group_ != nullptr) {
        Step step;
        step.path = path_;
        steps.push_back(std::move(step));
      }
    } else {
      for (std::string above = fs::parent(path_); above != "/"; above = fs::parent(above)) {
        if (!created_.insert(above).second) break;
        const auto there = Group::open(host_, above);
        if (there || there.error().kind != errc::vanished) break;
        steps.insert(steps.begin(), creation_step(above, missing));
      }
      created_.insert(path_);
      steps.push_back(creation_step(path_, missing));
      work_.creations.push_back({path_, std::move(missing), std::move(rules_)});
    }
    work_.plan.steps.insert(work_.plan.steps.begin() + static_cast<std::ptrdiff_t>(at),
                            steps.begin(), steps.end());
  }

  static Step creation_step(const std::string& path, const std::vector<std::string>& controllers) {
    Step step;
    step.kind = Step::Kind::create;
    step.path = path;
    step.controllers = controllers;
    return step;
  }

  const Host& host_;
  const Options& options_;
  Work work_;
  std::set<std::string> created_;
  std::set<std::string> named_;
  std::vector<std::string> controllers_;
  std::vector<Setting> rules_;
  std::string path_;
  const Group* group_ = nullptr;
  bool is_new_ = false;
};

}  // namespace

std::string_view to_string(Step::Kind kind) noexcept {
  switch (kind) {
    case Step::Kind::create:
      return "create";
    case Step::Kind::change:
      return "change";
    case Step::Kind::leave:
      return "leave";
    case Step::Kind::remove:
      return "remove";
  }
  return "?";
}

bool Plan::changes_nothing() const noexcept {
  return std::all_of(steps.begin(), steps.end(),
                     [](const Step& step) { return step.kind == Step::Kind::leave; });
}

bool detail::is_stopped(const Options& options) {
  pollfd watched{options.stop, POLLIN, 0};
  return options.stop >= 0 && ::poll(&watched, 1, 0) > 0;
}

Error detail::cancelled(const char* operation, const std::string& path) {
  return Error::make(errc::cancelled, operation, path, "stopped before this");
}

Result<Work> detail::work_for(const Host& host, const Tree& wanted, const Options& options) {
  Planner planner(host, options);
  for (const Cgroup& cgroup : wanted) {
    if (detail::is_stopped(options)) return fail(detail::cancelled("plan", cgroup.path));
    if (auto status = planner.add(cgroup); !status) return fail(status.error());
  }
  if (options.others == Options::Others::remove) {
    if (auto status = planner.add_removals(); !status) return fail(status.error());
  }
  return planner.take();
}

Result<Plan> plan(const Host& host, const Tree& wanted, const Options& options) {
  auto work = detail::work_for(host, wanted, options);
  if (!work) return fail(work.error());
  return std::move(work->plan);
}

}  // namespace cgctl::tree
