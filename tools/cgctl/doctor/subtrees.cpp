// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/subtrees.hpp"

#include <algorithm>
#include <chrono>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"

namespace cgctl::tool::doctor_command {
namespace {

constexpr std::uint64_t fewest_live = 16;
constexpr std::uint64_t most_live = 256;
constexpr std::size_t most_examined = 8;

using Path = std::vector<std::string>::const_iterator;

/// A cgroup and those below it, depth first.
struct Subtree {
  Path first;
  Path last;  ///< one past the last path
  [[nodiscard]] std::uint64_t live() const { return static_cast<std::uint64_t>(last - first); }
};

bool is_below(const std::string& path, const std::string& top) {
  return path.size() > top.size() && path[top.size()] == '/' && parse::starts_with(path, top);
}

/// Returns the end of the paths below `top`, or where there are too many of them.
Path end_of(Path top, Path end) {
  const auto most = std::min<std::ptrdiff_t>(end - top, most_live + 1);
  return std::find_if_not(top + 1, top + most,
                          [top](const std::string& path) { return is_below(path, *top); });
}

/// Returns the subtrees of a useful size, the largest first.
std::vector<Subtree> subtrees(const std::vector<std::string>& paths) {
  std::vector<Subtree> found;
  for (auto top = paths.begin(); top != paths.end(); ++top) {
    const Subtree one{top, end_of(top, paths.end())};
    if (one.live() >= fewest_live && one.live() <= most_live) found.push_back(one);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Subtree& a, const Subtree& b) { return a.live() > b.live(); });
  return found;
}

Result<std::uint64_t> usage_of(const Hierarchy& memory, const std::string& path) {
  const std::string file = path + "/memory.usage_in_bytes";
  const auto text =
      fs::read_beneath(memory.directory.get(), file.substr(1), fs::join(memory.mount_point, file));
  if (!text) return fail(text.error());
  return parse::whole_number(*text).value_or(0);
}

/// Returns an upper bound of the removed cgroups in the subtree, if each holds a page and none
/// hangs below a cgroup without children: the number of pages charged to the subtree, but not to
/// its cgroups without children.
Result<std::uint64_t> most_removed(const Host& host, const Hierarchy& memory,
                                   const Subtree& subtree) {
  auto all = usage_of(memory, *subtree.first);
  if (!all) return all;
  std::uint64_t rest = *all;
  for (auto path = subtree.first + 1; path != subtree.last; ++path) {
    const auto next = path + 1;
    if (next != subtree.last && is_below(*next, *path)) continue;
    auto usage = usage_of(memory, *path);
    if (!usage) return usage;
    rest -= std::min(rest, *usage);
  }
  return (rest + host.page_size() - 1) / host.page_size();
}

/// True if memory is known to be charged to removed cgroups in the subtree.
bool has_zombies(const Known<Zombies>& zombies, const Subtree& subtree) {
  if (!zombies || !zombies->where) return false;
  const auto& all = zombies->where->ancestors;
  return std::any_of(all.begin(), all.end(), [&subtree](const zombies::Ancestor& one) {
    return one.path == *subtree.first || is_below(one.path, *subtree.first);
  });
}

/// True if a read is predicted to stay within the budget.
Result<bool> is_cheap(const Host& host, const Hierarchy& memory, const numa::CostGuard& guard,
                      const Known<Zombies>& zombies, const Subtree& subtree) {
  const auto budget = guard.config().budget;
  if (guard.predict(subtree.live()) > budget || has_zombies(zombies, subtree)) return false;
  const auto removed = most_removed(host, memory, subtree);
  if (!removed) return fail(removed.error());
  const std::uint64_t most = zombies ? std::min(*removed, zombies->count.high) : *removed;
  return guard.predict(subtree.live() + most) <= budget;
}

Result<std::optional<Walk>> measure(const Host& host, numa::CostGuard& guard,
                                    const Subtree& subtree, nanoseconds leaf) {
  const auto group = host.open(*subtree.first);
  if (!group) return fail(group.error());
  const auto reader = numa::Reader::open(*group);
  if (!reader) return fail(reader.error());
  const auto cost = numa::least_cost(*reader, guard.config().budget);
  if (!cost) return fail(cost.error());
  guard.record(*cost, subtree.live(), std::chrono::steady_clock::now().time_since_epoch());
  Walk walk = judge(leaf, cost->wall, subtree.live(), Walk::Basis::subtrees);
  if (walk.verdict != Walk::Verdict::walks || cost->wall < 2 * leaf) return std::nullopt;
  return walk;
}

}  // namespace

Result<std::optional<Walk>> compare_subtrees(const Host& host, numa::CostGuard& guard,
                                             const Known<Zombies>& zombies, nanoseconds leaf) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  if ((*memory)->version != Version::v1) return std::nullopt;
  std::vector<std::string> paths;
  if (auto status = add_paths_below((*memory)->directory.get(), (*memory)->mount_point, paths);
      !status) {
    return fail(status.error());
  }
  std::size_t examined = 0;
  for (const Subtree& subtree : subtrees(paths)) {
    if (guard.predict(subtree.live()) > guard.config().budget) continue;
    if (++examined > most_examined) break;
    const auto cheap = is_cheap(host, **memory, guard, zombies, subtree);
    if (cheap && !*cheap) continue;
    auto walk = cheap ? measure(host, guard, subtree, leaf) : fail(cheap.error());
    if (!walk && walk.error().kind == errc::vanished) continue;
    return walk;
  }
  return std::nullopt;
}

}  // namespace cgctl::tool::doctor_command
