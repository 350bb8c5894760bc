// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "living_cache.hpp"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_stat.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::lab {
namespace {

std::uint64_t fall(std::uint64_t from, std::uint64_t to) { return from - std::min(from, to); }

/// Returns the page cache of a cgroup and all below, or of the cgroup alone, without tmpfs.
Result<std::uint64_t> cache_of(const Host& host, const std::string& path, bool alone) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  const auto stat = memory::stat(*group);
  if (!stat) return fail(stat.error());
  const auto figure = [&stat, alone](memory::Key key) {
    return alone ? stat->local(key) : (*stat)[key];
  };
  auto cache = figure(memory::Key::cache);
  if (!cache) cache = (*stat)[memory::Key::file];  // v2
  auto shmem = figure(memory::Key::shmem);
  if (!shmem) shmem = (*stat)[memory::Key::shmem];
  return fall(cache.value_or(0), shmem.value_or(0));
}

}  // namespace

std::uint64_t Cache::lost_since(const Cache& before) const noexcept {
  return fall(before.neighbours, neighbours) + fall(before.others, others);
}

std::uint64_t Cache::lost_by_live_since(const Cache& before) const noexcept {
  return fall(before.neighbours, neighbours) + fall(before.outside, outside);
}

Result<Cache> living_cache(const Host& host, const ZombieMaker& maker) {
  Cache cache;
  const auto& groups = maker.neighbours();
  for (const std::string& group : groups) {
    const auto one = cache_of(host, group, true);
    if (!one) return fail(one.error());
    // The last one is outside of the maker's cgroup.
    (&group == &groups.back() ? cache.outside : cache.neighbours) += *one;
  }
  const auto machine = mitigation::page_cache(host);
  if (!machine) return fail(machine.error());
  const auto below = cache_of(host, maker.group(), false);
  if (!below) return fail(below.error());
  cache.others = fall(*machine, *below);
  return cache;
}

Result<std::uint64_t> settled_zombies(const Host& host) {
  constexpr auto pause = std::chrono::milliseconds(50);
  constexpr int enough = 10;
  constexpr int most = 200;
  std::uint64_t last = 0;
  for (int unchanged = 0, polls = 0; unchanged < enough && polls < most; ++polls) {
    const auto now = zombies::count(host);
    if (!now) return fail(now.error());
    unchanged = polls != 0 && now->low == last ? unchanged + 1 : 0;
    last = now->low;
    std::this_thread::sleep_for(pause);
  }
  return last;
}

Status force_empty(const Host& host, const std::string& path) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  const auto control = group->open_file("memory.force_empty", O_WRONLY);
  if (!control) return fail(control.error());
  return fs::write_once(control->get(), "0", path);
}

}  // namespace cgctl::lab
