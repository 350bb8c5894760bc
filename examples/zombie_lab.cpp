// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Creates real zombies below a cgroup of its own, beside live cgroups with page cache, frees them
// through the library, shows for each rung the zombies freed and the page cache that the live
// cgroups lost, and cleans up. Exit status: 0 the mitigation was effective, 4 it was not, 1
// something failed, 2 usage.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/cgctl.hpp"
#include "laboratory.hpp"
#include "living_cache.hpp"
#include "zombie_maker.hpp"

namespace {

using namespace cgctl;
using lab::need;
using mitigation::Effect;

struct Options {
  std::uint64_t count = 2000;
  lab::Pin pin = lab::Pin::page_cache;
  bool dirty = false;
  std::string directory;
  std::uint64_t neighbours = 4;
  std::uint64_t cache = 32;  ///< MiB of each neighbour
  bool each = false;
  std::vector<std::string> rungs;  ///< those to compare; by default all that the machine has
};

double microseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

void show(const char* moment, const mitigation::Observation& seen) {
  std::printf("%-22s %10llu zombies", moment, static_cast<unsigned long long>(seen.zombies.low));
  if (seen.read_cost) {
    std::printf("   a read of the root's numa_stat %s %.1f us",
                seen.read_cost_measured ? "takes" : "may take up to",
                microseconds(*seen.read_cost));
  }
  std::printf("\n");
}

double mebibytes(std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

void show_heading() {
  std::printf("%-14s %18s %24s %26s %9s\n", "rung", "zombies", "neighbours' cache, MiB",
              "everybody else's, MiB", "took");
}

void show(const mitigation::Action& action, const lab::Cache& before, const lab::Cache& after) {
  const auto numbers = [](double from, double to, const char* form) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), form, from, to);
    return std::string(text.data());
  };
  std::printf(
      "%-14s %18s %24s %26s %7.2f s\n", std::string(to_string(action.rung)).c_str(),
      numbers(static_cast<double>(action.zombies_before), static_cast<double>(action.zombies_after),
              "%.0f -> %.0f")
          .c_str(),
      numbers(mebibytes(before.neighbours), mebibytes(after.neighbours), "%.1f -> %.1f").c_str(),
      numbers(mebibytes(before.others), mebibytes(after.others), "%.1f -> %.1f").c_str(),
      std::chrono::duration<double>(action.duration).count());
  const auto lost = static_cast<double>(after.lost_since(before));
  if (action.freed() != 0) {
    std::printf("  others' cache lost for each zombie freed: %.2f KiB\n",
                lost / 1024 / static_cast<double>(action.freed()));
  }
  if (!action.status) std::printf("  %s\n", action.status.error().message().c_str());
}

/// Takes rungs one by one, so that the caches can be looked at between them. Adds to `actions`.
mitigation::Outcome take(const Host& host, numa::CostGuard& guard,
                         const mitigation::Observation& before, const mitigation::Policy& policy,
                         mitigation::Rung rung, const lab::ZombieMaker& maker) {
  const lab::Cache cache = need(lab::living_cache(host, maker));
  const mitigation::Plan plan{mitigation::Decision::act, {}, {rung}};
  auto outcome = need(mitigation::carry_out(host, guard, plan, policy, before));
  for (const auto& action : outcome.actions)
    show(action, cache, need(lab::living_cache(host, maker)));
  return outcome;
}

/// Climbs the ladder; with `maker` it shows each rung.
mitigation::Outcome mitigate(const Host& host, numa::CostGuard& guard,
                             const mitigation::Observation& before,
                             const mitigation::Policy& policy, const lab::ZombieMaker* maker) {
  const mitigation::Plan plan = mitigation::decide(before, {}, policy, {});
  if (plan.decision == mitigation::Decision::idle) std::printf("idle: %s\n", plan.reason.c_str());
  if (maker == nullptr) return need(mitigation::carry_out(host, guard, plan, policy, before));
  show_heading();
  mitigation::Outcome all;
  all.after = before;
  std::vector<mitigation::Action> actions;
  for (const mitigation::Rung rung : plan.ladder) {
    if (!mitigation::climb_on(before, actions, rung, policy)) continue;
    all = take(host, guard, before, policy, rung, *maker);
    actions.insert(actions.end(), all.actions.begin(), all.actions.end());
  }
  all.effect = mitigation::effect_of(actions, policy);
  all.actions = std::move(actions);
  // A rung that this machine refuses is an error only if no other one worked.
  if (!all.status && all.effect != Effect::effective) throw lab::Failure{all.status.error()};
  return all;
}

