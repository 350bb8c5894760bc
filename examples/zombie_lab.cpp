// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Creates real zombies below a cgroup of its own, measures, mitigates through the library, measures
// again, and cleans up. Exit status: 0 the mitigation was effective, 4 it was not, 1 something
// failed, 2 usage.

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <thread>

#include "cgctl/cgctl.hpp"
#include "zombie_maker.hpp"

namespace {

using namespace cgctl;
using mitigation::Effect;

struct Options {
  std::uint64_t count = 2000;
  lab::Pin pin = lab::Pin::page_cache;
  std::string directory;
};

struct Failure {
  Error error;
};

template <class T>
T need(Result<T> result) {
  if (!result) throw Failure{result.error()};
  return std::move(*result);
}

void need(const Status& status) {
  if (!status) throw Failure{status.error()};
}

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

mitigation::Outcome mitigate(const Host& host, numa::CostGuard& guard,
                             const mitigation::Observation& before,
                             const mitigation::Policy& policy) {
  const mitigation::Plan plan = mitigation::decide(before, {}, policy, {});
  if (plan.decision == mitigation::Decision::idle) std::printf("idle: %s\n", plan.reason.c_str());
  auto outcome = need(mitigation::carry_out(host, guard, plan, policy, before));
  if (!outcome.status) throw Failure{outcome.status.error()};
  return outcome;
}

/// Waits until the number of zombies no longer changes: the kernel frees removed cgroups only after
/// an RCU grace period.
std::uint64_t settled(const Host& host) {
  std::uint64_t last = need(zombies::count(host)).low;
  for (int unchanged = 0, polls = 0; unchanged < 10 && polls < 200; ++polls) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const std::uint64_t now = need(zombies::count(host)).low;
    unchanged = now == last ? unchanged + 1 : 0;
    last = now;
  }
  return last;
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
  if (found.zombies.low != 0) (void)mitigate(host, guard, found, policy);

  lab::ZombieMaker maker = need(lab::ZombieMaker::open(
      host, options.pin, "cgctl-zombie-lab-" + std::to_string(::getpid()), options.directory));
  const std::uint64_t others = settled(host);
  std::printf("%-22s %10llu zombies of others, included in the counts below\n", "at the start",
              static_cast<unsigned long long>(others));
  need(maker.make(options.count));
  (void)settled(host);

  const auto before = need(mitigation::observe(host, guard, policy, {}, mitigation::Intent::act));
  const std::uint64_t made = before.zombies.low - std::min(others, before.zombies.low);
  std::printf("%-22s %10llu zombies held by %s\n", "made", static_cast<unsigned long long>(made),
              std::string(lab::to_string(options.pin)).c_str());
  show("before", before);

  policy.zombies_low = others + options.count / 50;
  const auto outcome = mitigate(host, guard, before, policy);
  for (const auto& action : outcome.actions) {
    std::printf("  %-20s %10llu zombies   after %.2f s%s%s\n",
                std::string(to_string(action.rung)).c_str(),
                static_cast<unsigned long long>(action.zombies_after),
                std::chrono::duration<double>(action.duration).count(), action.status ? "" : ": ",
                action.status ? "" : action.status.error().message().c_str());
  }
  show("after", outcome.after);

  const std::uint64_t left =
      outcome.after.zombies.low - std::min(others, outcome.after.zombies.low);
  const double share =
      made == 0 ? 0 : 100.0 * static_cast<double>(left) / static_cast<double>(made);
  std::printf("%s: %llu of %llu left (%.1f %%)\n", std::string(to_string(outcome.effect)).c_str(),
              static_cast<unsigned long long>(left), static_cast<unsigned long long>(made), share);
  if (outcome.effect != Effect::effective) {
    if (!outcome.explanation.empty()) std::printf("%s\n", outcome.explanation.c_str());
    std::printf("what frees them: %s\n", std::string(lab::cure(options.pin)).c_str());
    need(maker.cure());
    const auto cured = need(mitigation::observe(host, guard, policy));
    if (cured.zombies.low > policy.zombies_low) (void)mitigate(host, guard, cured, policy);
  }
  need(maker.release());
  std::printf("%-22s %10llu zombies\n", "cleaned up",
              static_cast<unsigned long long>(settled(host)));
  return outcome.effect == Effect::effective ? 0 : 4;
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
      "Makes zombies (removed memory cgroups that pages still refer to), frees them with cgctl's "
      "library and shows "
      "both. Needs root. Drops the caches of this machine: for test machines."};
  const std::map<std::string, lab::Pin> pins = {{"page-cache", lab::Pin::page_cache},
                                                {"tmpfs", lab::Pin::tmpfs},
                                                {"mapped-file", lab::Pin::mapped_file},
                                                {"mlock", lab::Pin::mlock},
                                                {"anonymous", lab::Pin::anonymous}};
  std::string variant = "page-cache";
  app.add_option("--count", options.count, "how many zombies to make")
      ->capture_default_str()
      ->check(CLI::Range(1, 60000));
  app.add_option("--variant", variant,
                 "what keeps them: page-cache, tmpfs, mapped-file, mlock or anonymous")
      ->capture_default_str()
      ->check(CLI::IsMember(pins));
  app.add_option("--dir", options.directory,
                 "folder for the files; by default /var/tmp, and /dev/shm for the tmpfs variant");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.pin = pins.at(variant);
  if (options.directory.empty())
    options.directory = options.pin == lab::Pin::tmpfs ? "/dev/shm" : "/var/tmp";
  hold_signals();
  try {
    return run(options);
  } catch (const Failure& failure) {
    std::fprintf(stderr, "zombie_lab: %s\n", failure.error.message().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "zombie_lab: %s\n", error.what());
  }
  return 1;
}
