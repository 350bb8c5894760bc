// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/numa_stat.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/zombies.hpp"
#include "command.hpp"

namespace cgctl::tool {
namespace {

enum class From { automatic, file, nodes };

const std::map<std::string, From> from_names = {
    {"auto", From::automatic}, {"file", From::file}, {"nodes", From::nodes}};

struct Options {
  std::string path = "/";
  From from = From::automatic;
  std::chrono::nanoseconds budget = numa::CostGuard::Config{}.budget;
};

struct Reading {
  std::string path;
  Version version = Version::v1;
  numa::NumaStat stat;
  std::optional<numa::OverBudget> refused;  ///< why the file was not read
};

Status read_file(const Group& group, numa::NumaStat& out) {
  const auto reader = numa::Reader::open(group);
  if (!reader) return fail(reader.error());
  return reader->read(out);
}

Status read_nodes(const Host& host, Version version, numa::NumaStat& out) {
  const auto reader = numa::RootReader::open(host, version);
  if (!reader) return fail(reader.error());
  return reader->read(out);
}

/// v1: what the kernel holds on the whole machine, which is more than below any one cgroup. No
/// walk.
std::uint64_t memcgs_of_machine(const Host& host) {
  std::uint64_t most = 1;
  for (const SubsystemRow& row : host.subsystems()) {
    if (row.name == "memory") most = std::max(most, row.num_cgroups);
  }
  return most;
}

/// An upper bound of the memory cgroups at and below one, removed ones included. v2 says it for
/// each cgroup; on v1 nothing says below which cgroup the removed ones hang, so that all of them
/// may.
Result<std::uint64_t> memcgs_below(const Host& host, const Group& group) {
  const auto place = group.place("memory");
  if (!place) return fail(place.error());
  if ((*place)->hierarchy->version == Version::v2) {
    const auto text = group.read("cgroup.stat");
    if (!text) return fail(text.error());
    return 1 + parse::value_of(*text, "nr_descendants").value_or(0) +
           parse::value_of(*text, "nr_dying_descendants").value_or(0);
  }
  const std::uint64_t machine = memcgs_of_machine(host);
  if (group.path() == "/") return machine;
  const auto live = zombies::count_directories((*place)->directory.get(), group.path());
  if (!live) return fail(live.error());
  const auto zombies = zombies::count(host);
  if (!zombies) return std::max(machine, *live);
  return *live + zombies->high;
}

/// Nothing when a read of the file may be afforded.
Result<std::optional<numa::OverBudget>> refusal(const Host& host, const Group& group,
                                                const Options& options) {
  numa::CostGuard::Config config;
  config.budget = options.budget;
  numa::CostGuard guard(config);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  // Without another cgroup to measure the guard's prior counts.
  (void)numa::calibrate(host, guard, now);
  const bool v1 = host.find("memory")->version == Version::v1;
  if (v1 && guard.admit(memcgs_of_machine(host), now)) return std::nullopt;
  const auto memcgs = memcgs_below(host, group);
  if (!memcgs) return fail(memcgs.error());
  const auto admitted = guard.admit(*memcgs, now);
  if (admitted) return std::nullopt;
  return admitted.error();
}

Error too_dear(const numa::OverBudget& refused, const std::string& path) {
  Error error = refused.error(path);
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(refused.predicted).count();
  error.hint =
      fmt::format("--budget {}ms allows it, --source file reads without asking", milliseconds);
  return error;
}

Result<Reading> read(const Host& host, const Options& options) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  const auto group = host.open(options.path);
  if (!group) return fail(group.error());
  Reading reading;
  reading.path = options.path;
  reading.version = (*memory)->version;
  const bool root = options.path == "/" && (*memory)->whole;

  if (options.from == From::nodes && !root) {
    return fail(Error::make(errc::incomplete_view, "read", (*memory)->mount_point,
                            "only a part of the memory hierarchy is visible here, and the node "
                            "counters are the whole machine's",
                            "leave --source nodes out"));
  }
  bool nodes = options.from == From::nodes;
  if (options.from == From::automatic) {
    const auto refused = refusal(host, *group, options);
    if (!refused) return fail(refused.error());
    reading.refused = *refused;
    if (*refused && !root) return fail(too_dear(**refused, group->shown("memory.numa_stat")));
    nodes = refused->has_value();
  }
  auto status =
      nodes ? read_nodes(host, reading.version, reading.stat) : read_file(*group, reading.stat);
  const bool lacking = !status && status.error().kind == errc::unsupported;
  if (lacking && root && options.from == From::automatic && !nodes &&
      read_nodes(host, reading.version, reading.stat)) {
    status = {};
  }
  if (!status) return fail(status.error());
  return reading;
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
    text += fmt::format("{} lines of another form were left out\n", stat.skipped_lines());
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
    one["refused"] = {
        {"predicted_us", static_cast<double>(reading.refused->predicted.count()) / 1e3},
        {"budget_us", static_cast<double>(reading.refused->budget.count()) / 1e3},
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
    print(globals, json_of(*reading));
  } else {
    print(globals, text_of(*reading));
  }
  return Exit::done;
}

}  // namespace

void add_numa_stat(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "numa-stat",
      "memory of a cgroup by NUMA node, without stalling a CPU\n\n"
      "Shows the memory.numa_stat of a cgroup. On cgroup v1 before Linux 5.8 one read of it walks "
      "all memory cgroups below, removed ones included, and may hold a CPU for a second; so its "
      "cost is predicted first, from a read that costs next to nothing. Above the budget the root "
      "is read from the counters of the nodes instead, and any other cgroup is refused (status "
      "3).");
  add_path(*command, options->path, "the cgroup (default /)");
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
          "auto (default): the file within the budget\n"
          "file: memory.numa_stat, whatever it costs\n"
          "nodes: the nodes' LRU counters, root only")
      ->type_name("SOURCE");
  add_time(*command, "--budget", options->budget,
           "the longest a read may be predicted to take\n(default 10ms)");
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

}  // namespace cgctl::tool
