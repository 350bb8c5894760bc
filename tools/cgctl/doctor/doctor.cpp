// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/names.hpp"
#include "doctor/examine.hpp"
#include "doctor/watch.hpp"
#include "mitigate/config.hpp"

namespace cgctl::tool::doctor_command {
namespace {

struct Options {
  ExamineOptions examine;
  WatchOptions watch;
  Overrides overrides;  // only the file is used
};

constexpr const char* usual_watch = "30s";

Exit run_doctor(const Globals& globals, const Options& options) {
  const auto configuration = configure(options.overrides, Use::once);
  if (!configuration) return report(configuration.error());
  const auto host = globals.host();
  if (!host) return report(host.error());
  if (options.watch.time) return run_watch(globals, *host, options.watch);
  names::Resolver names = resolver_for(globals);
  ExamineOptions how = options.examine;
  how.machine_root = machine_root(globals);
  const Diagnosis found = examine(*host, how, *configuration, options.overrides.file, names);
  warn_of(found.unread);
  if (globals.format == Format::json) {
    print(globals, "doctor/1", json_of(found));
  } else {
    print(globals, text_of(found));
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "doctor",
      "examine this host in one screen, and say what to do\n\n"
      "The first line is the verdict: healthy, costly (zombies cost memory, ids or time), harmful "
      "(reads of memory.numa_stat stall a CPU) or unknown. The lines below give the number of "
      "zombies and what keeps them alive, when the ids of memory cgroups run out, the cgroups "
      "that were throttled longest and those in which the OOM killer killed, the cost of a read of "
      "the root's memory.numa_stat, "
      "whether the read delays other work on its CPU, whether this kernel walks all memory cgroups "
      "for it, and what to do. Doctor stops reading as soon as one read is slow. If reading the "
      "root is predicted to be too expensive, doctor run as root creates 64 empty cgroups briefly "
      "instead (see --read-only). The exit status is 0 whatever is found.");
  command->add_flag("--probe", options->examine.probe,
                    "create 256 empty memory cgroups briefly (below\ncgctl-doctor-PID, removed at "
                    "once) to measure\nwhether the kernel walks all cgroups; needs root");
  command->add_flag(
      "--measure", options->examine.measure,
      "read the root's memory.numa_stat once even if that\nmay take more than 100 ms; the kubelet "
      "does so every\nfew seconds anyway");
  command
      ->add_flag("--read-only", options->examine.read_only,
                 "create no cgroups; compare small subtrees instead,\nwhich can show that the "
                 "kernel walks, but not\nthat it does not")
      ->excludes("--probe");
  command
      ->add_option("--config", options->overrides.file,
                   fmt::format("configuration file of mitigate (default, if it\nexists: {})",
                               default_config))
      ->type_name("FILE");
  const auto take_watch = [options](const std::string& text) {
    options->watch.time = parse_time(text.empty() ? usual_watch : text, "--watch");
  };
  command
      ->add_option_function<std::string>(
          "--watch", take_watch,
          "watch the CPUs for TIME (default 30s) instead: who\nholds one in the kernel, and what "
          "waits meanwhile;\nneeds root")
      ->type_name("[=TIME]")
      ->expected(0, 1)
      ->excludes("--probe")
      ->excludes("--measure");
  command
      ->add_option("--netns", options->watch.netns,
                   "also count the segments sent again in the\nnetwork namespace of this process")
      ->type_name("PID")
      ->needs("--watch");
  command
      ->add_option("--svg", options->watch.svg,
                   "write a picture of the watch: holds, waits and\nsegments sent again over time")
      ->type_name("FILE")
      ->needs("--watch");
  command->footer(
      "Examples:\n"
      "  cgctl doctor\n"
      "  cgctl doctor --watch=1m\n"
      "  cgctl --json doctor | jq .verdict.state");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_doctor(globals, *options); };
  });
}

}  // namespace cgctl::tool::doctor_command
