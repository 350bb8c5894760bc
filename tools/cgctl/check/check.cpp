// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "check/measure.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"

namespace cgctl::tool::check_command {
namespace {

using std::chrono::nanoseconds;

/// The states of monitoring plugins; the value is the exit status.
enum class State { ok = 0, warning = 1, critical = 2, unknown = 3 };

/// A value above `warning` is a warning, one above `critical` is critical.
struct Limits {
  double warning = 0;
  std::optional<double> critical;
};

struct Options {
  std::optional<Limits> zombies;
  std::optional<Limits> ids;
  std::optional<Limits> read;
  std::optional<Limits> hold;
  std::optional<Limits> throttled;
  nanoseconds time = std::chrono::seconds(2);
};

struct Check {
  const char* name;
  const char* unit;
  Limits limits;
  Result<Figure> figure;

  [[nodiscard]] State state() const {
    if (!figure) return State::unknown;
    if (limits.critical && figure->value > *limits.critical) return State::critical;
    return figure->value > limits.warning ? State::warning : State::ok;
  }
};

const char* to_string(State state) {
  constexpr std::array names = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
  return names.at(static_cast<std::size_t>(state));
}

/// Orders the states as monitoring plugins do: a known fault is worse than an unknown state.
int badness(State state) {
  constexpr std::array order = {0, 2, 3, 1};
  return order.at(static_cast<std::size_t>(state));
}

State worst_of(const std::vector<Check>& checks) {
  State worst = State::ok;
  for (const Check& one : checks) {
    if (badness(one.state()) > badness(worst)) worst = one.state();
  }
  return worst;
}

/// Returns a number without an exponent, which performance data may not have: "0.000031".
std::string plain(double number) {
  std::string text = fmt::format("{:.6f}", number);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

/// Returns the performance data of monitoring plugins: "zombies=34;5000;20000 read=0.0123s;0.1".
std::string performance(const std::vector<Check>& checks, bool with_limits) {
  std::string text;
  for (const Check& one : checks) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", one.name,
                        one.figure ? plain(one.figure->value) + one.unit : "U");
    if (!with_limits) continue;
    text += ";" + plain(one.limits.warning);
    if (one.limits.critical) text += ";" + plain(*one.limits.critical);
  }
  return text;
}

/// Returns the words on the checks in state `worst`.
std::string words(const std::vector<Check>& checks, State worst) {
  std::string text;
  for (const Check& one : checks) {
    if (one.state() != worst) continue;
    text += text.empty() ? "" : ", ";
    text += one.figure ? one.figure->text
                       : fmt::format("{}: {}", one.name, message_of(one.figure.error()));
  }
  return text;
}

/// Returns the line, shortened to what monitors keep: first the limits in the performance data go,
/// then the end of the words.
std::string line_of(const std::vector<Check>& checks) {
  constexpr std::size_t longest = 80;
  const State worst = worst_of(checks);
  std::string text = fmt::format("{}: {}", to_string(worst), words(checks, worst));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '|' || c == '\n'; }, '/');
  std::string data = performance(checks, true);
  if (text.size() + 1 + data.size() > longest) data = performance(checks, false);
  const std::size_t room = longest - 1 - std::min(longest - 1, data.size());
  constexpr std::string_view cut = "...";
  if (text.size() > room) text = text.substr(0, room - std::min(room, cut.size())).append(cut);
  return text + "|" + data + "\n";
}

Json json_of(const std::vector<Check>& checks) {
  Json all = Json::array();
  for (const Check& one : checks) {
    Json json{{"check", one.name},
              {"state", to_string(one.state())},
              {"value", one.figure ? Json(one.figure->value) : Json(nullptr)},
              {"unit", one.unit},
              {"warning", one.limits.warning},
              {"critical", or_null(one.limits.critical)}};
    json["text"] = one.figure ? one.figure->text : message_of(one.figure.error());
    all.push_back(std::move(json));
  }
  return {{"state", to_string(worst_of(checks))}, {"checks", std::move(all)}};
}

std::vector<Check> check_all(const Host& host, const Options& options) {
  std::vector<Check> checks;
  if (options.zombies || options.ids) {
    const auto count = zombies::count(host);
    const auto figure = [&](auto make) -> Result<Figure> {
      if (!count) return fail(count.error());
      return make(*count);
    };
    if (options.zombies) {
      checks.push_back({"zombies", "", *options.zombies, figure([](const auto& found) {
                          return Figure{static_cast<double>(found.zombies()), in_words(found)};
                        })});
    }
    if (options.ids) {
      checks.push_back(
          {"ids", "%", *options.ids, figure([](const auto& found) {
             constexpr double percent = 100;
             const double share = percent * static_cast<double>(found.kernel) / memcg_ids;
             return Figure{share, fmt::format("{:.3g}% of memory cgroup ids used", share)};
           })});
    }
  }
  if (options.read) {
    const std::chrono::duration<double> limit(options.read->warning);
    checks.push_back({"read", "s", *options.read,
                      cost_of_a_read(host, std::chrono::duration_cast<nanoseconds>(limit))});
  }
  if (!options.hold && !options.throttled) return checks;
  const Window seen =
      watch(host, {options.hold.has_value(), options.throttled.has_value(), options.time});
  if (options.hold) checks.push_back({"hold", "s", *options.hold, seen.hold});
  if (options.throttled) checks.push_back({"throttled", "%", *options.throttled, seen.throttled});
  return checks;
}

