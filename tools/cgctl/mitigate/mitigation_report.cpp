// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/names.hpp"
#include "command/dead.hpp"
#include "mitigate/mitigation_run.hpp"

namespace cgctl::tool {
namespace {

using mitigation::Action;
using mitigation::Decision;
using mitigation::Effect;
using mitigation::Observation;

// ---- text ----

/// "; a read of numa_stat takes 3 us"; empty where that is not known.
std::string cost_of_read(const Observation& seen) {
  if (!seen.read_cost) return {};
  return fmt::format("; a read of numa_stat {} {}",
                     seen.read_cost_measured ? "takes" : "may take up to",
                     human_time(*seen.read_cost));
}

/// "; 4 MiB could be freed"; empty where that is not known.
std::string freeable(const Observation& seen) {
  if (!seen.residual) return {};
  std::string text = fmt::format("; {} could be freed", human_bytes(seen.residual->freeable()));
  const bool better = seen.source && *seen.source != zombies::Source::memory_stat;
  return better ? text + fmt::format(" (by {})", describe(*seen.source)) : text;
}

std::string line_of(const char* when, const Observation& seen) {
  const zombies::Count& count = seen.zombies;
  std::string text = fmt::format("{}, {} live", in_words(count), count.live) + cost_of_read(seen);
  text += freeable(seen);
  return labelled(when, text + fmt::format("; page cache {}", human_bytes(seen.page_cache)));
}

/// Describes a look that nothing came of, without what the reason tells.
std::string line_of_look(const Observation& seen, std::string_view reason) {
  const auto told = [reason](const char* word) {
    return reason.find(word) != std::string_view::npos;
  };
  std::string text = told("zombies") ? "" : in_words(seen.zombies) + ", ";
  text += fmt::format("{} live cgroups", seen.zombies.live);
  if (!told("numa_stat")) text += cost_of_read(seen);
  text += freeable(seen);
  if (!told("page cache")) text += "; page cache " + human_bytes(seen.page_cache);
  return labelled("now", text);
}

/// Names the guards that have no effect because the kernel keeps no pressure figures; else empty.
std::string line_of_blind_guards(const Observation& seen) {
  if (seen.io_pressure || seen.memory_pressure) return {};
  return labelled("note", blind_guards);
}

/// Returns "40 pages of 3 files".
std::string pages_of(std::uint64_t pages, std::size_t files) {
  return counted(pages, "page") + " of " + counted(files, "file");
}

/// Returns a line for each reason for which evict left zombies.
std::string lines_of(const std::vector<mitigation::Left>& left) {
  std::string text;
  for (const mitigation::Left& one : left) {
    std::string held = counted(one.zombies, "zombie");
    if (one.files != 0) held += " by " + pages_of(one.pages, one.files);
    text += labelled("left", held + ": " + printable(one.remedy));
  }
  return text;
}

std::string line_of(const Action& action) {
  std::string text = fmt::format("{} -> {} zombies, ", action.zombies_before, action.zombies_after);
  if (action.made != 0) text += fmt::format("about {} of them new, ", action.made);
  switch (action.end) {
    case mitigation::End::done:
      text += "took " + human_time(action.duration);
      break;
    case mitigation::End::timed_out:
      text += "killed after " + human_time(action.duration);
      break;
    case mitigation::End::failed:
      text += "failed";
      break;
    case mitigation::End::cancelled:
      text += "cancelled";
      break;
  }
  if (!action.status) text += ": " + message_of(action.status.error());
  return labelled(mitigation::to_string(action.rung), text) + lines_of(action.left);
}

/// Returns the line about the files that evict would take.
std::string line_of(const mitigation::Evictable& all) {
  std::string text = pages_of(all.pages, all.files);
  for (const auto& file : all.first) {
    text += fmt::format("{}{} (holds {})", &file == all.first.data() ? ": " : ", ",
                        printable(file.path), file.zombies);
  }
  if (all.files > all.first.size()) text += fmt::format(", {} more", all.files - all.first.size());
  return labelled("would evict", text) + lines_of(all.left);
}

/// Returns why evict is left out; empty if it is not.
std::string line_of_refused_census(const Observation& seen) {
  if (seen.census) return {};
  return labelled("note", "evict is left out: " + message_of(seen.census.error()));
}

/// Returns the assumption that other tasks wait, if a read of numa_stat is the reason to act and
/// their delay was not measured; otherwise nothing.
std::string line_of_assumed_delay(const Report& report) {
  if (!report.plan.for_read || report.before.read_delay) return {};
  if (report.plan.decision == Decision::idle) return {};
  return labelled("note",
                  "it is not known whether other tasks have to wait for this read, so they are "
                  "taken to (cgctl doctor --measure finds out)");
}

/// Returns why squeeze does not reach some zombies; empty if memory.use_hierarchy is not the cause.
std::string line_of_missing_hierarchy(const Observation& seen, names::Resolver& names) {
  if (seen.without_hierarchy.empty()) return {};
  return labelled("note", "squeeze reaches no zombies below " +
                              with_name(seen.without_hierarchy, &names) +
                              ": its memory.use_hierarchy is 0 (write 1 to it before it has child "
                              "cgroups)");
}

/// Returns " of /a, /b, 7 more"; " of nothing" if there is none.
template <class T, class ToText>
std::string first_of(const std::vector<T>& all, const ToText& to_text) {
  constexpr std::size_t shown = 5;
  if (all.empty()) return " of nothing";
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, all.size()); ++i)
    text.append(i == 0 ? " of " : ", ").append(to_text(all[i]));
  if (all.size() > shown) text += fmt::format(", {} more", all.size() - shown);
  return text;
}

