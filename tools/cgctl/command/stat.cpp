// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <thread>

#include "cgctl/cpu.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/memory_stat.hpp"
#include "cgctl/pressure.hpp"
#include "cli/command.hpp"
#include "cli/figures.hpp"
#include "cli/json.hpp"
#include "cli/names.hpp"

namespace cgctl::tool::stat_command {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

struct Options {
  std::vector<std::string> paths;
  std::optional<nanoseconds> watch;
  std::uint64_t count = 0;  ///< 0: until interrupted
};

/// Figures of one cgroup at one time; a figure that the cgroup does not have is absent.
struct Sample {
  Clock::time_point at;
  std::optional<cpu::Stat> cpu;
  std::optional<cpu::Bandwidth> limit;
  std::optional<memory::State> memory;
  std::optional<std::uint64_t> working_set;
  std::optional<memory::Events> events;
  std::optional<pressure::Pressure> cpu_pressure;
  std::optional<pressure::Pressure> memory_pressure;
  std::optional<pressure::Pressure> io_pressure;
  std::optional<Error> unread;  ///< error of the first file that exists but cannot be read
};

/// One of the named cgroups.
struct Target {
  std::string path;
  std::optional<Group> group;  ///< empty: the cgroup is gone
  names::Names names;
  bool is_new = false;  ///< the last round found it again
  Sample last;
  std::string said;  ///< last warning about a file that could not be read
};

Sample sample(const Group& group) {
  Sample sample;
  const auto value_of =
      [&sample](auto result) -> std::optional<typename decltype(result)::value_type> {
    if (result) return std::move(*result);
    if (result.error().kind != errc::unsupported && !sample.unread) sample.unread = result.error();
    return std::nullopt;
  };
  sample.at = Clock::now();
  sample.cpu = value_of(cpu::stat(group));
  if (const auto state = value_of(cpu::Controller{group}.state())) sample.limit = state->bandwidth;
  sample.memory = value_of(memory::Controller{group}.state());
  const auto stat = value_of(memory::stat(group));
  if (stat && sample.memory && sample.memory->usage) {
    sample.working_set = memory::working_set(*sample.memory->usage, *stat);
  }
  sample.events = value_of(memory::events(group));
  sample.cpu_pressure = value_of(pressure::read(group, pressure::Resource::cpu));
  sample.memory_pressure = value_of(pressure::read(group, pressure::Resource::memory));
  sample.io_pressure = value_of(pressure::read(group, pressure::Resource::io));
  return sample;
}

bool is_gone(const Group& group) {
  const auto processes = group.read("cgroup.procs");
  return !processes &&
         (processes.error().kind == errc::vanished || processes.error().os_errno == ENOENT);
}

/// Warns of a file that could not be read, once as long as the message stays the same.
void warn_of_unread(Target& target, const Sample& sample) {
  const std::string message = sample.unread ? message_of(*sample.unread) : std::string();
  if (!message.empty() && message != target.said) warn(message);
  target.said = message;
}

cpu::Rates rates_between(const Sample& before, const Sample& after) {
  if (!before.cpu || !after.cpu) return {};
  return cpu::rates(*before.cpu, *after.cpu, after.at - before.at, after.limit);
}

std::optional<std::uint64_t> kills_between(const Sample& before, const Sample& after) {
  if (!before.events || !after.events || !before.events->oom_kill || !after.events->oom_kill) {
    return std::nullopt;
  }
  return *after.events->oom_kill - std::min(*before.events->oom_kill, *after.events->oom_kill);
}

Json json_of(const Target& target, const Sample& now) {
  const Sample& before = target.last;
  const cpu::Rates rates = rates_between(before, now);
  Json json{{"path", target.path},
            {"seconds", std::chrono::duration<double>(now.at - before.at).count()},
            {"cpus", or_null(rates.cpus)},
            {"limit_cpus", or_null(now.limit ? now.limit->cpus() : std::nullopt)},
            {"percent_of_limit", or_null(rates.percent_of_limit)},
            {"percent_throttled", or_null(rates.percent_throttled)}};
  const auto& memory = now.memory;
  json["memory_bytes"] = memory ? or_null(memory->usage) : Json(nullptr);
  json["memory_max_bytes"] = memory && memory->max ? or_null(memory->max->bytes) : Json(nullptr);
  json["working_set_bytes"] = or_null(now.working_set);
  json["oom_kills"] = or_null(kills_between(before, now));
  json["pressure"] = {{"cpu", pressure_json(now.cpu_pressure)},
                      {"memory", pressure_json(now.memory_pressure)},
                      {"io", pressure_json(now.io_pressure)}};
  put_names(json, target.names);
  return json;
}

std::string percent(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}%", *value) : "-";
}

std::string stalled(const std::optional<pressure::Pressure>& pressure) {
  return pressure ? fmt::format("{:.1f}%", pressure->some.avg10) : "-";
}

