// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "cgctl/pressure.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"
#include "cli/names.hpp"
#include "mitigate/config.hpp"
#include "mitigate/daemon.hpp"
#include "mitigate/mitigation_run.hpp"

namespace cgctl::tool::mitigate_command {
namespace {

using mitigation::Decision;
using mitigation::Effect;
using mitigation::Policy;

struct Options {
  bool once = false;
  bool daemon = false;
  bool print_config = false;
  bool check_config = false;
  bool dry_run = false;
  Overrides overrides;
};

Exit exit_of(const Report& report) {
  if (report.plan.decision == Decision::refused) return Exit::refused;
  if (report.outcome && !report.outcome->status)
    return tool::report(report.outcome->status.error());
  const bool useless = report.outcome && report.outcome->effect == Effect::ineffective;
  return useless ? Exit::ineffective : Exit::done;
}

// ---- command ----

Result<Report> act_once(const Host& host, const Configuration& configuration) {
  auto mitigator = Mitigator::open(host, configuration.state_dir);
  if (!mitigator) return fail(mitigator.error());
  auto report = mitigator->run(configuration.policy, Urgency::as_configured);
  if (!report) return report;
  if (auto status = mitigator->save(); !status) warn(message_of(status.error()));
  const auto wait = configuration.refaults_after;
  if (report->outcome && wait.count() != 0) {
    std::this_thread::sleep_for(wait);
    add_refaults(host, *report);
  }
  return report;
}

/// True if --force would act where a guard refused.
bool force_helps(const Report& report, const Policy& policy) {
  if (report.plan.decision != Decision::refused) return false;
  Policy forced = policy;
  forced.guards = mitigation::Guards::override_all;
  const auto plan = mitigation::decide(report.before, {}, forced, mitigation::uptime());
  return plan.decision == Decision::act;
}

Exit run_once(const Globals& globals, const Options& options, const Host& host) {
  const auto configuration = configure(options.overrides, Use::once);
  if (!configuration) return tool::report(configuration.error());
  const auto report =
      options.dry_run ? mitigation::rehearse(host, configuration->state_dir, configuration->policy)
                      : act_once(host, *configuration);
  if (!report) return tool::report(report.error());
  warn_of(*report);
  names::Resolver names = resolver_for(globals);
  if (globals.format == Format::json) {
    print(globals, std::string_view(json_line_of(*report, names)));
  } else {
    print(globals, text_of(*report, names));
    if (force_helps(*report, configuration->policy)) {
      print(globals, labelled("to override", "--force"));
    }
  }
  const Exit exit = exit_of(*report);
  if (globals.quiet && (exit == Exit::refused || exit == Exit::ineffective))
    warn("mitigate: " + complaint_of(*report));
  return exit;
}

/// Warns on a host without pressure figures that two guards of the configuration have no effect.
void warn_of_blind_guards(const Globals& globals) {
  const auto host = globals.host();
  if (!host) return;
  const auto io = pressure::read(*host, pressure::Resource::io);
  if (!io && io.error().kind == errc::unsupported) warn(blind_guards);
}

Exit run_mitigate(const Globals& globals, const Options& options) {
  if (options.print_config || options.check_config) {
    const auto configuration = configure(options.overrides, Use::daemon);
    if (!configuration) return tool::report(configuration.error());
    if (options.print_config) print(globals, to_toml(*configuration));
    if (options.check_config) warn_of_blind_guards(globals);
    return Exit::done;
  }
  const auto host = options.dry_run ? globals.host() : host_to_change(globals);
  if (!host) return tool::report(host.error());
  if (!options.dry_run && !host->live()) {
    return tool::report(Error::make(errc::unsupported, "mitigate", globals.roots.proc,
                                    "the given roots do not all belong to the running kernel",
                                    "--dry-run shows what would be done there"));
  }
  if (options.daemon) return run_daemon(globals, *host, options.overrides);
  return run_once(globals, options, *host);
}

void describe(CLI::App& command, Options& options) {
  Overrides& overrides = options.overrides;
  const char* const what = "Mode (give one)";
  // The help lists groups in the order in which they are added: --help must follow the modes.
  command.set_help_flag();
  command.add_flag("--once", options.once, "look once, and free zombies if needed")->group(what);
  command.add_flag("--daemon", options.daemon, "do so repeatedly; print a line of JSON per action")
      ->group(what);
  command
      .add_flag("--print-config", options.print_config,
                "print the configuration as a file with comments")
      ->group(what);
  command.add_flag("--check-config", options.check_config, "only check the configuration")
      ->group(what);
  command.set_help_flag("-h,--help", "print this help and exit");
  command
      .add_option("--config", overrides.file,
                  fmt::format("configuration file (default, if it exists:\n{})", default_config))
      ->type_name("FILE");
  command.add_flag("--dry-run", options.dry_run, "say what would be done, change nothing")
      ->excludes("--daemon");
  add_level(command, "--level", overrides.level,
            "use this level of drop_caches instead of the ladder,\neven for a single zombie")
      ->excludes("--daemon");
  command.add_flag("--force", overrides.force, "act even if a guard objects")->excludes("--daemon");
  add_number(
      command, "--high", overrides.high,
      "act at this many zombies or more, whatever it gains\n(default 1000, weighed: min_gain in "
      "--print-config)");
  add_number(command, "--low", overrides.low, "stop at this many zombies (default half of --high)");
  add_time(command, "--read-cost-limit", overrides.read_cost_limit,
           "act if reading the root's numa_stat takes longer and\nzombies are to blame (default "
           "10ms)");
  add_time(command, "--min-interval", overrides.min_interval,
           "shortest time between two actions; doubles after\neach without effect, up to 24h "
           "(default 10min)");
  add_time(command, "--deadline", overrides.deadline,
           "longest time that one rung may take (default 60s)");
  add_time(command, "--interval", overrides.interval,
           "(daemon) time between two looks (default 1min)");
  add_time(command, "--refaults-after", overrides.refaults_after,
           "this long after an action, report how much had to\nbe read back in; 0s: never (default "
           "0s, daemon 1min)");
  command
      .add_option("--state-dir", overrides.state_dir,
                  "directory of lock and history (default\n/var/lib/cgctl)")
      ->type_name("DIR");
  command
      .add_option("--metrics-file", overrides.metrics_file,
                  "(daemon) write metrics to FILE after each look, for\nnode_exporter's textfile "
                  "collector")
      ->type_name("FILE");
  command
      .add_option("--listen", overrides.listen,
                  "(daemon) serve metrics by HTTP here: unix:/PATH or\nADDRESS:PORT, such as "
                  "localhost:9101")
      ->type_name("ADDRESS");
}

/// Checks options that depend on each other.
void check(const Options& options) {
  const int asked = int{options.once} + int{options.daemon} + int{options.print_config} +
                    int{options.check_config};
  if (asked != 1) {
    throw CLI::ValidationError(
        "needs --once, --daemon, --print-config or --check-config (a look only: --once --dry-run)");
  }
  tool::check(options.overrides);
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "mitigate",
      "free zombies when needed, and show what it achieved\n\n"
      "Counts the zombies and decides whether to act. If so, climbs a ladder from the mildest "
      "means to the strongest, as far as the kernel and the configuration have them (memcg_reaper, "
      "fadvise on named files, evict of only the pages that hold zombies, squeeze of the cgroups "
      "above them, node_reclaim, memory.reclaim, drop_caches 1, then 2), "
      "until few zombies are left, waits until the count stops falling, and reports the effect. "
      "Refuses (status 3) if I/O or memory is under pressure, if the last action was too recent, "
      "or if nothing could be freed. The daemon looks every minute; SIGHUP makes it read its "
      "configuration again, SIGUSR1 makes it act now.");
  describe(*command, *options);
  command->footer(
      "Examples:\n"
      "  cgctl mitigate --once --dry-run\n"
      "  cgctl --json mitigate --once --high 2000 --low 200   from cron, needs root\n"
      "  cgctl mitigate --daemon --listen unix:/run/cgctl.sock\n"
      "  cgctl mitigate --print-config > /etc/cgctl/mitigate.toml");
  command->callback([&globals, &run, options] {
    check(*options);
    run = [&globals, options] { return run_mitigate(globals, *options); };
  });
}

}  // namespace cgctl::tool::mitigate_command