/// Returns the cgroups, nodes or files that a rung would use; empty for rungs that have none.
std::string targets_of(mitigation::Rung rung, const Report& report, names::Resolver& names) {
  using mitigation::Rung;
  if (rung == Rung::squeeze) {
    return first_of(report.before.squeezable,
                    [&](const auto& top) { return with_name(top.path, &names); });
  }
  if (rung == Rung::node_reclaim) {
    return first_of(report.nodes, [](std::uint64_t node) { return fmt::format("node {}", node); });
  }
  if (rung == Rung::advise) {
    return first_of(report.files, [](const std::string& file) { return printable(file); });
  }
  return {};
}

std::string line_of_rehearsal(const Report& report, names::Resolver& names) {
  std::string ladder;
  for (const mitigation::Rung rung : report.plan.ladder) {
    ladder.append(ladder.empty() ? "" : ", then if needed ").append(mitigation::to_string(rung));
    ladder += targets_of(rung, report, names);
  }
  return labelled("would do", ladder + " (dry run: nothing was changed)");
}

/// Names the cgroups with the most zombies below; empty if none is known.
std::string line_of_ancestors(const Observation& seen, names::Resolver& names) {
  constexpr std::size_t shown = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, seen.ancestors.size()); ++i) {
    const zombies::Ancestor& one = seen.ancestors[i];
    if (!text.empty()) text += ", ";
    if (one.count) text += fmt::format("{} ", *one.count);
    text += "below " + with_name(one.path, &names);
  }
  if (seen.ancestors.size() > shown) {
    text += fmt::format(", {} more", seen.ancestors.size() - shown);
  }
  return text.empty() ? text : labelled("where", text);
}

/// Returns "; 4.1 MiB given up, 18.3 GiB of page cache left alone"; empty if it was not measured.
std::string loss_of(const mitigation::Outcome& outcome) {
  const auto lost = mitigation::given_up(outcome.actions);
  if (!lost) return {};
  return fmt::format("; {} given up, {} of page cache left alone", human_bytes(*lost),
                     human_bytes(outcome.after.page_cache));
}

/// Returns "1991 of 2003 zombies freed", and the reason if that is ineffective.
std::string gain_of(const Report& report) {
  const auto& actions = report.outcome->actions;
  std::string text = fmt::format("{} of {} zombies freed", mitigation::freed(actions),
                                 actions.front().zombies_before) +
                     loss_of(*report.outcome);
  const bool useless = report.outcome->effect == Effect::ineffective;
  const std::string why = report.outcome->status ? report.outcome->explanation
                                                 : message_of(report.outcome->status.error());
  if (useless)
    text += ": " + (why.empty() ? "cgctl could not find out what keeps them alive" : why);
  return text;
}

