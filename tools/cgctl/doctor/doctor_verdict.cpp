// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>

#include "../../../src/detail/kernel_release.hpp"
#include "cgctl/mitigation.hpp"
#include "cli/command.hpp"
#include "doctor/doctor_report.hpp"

namespace cgctl::tool::doctor_command {
namespace {

/// True if reads walk, by measurement or, where nothing was measured, by the kernel's release.
bool may_walk(const Diagnosis& found) {
  if (found.walk.verdict != Walk::Verdict::unknown) {
    return found.walk.verdict == Walk::Verdict::walks;
  }
  return found.memory && found.memory->version == Version::v1 &&
         walks_by_release(found.machine.kernel);
}

/// Returns how reads stop other work; empty if they do not.
std::string harm(const Diagnosis& found) {
  if (!found.read_cost) return {};
  const ReadCost& cost = *found.read_cost;
  const auto limit = found.policy.read_cost_limit;
  const auto delay = observation(found).read_delay;
  if (delay && *delay <= limit) return {};
  if (cost.measured && cost.measured->median > limit) {
    return fmt::format("each read of the root's memory.numa_stat occupies a CPU for {}",
                       human_time(cost.measured->median));
  }
  if (cost.measured || cost.predicted <= limit || !may_walk(found)) return {};
  return fmt::format(
      "a read of the root's memory.numa_stat is predicted to occupy a CPU for {}{}{}",
      cost.by_slope ? "" : "up to ", human_time(cost.predicted),
      found.walk.verdict == Walk::Verdict::walks
          ? ""
          : ", if this kernel has the bug that Linux 5.8 fixed");
}

/// Returns "1,304 zombies hold about 21 MiB of kernel memory (0.1 % of all); ...".
std::string costs(const Diagnosis& found) {
  std::string text = "zombies cannot be counted from here";
  if (found.zombies) {
    const zombies::Count& count = found.zombies->count;
    text = count.low == 0 ? "no zombies" : grouped(count.low) + " zombies";
    if (count.low != 0) {
      text +=
          fmt::format(" hold about {} of kernel memory", human_bytes(found.weights.kernel_memory));
      if (found.weights.memory != 0) {
        text += fmt::format(" ({:.1f} % of all)",
                            100.0 * static_cast<double>(found.weights.kernel_memory) /
                                static_cast<double>(found.weights.memory));
      }
    }
    text += fmt::format("; at most {} of {} memory cgroup ids are in use", grouped(count.kernel),
                        grouped(memcg_ids));
  }
  if (found.read_cost && found.read_cost->measured) {
    text += "; reading the root's memory.numa_stat takes " +
            human_time(found.read_cost->measured->median);
  }
  return text;
}

/// True if zombies cost enough to be worth mentioning in the verdict.
bool costly(const Diagnosis& found) {
  if (!found.zombies || found.zombies->count.low == 0) return false;
  const mitigation::Observation seen = observation(found);
  const auto worth = mitigation::weigh(seen, found.policy).worth;
  using mitigation::Worth;
  if (worth == Worth::memory || worth == Worth::ids) return true;
  const bool grows = found.walk.verdict == Walk::Verdict::walks && seen.read_cost_measured;
  if (grows && worth == Worth::reads) return true;
  return mitigation::decide(seen, {}, found.policy, std::chrono::seconds(0)).decision !=
         mitigation::Decision::idle;
}

/// Returns why mitigation would refuse, and what to do instead.
std::string objection(const mitigation::Observation& seen, const mitigation::Policy& policy) {
  if (seen.io_pressure.value_or(0) > policy.io_pressure_limit) {
    return fmt::format("I/O pressure is {:.0f} %. Wait until it is below {:.0f} %.",
                       *seen.io_pressure, policy.io_pressure_limit);
  }
  if (seen.memory_pressure.value_or(0) > policy.memory_pressure_limit) {
    return fmt::format("memory pressure is {:.0f} %. Wait until it is below {:.0f} %.",
                       *seen.memory_pressure, policy.memory_pressure_limit);
  }
  return "dropping caches frees none of them. Remove what keeps them alive (see \"why\").";
}

void advise_mitigation(const Diagnosis& found, const mitigation::Observation& seen,
                       std::vector<std::string>& advice) {
  // Doctor applies the rule of mitigate, with an empty history.
  const auto plan = mitigation::decide(seen, {}, found.policy, std::chrono::seconds(0));
  const Commands& commands = found.commands;
  if (plan.decision == mitigation::Decision::act) {
    advice.push_back(fmt::format("{} mitigate --once --dry-run{} (shows what it would do)",
                                 commands.cgctl, commands.config));
    advice.push_back(
        fmt::format("{} mitigate --once{} (does it)", commands.cgctl, commands.config));
  } else if (plan.decision == mitigation::Decision::refused) {
    advice.push_back("cgctl mitigate would refuse: " + objection(seen, found.policy));
  }
}

void advise_reads(const Diagnosis& found, const mitigation::Observation& seen,
                  std::vector<std::string>& advice) {
  if (!seen.read_cost || *seen.read_cost <= found.policy.read_cost_limit) return;
  if (seen.read_cost_measured || found.walk.verdict == Walk::Verdict::walks) {
    advice.push_back("Stop agents from reading the root's memory.numa_stat; `" +
                     found.commands.cgctl +
                     " numa-stat --source nodes` gives the same figures cheaply.");
  } else if (found.walk.verdict == Walk::Verdict::unknown) {
    advice.push_back(found.commands.cgctl +
                     " doctor --probe (as root: tells whether reads walk, without a slow read)");
  }
}

std::string nothing(const Diagnosis& found, const mitigation::Observation& seen) {
  const mitigation::Policy& policy = found.policy;
  if (seen.zombies.low == 0) return "Nothing.";
  if (seen.zombies.low < policy.zombies_high) {
    return fmt::format("Nothing: mitigate acts at {} zombies.", grouped(policy.zombies_high));
  }
  const auto balance = mitigation::weigh(seen, policy);
  return fmt::format("Nothing: dropping caches would give up {} of page cache to free about {}.",
                     human_bytes(balance.given_up), human_bytes(balance.held));
}

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

bool walks_by_release(std::string_view kernel) noexcept {
  constexpr detail::KernelRelease fixed(5, 8);
  const auto release = detail::kernel_release(kernel);
  return release && *release < fixed;
}

mitigation::Observation observation(const Diagnosis& found) {
  mitigation::Observation seen;
  seen.page_size = found.page_size;
  seen.io_pressure = found.io_pressure;
  seen.memory_pressure = found.memory_pressure;
  seen.kernel_memory = found.weights.kernel_memory;
  seen.page_cache = found.weights.page_cache;
  seen.memory = found.weights.memory;
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
    const bool long_read =
        seen.read_cost_measured && *seen.read_cost > found.policy.read_cost_limit;
    if (long_read && found.neighbour) {
      seen.read_delay =
          detail::delay_of_others(found.neighbour->reading, found.neighbour->scheduling,
                                  *seen.read_cost, found.policy.read_cost_limit);
    }
  }
  return seen;
}

std::string_view to_string(Health health) noexcept {
  switch (health) {
    case Health::healthy:
      return "healthy";
    case Health::costly:
      return "costly";
    case Health::harmful:
      return "harmful";
    case Health::unknown:
      break;
  }
  return "unknown";
}

Verdict verdict_of(const Diagnosis& found) {
  if (!found.memory) return {Health::unknown, "no memory controller is visible here"};
  if (const std::string why = harm(found); !why.empty()) {
    return {Health::harmful, why + "; " + costs(found)};
  }
  if (!found.zombies) return {Health::unknown, costs(found)};
  return {costly(found) ? Health::costly : Health::healthy, costs(found)};
}

std::vector<std::string> advise(const Diagnosis& found) {
  if (!found.memory) {
    return {
        "No memory controller is visible here. Run doctor on the host, or give --cgroup-root and "
        "--proc-root."};
  }
  std::vector<std::string> advice;
  const mitigation::Observation seen = observation(found);
  advise_mitigation(found, seen, advice);
  advise_reads(found, seen, advice);
  if (found.walk.verdict == Walk::Verdict::walks && found.memory->version == Version::v1) {
    advice.emplace_back("Linux 5.8 or later fixes the kernel bug (commit dd8657b6c1cb).");
  }
  if (!advice.empty()) return advice;
  if (!found.zombies) return {"The zombies cannot be counted from here. Run doctor on the host."};
  return {nothing(found, seen)};
}

}  // namespace cgctl::tool::doctor_command
