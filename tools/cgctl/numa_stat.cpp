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

/// The cgroup to read.
struct Target {
  Group group;
  const Hierarchy* memory = nullptr;

  /// Of the whole hierarchy: what a namespace shows as / is none.
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
Result<std::uint64_t> memcgs_below(const Target& target) {
  const Host& host = target.group.host();
  if (target.memory->version == Version::v2) {
    const auto text = target.group.read("cgroup.stat");
    if (!text) return fail(text.error());
    return 1 + parse::value_of(*text, "nr_descendants").value_or(0) +
           parse::value_of(*text, "nr_dying_descendants").value_or(0);
  }
  const std::uint64_t machine = memcgs_of_machine(host);
  if (target.is_root()) return machine;
  const auto place = target.group.place("memory");
  if (!place) return fail(place.error());
  const auto live = zombies::count_directories((*place)->directory.get(), target.group.path());
  if (!live) return fail(live.error());
  const auto zombies = zombies::count(host);
  if (!zombies) return std::max(machine, *live);
  return *live + zombies->high;
}

/// Nothing when a read of the file may be afforded.
Result<std::optional<numa::OverBudget>> refusal(const Target& target,
                                                std::chrono::nanoseconds budget) {
  numa::CostGuard::Config config;
  config.budget = budget;
  numa::CostGuard guard(config);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  // Without another cgroup to measure the guard's prior counts.
  (void)numa::calibrate(target.group.host(), guard, now);
  const bool v1 = target.memory->version == Version::v1;
  if (v1 && guard.admit(memcgs_of_machine(target.group.host()), now)) return std::nullopt;
  const auto memcgs = memcgs_below(target);
  if (!memcgs) return fail(memcgs.error());
  const auto admitted = guard.admit(*memcgs, now);
  if (admitted) return std::nullopt;
  return admitted.error();
}

Error too_dear(const numa::OverBudget& refused, const std::string& path) {
  Error error = refused.error(path);
  const auto enough = std::chrono::ceil<std::chrono::milliseconds>(refused.predicted).count();
  error.hint = fmt::format("--budget {}ms allows it, --source file reads without asking", enough);
  return error;
}

/// The file where it can be afforded, else for the root the nodes.
Result<Reading> from_the_cheaper(const Target& target, std::chrono::nanoseconds budget) {
  const auto refused = refusal(target, budget);
  if (!refused) return fail(refused.error());
  if (*refused && !target.is_root()) {
    return fail(too_dear(**refused, target.group.shown("memory.numa_stat")));
  }
  if (*refused) {
    auto reading = from_nodes(target);
    if (reading) reading->refused = *refused;
    return reading;
  }
  auto reading = from_file(target);
  const bool lacking = !reading && reading.error().kind == errc::unsupported;
  if (!lacking || !target.is_root()) return reading;
  auto instead = from_nodes(target);
  if (!instead) return reading;
  instead->lacking = true;
  return instead;
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
    text += fmt::format("lines of another form, left out: {}\n", stat.skipped_lines());
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

void add(CLI::App& app, const Globals& globals, Run& run) {
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

}  // namespace cgctl::tool::numa_stat_command
