// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/doctor_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/names.hpp"
#include "cli/terminal.hpp"

namespace cgctl::tool::doctor_command {
namespace {

constexpr std::uint64_t fewest_to_judge = 64;
constexpr std::uint64_t fewest_in_subtree = 16;
constexpr std::size_t pins_named = 3;

/// Returns the width of a row: the columns of the terminal, within limits; 80 without a terminal.
std::size_t row_width() {
  constexpr std::size_t usual = 80;
  constexpr std::size_t narrowest = 50;
  constexpr std::size_t widest = 100;
  return std::clamp(terminal_columns().value_or(usual), narrowest, widest);
}

std::string host_row(const Machine& machine) {
  std::string text = std::string(cgctl::to_string(machine.mode));
  if (!machine.kernel.empty()) text += ", Linux " + machine.kernel;
  if (machine.cpus) text += ", " + counted(*machine.cpus, "CPU");
  if (!machine.nodes.empty()) text += ", " + counted(machine.nodes.size(), "NUMA node");
  return row("host", text);
}

std::string memory_row(const Known<Memory>& memory) {
  if (!memory) return row("memory", memory.error());
  return row("memory", fmt::format("cgroup {} at {}{}", cgctl::to_string(memory->version),
                                   memory->mount_point,
                                   memory->whole ? "" : ", only a part of the hierarchy"));
}

std::string count_row(const zombies::Count& count) {
  const std::string live = grouped(count.live);
  if (count.high == 0) return row("zombies", "none; " + live + " live memory cgroups");
  std::string number = grouped(count.low);
  if (!count.exact()) number += " to " + grouped(count.high);
  return row("zombies",
             fmt::format("{} removed cgroup{} still held by the kernel (zombies), {} live "
                         "ones",
                         number, count.high == 1 ? "" : "s", live));
}

std::string where_row(const zombies::Ancestor& ancestor, const std::string& name, bool exact) {
  const std::string below = "below " + with_name(ancestor.path, name);
  std::string text = ancestor.count ? grouped(*ancestor.count) + " zombies " + below : below;
  if (ancestor.bytes) {
    text += fmt::format(" ({}{})", ancestor.count && !exact ? "up to " : "",
                        human_bytes(*ancestor.bytes));
  } else if (!ancestor.count) {
    text += " (how much is not known)";
  }
  return row("  where", text);
}

/// Names the source of the figures and why no better one was used; empty for a captured tree.
std::string source_rows(const zombies::Attribution& where) {
  const bool by_files = where.source == zombies::Source::memory_stat;
  if (by_files && where.why_not.empty()) return {};
  std::string text = row("  source", describe(where.source));
  for (const Error& why : where.why_not) text += row("  note", message_of(why));
  return text;
}

std::string zombie_rows(const Known<Zombies>& zombies) {
  if (!zombies) return row("zombies", zombies.error());
  std::string text = count_row(zombies->count);
  if (zombies->where) {
    const auto& ancestors = zombies->where->ancestors;
    for (std::size_t i = 0; i < std::min(ancestors.size(), ancestors_named); ++i) {
      const bool named = i < zombies->names.size();
      text += where_row(ancestors[i], named ? names::text_of(zombies->names[i]) : std::string(),
                        zombies->where->source == zombies::Source::census);
    }
  }
  if (!zombies->makers.empty()) text += row("  made by", zombies->makers);
  std::string_view pins = zombies->pins;
  for (std::size_t i = 0; i < pins_named && !pins.empty(); ++i) {
    const std::size_t end = std::min(pins.find("; "), pins.size());
    text += row("  why", pins.substr(0, end));
    pins.remove_prefix(std::min(end + 2, pins.size()));
  }
  if (zombies->where) text += source_rows(*zombies->where);
  return text;
}

/// True if reads take at most a tenth of the limit.
bool cheap(const ReadCost& cost, const mitigation::Policy& policy) {
  constexpr int tenth = 10;
  return cost.measured && cost.measured->median * tenth <= policy.read_cost_limit;
}

std::string read_row(const Known<ReadCost>& cost, const mitigation::Policy& policy) {
  if (!cost) return row("numa_stat", "not measured: " + cost.error());
  if (!cost->measured) {
    return row("numa_stat",
               fmt::format("not read: predicted to take {}{} with {} memory cgroups, the limit is "
                           "{}; --measure reads once",
                           cost->by_slope ? "" : "up to ", human_time(cost->predicted),
                           grouped(cost->memcgs), human_time(cost->budget)));
  }
  const ReadCost::Measured& reads = *cost->measured;
  std::string text =
      fmt::format("reading the root's memory.numa_stat takes {}", human_time(reads.median));
  if (cheap(*cost, policy)) return row("numa_stat", text + ": harmless");
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

std::string neighbour_text(const Neighbour& neighbour, bool cheap_reads) {
  const std::string with = human_time(neighbour.reading);
  const std::string without = human_time(std::max(neighbour.idle, neighbour.spinning));
  if (neighbour.scheduling == SentinelClass::ordinary) {
    return "not measured: run as root to measure how long other work on the CPU waits";
  }
  if (cheap_reads) {
    return fmt::format(
        "such reads do not delay other work on their CPU (longest wait {} with, {} without: noise)",
        with, without);
  }
  return fmt::format(
      "other work on the CPU waits up to {} during a read; {} when idle, {} beside a busy "
      "program (CPU {})",
      with, human_time(neighbour.idle), human_time(neighbour.spinning), neighbour.cpu);
}

std::string neighbour_rows(const Known<Neighbour>& neighbour, bool cheap_reads) {
  return row("neighbour", neighbour ? neighbour_text(*neighbour, cheap_reads)
                                    : "not measured: " + neighbour.error());
}

/// Returns the row's text if nothing was measured: the reason, and facts about the kernel's
/// release.
std::string unproven(const Diagnosis& found) {
  const std::string& kernel = found.machine.kernel;
  const bool v1 = found.memory && found.memory->version == Version::v1;
  if (!v1 || kernel.empty()) return "not known: " + found.walk.reason;
  std::string text = "not measured: " + found.walk.reason;
  text += walks_by_release(kernel)
              ? "; kernels before Linux 5.8, such as this one, walk unless their vendor fixed it"
              : "; Linux 5.8 and later, such as this one, do not walk";
  if (found.read_cost && !found.read_cost->measured) {
    text += fmt::format(". A read is predicted to take up to {}",
                        human_time(found.read_cost->predicted));
  }
  return text;
}

/// Returns the basis of the verdict; empty for reads of the root and of a leaf.
std::string basis_text(const Walk& walk) {
  if (walk.basis == Walk::Basis::probe) return ", by a probe";
  if (walk.basis != Walk::Basis::subtrees) return "";
  return fmt::format(", measured in a subtree of {} cgroups", grouped(walk.memcgs));
}

std::string walk_row(const Diagnosis& found) {
  const Walk& walk = found.walk;
  std::string text;
  switch (walk.verdict) {
    case Walk::Verdict::unknown:
      return row("walk", unproven(found));
    case Walk::Verdict::walks:
      text = fmt::format(
          "KERNEL BUG: each read visits all memory cgroups, dead ones too; fixed in Linux 5.8 "
          "({:.1f} ns each",
          walk.ns_per_memcg.value_or(0));
      break;
    case Walk::Verdict::does_not_walk:
      text = fmt::format(
          "kernel bug absent: a read costs the same however many cgroups there are (compared with "
          "{}",
          grouped(walk.memcgs));
      break;
  }
  return row("walk", text + basis_text(walk) + ")");
}

/// Returns "53 days", "3.2 years" or "more than 100 years".
std::string days_in_words(double days) {
  constexpr double year = 365;
  constexpr double longest = 100 * year;
  if (days > longest) return "more than 100 years";
  if (days > 2 * year) return fmt::format("{:.1f} years", days / year);
  return days < 2 ? fmt::format("{:.1f} hours", days * 24) : fmt::format("{:.0f} days", days);
}

std::string ids_row(const Known<Ids>& ids) {
  if (!ids) return {};
  std::string text = fmt::format("at most {} of {} in use", grouped(ids->used), grouped(memcg_ids));
  const auto rate = static_cast<std::uint64_t>(std::llround(ids->zombies_a_day.value_or(0)));
  if (rate == 0) return row("ids", text);
  switch (ids->basis) {
    case Ids::Basis::ledger:
      text += fmt::format("; {} zombies a day, by the removals recorded", grouped(rate));
      break;
    case Ids::Basis::history:
      text += fmt::format("; {} zombies a day lately", grouped(rate));
      break;
    case Ids::Basis::boot:
      text += fmt::format("; {} zombies a day on average since boot", grouped(rate));
      break;
    case Ids::Basis::none:
      break;
  }
  if (ids->days_left) text += ": all in use in " + days_in_words(*ids->days_left);
  return row("ids", text);
}

/// Returns the first text and the number of the others, which a screen has no room for.
std::string first_of(const std::vector<std::string>& all) {
  if (all.size() < 2) return all.empty() ? "" : all[0];
  return fmt::format("{}; {} more (--json)", all[0], all.size() - 1);
}

std::string text_of(const Throttled& one) {
  return fmt::format("{} {:.0f} %, {}", with_name(one.path, names::text_of(one.names)), one.percent,
                     human_time(one.time));
}

std::string text_of(const Killed& one) {
  std::string text = with_name(one.path, names::text_of(one.names));
  if (one.kills) text += fmt::format(" {} times", *one.kills);
  if (one.ago) text += fmt::format(", {} ago", human_time(*one.ago));
  return one.kills ? text : text + ", gone";
}

/// Returns the rows of the cgroups that CPU quotas or the OOM killer stopped; empty without any.
std::string cgroup_rows(const Diagnosis& found) {
  std::vector<std::string> texts;
  for (const Throttled& one : found.throttled) texts.push_back(text_of(one));
  const std::string throttled = first_of(texts);
  texts.clear();
  for (const Killed& one : found.killed) texts.push_back(text_of(one));
  const std::string killed = first_of(texts);
  std::string text;
  if (!throttled.empty()) text += row("throttled", throttled);
  if (!killed.empty()) text += row("OOM killed", killed);
  if (found.unexamined != 0 && !text.empty()) {
    text += row(
        "", fmt::format("{} not examined for lack of time", counted(found.unexamined, "cgroup")));
  }
  return text;
}

/// Returns the row of the cgroups that systemd may take; empty without any.
std::string systemd_row(const Diagnosis& found) {
  if (found.endangered.empty()) return {};
  std::vector<std::string> texts = found.endangered;
  texts[0] = fmt::format("may remove {} or its limits", printable(texts[0]));
  return row("systemd", first_of(texts));
}

std::string memory_stat_row(const Diagnosis& found) {
  if (!found.memory_stat) return {};
  return row("memory.stat",
             "reading the root's memory.stat takes " + human_time(*found.memory_stat));
}

std::string pressure_row(const Diagnosis& found) {
  if (!found.io_pressure && !found.memory_pressure) {
    return row("pressure",
               "no figures (PSI is off: boot with psi=1): mitigate's guards io_pressure and "
               "memory_pressure have no effect");
  }
  return row("pressure",
             fmt::format("last 10 s: waiting for I/O {:.1f} %, for memory {:.1f} % of the time",
                         found.io_pressure.value_or(0), found.memory_pressure.value_or(0)));
}

std::string probe_row(const Probe& probe) {
  return row(
      "probe",
      fmt::format(
          "{} empty cgroups were created and removed again; they left {} zombies", probe.children,
          probe.zombies_left ? std::to_string(*probe.zombies_left) : "an unknown number of"));
}

/// Returns the finding, or {"unknown": reason}.
template <class T, class Describe>
Json known(const Known<T>& finding, Describe describe) {
  if (!finding) return {{"unknown", finding.error()}};
  return describe(*finding);
}

Json name_json(const names::Names& names) {
  std::string name = names::text_of(names);
  return name.empty() ? Json(nullptr) : Json(std::move(name));
}

Json ids_json(const Ids& ids) {
  return {{"used", ids.used},
          {"limit", memcg_ids},
          {"zombies_per_day", or_null(ids.zombies_a_day)},
          {"basis", to_string(ids.basis)},
          {"days_left", or_null(ids.days_left)}};
}

Json throttled_json(const Diagnosis& found) {
  Json all = Json::array();
  for (const Throttled& one : found.throttled) {
    all.push_back({{"path", one.path},
                   {"name", name_json(one.names)},
                   {"percent_throttled", one.percent},
                   {"throttled_s", std::chrono::duration<double>(one.time).count()}});
  }
  return all;
}

Json killed_json(const Diagnosis& found) {
  Json all = Json::array();
  for (const Killed& one : found.killed) {
    Json cgroup{{"path", one.path}, {"name", name_json(one.names)}, {"kills", or_null(one.kills)}};
    cgroup["last_kill_age_s"] = one.ago ? Json(one.ago->count()) : Json(nullptr);
    all.push_back(std::move(cgroup));
  }
  return all;
}

Json endangered_json(const Diagnosis& found) {
  constexpr std::size_t most = 5;
  const auto end = found.endangered.begin() +
                   static_cast<std::ptrdiff_t>(std::min(most, found.endangered.size()));
  return {{"count", found.endangered.size()},
          {"paths", std::vector<std::string>(found.endangered.begin(), end)}};
}

Json zombies_json(const Zombies& zombies) {
  Json one = tool::zombies_json(zombies.count, zombies.where, ancestors_named);
  for (std::size_t i = 0; i < std::min(zombies.names.size(), one["by_ancestor"].size()); ++i) {
    one["by_ancestor"][i]["name"] = name_json(zombies.names[i]);
  }
  one["explanation"] = zombies.pins;
  if (!zombies.makers.empty()) one["made_by"] = zombies.makers;
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

}  // namespace

std::string row(std::string_view label, std::string_view text) {
  constexpr std::size_t label_width = 12;
  const std::size_t width = row_width() - label_width;
  const std::size_t half = width / 2 - 2;
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

std::vector<std::string> blind_guards(const Diagnosis& found) {
  std::vector<std::string> blind;
  if (!found.io_pressure) blind.emplace_back("io_pressure");
  if (!found.memory_pressure) blind.emplace_back("memory_pressure");
  return blind;
}

std::string_view to_string(Ids::Basis basis) noexcept {
  switch (basis) {
    case Ids::Basis::ledger:
      return "ledger";
    case Ids::Basis::history:
      return "history";
    case Ids::Basis::boot:
      return "boot";
    case Ids::Basis::none:
      break;
  }
  return "none";
}

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
    case Walk::Basis::subtrees:
      return "subtrees";
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
  if (memcgs < (basis == Walk::Basis::subtrees ? fewest_in_subtree : fewest_to_judge)) {
    walk.reason =
        fmt::format("{} cgroups are too few to tell (cgctl doctor --probe measures)", memcgs);
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
    walk.reason = "the difference between the reads is too small to tell";
  }
  return walk;
}

std::string text_of(const Diagnosis& found) {
  const Verdict verdict = verdict_of(found);
  const bool cheap_reads = found.read_cost && cheap(*found.read_cost, found.policy);
  std::string text =
      row("verdict", fmt::format("{}: {}", to_string(verdict.health), verdict.reason)) +
      host_row(found.machine) + memory_row(found.memory) + zombie_rows(found.zombies) +
      ids_row(found.ids) + cgroup_rows(found) + systemd_row(found) +
      read_row(found.read_cost, found.policy) + neighbour_rows(found.neighbour, cheap_reads) +
      walk_row(found);
  if (found.probe) text += probe_row(*found.probe);
  text += memory_stat_row(found) + pressure_row(found);
  const char* label = "what to do";
  for (const std::string& sentence : advise(found)) {
    text += row(label, sentence);
    label = "";
  }
  return text;
}

nlohmann::ordered_json json_of(const Diagnosis& found) {
  const Verdict verdict = verdict_of(found);
  Json one{{"verdict", {{"state", to_string(verdict.health)}, {"reason", verdict.reason}}},
           {"mode", cgctl::to_string(found.machine.mode)},
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
  one["kernel_memory_bytes"] = found.weights.kernel_memory;
  one["page_cache_bytes"] = found.weights.page_cache;
  one["memory_bytes"] = found.weights.memory;
  one["io_pressure"] = or_null(found.io_pressure);
  one["memory_pressure"] = or_null(found.memory_pressure);
  one["blind_guards"] = blind_guards(found);
  one["ids"] = known(found.ids, ids_json);
  one["most_throttled"] = throttled_json(found);
  one["oom_killed"] = killed_json(found);
  one["not_examined"] = found.unexamined;
  one["systemd_may_take"] = endangered_json(found);
  one["memory_stat_ns"] = found.memory_stat ? Json(found.memory_stat->count()) : Json(nullptr);
  one["advice"] = advise(found);
  return one;
}

}  // namespace cgctl::tool::doctor_command
