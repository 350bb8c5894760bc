// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Makes and removes cgroups at a steady rate, mitigates meanwhile, and compares each action's
// result with the numbers of cgroups that were really made and freed. Exit status: 0 the number of
// zombies stayed below the limit and each action was judged rightly, 4 not so, 1 something failed,
// 2 usage.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "cgctl/cgctl.hpp"
#include "laboratory.hpp"
#include "living_cache.hpp"
#include "zombie_maker.hpp"

namespace {

using namespace cgctl;
using namespace std::chrono_literals;
using lab::need;
using std::chrono::steady_clock;

struct Options {
  unsigned rate = 50;  ///< removals a second
  unsigned seconds = 600;
  std::uint64_t limit = 2000;
  std::uint64_t neighbours = 4;
  std::uint64_t cache = 64;  ///< MiB of each neighbour
  std::vector<std::string> rungs = {"squeeze"};
};

/// Makes zombies, counts all of the machine, and keeps the neighbours' cache in use, in threads of
/// its own.
class Churn {
 public:
  Churn(const Host& host, lab::ZombieMaker& maker, unsigned rate)
      : making_([this, &maker, rate] { make(maker, rate); }),
        counting_([this, &host] { count(host); }) {}
  Churn(const Churn&) = delete;
  Churn& operator=(const Churn&) = delete;
  ~Churn() { end(); }

  void end() {
    ended_ = true;
    if (making_.joinable()) making_.join();
    if (counting_.joinable()) counting_.join();
  }
  [[nodiscard]] std::uint64_t made() const { return made_; }
  [[nodiscard]] std::uint64_t peak() const { return peak_; }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  void make(lab::ZombieMaker& maker, unsigned rate) {
    constexpr auto pause = 100ms;
    constexpr auto refill_after = 20s;
    const auto start = steady_clock::now();
    auto refilled = start;
    while (!ended_ && !failed_) {
      const auto now = steady_clock::now();
      const std::chrono::duration<double> passed = now - start;
      const auto due = static_cast<std::uint64_t>(passed.count() * rate);
      if (due > made_) {
        failed_ = !maker.make(due - made_);
        made_ = due;
      }
      if (now - refilled > refill_after) {
        failed_ = failed_ || !maker.refill_neighbours();
        refilled = now;
      }
      std::this_thread::sleep_for(pause);
    }
  }
  void count(const Host& host) {
    constexpr auto pause = 100ms;
    while (!ended_) {
      const auto now = zombies::count(host);
      if (now) peak_ = std::max<std::uint64_t>(peak_, now->low);
      std::this_thread::sleep_for(pause);
    }
  }