/// `named`: with the column of names.
std::vector<std::string> row_of(const Target& target, const Sample& now, bool named) {
  const Sample& before = target.last;
  const cpu::Rates rates = rates_between(before, now);
  const auto& memory = now.memory;
  std::string of_max = "-";
  if (memory && memory->usage && memory->max && memory->max->bytes.value_or(0) > 0) {
    of_max = percent(100.0 * static_cast<double>(*memory->usage) /
                     static_cast<double>(*memory->max->bytes));
  }
  std::vector<std::string> cells{rates.cpus ? fmt::format("{:.2f}", *rates.cpus) : "-",
                                 percent(rates.percent_of_limit),
                                 percent(rates.percent_throttled),
                                 memory && memory->usage ? human_bytes(*memory->usage) : "-",
                                 of_max,
                                 now.working_set ? human_bytes(*now.working_set) : "-",
                                 stalled(now.cpu_pressure),
                                 stalled(now.memory_pressure),
                                 stalled(now.io_pressure),
                                 printable(target.path)};
  if (named) cells.insert(cells.end() - 1, printable(names::text_of(target.names)));
  return cells;
}

Table empty_table(bool named) {
  constexpr auto right = Table::Align::right;
  std::vector<Table::Column> columns{
      {"CPUS", right},    {"OF LIMIT", right}, {"THROTTLED", right},
      {"MEMORY", right},  {"OF MAX", right},   {"WORKING SET", right},
      {"CPU PSI", right}, {"MEM PSI", right},  {"IO PSI", right}};
  if (named) columns.push_back({"NAME"});
  columns.push_back({"CGROUP"});
  return Table(std::move(columns));
}

bool find_again(const Host& host, Target& target) {
  auto group = host.open(target.path);
  if (!group) return false;
  target.group = std::move(*group);
  return true;
}

/// Samples a target; returns nothing if there is no earlier sample to compare with. Opens a new
/// cgroup again in the next round, because its creator adds it to one hierarchy after the other.
std::optional<Sample> look(const Host& host, Target& target) {
  if (target.is_new) target.is_new = !find_again(host, target);
  if (target.group) {
    Sample now = sample(*target.group);
    if (!is_gone(*target.group)) return now;
    warn(fmt::format("stat {}: the cgroup is gone", target.path));
    target.group.reset();
  }
  if (!find_again(host, target)) return std::nullopt;
  warn(fmt::format("stat {}: a new cgroup exists there, its figures start anew", target.path));
  target.last = sample(*target.group);
  target.is_new = true;
  return std::nullopt;
}

/// Samples the cgroups that exist and shows the differences to their last samples, after an empty
/// line if `is_next`. Returns false if none exists.
bool show_all(const Globals& globals, const Host& host, std::vector<Target>& targets,
              bool is_next) {
  const bool named = std::any_of(targets.begin(), targets.end(),
                                 [](const Target& target) { return !target.names.empty(); });
  Table table = empty_table(named);
  bool any = false;
  for (Target& target : targets) {
    const auto now = look(host, target);
    if (!now) continue;
    any = true;
    warn_of_unread(target, *now);
    if (globals.format == Format::json) {
      print(globals, "stat/1", json_of(target, *now));
    } else {
      table.add(row_of(target, *now, named));
    }
    target.last = *now;
  }
  if (any && globals.format == Format::text) {
    print(globals, (is_next ? "\n" : "") + table.text());
  }
  return any;
}

Exit run_stat(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  std::vector<Target> targets;
  names::Resolver resolver = resolver_for(globals);
  for (const std::string& path : options.paths) {
    auto group = host->open(path);
    if (!group) return report(group.error());
    names::Names names = resolver.names_of(group->path());
    targets.push_back({group->path(), std::move(*group), std::move(names), false, {}, {}});
  }
  for (Target& target : targets) {
    target.last = sample(*target.group);
    warn_of_unread(target, target.last);
  }
  const nanoseconds interval = options.watch.value_or(std::chrono::seconds(1));
  const std::uint64_t rounds = options.watch ? options.count : 1;
  bool any = true;
  auto next = Clock::now();
  for (std::uint64_t round = 0; rounds == 0 || round < rounds; ++round) {
    next += interval;
    std::this_thread::sleep_until(next);
    any = show_all(globals, *host, targets, round > 0);
    // Readers of a pipe get each round at once; if the reader is gone, the command ends.
    if (!flush_output()) return Exit::failed;
  }
  return any ? Exit::done : Exit::failed;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "stat",
      "show what cgroups use now: CPUs, throttling, memory, stalls\n\n"
      "Samples each PATH twice, a second apart, and shows CPUs used (also in percent of the "
      "limit), the share of periods in which the quota ran out, memory in use, and the share of "
      "the last 10 s in which tasks waited for CPU, memory and I/O (PSI; cgroup v2 only). A dash "
      "stands for a figure that the cgroup does not have. With --watch, a removed cgroup is looked "
      "up again in each round and shown once it is back.");
  add_paths(*command, options->paths, "cgroups to sample");
  const auto take_watch = [options](const std::string& text) {
    const auto bare = text.find_first_not_of("0123456789.") == std::string::npos;
    options->watch = parse_time(bare ? text + "s" : text, "--watch");
    if (*options->watch < std::chrono::milliseconds(10)) {
      throw CLI::ValidationError("--watch '" + text + "': at least 10ms");
    }
  };
  CLI::Option* const watch = command->add_option_function<std::string>(
      "-w,--watch", take_watch, "repeat at this interval: 5 (seconds), 500ms, ...");
  watch->type_name("TIME");
  add_number(*command, "--count", options->count, "stop after N samples")->needs(watch);
  command->footer(
      "Examples:\n"
      "  cgctl stat /batch /web\n"
      "  cgctl --json stat --watch 5 /batch");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_stat(globals, *options); };
  });
}

}  // namespace cgctl::tool::stat_command
