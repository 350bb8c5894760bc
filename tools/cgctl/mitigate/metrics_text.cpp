// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "build_info.hpp"
#include "cli/command.hpp"
#include "command/makers.hpp"
#include "mitigate/metrics.hpp"
#include "mitigate/metrics_writer.hpp"

namespace cgctl::tool {
namespace {

using mitigation::Decision;
using mitigation::History;
using mitigation::Observation;
using mitigation::Rung;
using mitigation::RungHistory;

/// Most cgroups that get a series for the zombies below them.
constexpr std::size_t most_ancestors = 20;
/// Most makers of zombies that get series of their own.
constexpr std::size_t most_named_makers = 10;

void add_ancestors(MetricsWriter& text, const Observation& seen, names::Resolver& names) {
  const auto end = seen.ancestors.begin() +
                   static_cast<std::ptrdiff_t>(std::min(seen.ancestors.size(), most_ancestors));
  const auto each = [&](auto member, const char* name, const char* help) {
    const bool any = std::any_of(seen.ancestors.begin(), end, [&](const auto& ancestor) {
      return (ancestor.*member).has_value();
    });
    if (!any) return;
    text.head(name, "gauge", help);
    for (auto ancestor = seen.ancestors.begin(); ancestor != end; ++ancestor) {
      const auto& value = (*ancestor).*member;
      if (value) text.value(cgroup_labels(ancestor->path, names.names_of(ancestor->path)), *value);
    }
  };
  each(&zombies::Ancestor::bytes, "cgctl_zombie_memory_bytes",
       "Memory charged to zombies directly below a cgroup, an upper bound on v2.");
  each(&zombies::Ancestor::count, "cgctl_zombie_memory_cgroups_below",
       "Zombies directly below a cgroup, known on v2 and by a census.");
}

/// Adds what was recorded about removed cgroups.
void add_makers(MetricsWriter& text, const recorder::Ledger& ledger) {
  std::uint64_t released = 0;
  for (const recorder::Maker& maker : ledger.makers) released += maker.released;
  const auto counter = [&text](const char* name, const char* help, std::uint64_t value) {
    text.head(name, "counter", help);
    text.value(value);
  };
  counter("cgctl_memory_cgroups_removed_total", "Removals of memory cgroups recorded since boot.",
          ledger.removals());
  if (ledger.releases) {
    counter("cgctl_memory_cgroups_released_total",
            "Recorded removals whose memory cgroup the kernel has released.", released);
  }
  counter("cgctl_records_lost_total",
          "Records that were overwritten, or read by others, before they were collected.",
          ledger.lost);
  auto makers = most_zombies(ledger.makers);
  makers.resize(std::min(makers.size(), most_named_makers));
  if (makers.empty()) return;
  const auto each = [&](const char* name, const char* help, auto figure) {
    text.head(name, "gauge", help);
    for (const recorder::Maker* const maker : makers) {
      text.value(fmt::format("maker=\"{}\"", label_value(maker_name(maker->pattern))),
                 figure(*maker));
    }
  };
  if (ledger.releases) {
    each("cgctl_maker_zombies", "Zombies of the workloads that made the most.",
         [](const recorder::Maker& maker) { return maker.most_dead(); });
  }
  each("cgctl_maker_removed", "Removals of these workloads' memory cgroups since boot.",
       [](const recorder::Maker& maker) { return maker.removals; });
}

void add_rungs(MetricsWriter& text, const History& history) {
  text.head("cgctl_mitigation_actions_total", "counter",
            "Uses of each rung of the ladder, by result.");
  for (std::size_t i = 0; i < mitigation::rung_count; ++i) {
    const RungHistory& rung = history.rungs[i];
    const auto add = [&](const char* result, std::uint64_t count) {
      text.value(fmt::format("rung=\"{}\",result=\"{}\"", to_string(static_cast<Rung>(i)), result),
                 count);
    };
    add("effective", rung.effective);
    add("ineffective", rung.ineffective);
    add("failed", rung.failed);
  }
  text.head("cgctl_mitigation_page_cache_given_up_bytes_total", "counter",
            "Page cache that the machine lost while each rung ran.");
  for (std::size_t i = 0; i < mitigation::rung_count; ++i) {
    text.value(fmt::format("rung=\"{}\"", to_string(static_cast<Rung>(i))),
               history.rungs[i].given_up);
  }
}

}  // namespace

std::string label_value(std::string_view text) {
  std::string out;
  for (const char c : escaped(text)) {
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

std::string cgroup_labels(const std::string& path, const names::Names& names) {
  std::string text = fmt::format("cgroup=\"{}\"", label_value(path));
  const std::pair<const char*, const std::string&> known[] = {{"namespace", names.space},
                                                              {"pod", names.pod},
                                                              {"container", names.container},
                                                              {"unit", names.unit}};
  for (const auto& [key, name] : known) {
    if (!name.empty()) text += fmt::format(",{}=\"{}\"", key, label_value(name));
  }
  return text;
}

std::string metrics_text(const Observation& seen, const mitigation::Plan& plan,
                         const History& history, const recorder::Ledger& ledger,
                         const Configuration& configuration,
                         std::chrono::system_clock::time_point looked, names::Resolver& names) {
  MetricsWriter text;
  text.gauge("cgctl_zombie_memory_cgroups",
             "Memory cgroups that were removed and that the kernel still holds.", seen.zombies.low);
  text.gauge("cgctl_live_memory_cgroups", "Memory cgroups with a directory.", seen.zombies.live);
  text.gauge("cgctl_zombie_memory_cgroups_growth",
             "New zombies a second, smoothed over ten minutes.", history.growth);
  add_ancestors(text, seen, names);
  if (seen.read_cost) {
    text.gauge("cgctl_numa_stat_read_seconds",
               "Time that a read of the root's memory.numa_stat takes, measured or predicted.",
               in_seconds(*seen.read_cost));
    text.gauge("cgctl_numa_stat_read_measured",
               "1 if this look measured that time, 0 if it is predicted.",
               seen.read_cost_measured ? 1 : 0);
    if (seen.read_delay) {
      text.gauge("cgctl_numa_stat_read_delay_seconds",
                 "Longest time that other work on the CPU waits during that read.",
                 in_seconds(*seen.read_delay));
    }
  }
  if (!ledger.empty()) add_makers(text, ledger);
  add_rungs(text, history);
  text.head("cgctl_mitigation_decision", "gauge",
            "1 for the decision of the last look, 0 for the others.");
  for (const Decision one : {Decision::idle, Decision::act, Decision::refused}) {
    text.value(fmt::format("decision=\"{}\"", mitigation::to_string(one)),
               plan.decision == one ? 1 : 0);
  }
  text.gauge("cgctl_mitigation_useless_in_a_row",
             "Actions in a row without effect; each doubles the interval.", history.ineffective);
  text.gauge("cgctl_mitigation_actions_last_day", "Actions of the last 24 hours.",
             mitigation::actions_accounted(history, mitigation::uptime()));
  const auto now = std::chrono::duration<double>(looked.time_since_epoch()).count();
  text.gauge("cgctl_last_run_timestamp_seconds", "Time of the last look at the machine.",
             fmt::format("{:.0f}", now));
  double last_look = 0;
  if (history.sample.at) {
    const auto ago = mitigation::uptime() - *history.sample.at;
    last_look = now - static_cast<double>(ago.count());
  }
  text.gauge("cgctl_mitigation_last_look_timestamp_seconds",
             "Time of the last look that cgctl mitigate has recorded; 0: none since boot.",
             fmt::format("{:.0f}", last_look));
  if (history.last_action) {
    const auto ago = mitigation::uptime() - *history.last_action;
    text.gauge("cgctl_mitigation_last_action_timestamp_seconds",
               "Time at which the last action ended.",
               fmt::format("{:.0f}", now - static_cast<double>(ago.count())));
  }
  text.head("cgctl_configuration_info", "gauge",
            "Always 1; the hash identifies the configuration.");
  text.value(fmt::format("hash=\"{}\"", configuration.hash), 1);
  text.head("cgctl_build_info", "gauge", "Always 1; the version is that of cgctl.");
  text.value(fmt::format("version=\"{}\"", build::version), 1);
  return text.take();
}

}  // namespace cgctl::tool