  std::atomic<bool> ended_{false};
  std::atomic<bool> failed_{false};
  std::atomic<std::uint64_t> made_{0};
  std::atomic<std::uint64_t> peak_{0};
  std::thread making_;
  std::thread counting_;
};

/// The sums of all actions.
struct Record {
  unsigned actions = 0;
  unsigned misjudged = 0;
};

mitigation::Policy policy_of(const Options& options, std::uint64_t others) {
  constexpr double never = 100;
  mitigation::Policy policy;
  policy.zombies_high = others + options.limit;
  policy.zombies_low = others + options.limit / 4;
  policy.min_gain = 0;
  policy.min_interval = 5s;
  policy.actions_a_day = 1'000'000;
  policy.io_pressure_limit = policy.memory_pressure_limit = policy.disk_busy_limit = never;
  policy.ladder.clear();
  for (const std::string& name : options.rungs) {
    policy.ladder.push_back(*mitigation::rung_named(name));
  }
  return policy;
}

/// Observes the machine. Only the laboratory's own cgroup may be squeezed.
mitigation::Observation look(const Host& host, numa::CostGuard& guard,
                             const mitigation::Policy& policy, const mitigation::History& history,
                             const std::string& group) {
  auto seen = need(mitigation::observe(host, guard, policy, history, mitigation::Intent::act));
  auto& tops = seen.squeezable;
  tops.erase(std::remove_if(tops.begin(), tops.end(),
                            [&group](const auto& top) { return top.path != group; }),
             tops.end());
  return seen;
}

/// Shows an action beside the truth. Returns true if it was judged rightly.
bool show(double at, const mitigation::Outcome& outcome, std::uint64_t before, std::uint64_t made,
          const mitigation::Policy& policy) {
  std::uint64_t counted_new = 0;
  std::string rungs;
  for (const auto& action : outcome.actions) {
    counted_new += action.made;
    rungs += (rungs.empty() ? "" : ", ") + std::string(to_string(action.rung));
    if (!action.status) rungs += " (" + action.status.error().message() + ")";
  }
  const std::uint64_t after = outcome.after.zombies.low;
  const std::uint64_t gone = before + made - std::min(after, before + made);
  const bool helped = static_cast<double>(std::min(gone, before)) >=
                      policy.min_effect * static_cast<double>(before);
  const bool right = helped == (outcome.effect == mitigation::Effect::effective);
  const auto number = [](std::uint64_t one) { return static_cast<unsigned long long>(one); };
  std::printf("%6.1f s  %5llu -> %5llu  new: %4llu counted, %4llu made  %s%s: %s\n", at,
              number(before), number(after), number(counted_new), number(made),
              std::string(to_string(outcome.effect)).c_str(), right ? "" : " (WRONG)",
              rungs.c_str());
  std::fflush(stdout);
  return right;
}

/// Mitigates for the given time, as the daemon does.
Record mitigate(const Host& host, const Options& options, const mitigation::Policy& policy,
                const Churn& churn, const std::string& group) {
  numa::CostGuard guard;
  mitigation::History history;
  Record record;
  const auto start = steady_clock::now();
  const auto passed = [start] { return steady_clock::now() - start; };
  while (passed() < std::chrono::seconds(options.seconds) && !churn.failed()) {
    const std::uint64_t made_before = churn.made();
    const auto before = look(host, guard, policy, history, group);
    mitigation::note(history, before, policy, mitigation::uptime());
    const auto plan = mitigation::decide(before, history, policy, mitigation::uptime());
    if (plan.decision != mitigation::Decision::act) {
      std::this_thread::sleep_for(1s);
      continue;
    }
    mitigation::begin(history,
                      mitigation::uptime() - std::chrono::round<std::chrono::seconds>(before.took));
    const auto outcome = need(mitigation::carry_out(host, guard, plan, policy, before));
    const std::uint64_t made = churn.made() - made_before;
    mitigation::end(history, outcome.actions, outcome.effect, policy, mitigation::uptime());
    mitigation::note(history, outcome.after, policy, mitigation::uptime());
    const double at = std::chrono::duration<double>(passed()).count();
    ++record.actions;
    if (!show(at, outcome, before.zombies.low, made, policy)) ++record.misjudged;
  }
  return record;
}

int run(const Options& options) {
  const Host host = need(Host::detect());
  const std::string name = "cgctl-churn-lab-" + std::to_string(::getpid());
  lab::ZombieMaker maker =
      need(lab::ZombieMaker::open(host, lab::Pin::page_cache, name, "/var/tmp"));
  need(maker.make_neighbours(options.neighbours, options.cache << 20));
  const std::uint64_t others = need(lab::settled_zombies(host));
  const auto policy = policy_of(options, others);
  Churn churn(host, maker, options.rate);
  const Record record = mitigate(host, options, policy, churn, maker.group());
  churn.end();
  const std::uint64_t peak = churn.peak() - std::min(others, churn.peak());
  std::printf(
      "%llu cgroups removed; at most %llu zombies at a time, the limit was %llu; %u actions, "
      "%u misjudged\n",
      static_cast<unsigned long long>(churn.made()), static_cast<unsigned long long>(peak),
      static_cast<unsigned long long>(options.limit), record.actions, record.misjudged);
  need(maker.release());
  if (churn.failed()) {
    std::fprintf(stderr, "churn_lab: zombies could not be made\n");
    return 1;
  }
  return peak <= options.limit && record.actions != 0 && record.misjudged == 0 ? 0 : 4;
}

/// Blocks the signals that end programs until everything is cleaned up.
void hold_signals() {
  sigset_t held;
  sigemptyset(&held);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&held, signal);
  ::sigprocmask(SIG_BLOCK, &held, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Makes and removes cgroups at a steady rate while cgctl's library mitigates, and compares "
      "each "
      "action's result with the numbers really made and freed. Needs root. Squeezes no cgroup but "
      "its own; other rungs reach the whole machine: for test machines."};
  app.add_option("--rate", options.rate, "removals a second")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--seconds", options.seconds, "time in all")
      ->capture_default_str()
      ->check(CLI::Range(1, 86400));
  app.add_option("--limit", options.limit, "number of zombies to stay below")
      ->capture_default_str()
      ->check(CLI::Range(100, 60000));
  app.add_option("--neighbours", options.neighbours, "number of live cgroups beside the zombies")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--cache", options.cache, "page cache of each of them, in MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  app.add_option("--rungs", options.rungs, "the ladder, its rungs separated by commas")
      ->capture_default_str()
      ->delimiter(',')
      ->check([](const std::string& rung) {
        return mitigation::rung_named(rung) ? std::string() : rung + " is no rung";
      });
  return lab::run("churn_lab", app, argc, argv, [&] {
    hold_signals();
    return run(options);
  });
}
