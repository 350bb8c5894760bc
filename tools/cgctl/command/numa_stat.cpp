// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cgctl/group.hpp"
#include "cgctl/numa_guarded.hpp"
#include "cli/command.hpp"

namespace cgctl::tool::numa_stat_command {
namespace {

enum class From { automatic, file, nodes };

const std::map<std::string, From> from_names = {
    {"auto", From::automatic}, {"file", From::file}, {"nodes", From::nodes}};

struct Options {
  std::string path = "/";
  From from = From::automatic;
  std::chrono::nanoseconds budget = numa::CostGuard::Config{}.budget;
};

/// Cgroup to read.
struct Target {
  Group group;
  const Hierarchy* memory = nullptr;

  /// True for the root of the whole hierarchy, not for the / of a cgroup namespace.
  [[nodiscard]] bool is_root() const { return group.path() == "/" && memory->whole; }
};

struct Reading {
  std::string path;
  Version version = Version::v1;
  numa::NumaStat stat;
  std::optional<numa::OverBudget> refused;  ///< why the file was not read
  bool lacking = false;                     ///< the kernel has no such file
};

Result<Target> find(const Host& host, const std::string& path) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  auto group = host.open(path);
  if (!group) return fail(group.error());
  return Target{std::move(*group), *memory};
}

Result<Reading> from_file(const Target& target) {
  Reading reading{target.group.path(), target.memory->version, {}, std::nullopt, false};
  const auto reader = numa::Reader::open(target.group);
  if (!reader) return fail(reader.error());
  if (auto status = reader->read(reading.stat); !status) return fail(status.error());
  return reading;
}

Result<Reading> from_nodes(const Target& target) {
  if (!target.is_root()) {
    return fail(Error::make(errc::incomplete_view, "read", target.memory->mount_point,
                            "only a part of the memory hierarchy is visible here, and the node "
                            "counters are the whole machine's",
                            "leave --source nodes out"));
  }
  Reading reading{target.group.path(), target.memory->version, {}, std::nullopt, false};
  const auto reader = numa::RootReader::open(target.group.host(), reading.version);
  if (!reader) return fail(reader.error());
  if (auto status = reader->read(reading.stat); !status) return fail(status.error());
  return reading;
}

/// Reads the file if that is within the budget, else the nodes for the root.
Result<Reading> from_the_cheaper(const Target& target, std::chrono::nanoseconds budget) {
  numa::CostGuard::Config config;
  config.budget = budget;
  auto reader = numa::GuardedReader::open(target.group.host(), target.group.path(), config);
  if (!reader) return fail(reader.error());
  Reading reading{target.group.path(), target.memory->version, {}, std::nullopt, false};
  const auto status = reader->read(reading.stat);
  if (status) {
    reading.refused = reader->refused();
    reading.lacking = reading.stat.source() == numa::Source::nodes && !reading.refused;
    return reading;
  }
  Error error = status.error();
  if (const auto& refused = reader->refused(); refused && error.kind == errc::over_budget) {
    const auto enough = std::chrono::ceil<std::chrono::milliseconds>(refused->predicted).count();
    error.hint =
        fmt::format("--budget {}ms allows this read, --source file reads at any cost", enough);
  }
  return fail(std::move(error));
}

Result<Reading> read(const Host& host, const Options& options) {
  const auto target = find(host, options.path);
  if (!target) return fail(target.error());
  switch (options.from) {
    case From::file:
      return from_file(*target);
    case From::nodes:
      return from_nodes(*target);
    case From::automatic:
      break;
  }
  return from_the_cheaper(*target, options.budget);
}

std::vector<std::uint32_t> nodes_of(const numa::NumaStat& stat) {
  std::vector<std::uint32_t> nodes;
  if (stat.empty()) return nodes;
  for (const numa::NodeValue& entry : stat[0]) nodes.push_back(entry.node);
  return nodes;
}

std::string unit_of(const numa::NumaStat& stat) {
  if (stat.unit() == numa::Unit::bytes) return "bytes";
  return "pages of " + human_bytes(stat.bytes(1));
}

std::string text_of(const Reading& reading) {
  const numa::NumaStat& stat = reading.stat;
  const bool nodes = stat.source() == numa::Source::nodes;
  std::string text = fmt::format("{}: memory by NUMA node, cgroup {}, in {}, source: {}\n",
                                 printable(reading.path), to_string(reading.version), unit_of(stat),
                                 nodes ? "nodes (their LRU counters)" : "file (memory.numa_stat)");
  if (reading.refused) {
    text += fmt::format(
        "memory.numa_stat was not read: that may take up to {} with {} memory cgroups, the budget "
        "is {}\n",
        human_time(reading.refused->predicted), reading.refused->memcgs,
        human_time(reading.refused->budget));
  }
  if (reading.lacking) text += "this kernel has no memory.numa_stat\n";
  std::vector<Table::Column> columns = {{"STAT"}, {"TOTAL", Table::Align::right}};
  const auto ids = nodes_of(stat);
  for (const std::uint32_t id : ids)
    columns.push_back({fmt::format("N{}", id), Table::Align::right});
  Table table(std::move(columns));
  for (std::size_t i = 0; i < stat.size(); ++i) {
    std::vector<std::string> cells = {std::string(stat[i].name), std::to_string(stat[i].total)};
    for (const std::uint32_t id : ids) {
      const auto value = stat[i].on(id);
      cells.push_back(value ? std::to_string(*value) : "-");
    }
    table.add(std::move(cells));
  }
  text += "\n" + table.text();
  if (stat.skipped_lines() != 0)
    text += fmt::format("skipped lines of unknown form: {}\n", stat.skipped_lines());
  return text;
}

nlohmann::ordered_json json_of(const Reading& reading) {
  nlohmann::ordered_json stats = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < reading.stat.size(); ++i) {
    const auto stat = reading.stat[i];
    nlohmann::ordered_json nodes;
    for (const numa::NodeValue& entry : stat) nodes[std::to_string(entry.node)] = entry.value;
    stats[std::string(stat.name)] = {{"total", stat.total}, {"nodes", std::move(nodes)}};
  }
  nlohmann::ordered_json one{
      {"path", reading.path},
      {"version", to_string(reading.version)},
      {"unit", numa::to_string(reading.stat.unit())},
      {"page_size_bytes", reading.stat.unit() == numa::Unit::pages ? reading.stat.bytes(1) : 1},
      {"source", numa::to_string(reading.stat.source())},
      {"stats", std::move(stats)}};
  if (reading.stat.unit() == numa::Unit::bytes) one.erase("page_size_bytes");
  if (reading.refused) {
    one["refused"] = {{"predicted_ns", reading.refused->predicted.count()},
                      {"budget_ns", reading.refused->budget.count()},
                      {"memcgs", reading.refused->memcgs}};
  }
  return one;
}