Exit unknown(const Error& error) {
  report(error);
  std::fputs("UNKNOWN: the host cannot be examined\n", stdout);
  return static_cast<Exit>(State::unknown);
}

Exit run_check(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return unknown(host.error());
  const auto checks = check_all(*host, options);
  for (const Check& one : checks) {
    if (!one.figure) report(one.figure.error());
  }
  if (globals.format == Format::json) {
    print(globals, "check/1", json_of(checks));
  } else {
    print(globals, line_of(checks));
  }
  return static_cast<Exit>(worst_of(checks));
}

/// Parses "5000" or "5000,20000", each part by `parse`.
template <class Parse>
Limits limits_of(const std::string& text, Parse parse) {
  const std::size_t comma = text.find(',');
  Limits limits{parse(text.substr(0, comma)), std::nullopt};
  if (comma == std::string::npos) return limits;
  limits.critical = parse(text.substr(comma + 1));
  if (*limits.critical < limits.warning) {
    throw CLI::ValidationError("'" + text + "': the critical limit is below that of a warning");
  }
  return limits;
}

template <class Parse>
void add_limits(CLI::App& command, const char* name, const char* type,
                std::optional<Limits>& limits, const char* description, Parse parse) {
  const auto take = [&limits, name, parse](const std::string& text) {
    try {
      limits = limits_of(text, parse);
    } catch (const CLI::ValidationError& error) {
      throw CLI::ValidationError(fmt::format("{} {}", name, error.what()));
    }
  };
  command.add_option_function<std::string>(name, take, description)->type_name(type);
}

double number_of(const std::string& text) {
  double number = 0;
  if (!CLI::detail::lexical_cast(text, number) || !(number >= 0)) {
    throw CLI::ValidationError("'" + text + "': not a number");
  }
  return number;
}

double percent_of(const std::string& text) {
  constexpr double all = 100;
  const double number = number_of(text);
  if (number > all) throw CLI::ValidationError("'" + text + "': more than 100 percent");
  return number;
}

double seconds_of(const std::string& text) {
  return std::chrono::duration<double>(parse_time(text)).count();
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "check",
      "compare figures with limits, for monitors\n\n"
      "Prints one line of at most 80 characters, as Nagios, similar monitors and the Kubernetes "
      "node problem detector expect, and exits with 0 (OK), 1 (WARNING: a value is above its "
      "limit), 2 (CRITICAL: a value is above its second limit) or 3 (UNKNOWN: a figure is not "
      "available, or wrong usage). A limit is WARN or WARN,CRIT.");
  add_limits(*command, "--zombies", "N", options->zombies, "removed memory cgroups still held",
             number_of);
  add_limits(*command, "--ids", "PCT", options->ids,
             "memory cgroups, of the 65,535 that the\nkernel can have", percent_of);
  add_limits(*command, "--read", "TIME", options->read,
             "time that a read of the root's\nmemory.numa_stat takes", seconds_of);
  add_limits(*command, "--hold", "TIME", options->hold,
             "longest time that a task held a CPU inside\nthe statistics of memory cgroups",
             seconds_of);
  add_limits(*command, "--throttled", "PCT", options->throttled,
             "share of periods in which the quota of a\ncgroup ran out, for the worst cgroup",
             percent_of);
  add_time(*command, "--for", options->time,
           "how long to watch for --hold and --throttled\n(default 2s)");
  command->footer(
      "Examples:\n"
      "  cgctl check --zombies 5000,20000 --read 100ms\n"
      "  cgctl check --hold 100ms,1s --throttled 50 --for 5s");
  command->callback([&globals, &run, options] {
    if (!options->zombies && !options->ids && !options->read && !options->hold &&
        !options->throttled) {
      throw CLI::ValidationError("name a figure: --zombies, --ids, --read, --hold or --throttled");
    }
    run = [&globals, options] {
      try {
        return run_check(globals, *options);
      } catch (const std::bad_alloc&) {
        std::fputs("UNKNOWN: out of memory\n", stdout);
        return static_cast<Exit>(State::unknown);
      }
    };
  });
}

}  // namespace cgctl::tool::check_command
