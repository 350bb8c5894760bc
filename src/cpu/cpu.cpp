// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cpu.hpp"

#include <algorithm>
#include <cerrno>
#include <string>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "cpu/plan.hpp"
#include "detail/directory.hpp"
#include "settings/transaction.hpp"

namespace cgctl::cpu {
namespace {

using cgctl::detail::malformed;
using cgctl::detail::Rule;
using cgctl::detail::ValueFiles;
using detail::ratio;

constexpr auto for_reading = ValueFiles::For::reading;
constexpr auto for_writing = ValueFiles::For::writing;

std::optional<std::int64_t> signed_number(std::string_view text) {
  const bool negative = parse::starts_with(text, "-");
  if (negative) text.remove_prefix(1);
  const auto number = parse::whole_number(text);
  if (!number || *number > INT64_MAX) return std::nullopt;
  const auto value = static_cast<std::int64_t>(*number);
  return negative ? -value : value;
}

/// Reads a number; nothing if the kernel has no such file.
Result<std::optional<std::int64_t>> read_number(ValueFiles& files, std::string_view file) {
  const auto text = files.read(file);
  if (!text) return fail(text.error());
  if (!*text) return std::nullopt;
  const auto number = signed_number(**text);
  if (!number) return malformed(files.group(), file, **text);
  return number;
}

std::optional<microseconds> limit(std::int64_t quota) {
  if (quota < 0) return std::nullopt;
  return microseconds(quota);
}

/// Reads the number in `file` and stores `make(number)` in `out`.
template <class T, class Make>
Status read_into(ValueFiles& files, std::string_view file, std::optional<T>& out, Make make) {
  const auto number = read_number(files, file);
  if (!number) return fail(number.error());
  if (*number) out = make(**number);
  return {};
}

microseconds time_of(std::int64_t number) { return microseconds(number); }

Status read_bandwidth_v1(ValueFiles& files, std::optional<Bandwidth>& out) {
  const auto quota = read_number(files, "cpu.cfs_quota_us");
  if (!quota) return fail(quota.error());
  const auto period = read_number(files, "cpu.cfs_period_us");
  if (!period) return fail(period.error());
  if (!*quota || !*period) return {};
  if (**period == 0) return malformed(files.group(), "cpu.cfs_period_us", "0");
  out = Bandwidth{limit(**quota), microseconds(**period), std::nullopt};
  return read_into(files, "cpu.cfs_burst_us", out->burst, time_of);
}

Status read_bandwidth_v2(ValueFiles& files, std::optional<Bandwidth>& out) {
  const auto text = files.read("cpu.max");
  if (!text) return fail(text.error());
  if (!*text) return {};
  std::string_view rest = **text;
  std::string_view row = parse::line(rest);
  const std::string_view first = parse::field(row);
  const auto quota = parse::whole_number(first);
  const auto period = parse::whole_number(parse::field(row));
  if ((!quota && first != "max") || !period || *period == 0) {
    return malformed(files.group(), "cpu.max", **text);
  }
  out = Bandwidth{};
  if (quota) out->quota = microseconds(*quota);
  out->period = microseconds(*period);
  return read_into(files, "cpu.max.burst", out->burst, time_of);
}

Status read_real_time(ValueFiles& files, std::optional<RealTime>& out) {
  const auto runtime = read_number(files, "cpu.rt_runtime_us");
  if (!runtime) return fail(runtime.error());
  const auto period = read_number(files, "cpu.rt_period_us");
  if (!period) return fail(period.error());
  if (*runtime && *period) out = RealTime{microseconds(**runtime), microseconds(**period)};
  return {};
}

Status read_share_v2(ValueFiles& files, State& state) {
  const auto weight = [](std::int64_t value) { return Weight{static_cast<std::uint64_t>(value)}; };
  const auto nice = [](std::int64_t value) { return static_cast<int>(value); };
  if (auto status = read_into(files, "cpu.weight", state.weight, weight); !status) return status;
  return read_into(files, "cpu.weight.nice", state.nice, nice);
}

/// Selects the files of a cgroup to read.
struct Parts {
  bool bandwidth = true;
  bool share = true;
  bool real_time = true;
};

/// Returns the parts that plan() needs.
Parts parts_of(const Change& wanted) {
  return {wanted.quota || wanted.cpus || wanted.period || wanted.burst,
          wanted.shares || wanted.weight || wanted.nice || wanted.idle,
          wanted.rt_runtime || wanted.rt_period};
}

Status read_share_v1(ValueFiles& files, State& state) {
  const auto shares = [](std::int64_t value) { return Shares{static_cast<std::uint64_t>(value)}; };
  return read_into(files, "cpu.shares", state.shares, shares);
}

Result<State> read_state(ValueFiles& files, const Parts& parts) {
  const auto place = files.group().place("cpu");
  if (!place) return fail(place.error());
  State state;
  state.version = (*place)->hierarchy->version;
  const bool v1 = state.version == Version::v1;
  Status status;
  if (parts.bandwidth) {
    status =
        v1 ? read_bandwidth_v1(files, state.bandwidth) : read_bandwidth_v2(files, state.bandwidth);
  }
  if (status && parts.share) {
    status = v1 ? read_share_v1(files, state) : read_share_v2(files, state);
  }
  if (status && parts.share) {
    const auto on = [](std::int64_t value) { return value != 0; };
    status = read_into(files, "cpu.idle", state.idle, on);
  }
  if (status && parts.real_time && v1) status = read_real_time(files, state.real_time);
  if (!status) return fail(status.error());
  const int inside = cgctl::detail::has_subdirectories((*place)->directory.get());
  if (inside < 0) return fail(fs::system_error("list", files.group().path(), -inside));
  state.has_children = inside > 0;
  return state;
}

/// Returns the sum of the budgets directly below `path`, without the cgroup `but`.
std::int64_t ratio_below(const Host& host, const std::string& path, const std::string& but) {
  std::int64_t sum = 0;
  const auto group = Group::open(host, path, {"cpu"});
  const auto names = group ? group->children() : fail(group.error());
  if (!names) return 0;
  for (const std::string& name : *names) {
    const std::string below = fs::join(path, name);
    const auto child = below == but ? fail(Error{}) : host.open(below);
    if (!child) continue;
    ValueFiles files(*child, for_reading);
    std::optional<RealTime> budget;
    if (read_real_time(files, budget) && budget && budget->period.count() > 0) {
      sum += ratio(budget->runtime, budget->period);
    }
  }
  return sum;
}

/// Returns the range for real-time budgets. A parent or child that cannot be read is treated as
/// imposing no limit.
RealTimeRoom room_for(const Group& group) {
  RealTimeRoom room;
  room.least = ratio_below(group.host(), group.path(), {});
  if (group.path() == "/") return room;
  const std::string parent = fs::parent(group.path());
  const auto above = group.host().open(parent);
  if (!above) return room;
  ValueFiles files(*above, for_reading);
  std::optional<RealTime> budget;
  if (!read_real_time(files, budget) || !budget || budget->period.count() <= 0) return room;
  room.most = std::min(room.most, ratio(budget->runtime, budget->period)) -
              ratio_below(group.host(), parent, group.path());
  return room;
}

Result<std::vector<settings::Setting>> plan_with(ValueFiles& files, const Change& wanted) {
  auto now = read_state(files, parts_of(wanted));
  if (!now) return fail(now.error());
  if (now->real_time && wanted.rt_runtime && wanted.rt_period) {
    now->real_time_room = room_for(files.group());
  }
  auto settings = cpu::plan(*now, wanted);
  if (!settings) settings.error().path = files.group().path();
  return settings;
}

// ---- rules behind an errno ----

std::string in_us(microseconds time) { return std::to_string(time.count()) + " us"; }

std::string in_us(const Bandwidth& bandwidth) {
  return in_us(*bandwidth.quota) + " of " + in_us(bandwidth.period);
}

/// Returns the nearest ancestor with a limit.
std::string limited_above(const Group& group, Bandwidth& bandwidth) {
  for (std::string path = fs::parent(group.path()); path != "/"; path = fs::parent(path)) {
    const auto above = group.host().open(path);
    std::optional<Bandwidth> found;
    if (!above) continue;
    ValueFiles files(*above, for_reading);
    if (!read_bandwidth_v1(files, found) || !found || !found->quota) continue;
    bandwidth = *found;
    return path;
  }
  return {};
}

/// Returns a cgroup below with a limit above `most`.
std::string more_below(const Group& group, std::int64_t most, Bandwidth& bandwidth) {
  const auto place = group.place("cpu");
  std::vector<std::string> paths;
  if (place) (void)add_paths_below((*place)->directory.get(), group.path(), paths);
  for (const std::string& relative : paths) {
    std::string path = fs::join(group.path(), relative);
    const auto below = Group::open(group.host(), path, {"cpu"});
    if (!below) continue;
    std::optional<Bandwidth> found;
    ValueFiles files(*below, for_reading);
    if (read_bandwidth_v1(files, found) && found && found->quota &&
        ratio(*found->quota, found->period) > most) {
      bandwidth = *found;
      return path;
    }
  }
  return {};
}

Rule bandwidth_rule(const Group& group, const Bandwidth& next, Version version) {
  if (group.path() == "/") return {"the root cannot be limited", "limit the cgroups below it"};
  if (next.period < detail::shortest_period || next.period > detail::longest_period) {
    return {"a period of " + in_us(next.period) + " is out of range",
            "give 1000 us (1 ms) to 1000000 us (1 s)"};
  }
  if (!next.quota) return {};
  if (*next.quota < detail::least_quota) {
    return {"a quota of " + in_us(*next.quota) + " is too small",
            "give at least 1000 us (1 ms); for less CPU time use a longer period"};
  }
  if (version == Version::v2) return {};
  const std::int64_t wanted = ratio(*next.quota, next.period);
  Bandwidth other;
  if (const std::string above = limited_above(group, other);
      !above.empty() && ratio(*other.quota, other.period) < wanted) {
    return {in_us(next) + " is more than " + above + " above it has, " + in_us(other),
            "raise that one first"};
  }
  if (const std::string below = more_below(group, wanted, other); !below.empty()) {
    return {in_us(next) + " is less than " + below + " below it has, " + in_us(other),
            "lower that one first"};
  }
  return {};
}

Rule real_time_rule(const Group& group, const RealTime& next) {
  if (next.period <= microseconds(0)) return {"a period must be above 0", ""};
  if (next.runtime < microseconds(0)) {
    return {"a cgroup's real-time budget must be a limit", "give 0 or more microseconds"};
  }
  if (next.runtime > next.period) {
    return {
        "a runtime of " + in_us(next.runtime) + " is more than its period of " + in_us(next.period),
        ""};
  }
  const RealTimeRoom room = room_for(group);
  if (detail::fits(next, room)) {
    return {
        "the kernel takes runtime and period one at a time, and either order would exceed another "
        "cgroup's budget for a moment",
        "lower the budgets below or raise the one above during the change"};
  }
  if (ratio(next.runtime, next.period) < room.least) {
    return {"the budget is less than the cgroups below it have together", "lower those first"};
  }
  const std::string path = fs::parent(group.path());
  const auto above = group.host().open(path);
  std::optional<RealTime> budget;
  if (!above) return {};
  ValueFiles files(*above, for_reading);
  if (read_real_time(files, budget) && budget) {
    return {"the budgets do not fit: cpu.rt_runtime_us of " + path + " above it is " +
                in_us(budget->runtime) + " of " + in_us(budget->period),
            "sibling cgroups together can have at most their parent's budget"};
  }
  return {};
}

}  // namespace

Result<State> Controller::state() const {
  ValueFiles files(*group_, for_reading);
  return read_state(files, Parts{});
}

Result<std::vector<settings::Setting>> Controller::plan(const Change& wanted) const {
  ValueFiles files(*group_, for_reading);
  return plan_with(files, wanted);
}

Result<std::vector<settings::Written>> Controller::set(const Bandwidth& wanted) const {
  return set(change_to(wanted));
}

Result<std::vector<settings::Written>> Controller::set(const Change& wanted) const {
  ValueFiles files(*group_, for_writing);
  const auto settings = plan_with(files, wanted);
  if (!settings) return fail(settings.error());
  auto written = files.apply(*settings);
  if (!written) return fail(explain(std::move(written.error()), wanted));
  return written;
}

Result<std::vector<settings::Written>> Controller::set_weight(Shares shares,
                                                              Conversion conversion) const {
  Change change;
  change.shares = shares;
  change.conversion = conversion;
  return set(change);
}

Result<std::vector<settings::Written>> Controller::set_weight(Weight weight,
                                                              Conversion conversion) const {
  Change change;
  change.weight = weight;
  change.conversion = conversion;
  return set(change);
}

Error Controller::explain(Error error, const Change& wanted) const {
  const std::string file = cgctl::detail::file_of(error);
  Rule rule;
  const auto now = state();
  if (!now || error.kind != errc::system) return error;
  const bool bandwidth =
      parse::starts_with(file, "cpu.cfs_") || parse::starts_with(file, "cpu.max");
  if (bandwidth && error.os_errno == EINVAL) {
    const auto next = detail::wanted_bandwidth(*now, wanted);
    if (next) rule = bandwidth_rule(*group_, *next, now->version);
  } else if (parse::starts_with(file, "cpu.rt_") && error.os_errno == EINVAL && now->real_time) {
    rule = real_time_rule(*group_, {wanted.rt_runtime.value_or(now->real_time->runtime),
                                    wanted.rt_period.value_or(now->real_time->period)});
  } else if (parse::starts_with(file, "cpu.rt_") && error.os_errno == EBUSY) {
    rule = {"there are real-time tasks in it, which need a cpu.rt_runtime_us above 0",
            "move them elsewhere or change their policy with chrt"};
  } else if (file == "cpu.weight" && error.os_errno == ERANGE) {
    rule = {"the weight is out of range", "1 to 10000"};
  } else if (file == "cpu.weight.nice" && error.os_errno == ERANGE) {
    rule = {"the nice value is out of range", "-20 to 19"};
  } else if (now->idle.value_or(false) && file != "cpu.idle" && error.os_errno == EINVAL) {
    rule = {"an idle cgroup has no share", "set cpu.idle to 0 first"};
  } else if (group_->path() == "/" && error.os_errno == EINVAL) {
    rule = {"the root has no share", "set the shares of the cgroups below it"};
  }
  return cgctl::detail::explained(std::move(error), std::move(rule));
}

}  // namespace cgctl::cpu
