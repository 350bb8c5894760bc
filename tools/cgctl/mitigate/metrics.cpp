// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/metrics.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "cgctl/filesystem.hpp"
#include "cli/command.hpp"
#include "cli/names.hpp"
#include "command/makers.hpp"
#include "mitigate/cgroup_series.hpp"

namespace cgctl::tool::metrics_command {
namespace {

struct Options {
  Overrides overrides;
  std::string output;
};

/// Takes one look, without acting and without recording it.
Result<std::string> look(const Host& host, const Configuration& configuration,
                         names::Resolver names) {
  auto history = mitigation::Store::peek(host, configuration.state_dir);
  if (!history) return fail(history.error());
  // A scrape must not do harm: it uses the cost that the daemon measured, else a read that is
  // predicted to stay within the limit.
  mitigation::Policy gentle = configuration.policy;
  gentle.read_cost_limit /= 10;
  numa::CostGuard guard;
  const auto seen = mitigation::observe(host, guard, gentle, *history, mitigation::Intent::look);
  if (!seen) return fail(seen.error());
  warn_of(seen->unread);
  const auto plan = mitigation::decide(*seen, *history, configuration.policy, mitigation::uptime());
  const auto ledger = newest_ledger(host, configuration.state_dir);
  if (!ledger) warn(message_of(ledger.error()));
  return metrics_text(*seen, plan, *history, ledger.value_or(recorder::Ledger()), configuration,
                      std::chrono::system_clock::now(), names) +
         cgroup_series(host, configuration.cgroup_series, names);
}

/// True for a link to standard output, such as /dev/stdout: its target must not be replaced.
bool is_standard_output(const std::string& path) {
  struct ::stat link {};
  struct ::stat file {};
  struct ::stat output {};
  return ::lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode) &&
         ::stat(path.c_str(), &file) == 0 && ::fstat(STDOUT_FILENO, &output) == 0 &&
         file.st_dev == output.st_dev && file.st_ino == output.st_ino;
}

Exit run_metrics(const Globals& globals, const Options& options) {
  const auto configuration = configure(options.overrides, Use::daemon);
  if (!configuration) return report(configuration.error());
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto text = look(*host, *configuration, resolver_for(globals));
  if (!text) return report(text.error());
  if (options.output.empty()) {
    print(globals, std::string_view(*text));
    return Exit::done;
  }
  if (is_standard_output(options.output)) {
    print({}, std::string_view(*text));
    return Exit::done;
  }
  const auto status = fs::write_output(options.output, *text);
  return status ? Exit::done : report(status.error());
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "metrics",
      "print the state of this machine as Prometheus metrics\n\n"
      "Prints the number of zombies, their nearest live ancestors, the cost of a read of the "
      "root's "
      "memory.numa_stat, and what `cgctl mitigate` did so far. Changes nothing.");
  command->add_option("--config", options->overrides.file, "configuration file of mitigate")
      ->type_name("FILE");
  command
      ->add_option("--state-dir", options->overrides.state_dir,
                   "history of mitigate (default /var/lib/cgctl)")
      ->type_name("DIR");
  command
      ->add_option(
          "-o,--output", options->output,
          "replace this file atomically, for node_exporter's\ntextfile collector; a FIFO or a "
          "device is written to")
      ->type_name("FILE");
  command->footer(
      "Examples:\n"
      "  cgctl metrics\n"
      "  cgctl metrics -o /var/lib/prometheus/node-exporter/cgctl.prom");
  command->callback([&globals, &run, options] {
    if (globals.format == Format::json) {
      throw CLI::ValidationError(
          "has no JSON form, only the text that Prometheus reads; JSON comes from cgctl --json "
          "zombies and cgctl --json doctor");
    }
    run = [&globals, options] { return run_metrics(globals, *options); };
  });
}

}  // namespace cgctl::tool::metrics_command
