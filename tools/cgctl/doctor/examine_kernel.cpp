// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cmath>

#include "cgctl/mitigation.hpp"
#include "cli/command.hpp"
#include "doctor/examine.hpp"
#include "doctor/probe.hpp"
#include "doctor/read_cost.hpp"
#include "doctor/subtrees.hpp"

namespace cgctl::tool::doctor_command {
namespace {

using mitigation::note_missing;

constexpr unsigned probe_children = 256;
constexpr unsigned quick_probe_children = 64;
constexpr const char* not_live = "this is not the running kernel";

/// True if the time of a read tells something about the kernel.
bool on_running_kernel(const Host& host) {
  const Hierarchy* const memory = host.find("memory");
  return memory != nullptr && host.live();
}

/// Predicts the cost of a read of the root from the cost per cgroup that a probe measured.
void predict_by_slope(const Walk& walk, ReadCost& cost) {
  const bool probed = walk.verdict == Walk::Verdict::walks && walk.basis == Walk::Basis::probe;
  if (!probed || !walk.ns_per_memcg || cost.measured) return;
  const double walked = *walk.ns_per_memcg * static_cast<double>(cost.memcgs);
  cost.predicted = cost.leaf.value_or(nanoseconds(0)) + nanoseconds(std::llround(walked));
  cost.by_slope = true;
}

/// Finds out with a few empty cgroups whether the kernel walks, if the root is too expensive to
/// read. Reads the root after all if the kernel does not walk.
void probe_instead(const Host& host, numa::CostGuard& guard, const Population& memcgs,
                   const ExamineOptions& options, Diagnosis& found) {
  const auto walk = probe(host, guard, quick_probe_children, found.probe);
  if (!walk) {
    found.walk.reason = message_of(walk.error());
    return;
  }
  found.walk = *walk;
  if (walk->verdict == Walk::Verdict::does_not_walk) {
    examine_read(host, guard, memcgs, options, found);
  }
}

/// Looks for a walk in cheap reads of small subtrees, if no cgroup may be created.
void compare_subtrees_instead(const Host& host, numa::CostGuard& guard, Diagnosis& found) {
  ReadCost& cost = *found.read_cost;
  if (!cost.leaf) return;
  const auto walk = compare_subtrees(host, guard, found.zombies, *cost.leaf);
  if (!walk) note_missing(found.unread, walk.error());
  if (walk && *walk) found.walk = **walk;
  cost.predicted = guard.predict(cost.memcgs);
}

Walk compare_root_with_leaf(const Known<ReadCost>& cost, std::uint64_t memcgs) {
  Walk walk;
  if (!cost) {
    walk.reason = cost.error();
  } else if (!cost->leaf) {
    walk.reason =
        "the root is the only memory cgroup; cgctl doctor --probe creates 256 briefly and measures";
  } else if (!cost->measured) {
    walk.reason =
        "the root was not read, because that may be slow; cgctl doctor as root finds out without "
        "a slow read, in about 0.2 s";
  } else {
    return judge(*cost->leaf, cost->measured->min, memcgs, Walk::Basis::root_and_leaf);
  }
  return walk;
}

}  // namespace

void examine_kernel(const Host& host, const ExamineOptions& options, Diagnosis& found) {
  if (!found.memory || !on_running_kernel(host)) {
    const std::string reason = found.memory ? not_live : found.memory.error();
    found.read_cost = tl::unexpected<std::string>(reason);
    found.neighbour = tl::unexpected<std::string>(reason);
    found.walk.reason = reason;
    return;
  }
  numa::CostGuard::Config limits;
  limits.budget = found.policy.read_cost_limit;
  numa::CostGuard guard(limits);
  Result<Walk> probed = fail(Error{});
  if (options.probe) probed = probe(host, guard, probe_children, found.probe);
  const Population memcgs = population(host, found.zombies, found.unread);
  examine_read(host, guard, memcgs, options, found);
  const bool unread = found.read_cost && !found.read_cost->measured;
  if (!options.probe) {
    found.walk = compare_root_with_leaf(found.read_cost, memcgs.at_least);
    if (unread && !options.read_only && ::geteuid() == 0) {
      probe_instead(host, guard, memcgs, options, found);
    }
    if (unread && !found.probe) compare_subtrees_instead(host, guard, found);
  } else if (probed) {
    found.walk = *probed;
  } else {
    found.walk.reason = message_of(probed.error());
  }
  if (found.read_cost) predict_by_slope(found.walk, *found.read_cost);
}

}  // namespace cgctl::tool::doctor_command
