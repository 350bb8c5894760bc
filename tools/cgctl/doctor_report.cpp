// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor_report.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cgctl/mitigation.hpp"
#include "command.hpp"
#include "json.hpp"

namespace cgctl::tool::doctor_command {
namespace {

constexpr std::uint64_t fewest_to_judge = 64;
constexpr std::size_t ancestors_named = 3;
constexpr std::size_t pins_named = 3;

/// Broken at spaces so as to fit 80 columns; a longer word keeps its middle to itself.
std::string row(std::string_view label, std::string_view text) {
  constexpr std::size_t width = 80 - 12;
  constexpr std::size_t half = width / 2 - 2;
  std::string out;
  std::string line;
  const auto flush = [&] {
    out += fmt::format("{:<12}{}\n", label, line);
    label = "";
    line.clear();
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    std::string word(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.size() > width) {
      word = word.substr(0, half) + "..." + word.substr(word.size() - half);
    }
    if (!line.empty() && line.size() + 1 + word.size() > width) flush();
    line += (line.empty() ? "" : " ") + word;
  }
  flush();
  return out;
}

std::string host_row(const Machine& machine) {
  std::string text = std::string(cgctl::to_string(machine.mode));
  if (!machine.kernel.empty()) text += ", Linux " + machine.kernel;
  if (machine.cpus) text += fmt::format(", {} CPU{}", *machine.cpus, *machine.cpus == 1 ? "" : "s");
  if (!machine.nodes.empty()) {
    text +=
        fmt::format(", {} NUMA node{}", machine.nodes.size(), machine.nodes.size() == 1 ? "" : "s");
  }
  return row("host", text);
}

std::string memory_row(const Known<Memory>& memory) {
  if (!memory) return row("memory", memory.error());
  return row("memory", fmt::format("cgroup {} at {}{}", cgctl::to_string(memory->version),
                                   memory->mount_point,
                                   memory->whole ? "" : ", a part of the hierarchy only"));
}

std::string zombie_rows(const Known<Zombies>& zombies) {
  if (!zombies) return row("zombies", zombies.error());
  std::string text = row("zombies", fmt::format("{}, {} live memory cgroups",
                                                in_words(zombies->count), zombies->count.live));
  if (zombies->where) {
    const auto& ancestors = zombies->where->ancestors;
    for (std::size_t i = 0; i < std::min(ancestors.size(), ancestors_named); ++i) {
      const zombies::Ancestor& ancestor = ancestors[i];
      std::string what;
      if (ancestor.count) what = fmt::format("{} zombies, up to ", *ancestor.count);
      what += ancestor.bytes ? human_bytes(*ancestor.bytes) : "unknown memory";
      text += row("  where", what + " below " + printable(ancestor.path));
    }
  }
  std::string_view pins = zombies->pins;
  for (std::size_t i = 0; i < pins_named && !pins.empty(); ++i) {
    const std::size_t end = std::min(pins.find("; "), pins.size());
    text += row("  why", pins.substr(0, end));
    pins.remove_prefix(std::min(end + 2, pins.size()));
  }
  return text;
}

std::string read_row(const Known<ReadCost>& cost) {
  if (!cost) return row("numa_stat", cost.error());
  if (!cost->measured) {
    return row("numa_stat",
               fmt::format("not read: predicted to take up to {} with {} memory cgroups, the "
                           "budget is {}; --measure reads once",
                           human_time(cost->predicted), cost->memcgs, human_time(cost->budget)));
  }
  const ReadCost::Measured& reads = *cost->measured;
  std::string text = fmt::format("a read of the root takes {}", human_time(reads.median));
  if (reads.reads > 1) {
    text += fmt::format(" ({} to {} in {} reads)", human_time(reads.min), human_time(reads.max),
                        reads.reads);
  }
  text += fmt::format(", CPU time {}", human_time(reads.cpu));
  if (cost->asked_for) {
    text += fmt::format("; predicted up to {}, read once because of --measure",
                        human_time(cost->predicted));
  }
  return row("numa_stat", text);
}

std::string neighbour_rows(const Known<Neighbour>& neighbour) {
  if (!neighbour) return row("neighbour", neighbour.error());
  return row("neighbour",
             fmt::format("a thread on the same CPU waits at worst {} during reads, {} when idle, "
                         "{} beside a spinning program ({}, CPU {})",
                         human_time(neighbour->reading), human_time(neighbour->idle),
                         human_time(neighbour->spinning), to_string(neighbour->scheduling),
                         neighbour->cpu));
}

std::string walk_row(const Walk& walk) {
  std::string text;
  switch (walk.verdict) {
    case Walk::Verdict::unknown:
      text = "unknown: " + walk.reason;
      break;
    case Walk::Verdict::walks:
      text = "this kernel WALKS all memory cgroups for one read";
      break;
    case Walk::Verdict::does_not_walk:
      text = "this kernel does not walk";
      break;
  }
  if (walk.ns_per_memcg) {
    text += fmt::format(": {:.1f} ns for each of {} cgroups", *walk.ns_per_memcg, walk.memcgs);
  }
  return row("walk", text);
}

std::string probe_row(const Probe& probe) {
  return row("probe", fmt::format("{} empty cgroups were made and removed, {} zombies left by them",
                                  probe.children,
                                  probe.zombies_left ? std::to_string(*probe.zombies_left)
                                                     : "an unknown number of"));
}

/// The finding, or {"unknown": reason}.
template <class T, class Describe>
Json known(const Known<T>& finding, Describe describe) {
  if (!finding) return {{"unknown", finding.error()}};
  return describe(*finding);
}

Json zombies_json(const Zombies& zombies) {
  Json one = tool::zombies_json(zombies.count, zombies.where, ancestors_named);
  one["explanation"] = zombies.pins;
  return one;
}

Json read_cost_json(const ReadCost& cost) {
  const auto ns = [&cost](nanoseconds ReadCost::Measured::*figure) {
    return cost.measured ? Json(((*cost.measured).*figure).count()) : Json(nullptr);
  };
  return {{"source", cost.measured ? "measured" : "predicted"},
          {"min_ns", ns(&ReadCost::Measured::min)},
          {"median_ns", ns(&ReadCost::Measured::median)},
          {"max_ns", ns(&ReadCost::Measured::max)},
          {"cpu_ns", ns(&ReadCost::Measured::cpu)},
          {"reads", cost.measured ? cost.measured->reads : 0},
          {"predicted_ns", cost.predicted.count()},
          {"budget_ns", cost.budget.count()},
          {"memcgs", cost.memcgs},
          {"leaf_ns", cost.leaf ? Json(cost.leaf->count()) : Json(nullptr)},
          {"asked_for", cost.asked_for}};
}

Json neighbour_json(const Neighbour& neighbour) {
  return {{"idle_ns", neighbour.idle.count()},
          {"spinning_ns", neighbour.spinning.count()},
          {"reading_ns", neighbour.reading.count()},
          {"window_ns", neighbour.window.count()},
          {"cpu", neighbour.cpu},
          {"policy", to_string(neighbour.scheduling)}};
}

/// What the policy of mitigation looks at.
mitigation::Observation observation(const Diagnosis& found) {
  mitigation::Observation seen;
  seen.page_size = found.page_size;
  seen.io_pressure = found.io_pressure;
  seen.memory_pressure = found.memory_pressure;
  if (found.zombies) {
    seen.zombies = found.zombies->count;
    if (const auto& where = found.zombies->where) {
      seen.residual = where->residual;
      seen.slab = where->slab;
    }
  }
  if (found.read_cost) {
    const auto& measured = found.read_cost->measured;
    seen.read_cost = measured ? measured->median : found.read_cost->predicted;
    seen.read_cost_measured = measured.has_value();
  }
  return seen;
}

/// Why mitigation would refuse at once, and what to do instead.
std::string objection(const mitigation::Observation& seen, const mitigation::Policy& policy) {
  if (seen.io_pressure.value_or(0) > policy.io_pressure_limit) {
    return fmt::format("I/O pressure is {:.0f} %. Wait until it is below {:.0f} %.",
                       *seen.io_pressure, policy.io_pressure_limit);
  }
  if (seen.memory_pressure.value_or(0) > policy.memory_pressure_limit) {
    return fmt::format("memory pressure is {:.0f} %. Wait until it is below {:.0f} %.",
                       *seen.memory_pressure, policy.memory_pressure_limit);
  }
  return "dropping caches frees none of them. Take away what pins them, see \"why\" above.";
}

}  // namespace

std::string_view to_string(Walk::Verdict verdict) noexcept {
  switch (verdict) {
    case Walk::Verdict::walks:
      return "walks";
    case Walk::Verdict::does_not_walk:
      return "does_not_walk";
    case Walk::Verdict::unknown:
      break;
  }
  return "unknown";
}

std::string_view to_string(Walk::Basis basis) noexcept {
  switch (basis) {
    case Walk::Basis::root_and_leaf:
      return "root_and_leaf";
    case Walk::Basis::probe:
      return "probe";
    case Walk::Basis::none:
      break;
  }
  return "none";
}

Walk judge(nanoseconds without, nanoseconds with, std::uint64_t memcgs, Walk::Basis basis) {
  constexpr double walks_from = 0.03;
  constexpr double does_not_up_to = 0.01;
  Walk walk;
  walk.memcgs = memcgs;
  if (memcgs < fewest_to_judge) {
    walk.reason = fmt::format(
        "only {} memory cgroups here; cgctl doctor --probe makes 256 for a moment", memcgs);
    return walk;
  }
  walk.basis = basis;
  const double each =
      std::max(0.0, static_cast<double>((with - without).count())) / static_cast<double>(memcgs);
  const double share = each / static_cast<double>(std::max<nanoseconds::rep>(without.count(), 1));
  walk.ns_per_memcg = each;
  if (share >= walks_from) {
    walk.verdict = Walk::Verdict::walks;
  } else if (share <= does_not_up_to) {
    walk.verdict = Walk::Verdict::does_not_walk;
  } else {
    walk.reason = "the difference between the reads is too small to say";
  }
  return walk;
}

std::vector<std::string> advise(const Diagnosis& found) {
  const mitigation::Policy policy;
  if (!found.memory) return {"Look where the memory controller is: there is none to be seen here."};
  std::vector<std::string> advice;
  const mitigation::Observation seen = observation(found);
  const bool walks = found.walk.verdict == Walk::Verdict::walks;
  const bool v1 = found.memory->version == Version::v1;
  const bool dear = seen.read_cost && *seen.read_cost > policy.read_cost_limit;
  // The rule that mitigate decides by, as if it had not run yet.
  const auto plan = mitigation::decide(seen, {}, policy, std::chrono::seconds(0));
  if (plan.decision == mitigation::Decision::act) {
    advice.emplace_back(
        "See what would be done, cgctl mitigate --once --dry-run, then do it: cgctl mitigate "
        "--once.");
  } else if (plan.decision == mitigation::Decision::refused) {
    advice.push_back("cgctl mitigate would refuse: " + objection(seen, policy));
  }
  if (dear && seen.read_cost_measured) {
    advice.emplace_back("Let agents read the root by nodes: cgctl numa-stat --source nodes.");
  } else if (dear && found.walk.verdict != Walk::Verdict::does_not_walk) {
    advice.emplace_back(
        "To know what a read costs here: cgctl doctor --probe, which makes 256 cgroups for a "
        "moment, or --measure.");
  }
  if (walks && v1) {
    advice.emplace_back(
        "Linux 5.8 ended the walk (commit dd8657b6c1cb): a newer kernel is the cure.");
  }
  if (!advice.empty()) return advice;
  if (!found.zombies) {
    return {"Run it where the whole machine is visible: the zombies could not be counted."};
  }
  if (seen.zombies.low == 0) return {"Nothing."};
  return {fmt::format("Nothing yet: cgctl mitigate --once acts from {} zombies on.",
                      policy.zombies_high)};
}

std::string text_of(const Diagnosis& found) {
  std::string text = host_row(found.machine) + memory_row(found.memory) +
                     zombie_rows(found.zombies) + read_row(found.read_cost) +
                     neighbour_rows(found.neighbour) + walk_row(found.walk);
  if (found.probe) text += probe_row(*found.probe);
  if (found.io_pressure || found.memory_pressure) {
    text += row("pressure",
                fmt::format("I/O {:.1f} % (some avg10), memory {:.1f} % (full avg10)",
                            found.io_pressure.value_or(0), found.memory_pressure.value_or(0)));
  }
  const char* label = "what to do";
  for (const std::string& sentence : advise(found)) {
    text += row(label, sentence);
    label = "";
  }
  return text;
}

nlohmann::ordered_json json_of(const Diagnosis& found) {
  Json one{{"mode", cgctl::to_string(found.machine.mode)},
           {"kernel", found.machine.kernel},
           {"cpus", or_null(found.machine.cpus)},
           {"nodes", found.machine.nodes}};
  one["memory"] = known(found.memory, [](const Memory& memory) -> Json {
    return {{"version", cgctl::to_string(memory.version)},
            {"mount_point", memory.mount_point},
            {"whole", memory.whole}};
  });
  one["zombies"] = known(found.zombies, zombies_json);
  one["read_cost"] = known(found.read_cost, read_cost_json);
  one["neighbour"] = known(found.neighbour, neighbour_json);
  one["walk"] = {{"verdict", to_string(found.walk.verdict)},
                 {"ns_per_cgroup", or_null(found.walk.ns_per_memcg)},
                 {"basis", to_string(found.walk.basis)},
                 {"memcgs", found.walk.memcgs},
                 {"reason", found.walk.reason}};
  if (found.probe) {
    one["probe"] = {{"children", found.probe->children},
                    {"zombies_left", or_null(found.probe->zombies_left)}};
  }
  one["io_pressure"] = or_null(found.io_pressure);
  one["memory_pressure"] = or_null(found.memory_pressure);
  one["advice"] = advise(found);
  return one;
}

}  // namespace cgctl::tool::doctor_command