Exit run_numa_stat(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto reading = read(*host, options);
  if (!reading) return report(reading.error());
  if (globals.format == Format::json) {
    print(globals, "numa-stat/1", json_of(*reading));
  } else {
    print(globals, text_of(*reading));
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "numa-stat",
      "show a cgroup's memory by NUMA node, without stalling a CPU\n\n"
      "Shows the memory.numa_stat of a cgroup. On cgroup v1 before Linux 5.8 one read of that file "
      "walks all memory cgroups below, removed ones included, and may occupy a CPU for a second; "
      "so cgctl first predicts the cost, from a read that costs next to nothing. If the prediction "
      "exceeds the budget, the root is read from the counters of the NUMA nodes instead, and any "
      "other cgroup is refused (status 3).");
  add_path(*command, options->path, "cgroup to read (default /)");
  command
      ->add_option_function<std::string>(
          "--source",
          [options](const std::string& name) {
            const auto found = from_names.find(name);
            if (found == from_names.end()) {
              throw CLI::ValidationError("--source '" + name + "': not one of auto, file, nodes");
            }
            options->from = found->second;
          },
          "auto (default): memory.numa_stat, within the budget\n"
          "file: memory.numa_stat, whatever it costs\n"
          "nodes: the NUMA nodes' LRU counters, root only")
      ->type_name("SOURCE");
  add_time(*command, "--budget", options->budget,
           "longest predicted time of a read (default 10ms)");
  command->footer(
      "Examples:\n"
      "  cgctl numa-stat\n"
      "  cgctl numa-stat /kubepods --budget 50ms");
  command->callback([&globals, &run, options] {
    if (options->from == From::nodes && options->path != "/") {
      throw CLI::ValidationError("--source nodes: for the root only, not for " + options->path);
    }
    run = [&globals, options] { return run_numa_stat(globals, *options); };
  });
}

}  // namespace cgctl::tool::numa_stat_command
