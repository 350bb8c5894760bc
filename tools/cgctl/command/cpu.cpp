// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cpu.hpp"

#include <fmt/format.h>

#include <memory>

#include "cgctl/group.hpp"
#include "cli/command.hpp"
#include "cli/figures.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"
#include "cli/limits.hpp"

namespace cgctl::tool::cpu_command {
namespace {

using std::chrono::nanoseconds;

struct Options {
  std::string path;
  cpu::Change wanted;
};

struct Report {
  std::string path;
  cpu::State state;
  cpu::Stat stat;
  std::optional<std::vector<nanoseconds>> per_cpu;  ///< v1
  bool host_has_cpuacct;
};

template <class Duration>
std::optional<std::int64_t> count(const std::optional<Duration>& time) {
  if (!time) return std::nullopt;
  return time->count();
}

template <class Value>
std::optional<std::uint64_t> number(const std::optional<Value>& value) {
  if (!value) return std::nullopt;
  return value->value;
}

Json stat_json(const Report& report) {
  const cpu::Stat& stat = report.stat;
  Json json{{"usage_ns", or_null(count(stat.usage))},
            {"user_ns", or_null(count(stat.user))},
            {"system_ns", or_null(count(stat.system))},
            {"nr_periods", or_null(stat.nr_periods)},
            {"nr_throttled", or_null(stat.nr_throttled)},
            {"throttled_ns", or_null(count(stat.throttled))},
            {"nr_bursts", or_null(stat.nr_bursts)},
            {"burst_ns", or_null(count(stat.burst))},
            {"usage_per_cpu_ns", nullptr},
            {"skipped_lines", stat.skipped_lines}};
  if (!report.per_cpu) return json;
  Json list = Json::array();
  for (const nanoseconds usage : *report.per_cpu) list.push_back(usage.count());
  json["usage_per_cpu_ns"] = std::move(list);
  return json;
}

Json json_of(const Report& report) {
  const cpu::State& state = report.state;
  const auto& bandwidth = state.bandwidth;
  const auto& budget = state.real_time;
  const auto microseconds = [](auto time) { return Json(time.count()); };
  return {
      {"path", report.path},
      {"version", to_string(state.version)},
      {"quota_us", or_null(bandwidth ? count(bandwidth->quota) : std::nullopt)},
      {"period_us", bandwidth ? microseconds(bandwidth->period) : Json(nullptr)},
      {"cpus", or_null(bandwidth ? bandwidth->cpus() : std::nullopt)},
      {"burst_us", or_null(bandwidth ? count(bandwidth->burst) : std::nullopt)},
      {"shares", or_null(number(state.shares))},
      {"weight", or_null(number(state.weight))},
      {"nice", or_null(state.nice)},
      {"idle", or_null(state.idle)},
      {"rt_runtime_us", budget ? microseconds(budget->runtime) : Json(nullptr)},
      {"rt_period_us", budget ? microseconds(budget->period) : Json(nullptr)},
      {"stat", stat_json(report)},
  };
}

std::string limit_text(const cpu::Bandwidth& bandwidth) {
  if (!bandwidth.quota) return "none";
  std::string text = fmt::format("{:.4g} CPUs: {} of {}", *bandwidth.cpus(),
                                 human_time(*bandwidth.quota), human_time(bandwidth.period));
  if (bandwidth.burst && bandwidth.burst->count() > 0) {
    text += fmt::format(", {} burst", human_time(*bandwidth.burst));
  }
  return text;
}

std::string share_text(const cpu::State& state, const std::string& path) {
  if (state.idle.value_or(false)) return "idle: runs only when the CPU is otherwise idle";
  if (state.shares) {
    return fmt::format("{} shares (a weight of {} on v2)", state.shares->value,
                       cpu::to_weight(*state.shares).value);
  }
  if (state.weight) {
    return fmt::format("weight {} ({} shares on v1)", state.weight->value,
                       cpu::to_shares(*state.weight).value);
  }
  return path == "/" ? "none: this is the root" : "none: the cpu controller is not enabled here";
}

std::string real_time_text(const cpu::RealTime& budget) {
  if (budget.runtime.count() == 0) return "no budget: takes no real-time tasks";
  return fmt::format("{} of {}", human_time(budget.runtime), human_time(budget.period));
}

std::string used_text(const cpu::Stat& stat, bool has_cpuacct) {
  if (!stat.usage && has_cpuacct) {
    return "not known: the cgroup is not in cpuacct's hierarchy (create it there with -c cpuacct)";
  }
  if (!stat.usage) return "not known: the host has no cpuacct";
  std::string text = human_time(*stat.usage);
  if (stat.user && stat.system) {
    text += fmt::format(" (user {}, system {})", human_time(*stat.user), human_time(*stat.system));
  }
  return text;
}

std::string throttled_text(const cpu::Stat& stat) {
  if (!stat.nr_periods || !stat.nr_throttled) return "never: this cgroup cannot be limited";
  std::string text = fmt::format("{} of {} periods", *stat.nr_throttled, *stat.nr_periods);
  if (stat.throttled) text += fmt::format(", {}", human_time(*stat.throttled));
  return text;
}

std::string text_of(const Report& report) {
  const cpu::State& state = report.state;
  std::string text = paint(Color::bold, printable(report.path));
  text += fmt::format(", cpu on {}\n", to_string(state.version));
  const auto line = [&text](const char* name, const std::string& value) {
    text += fmt::format("  {:<11}{}\n", name, value);
  };
  line("limit", state.bandwidth ? limit_text(*state.bandwidth) : "cannot be limited");
  line("share", share_text(state, report.path));
  if (state.real_time) {
    line("real time", real_time_text(*state.real_time));
  }
  line("used", used_text(report.stat, report.host_has_cpuacct));
  line("throttled", throttled_text(report.stat));
  if (report.stat.nr_bursts.value_or(0) > 0) {
    line("bursts", fmt::format("in {} periods, {}", *report.stat.nr_bursts,
                               human_time(report.stat.burst.value_or(nanoseconds(0)))));
  }
  return text + skipped_text(report.stat.skipped_lines);
}

Result<Report> examine(const Group& group) {
  const auto state = cpu::Controller{group}.state();
  if (!state) return fail(state.error());
  const auto stat = cpu::stat(group);
  if (!stat) return fail(stat.error());
  const bool has_cpuacct = group.host().find("cpuacct") != nullptr;
  Report report{group.path(), *state, *stat, std::nullopt, has_cpuacct};
  if (auto per_cpu = cpu::usage_per_cpu(group)) report.per_cpu = std::move(*per_cpu);
  return report;
}

Exit run_cpu(const Globals& globals, const Options& options) {
  const auto host = options.wanted.empty() ? globals.host() : host_to_change(globals);
  if (!host) return report(host.error());
  const auto group = host->open(options.path);
  if (!group) return report(group.error());
  if (!options.wanted.empty()) {
    const auto written = write_whole([&] { return cpu::Controller{*group}.set(options.wanted); });
    if (!written) return report(written.error());
    print_written(globals, group->path(), *written);
    const std::string note = period_note(options.wanted, *written);
    if (!note.empty() && globals.format == Format::text) print(globals, note + "\n");
    return Exit::done;
  }
  const auto found = examine(*group);
  if (!found) return report(found.error());
  if (globals.format == Format::json) {
    print(globals, "cpu/1", json_of(*found));
  } else {
    print(globals, text_of(*found));
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "cpu",
      "show or set how much CPU time a cgroup may use\n\n"
      "Shows the limit, the share and the CPU time used, or writes the settings given: all of "
      "them or none, in an order in which each is valid. A value that the kernel clamps is "
      "printed.");
  add_path(*command, options->path, "cgroup to show or change")->required();
  add_cpu_options(*command, options->wanted);
  command->footer(
      "Examples:\n"
      "  cgctl cpu /batch\n"
      "  cgctl cpu /batch --cpus 0.5                     half a CPU\n"
      "  cgctl cpu /batch --quota 50ms --period 100ms    the same, in the kernel's terms\n"
      "  cgctl cpu /batch --shares 2048                  twice the share of a new cgroup");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_cpu(globals, *options); };
  });
}

}  // namespace cgctl::tool::cpu_command
