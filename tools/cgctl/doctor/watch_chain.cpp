// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>

#include "doctor/watch.hpp"

namespace cgctl::tool::doctor_command {
namespace {

constexpr std::size_t others_named = 3;

/// Returns "6 times, 1.3 s at most (CPU 5), 6.6 s in all".
std::string figures(const Total& total) {
  return fmt::format("{} time{}, {} at most (CPU {}), {} in all", grouped(total.holds),
                     total.holds == 1 ? "" : "s", human_time(total.longest), total.longest_cpu,
                     human_time(total.held));
}

std::string sentence(const Total& total) {
  return fmt::format("{} held a CPU {}, {}", who(total.task), work(total.task), figures(total));
}

/// True if at least half of the wait lies in the hold.
bool explains(const Hold& hold, const Wait& wait) {
  const Time both = std::min(hold.end, wait.end) - std::max(hold.start, wait.start);
  return hold.cpu == wait.cpu && 2 * both >= wait.length();
}

/// The holds for which a task is to blame: those of known causes, and those
/// during which other work waited.
using Blamed = std::vector<const Hold*>;

Blamed blamed(const Watched& seen) {
  Blamed found;
  for (const Hold& hold : seen.holds) {
    // Without a system call, it is a thread of the kernel, which may have let others run in
    // between.
    const bool known = hold.task.cause != Cause::other && !hold.task.call.empty();
    if (known || std::any_of(seen.waits.begin(), seen.waits.end(),
                             [&](const Wait& wait) { return explains(hold, wait); })) {
      found.push_back(&hold);
    }
  }
  return found;
}

bool is_culprit(const Total& total, const Blamed& holds) {
  return total.holds != 0 && std::any_of(holds.begin(), holds.end(), [&](const Hold* hold) {
           const Task& task = hold->task;
           return task.cause == total.task.cause && task.comm.view() == total.task.comm.view() &&
                  task.cgroup.view() == total.task.cgroup.view();
         });
}

/// The waits during holds.
struct Overlap {
  std::size_t waits = 0;
  std::optional<Wait> longest;
};

Overlap during(const Blamed& holds, const Watched& seen) {
  Overlap found;
  for (const Wait& wait : seen.waits) {
    const bool meanwhile = std::any_of(holds.begin(), holds.end(),
                                       [&](const Hold* hold) { return explains(*hold, wait); });
    if (!meanwhile) continue;
    ++found.waits;
    if (!found.longest || wait.length() > found.longest->length()) found.longest = wait;
  }
  return found;
}

std::string what_waited(const Wait& wait) {
  return fmt::format("{} on CPU {} waited up to {}",
                     wait.kind == Wait::Kind::net_rx ? "received packets (NET_RX)" : "programs",
                     wait.cpu, human_time(wait.length()));
}

/// Returns, of the CPUs that were held, the one whose ksoftirqd waited longest.
const Cpu* worst_ksoftirqd(const Watched& seen) {
  const Cpu* worst = nullptr;
  for (const Cpu& cpu : seen.cpus) {
    if (cpu.longest_hold < seen.settings.shortest || !cpu.ksoftirqd_wait) continue;
    if (worst == nullptr || *cpu.ksoftirqd_wait > *worst->ksoftirqd_wait) worst = &cpu;
  }
  return worst;
}

std::string because(const std::optional<Error>& error) {
  return error ? message_of(*error) : std::string();
}

/// Returns what waited longest, whether or not during a hold.
std::string longest_wait(const Watched& seen) {
  const auto longest =
      std::max_element(seen.waits.begin(), seen.waits.end(),
                       [](const Wait& a, const Wait& b) { return a.length() < b.length(); });
  if (longest != seen.waits.end()) return what_waited(*longest);
  return fmt::format("{} never waited {} or more",
                     seen.missing.net_rx ? "programs" : "received packets",
                     human_time(seen.settings.shortest));
}

Link waited(const Watched& seen, const Overlap& overlap) {
  Link link{"waited", Link::State::proven, {}};
  if (overlap.longest) {
    link.text = fmt::format("{}; {} in all during holds", what_waited(*overlap.longest),
                            counted(overlap.waits, "wait"));
  } else if (seen.missing.net_rx && seen.missing.wake_up) {
    link = {"waited", Link::State::unknown, because(seen.missing.net_rx)};
  } else if (seen.missing.sampling) {
    link = {"waited", Link::State::unknown, "holds are not known; " + longest_wait(seen)};
  } else {
    link = {"waited", Link::State::not_seen, "not during a hold; " + longest_wait(seen)};
  }
  // The thread also waits for other programs, so that its time alone proves
  // nothing.
  if (const Cpu* const worst = worst_ksoftirqd(seen)) {
    link.text += fmt::format("; ksoftirqd/{} waited {} in all for its CPU", worst->cpu,
                             human_time(*worst->ksoftirqd_wait));
  }
  return link;
}

Link who_link(const Watched& seen, const Total* culprit) {
  Link link{"who", Link::State::unknown, because(seen.missing.sampling)};
  if (culprit != nullptr) {
    link.state = Link::State::proven;
    link.text = sentence(*culprit);
  } else if (!seen.missing.sampling && seen.missing.symbols) {
    link.text = because(seen.missing.symbols);
  } else if (!seen.missing.sampling) {
    Time longest{};
    for (const Cpu& cpu : seen.cpus) longest = std::max(longest, cpu.longest_hold);
    link.state = Link::State::not_seen;
    link.text =
        fmt::format("nothing held a CPU for {} or more{}", human_time(seen.settings.shortest),
                    longest == Time{} ? "" : "; the longest was " + human_time(longest));
  }
  return link;
}

/// True if a hold ended at most 2 s before the segments were sent again.
bool follows(const Blamed& holds, const peers::Burst& burst) {
  constexpr Time patience = std::chrono::seconds(2);
  return std::any_of(holds.begin(), holds.end(), [&](const Hold* hold) {
    return hold->start < burst.until && burst.since < hold->end + patience;
  });
}

/// Returns the segments sent again after a hold: to each peer, by its place, or
/// to all.
std::vector<std::uint64_t> after_holds(const Blamed& holds, const std::vector<peers::Burst>& bursts,
                                       std::size_t peers) {
  std::vector<std::uint64_t> segments(std::max<std::size_t>(peers, 1));
  for (const peers::Burst& burst : bursts) {
    if (follows(holds, burst)) segments[peers == 0 ? 0 : burst.peer] += burst.segments;
  }
  return segments;
}

/// Returns the segments sent again after a hold; empty if there were none.
std::string resent_after(const Blamed& holds, const peers::Resent& resent) {
  const std::uint64_t all = after_holds(holds, resent.bursts, 0)[0];
  if (all == 0) return {};
  const auto each = after_holds(holds, resent.peer_bursts, resent.peers.size());
  const auto most = std::max_element(each.begin(), each.end());
  std::string to;
  if (!resent.peers.empty() && *most != 0) {
    to = " to " + to_string(resent.peers[static_cast<std::size_t>(most - each.begin())]);
  }
  // Readings of the sockets are wider apart than those of the counters.
  const bool one_peer = *most >= all;
  std::string text = fmt::format("{} segments{} were sent again within 2 s of a hold", grouped(all),
                                 one_peer ? to : "");
  if (!one_peer && !to.empty()) text += fmt::format(", {} of them{}", grouped(*most), to);
  if (resent.peers_unknown) {
    text += "; to whom is not known: " + message_of(*resent.peers_unknown);
  }
  return text;
}

std::string named(const InNamespace& one) {
  if (one.process == 0) return "own network namespace";
  return fmt::format("network namespace of process {}", one.process);
}

Link peers_link(const Blamed& holds, const Watched& seen) {
  Link link{"peers", Link::State::unknown, {}};
  for (const InNamespace& one : seen.namespaces) {
    if (!link.text.empty()) link.text += "; ";
    link.text += named(one) + ": ";
    const std::string resent = one.resent ? resent_after(holds, *one.resent) : std::string();
    if (!one.resent) {
      link.text += message_of(one.resent.error());
    } else if (!resent.empty()) {
      link.state = Link::State::proven;
      link.text += resent;
    } else {
      if (link.state == Link::State::unknown) link.state = Link::State::not_seen;
      link.text += fmt::format("no segments sent again within 2 s of a hold, {} at other times",
                               grouped(one.resent->segments));
    }
  }
  return link;
}

/// True if the cost of the work grows with the number of memory cgroups.
bool grows_with_cgroups(Cause cause) {
  return cause == Cause::numa_stat || cause == Cause::memory_stat || cause == Cause::flush ||
         cause == Cause::memory_cgroup;
}

Link cause_link(const Watched& seen, const Task& task) {
  constexpr std::uint64_t many = 500;
  if (!grows_with_cgroups(task.cause)) {
    return {"cause", Link::State::proven, "the work itself: " + work(task)};
  }
  if (!seen.zombies) return {"cause", Link::State::unknown, message_of(seen.zombies.error())};
  const auto& count = *seen.zombies;
  const bool enough = count.kernel >= many;
  return {"cause", enough ? Link::State::proven : Link::State::not_seen,
          fmt::format("{} beside {} live memory cgroups{}", in_words(count), grouped(count.live),
                      enough ? "" : ": too few to explain it")};
}

std::uint64_t sum(const Watched& seen, std::optional<std::uint64_t> Cpu::*figure) {
  std::uint64_t all = 0;
  for (const Cpu& cpu : seen.cpus) all += (cpu.*figure).value_or(0);
  return all;
}

/// Returns what else may delay packets, if nothing held a CPU.
std::string elsewhere(const Watched& seen) {
  std::string text;
  const auto add = [&text](const std::string& one) { text += (text.empty() ? "" : "; ") + one; };
  for (const Total& total : seen.totals) {
    if (total.task.cause != Cause::other || total.holds == 0 || total.task.pid == 0) continue;
    add(fmt::format("{} was {} {}", who(total.task), work(total.task), figures(total)));
    break;
  }
  if (!seen.waits.empty()) add(longest_wait(seen));
  if (const auto dropped = sum(seen, &Cpu::dropped)) {
    add(grouped(dropped) + " packets dropped (see net.core.netdev_max_backlog)");
  }
  for (const InNamespace& one : seen.namespaces) {
    if (!one.resent || one.resent->segments == 0) continue;
    add(fmt::format("{} segments sent again in the {}", grouped(one.resent->segments), named(one)));
  }
  if (const auto squeezed = sum(seen, &Cpu::time_squeeze)) {
    add(fmt::format("NET_RX ran out of its budget {} times", grouped(squeezed)));
  }
  return text.empty() ? "neither waits nor dropped packets were seen" : text;
}

std::vector<std::string> advise_on(const Watched& seen, const Task& task) {
  const bool zombies = seen.zombies && seen.zombies->low != 0;
  std::vector<std::string> advice;
  if (grows_with_cgroups(task.cause) && zombies) {
    advice.emplace_back("cgctl mitigate --once --dry-run (shows how zombies would be freed)");
  }
  switch (task.cause) {
    case Cause::numa_stat:
      advice.emplace_back(
          "Stop the program from reading it; `cgctl numa-stat "
          "--source nodes` gives the figures of "
          "the root cheaply.");
      break;
    case Cause::drop_caches:
      advice.emplace_back(
          "Find who drops caches, such as a cron job, and end "
          "that; `cgctl mitigate` drops them "
          "only when it helps.");
      break;
    case Cause::slab_shrinker:
      advice.emplace_back(
          "See what fills the slabs (slabtop), and which memory "
          "limit is reached.");
      break;
    default:
      advice.emplace_back("Let the program do this less often.");
  }
  return advice;
}

std::string verdict(const Watched& seen, const Total* culprit, const Link& waits) {
  if (culprit == nullptr) {
    if (seen.missing.sampling || seen.missing.symbols)
      return "unknown: who holds a CPU is not known";
    return fmt::format("nothing held a CPU longer than {}; look elsewhere: {}",
                       human_time(seen.settings.shortest), elsewhere(seen));
  }
  return sentence(*culprit) +
         (waits.state == Link::State::proven ? "; other work waited meanwhile" : "");
}

}  // namespace

std::string_view to_string(Link::State state) noexcept {
  if (state == Link::State::proven) return "proven";
  return state == Link::State::not_seen ? "not seen" : "unknown";
}

Chain judge(const Watched& seen) {
  Chain chain;
  const Blamed holds = blamed(seen);
  const auto culprit_from = [&](std::size_t at) {
    while (at < seen.totals.size() && !is_culprit(seen.totals[at], holds)) ++at;
    return at;
  };
  const std::size_t first = culprit_from(0);
  const Total* const culprit = first < seen.totals.size() ? &seen.totals[first] : nullptr;
  chain.held = culprit != nullptr;
  chain.links.push_back(who_link(seen, culprit));
  chain.links.push_back(waited(seen, during(holds, seen)));
  chain.verdict = verdict(seen, culprit, chain.links.back());
  if (culprit == nullptr) {
    chain.advice.emplace_back("Watch while the trouble lasts: cgctl doctor --watch=5m");
    return chain;
  }
  chain.links.push_back(peers_link(holds, seen));
  chain.links.push_back(cause_link(seen, culprit->task));
  chain.advice = advise_on(seen, culprit->task);
  for (std::size_t next = culprit_from(first + 1); next < seen.totals.size();
       next = culprit_from(next + 1)) {
    if (chain.others.size() < others_named) chain.others.push_back(sentence(seen.totals[next]));
  }
  return chain;
}

}  // namespace cgctl::tool::doctor_command