/// Makes the zombies; returns the observation that follows.
mitigation::Observation make(const Host& host, numa::CostGuard& guard, const Options& options,
                             const mitigation::Policy& policy, lab::ZombieMaker& maker) {
  need(maker.refill_neighbours());
  need(maker.make(options.count));
  if (!options.dirty) ::sync();
  (void)need(lab::settled_zombies(host));
  return need(mitigation::observe(host, guard, policy, {}, mitigation::Intent::act));
}

/// Climbs the ladder until the zombies are gone, and shows the result.
Effect climb(const Host& host, const Options& options, numa::CostGuard& guard,
             mitigation::Policy policy, lab::ZombieMaker& maker, std::uint64_t others) {
  const auto before = make(host, guard, options, policy, maker);
  const std::uint64_t made = before.zombies.low - std::min(others, before.zombies.low);
  std::printf("%-22s %10llu zombies held by %s%s\n", "made", static_cast<unsigned long long>(made),
              std::string(lab::to_string(options.pin)).c_str(), options.dirty ? ", dirty" : "");
  show("before", before);
  policy.zombies_low = others + options.count / 50;
  const auto outcome = mitigate(host, guard, before, policy, &maker);
  show("after", outcome.after);
  const std::uint64_t left =
      outcome.after.zombies.low - std::min(others, outcome.after.zombies.low);
  const double share =
      made == 0 ? 0 : 100.0 * static_cast<double>(left) / static_cast<double>(made);
  std::printf("%s: %llu of %llu left (%.1f %%)\n", std::string(to_string(outcome.effect)).c_str(),
              static_cast<unsigned long long>(left), static_cast<unsigned long long>(made), share);
  if (outcome.effect != Effect::effective) {
    const std::string why = mitigation::explain_pins(outcome.after);
    if (!why.empty()) std::printf("%s\n", why.c_str());
    std::printf("what frees them: %s\n", std::string(lab::cure(options.pin)).c_str());
    need(maker.cure());
    const auto cured = need(mitigation::observe(host, guard, policy));
    if (cured.zombies.low > policy.zombies_low) (void)mitigate(host, guard, cured, policy, nullptr);
  }
  return outcome.effect;
}

/// One way to free new zombies, and the result.
struct Trial {
  std::string name;
  std::uint64_t made = 0;
  std::uint64_t freed = 0;
  lab::Cache before;
  lab::Cache after;
  std::chrono::nanoseconds took{};
  Status status;
};

void show_heading_of_trials() {
  std::printf("%-14s %14s %8s %16s %18s %22s %9s\n", "rung", "zombies freed", "share",
              "live cache lost", "others' cache lost", "lost for each zombie", "took");
}

double percent(std::uint64_t from, std::uint64_t to) {
  if (from == 0) return 0;
  return 100 * static_cast<double>(from - std::min(from, to)) / static_cast<double>(from);
}

/// Shows the zombies freed, and the share of their cache that the live cgroups beside them and the
/// one outside lost.
void show(const Trial& trial) {
  const double each = trial.freed == 0
                          ? 0
                          : static_cast<double>(trial.after.lost_by_live_since(trial.before)) /
                                1024 / static_cast<double>(trial.freed);
  std::printf("%-14s %14s %6.1f %% %14.2f %% %16.2f %% %18.2f KiB %7.2f s\n", trial.name.c_str(),
              (std::to_string(trial.freed) + " of " + std::to_string(trial.made)).c_str(),
              percent(trial.made, trial.made - trial.freed),
              percent(trial.before.neighbours, trial.after.neighbours),
              percent(trial.before.outside, trial.after.outside), each,
              std::chrono::duration<double>(trial.took).count());
  if (!trial.status) std::printf("  %s\n", trial.status.error().message().c_str());
  std::fflush(stdout);
}