std::string line_of_verdict(const Report& report) {
  const Effect effect = report.outcome->effect;
  const Color color = effect == Effect::effective ? Color::green : Color::red;
  return paint(color, fmt::format("{:<16}", mitigation::to_string(effect))) + gain_of(report) +
         "\n";
}

// ---- JSON ----

Json json_of(const Observation& seen) {
  Json one{{"zombies", seen.zombies.zombies()}, {"low", seen.zombies.low},
           {"high", seen.zombies.high},         {"exact", seen.zombies.exact()},
           {"kernel", seen.zombies.kernel},     {"live", seen.zombies.live}};
  one["read_cost_ns"] = nullptr;
  if (seen.read_cost) one["read_cost_ns"] = seen.read_cost->count();
  one["read_cost_measured"] = seen.read_cost_measured;
  one["read_delay_ns"] = nullptr;
  if (seen.read_delay) one["read_delay_ns"] = seen.read_delay->count();
  one["freeable_bytes"] = nullptr;
  if (seen.residual) one["freeable_bytes"] = seen.residual->freeable();
  one["source"] = seen.source ? Json(zombies::to_string(*seen.source)) : Json(nullptr);
  one["page_cache_bytes"] = seen.page_cache;
  one["kernel_memory_bytes"] = seen.kernel_memory;
  one["io_pressure"] = or_null(seen.io_pressure);
  one["memory_pressure"] = or_null(seen.memory_pressure);
  one["disk_busy"] = or_null(seen.disk_busy);
  one["dirty_bytes"] = seen.dirty;
  if (!seen.census) one["no_census"] = message_of(seen.census.error());
  one["pages_reparented"] = or_null(seen.pages_reparented);
  return one;
}

Json json_of(const std::vector<mitigation::Left>& left) {
  Json all = Json::array();
  for (const mitigation::Left& one : left) {
    Json reason{{"reason", mitigation::to_string(one.why)},
                {"zombies", one.zombies},
                {"files", one.files},
                {"pages", one.pages}};
    put(reason, "remedy", one.remedy);
    all.push_back(std::move(reason));
  }
  return all;
}

/// Returns the cgroups with the most zombies below.
Json json_of(const std::vector<zombies::Ancestor>& ancestors, names::Resolver& names) {
  constexpr std::size_t most = 10;
  Json all = Json::array();
  for (std::size_t i = 0; i < std::min(most, ancestors.size()); ++i) {
    Json one{{"path", ancestors[i].path}, {"count", or_null(ancestors[i].count)}};
    put_names(one, names.names_of(ancestors[i].path));
    all.push_back(std::move(one));
  }
  return all;
}

Json json_of(const mitigation::Evictable& all) {
  Json one{{"files", all.files}, {"pages", all.pages}, {"first", Json::array()}};
  for (const auto& file : all.first) {
    Json row{{"pages", file.pages}, {"zombies", file.zombies}};
    put(row, "path", file.path);
    one["first"].push_back(std::move(row));
  }
  one["left"] = json_of(all.left);
  return one;
}

Json json_of(const Action& action) {
  Json one{{"rung", mitigation::to_string(action.rung)},
           {"end", mitigation::to_string(action.end)},
           {"seconds", std::chrono::duration<double>(action.duration).count()},
           {"zombies_before", action.zombies_before},
           {"zombies_after", action.zombies_after},
           {"zombies_new", action.made}};
  one["page_cache_given_up_bytes"] = or_null(action.given_up);
  if (!action.left.empty()) one["left"] = json_of(action.left);
  if (!action.status) one["error"] = message_of(action.status.error());
  return one;
}

/// Adds the nodes and files that the plan's rungs would use, if there are any.
void add_targets(Json& one, const Report& report) {
  constexpr std::size_t most = 10;
  if (!report.nodes.empty()) one["nodes"] = report.nodes;
  if (report.files.empty()) return;
  Json first = Json::array();
  for (std::size_t i = 0; i < std::min(most, report.files.size()); ++i) {
    first.push_back(Json::object());
    put(first.back(), "path", report.files[i]);
  }
  one["advisable"] = {{"files", report.files.size()}, {"first", std::move(first)}};
}

