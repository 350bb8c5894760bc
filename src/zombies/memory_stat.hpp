// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cgctl/parse.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::zombies {

/// Keys of v1's memory.stat: those for a cgroup's own pages and the two for its subtree.
enum Key : std::size_t {
  cache,
  rss,
  inactive_anon,
  active_anon,
  inactive_file,
  active_file,
  unevictable,
  mapped_file,
  shmem,
  total_cache,
  total_rss,
  key_count
};
inline constexpr std::array<std::string_view, key_count> key_names = {
    "cache",       "rss",         "inactive_anon", "active_anon", "inactive_file", "active_file",
    "unevictable", "mapped_file", "shmem",         "total_cache", "total_rss"};
using Stat = std::array<std::uint64_t, key_count>;

inline Stat parse_stat(std::string_view text) noexcept {
  Stat stat{};
  std::size_t missing = key_count;
  while (!text.empty() && missing != 0) {
    std::string_view rest = parse::line(text);
    const std::string_view name = parse::field(rest);
    const auto key = std::find(key_names.begin(), key_names.end(), name);
    if (key == key_names.end()) continue;
    rest.remove_prefix(std::min(rest.size(), std::size_t{1}));
    parse::number(rest, stat[static_cast<std::size_t>(key - key_names.begin())]);
    --missing;
  }
  return stat;
}

/// Returns a cgroup's own pages, by kind.
inline Residual own_pages(const Stat& stat) noexcept {
  Residual own;
  own.file = stat[inactive_file] + stat[active_file];
  own.anon = stat[inactive_anon] + stat[active_anon];
  own.unevictable = stat[unevictable];
  own.mapped = stat[mapped_file];
  own.shmem = stat[shmem];
  return own;
}

/// Returns `from` less `amount`, but not below 0.
inline std::uint64_t less(std::uint64_t from, std::uint64_t amount) noexcept {
  return from > amount ? from - amount : 0;
}

}  // namespace cgctl::zombies