constexpr const char* uncut = "force_empty";

/// Takes one rung, or writes to memory.force_empty and lets it take all that it can.
void free_zombies(const Host& host, numa::CostGuard& guard, const mitigation::Policy& policy,
                  const mitigation::Observation& before, const lab::ZombieMaker& maker,
                  Trial& trial) {
  if (!policy.only) {
    const auto start = std::chrono::steady_clock::now();
    trial.status = lab::force_empty(host, maker.group());
    trial.took = std::chrono::steady_clock::now() - start;
    return;
  }
  const mitigation::Plan plan{mitigation::Decision::act, {}, {*policy.only}};
  const auto outcome = need(mitigation::carry_out(host, guard, plan, policy, before));
  for (const auto& action : outcome.actions) {
    trial.status = action.status;
    trial.took += action.duration;
  }
}

/// Frees the zombies by the policy's only rung, or by memory.force_empty, and removes the files of
/// those that are left. `others` is the number of zombies before these were made.
Trial attempt(const Host& host, numa::CostGuard& guard, const mitigation::Policy& policy,
              const mitigation::Observation& before, std::uint64_t others,
              lab::ZombieMaker& maker) {
  Trial trial;
  trial.name = policy.only ? std::string(to_string(*policy.only)) : uncut;
  trial.made = before.zombies.low - std::min(others, before.zombies.low);
  trial.before = need(lab::living_cache(host, maker));
  free_zombies(host, guard, policy, before, maker, trial);
  trial.after = need(lab::living_cache(host, maker));
  const std::uint64_t left = need(lab::settled_zombies(host));
  // Some of the zombies freed may be of earlier trials.
  trial.freed = std::min(trial.made, before.zombies.low - std::min(left, before.zombies.low));
  need(maker.discard());
  return trial;
}

/// The rungs that this machine has and that were asked for; on v1 also memory.force_empty, as no
/// rung.
std::vector<std::optional<mitigation::Rung>> contenders(const Host& host, const Options& options,
                                                        const mitigation::Observation& seen,
                                                        const mitigation::Policy& policy) {
  std::vector<std::optional<mitigation::Rung>> all;
  const auto add = [&](std::optional<mitigation::Rung> rung) {
    const std::string name = rung ? std::string(to_string(*rung)) : uncut;
    const auto& wanted = options.rungs;
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end())
      all.push_back(rung);
  };
  for (const mitigation::Rung rung : mitigation::decide(seen, {}, policy, {}).ladder) add(rung);
  if (need(host.require("memory"))->version == Version::v1) add(std::nullopt);
  return all;
}

/// Makes new zombies for each rung that this machine has, takes that rung alone, and shows its
/// result; on v1 memory.force_empty as well. Returns the best effect.
Effect compare(const Host& host, const Options& options, numa::CostGuard& guard,
               mitigation::Policy policy, lab::ZombieMaker& maker) {
  Effect best = Effect::ineffective;
  policy.zombies_low = 0;
  show_heading_of_trials();
  std::uint64_t others = need(lab::settled_zombies(host));
  auto before = make(host, guard, options, policy, maker);
  const auto all = contenders(host, options, before, policy);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i != 0) {
      others = need(lab::settled_zombies(host));
      before = make(host, guard, options, policy, maker);
    }
    policy.only = all[i];
    const Trial trial = attempt(host, guard, policy, before, others, maker);
    show(trial);
    policy.only.reset();
    const auto made = static_cast<double>(trial.made);
    if (static_cast<double>(trial.freed) >= policy.min_effect * made) best = Effect::effective;
  }
  return best;
}

