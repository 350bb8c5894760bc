// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "cgctl/mitigation.hpp"
#include "command.hpp"
#include "json.hpp"

namespace cgctl::tool::mitigate_command {
namespace {

using mitigation::Action;
using mitigation::Decision;
using mitigation::Effect;
using mitigation::Observation;
using mitigation::Outcome;
using mitigation::Plan;
using mitigation::Policy;
using mitigation::Store;

struct Options {
  bool once = false;
  bool dry_run = false;
  bool force = false;
  unsigned level = 0;  ///< 0: the ladder
  std::optional<std::uint64_t> low;
  std::chrono::nanoseconds min_interval = Policy{}.min_interval;
  std::string state_dir = "/run/cgctl";
  Policy policy;
};

struct Report {
  Observation before;
  Plan plan;
  std::optional<Outcome> outcome;  ///< when something was done
};

/// CLOCK_BOOTTIME: does not stop while the machine sleeps.
std::chrono::seconds since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec);
}

/// What would be done, and why. Changes nothing.
Result<Report> rehearse(const Host& host, const Policy& policy, const std::string& state_dir) {
  const auto history = Store::peek(host, state_dir);
  if (!history) return fail(history.error());
  numa::CostGuard guard;
  auto before = mitigation::observe(host, guard, policy);
  if (!before) return fail(before.error());
  auto plan = mitigation::decide(*before, *history, policy, since_boot());
  return Report{std::move(*before), std::move(plan), std::nullopt};
}

/// Look, decide, act, verify, remember: one run of what a scheduler calls.
Result<Report> mitigate_once(const Host& host, const Policy& policy, const std::string& state_dir) {
  const auto store = Store::open(host, state_dir);
  if (!store) return fail(store.error());
  const auto history = store->load();
  if (!history) return fail(history.error());
  if (!store->warning().empty()) warn(store->warning());

  numa::CostGuard guard;
  auto before = mitigation::observe(host, guard, policy);
  if (!before) return fail(before.error());
  auto plan = mitigation::decide(*before, *history, policy, since_boot());
  if (plan.decision != Decision::act)
    return Report{std::move(*before), std::move(plan), std::nullopt};

  // Saved before acting too: a run that is killed half-way, or that cannot save, must not be
  // repeated by the next at once.
  mitigation::History after = *history;
  after.last_action = since_boot();
  if (auto status = store->save(after); !status) return fail(status.error());
  auto outcome = mitigation::carry_out(host, guard, plan, policy, *before);
  if (!outcome) {
    (void)store->save(*history);
    return fail(outcome.error());
  }
  after.last_action = since_boot();
  after.ineffective = outcome->effect == Effect::ineffective ? history->ineffective + 1 : 0;
  if (auto status = store->save(after); !status) warn(status.error().message());
  return Report{std::move(*before), std::move(plan), std::move(*outcome)};
}

/// "dry-run" stands for an action that was only rehearsed.
std::string_view decision_of(const Report& report) {
  const bool rehearsed = report.plan.decision == Decision::act && !report.outcome;
  return rehearsed ? "dry-run" : mitigation::to_string(report.plan.decision);
}

Exit exit_of(const Report& report) {
  if (report.plan.decision == Decision::refused) return Exit::refused;
  const bool useless = report.outcome && report.outcome->effect == Effect::ineffective;
  return useless ? Exit::ineffective : Exit::done;
}

// ---- text ----

std::string line(std::string_view label, std::string_view text) {
  return fmt::format("{:<16}{}\n", label, text);
}

std::string line_of(const char* when, const Observation& seen) {
  const zombies::Count& count = seen.zombies;
  std::string text = fmt::format("{}, {} live", in_words(count), count.live);
  if (seen.read_cost) {
    text += fmt::format("; a read of numa_stat {} {}",
                        seen.read_cost_measured ? "takes" : "may take up to",
                        human_time(*seen.read_cost));
  }
  if (seen.residual)
    text += fmt::format("; {} could be freed", human_bytes(seen.residual->freeable()));
  return line(when, text + fmt::format("; page cache {}", human_bytes(seen.page_cache)));
}

