// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "cli/json.hpp"
#include "doctor/watch.hpp"

namespace cgctl::tool::doctor_command {
namespace {

struct Samples {
  std::uint64_t taken = 0;
  std::uint64_t lost = 0;
};

Samples samples_of(const Watched& seen) {
  Samples all;
  for (const Cpu& cpu : seen.cpus) {
    all.taken += cpu.samples;
    all.lost += cpu.lost;
  }
  return all;
}

/// Calls visit(name, reason) for each means that is missing.
template <class Visit>
void each_missing(const holds::Missing& missing, Visit visit) {
  const std::pair<const char*, const std::optional<Error>*> all[] = {
      {"sampling", &missing.sampling},
      {"symbols", &missing.symbols},
      {"net_rx", &missing.net_rx},
      {"wake_up", &missing.wake_up},
      {"counters", &missing.counters}};
  for (const auto& [name, error] : all) {
    if (*error) visit(name, message_of(**error));
  }
}

std::string watched_row(const Watched& seen) {
  const Samples samples = samples_of(seen);
  std::string text = fmt::format("{}, {}, {} samples", human_time(seen.ended - seen.started),
                                 counted(seen.cpus.size(), "CPU"), grouped(samples.taken));
  if (samples.lost != 0) text += fmt::format(", {} lost", grouped(samples.lost));
  if (seen.forgotten != 0) text += fmt::format(", {} holds forgotten", grouped(seen.forgotten));
  return row("watched", text);
}

Json ns(Time time) { return time.count(); }

void add_task(Json& one, const Task& task) {
  one["pid"] = task.pid;
  one["tid"] = task.tid;
  one["comm"] = task.comm.view();
  one["cgroup"] = task.cgroup.view();
  one["cause"] = to_string(task.cause);
  one["function"] = task.function.view();
  one["call"] = task.call.view();
  one["file"] = task.file.view();
}

Json json_of(const Hold& hold) {
  Json one{{"start_ns", ns(hold.start)}, {"end_ns", ns(hold.end)}, {"cpu", hold.cpu}};
  add_task(one, hold.task);
  return one;
}

Json json_of(const Wait& wait) {
  return {{"kind", wait.kind == Wait::Kind::net_rx ? "net_rx" : "wake_up"},
          {"start_ns", ns(wait.start)},
          {"end_ns", ns(wait.end)},
          {"cpu", wait.cpu}};
}

Json json_of(const Total& total) {
  Json one{{"holds", total.holds},
           {"held_ns", ns(total.held)},
           {"longest_ns", ns(total.longest)},
           {"longest_cpu", total.longest_cpu}};
  add_task(one, total.task);
  return one;
}

Json ns(const std::optional<Time>& time) { return time ? ns(*time) : Json(nullptr); }

Json json_of(const Cpu& cpu) {
  return {{"cpu", cpu.cpu},
          {"samples", cpu.samples},
          {"lost", cpu.lost},
          {"held_ns", ns(cpu.held)},
          {"longest_hold_ns", ns(cpu.longest_hold)},
          {"waits", cpu.waits},
          {"longest_wait_ns", ns(cpu.longest_wait)},
          {"net_rx", cpu.net_rx},
          {"time_squeeze", or_null(cpu.time_squeeze)},
          {"dropped", or_null(cpu.dropped)},
          {"backlog", or_null(cpu.backlog)},
          {"ksoftirqd_wait_ns", ns(cpu.ksoftirqd_wait)}};
}

Json json_of(const Link& link) {
  return {{"link", link.name}, {"state", to_string(link.state)}, {"text", link.text}};
}

Json json_of(const peers::Burst& burst) {
  return {
      {"since_ns", ns(burst.since)}, {"until_ns", ns(burst.until)}, {"segments", burst.segments}};
}

Json json_of(const InNamespace& one);

template <class T>
Json array_of(const std::vector<T>& all) {
  Json array = Json::array();
  for (const T& one : all) array.push_back(json_of(one));
  return array;
}

Json json_of(const InNamespace& one) {
  const Json process = one.process == 0 ? Json(nullptr) : Json(one.process);
  if (!one.resent) return {{"process", process}, {"unknown", message_of(one.resent.error())}};
  const peers::Resent& resent = *one.resent;
  Json counters = Json::object();
  for (std::size_t i = 0; i < peers::counter_count; ++i) {
    const auto counter = static_cast<peers::Counter>(i);
    counters[std::string(to_string(counter))] = or_null(resent.counters[counter]);
  }
  Json all = Json::array();
  for (const peers::Peer& peer : resent.peers) {
    all.push_back({{"peer", to_string(peer)}, {"segments", peer.segments}});
  }
  return {{"process", process},
          {"network_namespace", resent.network_namespace},
          {"segments", resent.segments},
          {"counters", std::move(counters)},
          {"peers", std::move(all)},
          {"bursts", array_of(resent.bursts)},
          {"peers_unknown",
           resent.peers_unknown ? Json(message_of(*resent.peers_unknown)) : Json(nullptr)}};
}

const char* state_of(const Watched& seen, const Chain& chain) {
  if (chain.held) return "held";
  return seen.missing.sampling || seen.missing.symbols ? "unknown" : "nothing";
}

}  // namespace

std::string text_of(const Watched& seen, const Chain& chain) {
  std::string text = row("verdict", chain.verdict) + watched_row(seen);
  for (const Link& link : chain.links) {
    text += row(link.name, fmt::format("{}: {}", to_string(link.state), link.text));
    if (&link != &chain.links.front()) continue;
    for (const std::string& other : chain.others) text += row("  also", other);
  }
  each_missing(seen.missing,
               [&](const char*, const std::string& why) { text += row("note", why); });
  const char* label = "what to do";
  for (const std::string& one : chain.advice) {
    text += row(label, one);
    label = "";
  }
  return text;
}

nlohmann::ordered_json json_of(const Watched& seen, const Chain& chain) {
  const Samples samples = samples_of(seen);
  Json missing = Json::object();
  each_missing(seen.missing,
               [&](const char* name, const std::string& why) { missing[name] = why; });
  return {{"verdict", {{"state", state_of(seen, chain)}, {"reason", chain.verdict}}},
          {"started_ns", ns(seen.started)},
          {"ended_ns", ns(seen.ended)},
          {"shortest_ns", ns(seen.settings.shortest)},
          {"samples", samples.taken},
          {"lost", samples.lost},
          {"forgotten", seen.forgotten},
          {"cpu_ns", ns(seen.cpu_time)},
          {"chain", array_of(chain.links)},
          {"advice", chain.advice},
          {"totals", array_of(seen.totals)},
          {"holds", array_of(seen.holds)},
          {"waits", array_of(seen.waits)},
          {"cpus", array_of(seen.cpus)},
          {"missing", std::move(missing)},
          {"resent", array_of(seen.namespaces)},
          {"zombies", seen.zombies ? Json(seen.zombies->zombies()) : Json(nullptr)}};
}

}  // namespace cgctl::tool::doctor_command