int run(const Options& options) {
  const Host host = need(Host::detect());
  numa::CostGuard guard;
  mitigation::Policy policy;
  policy.zombies_high = 1;
  policy.guards = mitigation::Guards::override_all;

  // First frees the zombies of others that can be freed, so that the figures below are about the
  // laboratory's own.
  policy.zombies_low = 0;
  const auto found = need(mitigation::observe(host, guard, policy));
  if (found.zombies.low != 0) (void)mitigate(host, guard, found, policy, nullptr);

  lab::ZombieMaker maker = need(lab::ZombieMaker::open(
      host, options.pin, "cgctl-zombie-lab-" + std::to_string(::getpid()), options.directory));
  need(maker.make_neighbours(options.neighbours, options.cache << 20));
  const std::uint64_t others = need(lab::settled_zombies(host));
  std::printf("%-22s %10llu zombies of others, included in the counts below\n", "at the start",
              static_cast<unsigned long long>(others));
  const Effect effect = options.each ? compare(host, options, guard, policy, maker)
                                     : climb(host, options, guard, policy, maker, others);
  need(maker.release());
  std::printf("%-22s %10llu zombies\n", "cleaned up",
              static_cast<unsigned long long>(need(lab::settled_zombies(host))));
  return effect == Effect::effective ? 0 : 4;
}

/// Blocks SIGINT, SIGTERM, SIGHUP and SIGQUIT until everything is cleaned up; a run takes seconds.
void hold_signals() {
  sigset_t held;
  sigemptyset(&held);
  sigaddset(&held, SIGINT);
  sigaddset(&held, SIGTERM);
  sigaddset(&held, SIGHUP);
  sigaddset(&held, SIGQUIT);
  ::sigprocmask(SIG_BLOCK, &held, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Makes zombies (removed memory cgroups that pages still refer to) beside live cgroups with "
      "page cache, frees them with cgctl's library, and shows for each rung of the ladder how many "
      "it freed and how much cache it cost the living. Needs root. Drops the caches of this "
      "machine: for test machines."};
  const std::map<std::string, lab::Pin> pins = {
      {"page-cache", lab::Pin::page_cache},   {"active", lab::Pin::active},
      {"dirty", lab::Pin::page_cache},        {"shared", lab::Pin::shared},
      {"nested", lab::Pin::nested},           {"tmpfs", lab::Pin::tmpfs},
      {"mapped-file", lab::Pin::mapped_file}, {"mlock", lab::Pin::mlock},
      {"anonymous", lab::Pin::anonymous}};
  std::string variant = "page-cache";
  app.add_option("--count", options.count, "number of zombies")
      ->capture_default_str()
      ->check(CLI::Range(1, 60000));
  app.add_option("--variant", variant,
                 "what keeps them: page-cache, active (pages read several times), dirty, shared (a "
                 "file that the living use too), nested (a container within a pod), tmpfs, "
                 "mapped-file, mlock or anonymous")
      ->capture_default_str()
      ->check(CLI::IsMember(pins));
  app.add_option("--dir", options.directory,
                 "folder for the files; by default /var/tmp, and /dev/shm for the tmpfs variant");
  app.add_option("--neighbours", options.neighbours,
                 "number of live cgroups beside the zombies; one more is outside")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000));
  app.add_option("--cache", options.cache, "page cache of each of them, in MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  app.add_flag("--each", options.each,
               "make new zombies for each rung and take that rung alone, instead of climbing the "
               "ladder until the zombies are gone; on v1 also write to memory.force_empty");
  app.add_option("--rungs", options.rungs,
                 "with --each, only these rungs, separated by commas; force_empty is "
                 "memory.force_empty that nothing ends early")
      ->delimiter(',')
      ->needs("--each");
  return lab::run("zombie_lab", app, argc, argv, [&] {
    options.pin = pins.at(variant);
    options.dirty = variant == "dirty";
    // The files of the neighbours would be no page cache that a rung could drop.
    if (options.pin == lab::Pin::tmpfs) options.neighbours = 0;
    if (options.directory.empty())
      options.directory = options.pin == lab::Pin::tmpfs ? "/dev/shm" : "/var/tmp";
    hold_signals();
    return run(options);
  });
}
