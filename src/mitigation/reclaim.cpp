// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/reclaim.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "mitigation/control_file.hpp"
#include "mitigation/kernel_count.hpp"
#include "mitigation/steps.hpp"
#include "mitigation/subtrees.hpp"

namespace cgctl::detail {
namespace {

constexpr std::size_t most_ancestors = 8;

/// A cgroup to reclaim from. run() is called in the isolated child, so it makes system calls only.
class Reclaimer {
 public:
  Reclaimer(UniqueFd control, UniqueFd stat, Steps::Limits limits, std::uint64_t largest)
      : control_(std::move(control)),
        zombies_(std::move(stat)),
        limits_(std::move(limits)),
        largest_(largest) {}

  [[nodiscard]] int run(std::chrono::nanoseconds still_for) noexcept {
    const auto ask = [this](std::uint64_t bytes) { return ask_for(control_.get(), bytes); };
    return reclaim_in_steps(ask, limits_, largest_, still_for, zombies_);
  }

 private:
  UniqueFd control_;
  KernelCount zombies_;
  Steps::Limits limits_;
  std::uint64_t largest_;
};

Steps::Limits limits_of(const Group& group, const mitigation::Observation& seen,
                        const zombies::Ancestor& ancestor, const mitigation::Policy& policy) {
  const auto stat = group.read("memory.stat");
  const std::string_view text = stat ? std::string_view(*stat) : std::string_view();
  const std::uint64_t cache = parse::value_of(text, "inactive_file").value_or(0) +
                              parse::value_of(text, "active_file").value_or(0);
  auto limits = Steps::limits_for(policy, cache, held_below(seen, ancestor));
  constexpr std::uint64_t least_steps = 4;
  limits.loss = std::max(limits.loss, least_steps * limits.step);
  return limits;
}

/// Opens the first ancestors that can be reclaimed from. If there are none, fails with the first
/// error other than a removed cgroup or a kernel without the file.
Result<std::vector<Reclaimer>> reclaimers(const Host& host, const mitigation::Observation& seen,
                                          const mitigation::Policy& policy) {
  std::vector<Reclaimer> found;
  std::optional<Error> failure;
  const auto note = [&failure](const Error& error) {
    const bool expected = error.kind == errc::vanished || error.kind == errc::unsupported;
    if (!expected && !failure) failure = error;
  };
  for (const zombies::Ancestor& ancestor : seen.ancestors) {
    if (found.size() == most_ancestors || ancestor.count.value_or(0) == 0) break;
    const auto group = host.open(ancestor.path);
    if (!group) {
      note(group.error());
      continue;
    }
    auto control = group->open_file("memory.reclaim", O_WRONLY);
    auto stat = group->open_file("cgroup.stat", O_RDONLY);
    if (!control) note(control.error());
    if (!stat) note(stat.error());
    if (!control || !stat || sys::file_system(control->get()) != fs::cgroup_v2_magic) continue;
    found.emplace_back(std::move(*control), std::move(*stat),
                       limits_of(*group, seen, ancestor, policy), policy.reclaim_chunk);
  }
  if (found.empty() && failure) return fail(std::move(*failure));
  return found;
}

}  // namespace

int ask_for(int file, std::uint64_t bytes) noexcept {
  constexpr std::string_view gentle = " swappiness=0";
  std::array<char, 64> text{};
  char* const end = std::to_chars(text.begin(), text.end(), bytes).ptr;
  const auto plain = static_cast<std::size_t>(end - text.begin());
  std::copy(gentle.begin(), gentle.end(), end);
  int error = write_control(file, {text.data(), plain + gentle.size()});
  if (error == EINVAL) error = write_control(file, {text.data(), plain});
  return error == EAGAIN ? 0 : error;
}

Steps::Limits limits_of_part(const mitigation::Observation& seen, const mitigation::Policy& policy,
                             std::uint64_t parts) {
  const bool counted = std::all_of(seen.ancestors.begin(), seen.ancestors.end(),
                                   [](const auto& one) { return one.count.has_value(); });
  Holdings held;
  zombies::Ancestor all{"", std::nullopt, 0};
  for (const zombies::Ancestor& one : seen.ancestors) {
    if (counted) add_held(seen, one, held);
    *all.bytes += reclaimable_bytes(one);
  }
  if (!counted) add_held(seen, all, held);
  return Steps::limits_for(policy, seen.page_cache / parts, std::move(held));
}

Result<std::chrono::nanoseconds> reclaim(const Host& host, const mitigation::Observation& seen,
                                         const mitigation::Policy& policy, Isolation how) {
  auto chosen = reclaimers(host, seen, policy);
  if (!chosen) return fail(chosen.error());
  const Hierarchy* const memory = host.find("memory");
  how.operation = "reclaim";
  how.path = fs::join(memory == nullptr ? "" : memory->mount_point, "memory.reclaim");
  if (chosen->empty()) {
    return fail(Error::make(errc::unsupported, how.operation, how.path,
                            "no cgroup with zombies below it offers memory.reclaim"));
  }
  const auto work = [&chosen, &policy]() noexcept {
    // The rung succeeds if reclaim from one cgroup succeeds.
    int first_error = 0;
    bool any = false;
    for (Reclaimer& reclaimer : *chosen) {
      const int error = reclaimer.run(policy.still_for);
      any = any || error == 0;
      if (first_error == 0) first_error = error;
    }
    return any ? 0 : first_error;
  };
  return run_isolated(work, how);
}

}  // namespace cgctl::detail