std::string line_of(const Action& action) {
  std::string text = fmt::format("{} -> {} zombies, ", action.zombies_before, action.zombies_after);
  switch (action.end) {
    case mitigation::End::done:
      text += "took " + human_time(action.duration);
      break;
    case mitigation::End::timed_out:
      text += "killed after " + human_time(action.duration);
      break;
    case mitigation::End::failed:
      text += "failed";
      break;
  }
  if (action.error) text += ": " + action.error->message();
  return line(mitigation::to_string(action.rung), text);
}

std::string line_of_rehearsal(const Plan& plan) {
  std::string ladder;
  for (const mitigation::Rung rung : plan.ladder) {
    ladder.append(ladder.empty() ? "" : ", then if need be ").append(mitigation::to_string(rung));
  }
  return line("would do", ladder) + line("dry-run", "nothing was changed");
}

/// "1991 of 2003 zombies freed", and why not more.
std::string gain_of(const Report& report) {
  const std::uint64_t before = report.before.zombies.low;
  const std::uint64_t after = report.outcome->actions.back().zombies_after;
  std::string text =
      fmt::format("{} of {} zombies freed", before > after ? before - after : 0, before);
  const bool useless = report.outcome->effect == Effect::ineffective;
  const std::string& why = report.outcome->explanation;
  if (useless) text += ": " + (why.empty() ? "what pins them could not be found out" : why);
  return text;
}

std::string line_of_verdict(const Report& report) {
  const Effect effect = report.outcome->effect;
  const Color color = effect == Effect::effective ? Color::green : Color::red;
  return paint(color, fmt::format("{:<16}", mitigation::to_string(effect))) + gain_of(report) +
         "\n";
}

/// For a run that neither did its work nor had none, in one line.
std::string complaint_of(const Report& report) {
  return report.outcome ? "ineffective: " + gain_of(report) : report.plan.reason;
}

std::string text_of(const Report& report) {
  if (report.plan.decision != Decision::act) {
    return line_of("now", report.before) + line(decision_of(report), report.plan.reason);
  }
  std::string text =
      line_of(report.outcome ? "before" : "now", report.before) + line("why", report.plan.reason);
  if (!report.outcome) return text + line_of_rehearsal(report.plan);
  for (const Action& action : report.outcome->actions) text += line_of(action);
  return text + line_of("after", report.outcome->after) + line_of_verdict(report);
}

// ---- JSON ----

Json json_of(const Observation& seen) {
  Json one{{"zombies", seen.zombies.zombies()}, {"low", seen.zombies.low},
           {"high", seen.zombies.high},         {"exact", seen.zombies.exact()},
           {"kernel", seen.zombies.kernel},     {"live", seen.zombies.live}};
  one["read_cost_us"] = nullptr;
  if (seen.read_cost) one["read_cost_us"] = static_cast<double>(seen.read_cost->count()) / 1e3;
  one["read_cost_measured"] = seen.read_cost_measured;
  one["freeable_bytes"] = nullptr;
  if (seen.residual) one["freeable_bytes"] = seen.residual->freeable();
  one["page_cache_bytes"] = seen.page_cache;
  one["io_pressure"] = or_null(seen.io_pressure);
  one["memory_pressure"] = or_null(seen.memory_pressure);
  one["pages_reparented"] = or_null(seen.pages_reparented);
  return one;
}

Json json_of(const Action& action) {
  Json one{{"rung", mitigation::to_string(action.rung)},
           {"end", mitigation::to_string(action.end)},
           {"seconds", std::chrono::duration<double>(action.duration).count()},
           {"zombies_before", action.zombies_before},
           {"zombies_after", action.zombies_after}};
  if (action.error) one["error"] = action.error->message();
  return one;
}

