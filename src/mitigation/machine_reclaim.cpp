// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/machine_reclaim.hpp"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/kernel_release.hpp"
#include "mitigation/kernel_count.hpp"
#include "mitigation/node_reclaim.hpp"
#include "mitigation/reclaim.hpp"

namespace cgctl::detail {
namespace {

bool lists_removed_first(const Host& host) {
  constexpr KernelRelease first(6, 3);
  const auto release = running_kernel();
  if (!release || *release < first) return false;
  const auto enabled = fs::read_in_root(host.roots().sys, "kernel/mm/lru_gen/enabled");
  constexpr std::size_t prefix = 2;  // the text is like 0x0007, whose bit 0 is the main switch
  unsigned switches = 0;
  if (!enabled || enabled->size() < prefix) return false;
  std::from_chars(enabled->data() + prefix, enabled->data() + enabled->size(), switches, 16);
  return (switches & 1U) != 0;
}

/// Returns the CPUs of each NUMA node that has some.
std::vector<cpu_set_t> cpus_by_node(const Host& host) {
  std::vector<cpu_set_t> all;
  for (const std::uint64_t node : online_nodes(host)) {
    const auto text = fs::read_in_root(
        host.roots().sys, fs::join(nodes_directory, "node" + std::to_string(node) + "/cpulist"));
    cpu_set_t cpus{};
    if (text) {
      parse::ranges(*text, [&cpus](std::uint64_t from, std::uint64_t to) {
        for (; from <= to && from < CPU_SETSIZE; ++from) {
          CPU_SET(static_cast<std::size_t>(from), &cpus);
        }
      });
    }
    if (CPU_COUNT(&cpus) != 0) all.push_back(cpus);
  }
  return all;
}

/// Asks the kernel to reclaim in small pieces, on each NUMA node in turn. The kernel begins with
/// the node of the CPU that asks, and is content before it comes to the next node.
class Pieces {
 public:
  Pieces(int file, std::uint64_t page_size, std::vector<cpu_set_t> nodes)
      : file_(file), piece_(fewest * page_size), nodes_(std::move(nodes)) {}

  int operator()(std::uint64_t bytes) noexcept {
    int error = 0;
    for (std::uint64_t done = 0; error == 0 && done < bytes; done += piece_) {
      if (!nodes_.empty()) {
        ::sched_setaffinity(0, sizeof(cpu_set_t), &nodes_[turn_++ % nodes_.size()]);
      }
      error = ask_for(file_, piece_);
    }
    return error;
  }

 private:
  static constexpr std::uint64_t fewest = 32;  ///< pages, SWAP_CLUSTER_MAX of the kernel

  int file_;
  std::uint64_t piece_;
  std::vector<cpu_set_t> nodes_;
  std::size_t turn_ = 0;
};

/// Returns the limits, with a fourth of the loss: a piece that finds no removed cgroup takes 64
/// pages of a live cgroup on each of two nodes, four times the pages that it asks for.
Steps::Limits careful_limits(const mitigation::Observation& seen,
                             const mitigation::Policy& policy) {
  constexpr std::uint64_t least_steps = 4;
  auto limits = limits_of_part(seen, policy, 1);
  limits.step = policy.first_step;
  limits.loss = std::max(limits.loss / 4, least_steps * limits.step);
  return limits;
}

}  // namespace

std::optional<Result<std::chrono::nanoseconds>> reclaim_of_machine(
    const Host& host, const mitigation::Observation& seen, const mitigation::Policy& policy,
    Isolation how) {
  if (!lists_removed_first(host)) return std::nullopt;
  const auto root = host.open("/");
  if (!root) return std::nullopt;
  const auto control = root->open_file("memory.reclaim", O_WRONLY);
  if (!control || sys::file_system(control->get()) != fs::cgroup_v2_magic) return std::nullopt;
  auto zombies = KernelCount::open(host, seen.zombies.low);
  if (!zombies) return std::nullopt;
  how.operation = "reclaim";
  how.path = fs::join(host.find("memory")->mount_point, "memory.reclaim");
  const auto limits = careful_limits(seen, policy);
  const std::uint64_t largest =
      std::min(policy.reclaim_chunk, std::max(policy.first_step, limits.held.total() / 8));
  Pieces ask(control->get(), seen.page_size, cpus_by_node(host));
  return run_isolated(
      [&]() noexcept { return reclaim_in_steps(ask, limits, largest, policy.still_for, *zombies); },
      how);
}

}  // namespace cgctl::detail
