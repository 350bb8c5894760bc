// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/node_reclaim.hpp"

#include <fcntl.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "mitigation/kernel_count.hpp"
#include "mitigation/reclaim.hpp"
#include "mitigation/steps.hpp"

namespace cgctl::detail {
namespace {

/// A NUMA node, and its file `reclaim`.
struct Node {
  std::uint64_t number = 0;
  UniqueFd file;
};

Result<std::vector<Node>> open_nodes(const Host& host) {
  std::vector<Node> nodes;
  for (const std::uint64_t number : online_nodes(host)) {
    const std::string path =
        std::string(nodes_directory) + "/node" + std::to_string(number) + "/reclaim";
    auto file = fs::open_in_root(host.roots().sys, path, O_WRONLY);
    // A node without memory may lack the file.
    if (!file && file.error().os_errno == ENOENT) continue;
    if (!file) return fail(file.error());
    if (sys::file_system(file->get()) == fs::sysfs_magic)
      nodes.push_back({number, std::move(*file)});
  }
  return nodes;
}

}  // namespace

std::vector<std::uint64_t> online_nodes(const Host& host) {
  constexpr std::size_t most = 1024;
  std::vector<std::uint64_t> nodes;
  const auto text = fs::read_in_root(host.roots().sys, fs::join(nodes_directory, "online"));
  if (!text) return nodes;
  parse::ranges(*text, [&nodes](std::uint64_t first, std::uint64_t last) {
    for (; first <= last && nodes.size() < most; ++first) nodes.push_back(first);
  });
  return nodes;
}

std::vector<std::uint64_t> reclaimable_nodes(const Host& host) {
  std::vector<std::uint64_t> numbers;
  const auto nodes = open_nodes(host);
  if (!nodes) return numbers;
  for (const Node& node : *nodes) numbers.push_back(node.number);
  return numbers;
}

Result<std::chrono::nanoseconds> reclaim_nodes(const Host& host,
                                               const mitigation::Observation& seen,
                                               const mitigation::Policy& policy, Isolation how) {
  how.operation = "reclaim";
  how.path = fs::join(host.roots().sys, nodes_directory);
  const auto nodes = open_nodes(host);
  if (!nodes) return fail(nodes.error());
  if (nodes->empty()) {
    return fail(Error::make(errc::unsupported, how.operation, how.path,
                            "no NUMA node has the file `reclaim`", "it needs Linux 6.17"));
  }
  auto zombies = KernelCount::open(host, seen.zombies.low);
  if (!zombies) return fail(zombies.error());
  const auto limits = limits_of_part(seen, policy, nodes->size());
  const auto work = [&]() noexcept {
    int error = 0;
    for (std::size_t i = 0; error == 0 && i < nodes->size(); ++i) {
      const int file = (*nodes)[i].file.get();
      const auto ask = [file](std::uint64_t bytes) { return ask_for(file, bytes); };
      error = reclaim_in_steps(ask, limits, policy.reclaim_chunk, policy.still_for, *zombies);
    }
    return error;
  };
  return run_isolated(work, how);
}

}  // namespace cgctl::detail
