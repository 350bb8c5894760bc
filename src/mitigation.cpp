// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/mitigation.hpp"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"
#include "isolated.hpp"
#include "page_lists.hpp"
#include "reclaim.hpp"
#include "reparenting.hpp"

namespace cgctl::mitigation {
namespace {

using Clock = std::chrono::steady_clock;

/// Reads the root's numa_stat once, unless even that is predicted to be ten times what the policy
/// calls too much: then the prediction has to do, which is an upper bound.
void observe_read_cost(const Host& host, numa::CostGuard& guard, const Policy& policy,
                       Observation& seen) {
  const numa::CostGuard::Time now = Clock::now().time_since_epoch();
  const auto calibrated = numa::calibrate(host, guard, now);
  if (!calibrated && calibrated.error().kind == errc::unsupported && seen.zombies.kernel > 1)
    return;
  const auto root = host.open("/");
  if (!root) return;
  const auto reader = numa::Reader::open(*root);
  if (!reader) return;
  seen.read_cost = guard.predict(seen.zombies.kernel);
  if (*seen.read_cost > 10 * policy.read_cost_limit) return;
  numa::NumaStat out;
  if (const auto cost = numa::measured_read(*reader, out)) {
    guard.record(*cost, seen.zombies.kernel, now);
    seen.read_cost = cost->wall;
    seen.read_cost_measured = true;
  }
}

void observe_pressure(const Host& host, Observation& seen) {
  if (const auto io = pressure::read(host, pressure::Resource::io))
    seen.io_pressure = io->some.avg10;
  if (const auto memory = pressure::read(host, pressure::Resource::memory);
      memory && memory->full) {
    seen.memory_pressure = memory->full->avg10;
  }
}

Result<zombies::Count> settle(zombies::Counter& counter, const Policy& policy) {
  const auto give_up = Clock::now() + policy.settle_limit;
  auto last = counter.count();
  auto changed = Clock::now();
  while (last) {
    const auto now = Clock::now();
    if (now - changed >= policy.still_for || now >= give_up) return last;
    constexpr auto step = std::chrono::nanoseconds(std::chrono::milliseconds(100));
    std::this_thread::sleep_for(std::min(step, policy.still_for));
    auto next = counter.count();
    if (next && next->low != last->low) changed = Clock::now();
    last = std::move(next);
  }
  return last;
}

std::string drop_caches_path(const Host& host) {
  return fs::join(host.roots().proc, "sys/vm/drop_caches");
}

Result<Action> climb(const Host& host, Rung rung, zombies::Counter& counter, const Policy& policy,
                     const Observation& seen, std::uint64_t zombies_before) {
  Action action;
  action.rung = rung;
  action.zombies_before = zombies_before;
  const auto took = rung == Rung::reclaim ? detail::reclaim(host, seen.ancestors, policy)
                                          : drop_caches(host, rung, policy.deadline);
  if (took) {
    action.duration = *took;
  } else {
    action.end = took.error().kind == errc::timed_out ? End::timed_out : End::failed;
    if (action.end == End::timed_out) action.duration = policy.deadline;
    action.error = took.error();
  }
  const auto left = settle(counter, policy);
  if (!left) return fail(left.error());
  action.zombies_after = left->low;
  return action;
}

}  // namespace

std::uint64_t page_cache(const Host& host) {
  const auto vmstat = fs::read_trusted(fs::join(host.roots().proc, "vmstat"));
  if (!vmstat) return 0;
  const std::uint64_t file = parse::value_of(*vmstat, "nr_file_pages").value_or(0);
  const std::uint64_t shmem = parse::value_of(*vmstat, "nr_shmem").value_or(0);
  return (file > shmem ? file - shmem : 0) * host.page_size();
}

Result<Observation> observe(const Host& host, numa::CostGuard& guard, const Policy& policy) {
  Observation seen;
  const auto count = zombies::count(host);
  if (!count) return fail(count.error());
  seen.zombies = *count;
  seen.page_size = host.page_size();
  seen.page_cache = page_cache(host);
  observe_pressure(host, seen);
  observe_read_cost(host, guard, policy, seen);
  if (count->low != 0) {
    auto where = zombies::attribute(host);
    if (!where) return fail(where.error());
    seen.residual = where->residual;
    seen.slab = where->slab;
    seen.ancestors = std::move(where->ancestors);
  }
  if (count->low >= policy.zombies_high) seen.pages_reparented = detail::reparents_pages(host);
  const Hierarchy& memory = *host.find("memory");
  if (memory.version == Version::v2) {
    // The root may lack what its children have: ask the first cgroup that zombies hang below.
    for (const zombies::Ancestor& ancestor : seen.ancestors) {
      const auto group = host.open(ancestor.path);
      if (group && group->open_file("memory.reclaim", O_WRONLY)) seen.can_reclaim = true;
      if (seen.can_reclaim) break;
    }
  }
  return seen;
}

Result<Outcome> carry_out(const Host& host, numa::CostGuard& guard, const Plan& plan,
                          const Policy& policy, const Observation& before) {
  auto counter = zombies::Counter::open(host);
  if (!counter) return fail(counter.error());
  Outcome outcome;
  std::uint64_t zombies = before.zombies.low;
  for (const Rung rung : plan.ladder) {
    if (!outcome.actions.empty() && zombies <= policy.zombies_low) break;
    auto action = climb(host, rung, *counter, policy, before, zombies);
    if (!action) return fail(action.error());
    zombies = action->zombies_after;
    outcome.actions.push_back(std::move(*action));
  }
  const bool all_failed =
      !outcome.actions.empty() &&
      std::all_of(outcome.actions.begin(), outcome.actions.end(),
                  [](const Action& action) { return action.end == End::failed; });
  if (all_failed) return fail(*outcome.actions.back().error);

  auto after = observe(host, guard, policy);
  if (!after) return fail(after.error());
  outcome.after = std::move(*after);
  if (outcome.actions.empty() || before.zombies.low == 0) return outcome;
  const std::uint64_t freed = before.zombies.low > zombies ? before.zombies.low - zombies : 0;
  const double share = static_cast<double>(freed) / static_cast<double>(before.zombies.low);
  outcome.effect = share >= policy.min_effect ? Effect::effective : Effect::ineffective;
  if (outcome.effect == Effect::ineffective) outcome.explanation = explain_pins(outcome.after);
  return outcome;
}

Result<std::chrono::nanoseconds> drop_caches(const Host& host, Rung rung,
                                             std::chrono::nanoseconds deadline) {
  const std::string path = drop_caches_path(host);
  const char* const level = rung == Rung::drop_page_cache ? "1"
                            : rung == Rung::drop_slab     ? "2"
                                                          : "3";
  if (rung == Rung::reclaim) {
    return fail(Error::make(errc::invalid_argument, "drop caches", path,
                            "memory.reclaim is no level of drop_caches"));
  }
  auto fd = fs::open_trusted(path, O_WRONLY);
  if (!fd) {
    Error error = fd.error();
    if (error.os_errno == ENOENT)
      error.hint = "the procfs given has no sysctls; name the host's with --proc-root";
    if (error.os_errno == EROFS || error.os_errno == EACCES || error.os_errno == EPERM) {
      error.hint =
          "only root may write it, in a container only with /proc/sys writable (privileged)";
    }
    return fail(std::move(error));
  }
  if (sys::file_system(fd->get()) != fs::proc_magic) {
    return fail(Error::make(errc::outside, "drop caches", path, "not a file of procfs",
                            "nothing was written; check --proc-root"));
  }
  const int control = fd->get();
  const auto work = [control, level, rung]() noexcept {
    // Dirty pages are not dropped: written back first.
    if (rung != Rung::drop_slab) {
      ::sync();
      detail::drain_page_lists();
    }
    for (;;) {
      const ssize_t done = sys::write(control, level, 1);
      if (done != -EINTR) return done < 0 ? static_cast<int>(-done) : 0;
    }
  };
  return detail::run_isolated(work, deadline, "drop caches", path);
}

}  // namespace cgctl::mitigation
