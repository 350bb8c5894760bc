// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/pressure.hpp"

#include <fmt/format.h>

#include <array>
#include <memory>

#include "cgctl/group.hpp"
#include "cli/command.hpp"
#include "cli/figures.hpp"
#include "cli/json.hpp"

namespace cgctl::tool::pressure_command {
namespace {

using pressure::Line;
using pressure::Pressure;
using pressure::Resource;

struct Options {
  std::string path;  ///< empty: whole machine
};

struct Entry {
  Resource resource;
  Result<Pressure> pressure;
};

Json json_of(const Line& line) {
  return {{"avg10", line.avg10},
          {"avg60", line.avg60},
          {"avg300", line.avg300},
          {"total_us", line.total.count()}};
}

Json json_of(const Result<Pressure>& pressure) {
  if (!pressure) return nullptr;
  return {{"some", json_of(pressure->some)},
          {"full", pressure->full ? json_of(*pressure->full) : Json(nullptr)}};
}

std::string row(Resource resource, const char* who, const Line& line) {
  return fmt::format("{:<8}{:<6}{:>8.2f}{:>8.2f}{:>8.2f}   {}\n", to_string(resource), who,
                     line.avg10, line.avg60, line.avg300, human_time(line.total));
}

template <class Place>
std::array<Entry, 3> read_all(const Place& place) {
  return {{{Resource::cpu, pressure::read(place, Resource::cpu)},
           {Resource::memory, pressure::read(place, Resource::memory)},
           {Resource::io, pressure::read(place, Resource::io)}}};
}

/// Prints the figures and leaves out resources that the kernel lacks. Fails if all three are
/// missing or if one exists and cannot be read.
Exit show(const Globals& globals, const Json& path, const std::array<Entry, 3>& all) {
  Json json{{"path", path}};
  std::string text =
      fmt::format("{:<14}{:>8}{:>8}{:>8}   {}\n", "% of time", "avg10", "avg60", "avg300", "total");
  bool any = false;
  Exit exit = Exit::done;
  std::size_t skipped = 0;
  for (const Entry& entry : all) {
    json[std::string(to_string(entry.resource))] = json_of(entry.pressure);
    if (!entry.pressure) {
      if (entry.pressure.error().kind != errc::unsupported) exit = report(entry.pressure.error());
      continue;
    }
    any = true;
    skipped += entry.pressure->skipped_lines;
    text += row(entry.resource, "some", entry.pressure->some);
    if (entry.pressure->full) text += row(entry.resource, "full", *entry.pressure->full);
  }
  if (!any) return exit == Exit::done ? report(all.front().pressure.error()) : exit;
  json["skipped_lines"] = skipped;
  if (globals.format == Format::json) {
    print(globals, "pressure/1", std::move(json));
  } else {
    print(globals, text + skipped_text(skipped));
  }
  return exit;
}

Exit run_pressure(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  if (options.path.empty()) return show(globals, nullptr, read_all(*host));
  const auto group = host->open(options.path);
  if (!group) return report(group.error());
  return show(globals, group->path(), read_all(*group));
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "pressure",
      "show how long tasks waited for CPU, memory and I/O (PSI)\n\n"
      "Shows the share of time in which some tasks, or all of them (full), waited, over the last "
      "10, 60 and 300 seconds, and the total since boot or since the cgroup was created. Without "
      "PATH the figures are the whole machine's; a PATH must be a cgroup on v2. Needs Linux 4.20.");
  add_path(*command, options->path, "cgroup on v2 (default: the whole machine)");
  command->footer(
      "Examples:\n"
      "  cgctl pressure\n"
      "  cgctl --json pressure /system.slice | jq .memory.full.avg10");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_pressure(globals, *options); };
  });
}

}  // namespace cgctl::tool::pressure_command
