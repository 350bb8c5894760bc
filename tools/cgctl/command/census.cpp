// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/census.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "cgctl/filesystem.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/signals.hpp"
#include "command/dead.hpp"

namespace cgctl::tool::census_command {
namespace {

using census::Census;
using census::Snapshot;
using std::chrono::nanoseconds;

struct Options {
  bool discover = false;
  std::string state_dir = default_state_dir;
};

/// A census that was proved.
struct Taken {
  census::Source source{};
  std::string offsets_file;
  std::size_t live = 0;
  std::size_t dead = 0;
  std::size_t runs = 0;
  nanoseconds longest_run{};
  nanoseconds took{};
};

Result<Census> open(const Host& host, bool discover, const census::Options& options) {
  if (!discover) return Census::open(host, options);
  // A signal ends the command after its cgroups are removed.
  const HeldSignals held;
  return Census::discover(host, options);
}

Result<Taken> take(const Host& host, const Options& options) {
  using Clock = std::chrono::steady_clock;
  census::Options known;
  known.offsets_file = offsets_file_in(options.state_dir);
  auto census = open(host, options.discover, known);
  if (!census) return fail(census.error());
  Snapshot snapshot;
  const auto start = Clock::now();
  if (auto status = census->take(snapshot); !status) return fail(status.error());
  Taken taken;
  taken.took = Clock::now() - start;
  taken.source = census->source();
  taken.offsets_file = known.offsets_file;
  for (const census::Cgroup& one : snapshot.cgroups) ++(one.live ? taken.live : taken.dead);
  taken.runs = snapshot.runs;
  taken.longest_run = snapshot.longest_run;
  return taken;
}

std::string in_words(const Taken& taken) {
  switch (taken.source) {
    case census::Source::type_information:
      return "the kernel's type information (BTF)";
    case census::Source::file:
      return "the file " + taken.offsets_file;
    case census::Source::experiment:
      break;
  }
  return "found by experiment, and written to " + taken.offsets_file;
}

std::string text_of(const Taken& taken) {
  return fmt::format("offsets         {}\n", in_words(taken)) +
         "proof           passed: live cgroups, usages and memory are as the file system says\n" +
         fmt::format("memory cgroups  {}: {} live, {} removed\n", taken.live + taken.dead,
                     taken.live, taken.dead) +
         fmt::format("census          {} in {} runs, the longest {}\n", human_time(taken.took),
                     taken.runs, human_time(taken.longest_run));
}

Json json_of(const Taken& taken) {
  const bool used = taken.source != census::Source::type_information;
  return {{"offsets", to_string(taken.source)},
          {"offsets_file", used ? Json(taken.offsets_file) : Json(nullptr)},
          {"live", taken.live},
          {"dead", taken.dead},
          {"runs", taken.runs},
          {"took_ns", taken.took.count()},
          {"longest_run_ns", taken.longest_run.count()}};
}

Exit run_census(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto taken = take(*host, options);
  if (!taken) return report(taken.error());
  if (globals.format == Format::json) {
    print(globals, "census/1", json_of(*taken));
  } else {
    print(globals, text_of(*taken));
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "census",
      "say whether zombies can be named on this kernel\n\n"
      "A BPF program reads the kernel's own list of memory cgroups; `zombies --names` prints it. "
      "This command says where the offsets of the kernel's structures are from, and compares a "
      "census with the file system. It prints the reason if the kernel refuses, or if the "
      "comparison finds a difference. Root; Linux 4.17.");
  command->add_flag("--discover", options->discover,
                    "find the offsets by experiment, for a kernel without\ntype information: "
                    "charges 30 MB to four cgroups made\nand removed for this (x86-64)");
  command
      ->add_option("--state-dir", options->state_dir,
                   "directory of the offsets found (default\n/var/lib/cgctl)")
      ->type_name("DIR");
  command->footer(
      "Examples:\n"
      "  cgctl census\n"
      "  cgctl census --discover && cgctl zombies --names");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_census(globals, *options); };
  });
}

}  // namespace cgctl::tool::census_command
