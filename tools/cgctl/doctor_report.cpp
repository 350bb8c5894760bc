// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cgctl/mitigation.hpp"
#include "command.hpp"

namespace cgctl::tool::doctor {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t fewest_to_judge = 64;
constexpr std::size_t ancestors_named = 3;

std::string row(std::string_view label, std::string_view text) {
  return fmt::format("{:<12}{}\n", label, text);
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
  while (!pins.empty()) {
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
               fmt::format("not read: that may take up to {} with {} memory cgroups (--measure "
                           "reads once)",
                           human_time(cost->predicted), cost->memcgs));
  }
  const ReadCost::Measured& reads = *cost->measured;
  std::string text = fmt::format("a read of the root takes {}", human_time(reads.median));
  if (reads.reads > 1) {
    text += fmt::format(" ({} to {} in {} reads)", human_time(reads.min), human_time(reads.max),
                        reads.reads);
  }
  return row("numa_stat", text + fmt::format(", CPU time {}", human_time(reads.cpu)));
}

std::string neighbour_rows(const Known<Neighbour>& neighbour) {
  if (!neighbour) return row("neighbour", neighbour.error());
  return row("neighbour", fmt::format("a thread on the same CPU waits at worst {} during reads,",
                                      human_time(neighbour->reading))) +
         row("", fmt::format("{} when idle, {} beside a spinning program ({}, CPU {})",
                             human_time(neighbour->idle), human_time(neighbour->spinning),
                             to_string(neighbour->scheduling), neighbour->cpu));
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

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

/// The finding, or {"unknown": reason}.
template <class T, class Describe>
Json known(const Known<T>& finding, Describe describe) {
  if (!finding) return {{"unknown", finding.error()}};
  return describe(*finding);
}

Json zombies_json(const Zombies& zombies) {
  const zombies::Count& count = zombies.count;
  Json one{{"hierarchy", cgctl::to_string(count.hierarchy)},
           {"kernel", count.kernel},
           {"live", count.live},
           {"zombies", count.zombies()},
           {"low", count.low},
           {"high", count.high},
           {"exact", count.exact()},
           {"by_ancestor", Json::array()},
           {"explanation", zombies.pins}};
  if (!zombies.where) return one;
  for (const zombies::Ancestor& ancestor : zombies.where->ancestors) {
    if (one["by_ancestor"].size() == ancestors_named) break;
    one["by_ancestor"].push_back({{"path", ancestor.path},
                                  {"count", or_null(ancestor.count)},
                                  {"bytes", or_null(ancestor.bytes)}});
  }
  return one;
}

Json read_cost_json(const ReadCost& cost) {
  Json one{{"source", cost.measured ? "measured" : "predicted"},
           {"predicted_ns", cost.predicted.count()},
           {"memcgs", cost.memcgs}};
  one["leaf_ns"] = cost.leaf ? Json(cost.leaf->count()) : Json(nullptr);
  if (cost.measured) {
    one["min_ns"] = cost.measured->min.count();
    one["median_ns"] = cost.measured->median.count();
    one["max_ns"] = cost.measured->max.count();
    one["cpu_ns"] = cost.measured->cpu.count();
    one["reads"] = cost.measured->reads;
  }
  return one;
}

Json neighbour_json(const Neighbour& neighbour) {
  return {{"idle_ns", neighbour.idle.count()},
          {"spinning_ns", neighbour.spinning.count()},
          {"reading_ns", neighbour.reading.count()},
          {"window_ns", neighbour.window.count()},
          {"cpu", neighbour.cpu},
          {"policy", to_string(neighbour.scheduling)}};
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
  std::vector<std::string> advice;
  const std::uint64_t zombies = found.zombies ? found.zombies->count.low : 0;
  const bool slow = found.read_cost && found.read_cost->measured &&
                    found.read_cost->measured->median > found.read_cost->budget;
  const bool walks = found.walk.verdict == Walk::Verdict::walks;
  if (zombies >= policy.zombies_high || (slow && zombies != 0)) {
    advice.emplace_back(
        "See what would be done, cgctl mitigate --once --dry-run, then do it: cgctl mitigate "
        "--once.");
  }
  if (walks || slow) {
    advice.emplace_back(
        "Until there is a newer kernel, let agents read the root by nodes: cgctl numa-stat "
        "--source "
        "nodes.");
  }
  if (walks) {
    advice.emplace_back(
        "Linux 5.8 ended the walk (commit dd8657b6c1cb): a newer kernel is the cure.");
  }
  const bool io = found.io_pressure.value_or(0) > policy.io_pressure_limit;
  const bool memory = found.memory_pressure.value_or(0) > policy.memory_pressure_limit;
  if (!advice.empty() && advice.size() < 3 && (io || memory)) {
    advice.push_back(fmt::format("mitigate will wait: {} pressure is {:.0f} %.",
                                 io ? "I/O" : "memory",
                                 io ? *found.io_pressure : *found.memory_pressure));
  }
  if (!advice.empty()) return advice;
  if (!found.zombies) {
    advice.emplace_back(
        "Run it where the whole machine is visible: the zombies could not be counted.");
  } else if (zombies == 0) {
    advice.emplace_back("Nothing.");
  } else {
    advice.push_back(fmt::format("Nothing yet: cgctl mitigate --once acts from {} zombies on.",
                                 policy.zombies_high));
  }
  return advice;
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
  std::string_view label = "what to do";
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

}  // namespace cgctl::tool::doctor
