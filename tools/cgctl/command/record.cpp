// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>

#include "cgctl/mitigation.hpp"
#include "cgctl/recorder.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"

namespace cgctl::tool::record_command {
namespace {

struct Options {
  bool start = false;
  bool stop = false;
  std::string state_dir = default_state_dir;
  recorder::Settings settings;
};

struct Sums {
  std::uint64_t removed = 0;
  std::uint64_t released = 0;
};

Sums sums_of(const recorder::Ledger& ledger) {
  Sums sums;
  for (const recorder::Maker& maker : ledger.makers) {
    sums.removed += maker.removals;
    sums.released += maker.released;
  }
  return sums;
}

std::string text_of(const recorder::Ledger& ledger) {
  const Sums sums = sums_of(ledger);
  const std::string held = std::to_string(sums.removed - sums.released);
  std::string text = fmt::format(
      "recording for {}: {} memory cgroups removed, {} of them still held by the kernel\n",
      human_time(mitigation::uptime() - ledger.since), sums.removed,
      ledger.releases ? held : "an unknown number");
  if (ledger.lost != 0) {
    text += fmt::format("{} records were overwritten or read by others before a collection\n",
                        ledger.lost);
  }
  return text;
}

Json json_of(const recorder::Ledger& ledger) {
  const Sums sums = sums_of(ledger);
  Json one;
  one["recording"] = true;
  const std::pair<const char*, std::uint64_t> figures[] = {
      {"since_boottime_s", static_cast<std::uint64_t>(ledger.since.count())},
      {"removed", sums.removed},
      {"released", sums.released},
      {"held", sums.removed - sums.released},
      {"makers", ledger.makers.size() - 1},
      {"lost", ledger.lost}};
  for (const auto& [key, value] : figures) one[key] = value;
  if (!ledger.releases) one["released"] = one["held"] = nullptr;
  return one;
}

/// Prints whether the kernel records now.
void print_state(const Globals& globals, bool recording, const char* text) {
  if (globals.format == Format::json) {
    print(globals, "record-state/1", Json{{"recording", recording}});
  } else {
    print(globals, std::string_view(text));
  }
}

Exit stop(const Globals& globals, const Host& host, const Options& options) {
  // The last records go to the ledger, if there is one.
  const auto ledger = recorder::collect(host, options.state_dir, options.settings);
  const auto stopped = recorder::stop(host, options.settings);
  const bool nothing_to_collect = stopped && !*stopped;
  if (!ledger && (ledger.error().kind != errc::vanished || !nothing_to_collect)) {
    warn(message_of(ledger.error()));
  }
  if (!stopped) return report(stopped.error());
  print_state(globals, false, *stopped ? "the recording has ended\n" : "nothing was recording\n");
  return Exit::done;
}

Exit run_record(const Globals& globals, const Options& options) {
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  if (options.stop) return stop(globals, *host, options);
  if (options.start) {
    const auto status = recorder::start(*host, options.settings);
    if (!status) return report(status.error());
    print_state(globals, true, "the kernel records removed memory cgroups\n");
    return Exit::done;
  }
  auto ledger = recorder::collect(*host, options.state_dir, options.settings);
  if (!ledger) {
    // The daemon may record by other means.
    const auto watched = recorder::peek(*host, options.state_dir);
    if (!watched || watched->releases) return report(ledger.error());
    ledger = *watched;
  }
  if (globals.format == Format::json) {
    print(globals, "record/1", json_of(*ledger));
  } else {
    print(globals, text_of(*ledger));
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "record",
      "record which memory cgroups are removed, and by which workload\n\n"
      "The kernel records when a memory cgroup is removed and when it is freed, in a tracing "
      "instance of its own; no process has to run. Without --start and "
      "--stop this command moves the records to a ledger on disk, which groups them by workload, "
      "and prints the sums. `cgctl zombies --makers` and the daemon of mitigate do so too. "
      "The kernel keeps the newest records, about 1,000 removals for each CPU: run this command "
      "before there are more. Needs root.");
  auto* const start =
      command->add_flag("--start", options->start, "start the recording, which ends at a reboot");
  command->add_flag("--stop", options->stop, "collect, and end the recording")->excludes(start);
  command
      ->add_option("--state-dir", options->state_dir,
                   "directory of the ledger (default /var/lib/cgctl)")
      ->type_name("DIR");
  command
      ->add_option("--instance", options->settings.instance,
                   "name of the tracing instance (default cgctl)")
      ->type_name("NAME");
  command->footer(
      "Examples:\n"
      "  cgctl record --start\n"
      "  cgctl zombies --makers");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_record(globals, *options); };
  });
}

}  // namespace cgctl::tool::record_command