/// Adds the keys about the effect of an action.
void add_outcome(Json& one, const Report& report) {
  const Observation& before = report.before;
  const Observation& after = report.outcome->after;
  for (const Action& action : report.outcome->actions) one["actions"].push_back(json_of(action));
  one["after"] = json_of(after);
  one["result"] = mitigation::to_string(report.outcome->effect);
  if (!report.outcome->explanation.empty()) one["explanation"] = report.outcome->explanation;
  if (!report.outcome->status) one["error"] = message_of(report.outcome->status.error());
  one["zombies_freed"] = mitigation::freed(report.outcome->actions);
  one["read_cost_saved_ns"] = nullptr;
  if (before.read_cost_measured && after.read_cost_measured) {
    // A difference below 0 is noise, as human_time() has it.
    const auto saved = std::max(*before.read_cost - *after.read_cost, std::chrono::nanoseconds(0));
    one["read_cost_saved_ns"] = saved.count();
  }
  one["page_cache_given_up_bytes"] = or_null(mitigation::given_up(report.outcome->actions));
  one["seconds"] = std::chrono::duration<double>(report.duration).count();
  one["refault_bytes"] = nullptr;
  one["refault_s"] = nullptr;
  if (report.refaults) {
    one["refault_bytes"] = report.refaults->bytes;
    one["refault_s"] = report.refaults->within.count();
  }
}

}  // namespace

void warn_of(const Report& report) {
  for (const std::string& warning : report.warnings) warn(warning);
  warn_of((report.outcome ? report.outcome->after : report.before).unread);
}

void add_refaults(const Host& host, Report& report) {
  const auto refaults = mitigation::refaults_since(host, report);
  if (!refaults) return warn(message_of(refaults.error()));
  report.refaults = *refaults;
}

std::string_view decision_of(const Report& report) {
  const bool rehearsed = report.plan.decision == Decision::act && !report.outcome;
  return rehearsed ? "dry-run" : mitigation::to_string(report.plan.decision);
}

std::string complaint_of(const Report& report) {
  return report.outcome ? "ineffective: " + gain_of(report) : "refused: " + report.plan.reason;
}

std::string text_of(const Report& report, names::Resolver& names) {
  if (report.plan.decision != Decision::act) {
    const bool refused = report.plan.decision == Decision::refused;
    return line_of_look(report.before, report.plan.reason) +
           labelled(decision_of(report), report.plan.reason) + line_of_blind_guards(report.before) +
           line_of_assumed_delay(report) +
           (refused ? line_of_missing_hierarchy(report.before, names) : "");
  }
  const std::string why =
      labelled("why", report.plan.reason) + line_of_assumed_delay(report) +
      line_of_ancestors(report.before, names) + line_of_blind_guards(report.before) +
      line_of_refused_census(report.before) + line_of_missing_hierarchy(report.before, names);
  if (!report.outcome) {
    return line_of_look(report.before, report.plan.reason) + why +
           line_of_rehearsal(report, names) + (report.evictable ? line_of(*report.evictable) : "");
  }
  std::string text = line_of("before", report.before) + why;
  for (const Action& action : report.outcome->actions) text += line_of(action);
  if (report.refaults) {
    text +=
        labelled("read again", fmt::format("{} within {} s", human_bytes(report.refaults->bytes),
                                           report.refaults->within.count()));
  }
  return text + line_of("after", report.outcome->after) + line_of_verdict(report);
}

std::string json_line_of(const Report& report, names::Resolver& names) {
  Json one{{"decision", decision_of(report)},
           {"reason", report.plan.reason},
           {"before", json_of(report.before)},
           {"actions", Json::array()},
           {"after", nullptr},
           {"result", mitigation::to_string(Effect::none)}};
  one["where"] = json_of(report.before.ancestors, names);
  if (report.outcome) {
    add_outcome(one, report);
  } else if (report.plan.decision == Decision::act) {
    one["plan"] = Json::array();
    for (const mitigation::Rung rung : report.plan.ladder)
      one["plan"].push_back(mitigation::to_string(rung));
    add_targets(one, report);
    if (report.evictable) one["evictable"] = json_of(*report.evictable);
    one["squeezable"] = Json::array();
    for (const zombies::Ancestor& top : report.before.squeezable)
      one["squeezable"].push_back(top.path);
  }
  return json_line("mitigate/1", std::move(one), report.looked);
}

}  // namespace cgctl::tool