Json json_of(const Report& report) {
  Json one{{"schema", 1},
           {"decision", decision_of(report)},
           {"reason", report.plan.reason},
           {"before", json_of(report.before)},
           {"actions", Json::array()},
           {"after", nullptr},
           {"result", mitigation::to_string(Effect::none)}};
  if (report.outcome) {
    for (const Action& action : report.outcome->actions) one["actions"].push_back(json_of(action));
    one["after"] = json_of(report.outcome->after);
    one["result"] = mitigation::to_string(report.outcome->effect);
    if (!report.outcome->explanation.empty()) one["explanation"] = report.outcome->explanation;
  } else if (report.plan.decision == Decision::act) {
    one["plan"] = Json::array();
    for (const mitigation::Rung rung : report.plan.ladder)
      one["plan"].push_back(mitigation::to_string(rung));
  }
  return one;
}

// ---- command ----

Exit run_mitigate(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return tool::report(host.error());
  if (!options.dry_run && !host->live()) {
    return tool::report(Error::make(errc::unsupported, "mitigate", globals.roots.proc,
                                    "what the roots show is not the running kernel's alone",
                                    "--dry-run tells what would be done there"));
  }
  const auto report = options.dry_run ? rehearse(*host, options.policy, options.state_dir)
                                      : mitigate_once(*host, options.policy, options.state_dir);
  if (!report) return tool::report(report.error());
  if (globals.format == Format::json) {
    print(globals, json_of(*report));
  } else {
    print(globals, text_of(*report));
  }
  const Exit exit = exit_of(*report);
  if (globals.quiet && exit != Exit::done) warn("mitigate: " + complaint_of(*report));
  return exit;
}

void describe(CLI::App& command, Options& options) {
  Policy& policy = options.policy;
  command.add_flag("--once", options.once, "look, decide, act and verify once (required)")
      ->required();
  command.add_flag("--dry-run", options.dry_run, "say what would be done, change nothing");
  add_level(command, "--level", options.level,
            "this level of drop_caches instead of the ladder, from\none zombie on");
  command.add_flag("--force", options.force, "act even if a guard speaks against it");
  add_number(command, "--high", policy.zombies_high,
             "act from this many zombies on (default 1000)");
  add_number(command, "--low", options.low, "stop climbing at this many (default half of --high)");
  add_time(command, "--read-cost-limit", policy.read_cost_limit,
           "act when a read of the root's numa_stat costs more\nand zombies are to blame (default "
           "10ms)");
  add_time(command, "--min-interval", options.min_interval,
           "the least time between two actions; doubles after\neach without effect, up to 24h "
           "(default 10min)");
  add_time(command, "--deadline", policy.deadline, "the longest one rung may take (default 60s)");
  command.add_option("--state-dir", options.state_dir, "lock and history (default /run/cgctl)")
      ->type_name("DIR");
}

/// Options that depend on each other.
void complete(Options& options) {
  Policy& policy = options.policy;
  policy.zombies_low = options.low.value_or(policy.zombies_high / 2);
  if (policy.zombies_low > policy.zombies_high) {
    throw CLI::ValidationError(
        fmt::format("--low {}: above --high {}", policy.zombies_low, policy.zombies_high));
  }
  policy.min_interval = std::chrono::ceil<std::chrono::seconds>(options.min_interval);
  if (options.level != 0) policy.only = rung_of(options.level);
  if (options.force) policy.guards = mitigation::Guards::override_all;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "mitigate",
      "free zombies when there is need, and prove it\n\n"
      "Counts the zombies, decides whether to act, climbs a ladder from the mildest means to the "
      "strongest (memory.reclaim where the kernel has it, then drop_caches 1, then 2) until few "
      "are "
      "left, waits for the count to stand still and says what came of it. Refuses (status 3) when "
      "I/O or memory is under pressure, the last action was too recent, or nothing could be "
      "freed.");
  describe(*command, *options);
  command->footer(
      "Examples:\n"
      "  cgctl mitigate --once --dry-run\n"
      "  cgctl --json mitigate --once --high 2000 --low 200   from cron, needs root");
  command->callback([&globals, &run, options] {
    complete(*options);
    run = [&globals, options] { return run_mitigate(globals, *options); };
  });
}

}  // namespace cgctl::tool::mitigate_command
