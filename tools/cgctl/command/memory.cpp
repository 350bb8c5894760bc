// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/memory.hpp"

#include <fmt/format.h>

#include <memory>

#include "cgctl/group.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/memory_stat.hpp"
#include "cgctl/pressure.hpp"
#include "cli/command.hpp"
#include "cli/figures.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"
#include "cli/limits.hpp"
#include "cli/setting_options.hpp"

namespace cgctl::tool::memory_command {
namespace {

struct Options {
  std::string path;
  memory::Change wanted;
  std::optional<std::uint64_t> reclaim;
  bool force_empty = false;
  bool reset_peak = false;
  bool reset_failcnt = false;

  [[nodiscard]] bool only_show() const {
    return wanted.empty() && !reclaim && !force_empty && !reset_peak && !reset_failcnt;
  }
};

struct Report {
  std::string path;
  memory::State state;
  memory::Stat stat;
  memory::Events events;
  std::optional<pressure::Pressure> pressure;
};

Json json_of(const std::optional<memory::Limit>& limit) {
  return limit ? or_null(limit->bytes) : Json(nullptr);
}

Json json_of(const memory::Events& events) {
  return {
      {"low", or_null(events.low)},           {"high", or_null(events.high)},
      {"max", or_null(events.max)},           {"oom", or_null(events.oom)},
      {"oom_kill", or_null(events.oom_kill)}, {"oom_group_kill", or_null(events.oom_group_kill)}};
}

std::size_t skipped_lines(const Report& report) {
  return report.stat.skipped_lines() + report.events.skipped_lines +
         (report.pressure ? report.pressure->skipped_lines : 0);
}

Json json_of(const Report& report) {
  const memory::State& state = report.state;
  Json stat = Json::object();
  report.stat.each(
      [&stat](std::string_view name, std::uint64_t value) { stat[std::string(name)] = value; });
  Json json{{"path", report.path}, {"version", to_string(state.version)}};
  json.update(Json{{"usage_bytes", or_null(state.usage)},
                   {"peak_bytes", or_null(state.peak)},
                   {"max_bytes", json_of(state.max)},
                   {"high_bytes", json_of(state.high)},
                   {"low_bytes", json_of(state.low)},
                   {"min_bytes", json_of(state.min)},
                   {"soft_limit_bytes", json_of(state.soft_limit)},
                   {"swap_usage_bytes", or_null(state.swap_usage)},
                   {"swap_max_bytes", json_of(state.swap_max)},
                   {"swap_high_bytes", json_of(state.swap_high)},
                   {"memsw_usage_bytes", or_null(state.memsw_usage)},
                   {"memsw_max_bytes", json_of(state.memsw_max)},
                   {"swappiness", or_null(state.swappiness)},
                   {"oom_group", or_null(state.oom_group)},
                   {"oom_kill", or_null(state.oom_kill)},
                   {"under_oom", or_null(state.under_oom)}});
  if (state.usage) json["working_set_bytes"] = memory::working_set(*state.usage, report.stat);
  json["events"] = json_of(report.events);
  json["pressure"] = pressure_json(report.pressure);
  json["stat"] = std::move(stat);
  json["skipped_lines"] = skipped_lines(report);
  return json;
}

/// Collects the lines of a report; leaves out lines without a value.
class Lines {
 public:
  void add(const char* name, const std::string& value) {
    text_ += fmt::format("  {:<12}{}\n", name, value);
  }
  void add(const char* name, const std::optional<memory::Limit>& limit) {
    if (limit) add(name, limit->bytes ? human_bytes(*limit->bytes) : "none");
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string usage_text(const Report& report) {
  const memory::State& state = report.state;
  std::string text = human_bytes(*state.usage);
  if (state.max && state.max->bytes && *state.max->bytes > 0) {
    text += fmt::format(", {:.3g}% of its limit", 100.0 * static_cast<double>(*state.usage) /
                                                      static_cast<double>(*state.max->bytes));
  }
  text +=
      fmt::format(" (working set {}", human_bytes(memory::working_set(*state.usage, report.stat)));
  if (state.peak) text += fmt::format(", peak {}", human_bytes(*state.peak));
  return text + ")";
}

std::string kinds_text(const Report& report) {
  using memory::Key;
  const memory::Stat& stat = report.stat;
  const bool v1 = report.state.version == Version::v1;
  const std::pair<const char*, std::optional<std::uint64_t>> kinds[] = {
      {"anonymous", stat[v1 ? Key::rss : Key::anon]},
      {"file", stat[v1 ? Key::cache : Key::file]},
      {"of it shmem", stat[Key::shmem]},
      {"dirty", stat[v1 ? Key::dirty : Key::file_dirty]},
      {"slab", stat[Key::slab]},
  };
  std::string text;
  for (const auto& [name, bytes] : kinds) {
    if (!bytes) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, human_bytes(*bytes));
  }
  return text;
}

std::string events_text(const memory::Events& events) {
  const std::pair<const char*, std::optional<std::uint64_t>> counts[] = {
      {"low", events.low},
      {"high", events.high},
      {"limit hit", events.max},
      {"oom", events.oom},
      {"oom kills", events.oom_kill}};
  std::string text;
  for (const auto& [name, count] : counts) {
    if (count) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, *count);
  }
  return text;
}

std::string text_of(const Report& report) {
  const memory::State& state = report.state;
  Lines lines;
  if (state.usage) lines.add("in use", usage_text(report));
  lines.add("of that", kinds_text(report));
  lines.add("max", state.max);
  lines.add("high", state.high);
  lines.add("low", state.low);
  lines.add("min", state.min);
  lines.add("soft limit", state.soft_limit);
  if (state.swap_usage) lines.add("swap", human_bytes(*state.swap_usage));
  lines.add("swap max", state.swap_max);
  lines.add("swap high", state.swap_high);
  if (state.memsw_usage) lines.add("with swap", human_bytes(*state.memsw_usage));
  lines.add("memsw max", state.memsw_max);
  if (state.swappiness) lines.add("swappiness", std::to_string(*state.swappiness));
  if (state.oom_group) lines.add("oom group", *state.oom_group ? "on" : "off");
  if (state.oom_kill) {
    lines.add("oom kill", std::string(*state.oom_kill ? "on" : "off") +
                              (state.under_oom.value_or(false) ? ", tasks are waiting" : ""));
  }
  if (const std::string events = events_text(report.events); !events.empty()) {
    lines.add("events", events);
  }
  if (report.pressure) lines.add("pressure", pressure_text(*report.pressure));
  return paint(Color::bold, printable(report.path)) +
         fmt::format(", memory on {}\n{}", to_string(state.version), lines.text()) +
         skipped_text(skipped_lines(report));
}

Result<Report> examine(const Group& group) {
  Report report{group.path(), {}, {}, {}, {}};
  auto state = memory::Controller{group}.state();
  if (!state) return fail(state.error());
  report.state = *state;
  auto stat = memory::stat(group);
  if (!stat) return fail(stat.error());
  report.stat = std::move(*stat);
  // The root of v2 has no events.
  report.events = value_or_warning(memory::events(group)).value_or(memory::Events{});
  report.pressure = value_or_warning(pressure::read(group, pressure::Resource::memory));
  return report;
}

Exit show(const Globals& globals, const Group& group) {
  return show_state(
      globals, "memory/1", examine(group), [](const auto& found) { return json_of(found); },
      [](const auto& found) { return text_of(found); });
}

Exit give_back(const Globals& globals, const Group& group, const Options& options) {
  const memory::Controller controller{group};
  const auto given =
      options.reclaim ? controller.reclaim(*options.reclaim) : controller.force_empty();
  if (!given) return report(given.error());
  const std::uint64_t freed = given->before > given->after ? given->before - given->after : 0;
  if (globals.format == Format::json) {
    print(globals, "reclaim/1",
          Json{{"path", group.path()},
               {"before_bytes", given->before},
               {"after_bytes", given->after},
               {"complete", given->complete}});
  } else {
    print(globals,
          fmt::format("{} freed, {} left{}\n", human_bytes(freed), human_bytes(given->after),
                      given->complete ? "" : " (the kernel found no more)"));
  }
  return freed == 0 && !given->complete ? Exit::ineffective : Exit::done;
}

/// Checks that the requested actions are possible, before any limit is written.
Status check_actions(const memory::Controller& controller, const Options& options) {
  const std::pair<bool, memory::Action> actions[] = {
      {options.reclaim.has_value(), memory::Action::reclaim},
      {options.force_empty, memory::Action::force_empty},
      {options.reset_peak, memory::Action::reset_peak},
      {options.reset_failcnt, memory::Action::reset_failcnt}};
  for (const auto& [wanted, action] : actions) {
    if (!wanted) continue;
    if (auto status = controller.check(action); !status) return status;
  }
  return {};
}

Exit run_memory(const Globals& globals, const Options& options) {
  const auto host = options.only_show() ? globals.host() : host_to_change(globals);
  if (!host) return report(host.error());
  const auto group = host->open(options.path);
  if (!group) return report(group.error());
  if (options.only_show()) return show(globals, *group);
  const memory::Controller controller{*group};
  if (const auto status = check_actions(controller, options); !status) {
    return report(status.error());
  }
  if (!options.wanted.empty()) {
    const auto written = write_whole([&] { return controller.set(options.wanted); });
    if (!written) return report(written.error());
    print_written(globals, group->path(), *written);
  }
  Status status;
  if (options.reset_peak) status = controller.reset_peak();
  if (status && options.reset_failcnt) status = controller.reset_failcnt();
  if (!status) return report(status.error());
  if (options.reclaim || options.force_empty) return give_back(globals, *group, options);
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "memory",
      "show or set how much memory a cgroup may use\n\n"
      "Shows the memory in use, the limits, and the events at them, or writes the settings given: "
      "all of them or none, in an order in which each is valid. A value that the kernel rounds to "
      "pages is printed. Sizes may have a suffix K, M, G, T or P (powers of 1024).");
  add_path(*command, options->path, "cgroup to show or change")->required();
  add_memory_options(*command, options->wanted);
  CLI::Option* const reclaim = add_setting(
      *command, "Actions", "--reclaim", "SIZE", "reclaim this much memory (v2, Linux 5.19)",
      [options](const std::string& text) { options->reclaim = parse_size(text); });
  command
      ->add_flag("--force-empty", options->force_empty,
                 "reclaim all that can be, page cache included (v1)")
      ->group("Actions")
      ->excludes(reclaim);
  command->add_flag("--reset-peak", options->reset_peak, "measure the peak from now on (v1)")
      ->group("Actions");
  command->add_flag("--reset-failcnt", options->reset_failcnt, "count limit hits from 0 again (v1)")
      ->group("Actions");
  command->footer(
      "Examples:\n"
      "  cgctl memory /batch\n"
      "  cgctl memory /batch --max 1G\n"
      "  cgctl memory /batch --max 1G --memsw-max 1G    and no swap\n"
      "  cgctl memory /batch --high 800M --max 1G       throttled before it is killed");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_memory(globals, *options); };
  });
}

}  // namespace cgctl::tool::memory_command
