// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>

#include "cgctl/zombies.hpp"

namespace cgctl::tool {

using Json = nlohmann::ordered_json;

/// Returns the value, or null if it is not known.
template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

inline Json json_of(const zombies::Residual& bytes) {
  return {{"file", bytes.file},
          {"shmem", bytes.shmem},
          {"mapped", bytes.mapped},
          {"anon", bytes.anon},
          {"unevictable", bytes.unevictable},
          {"freeable", bytes.freeable()}};
}

/// Returns the keys that every report about zombies begins with, with at most `most` ancestors.
inline Json zombies_json(const zombies::Count& count,
                         const std::optional<zombies::Attribution>& where, std::size_t most) {
  Json ancestors = Json::array();
  for (std::size_t i = 0; where && i < std::min(most, where->ancestors.size()); ++i) {
    const zombies::Ancestor& ancestor = where->ancestors[i];
    Json one = {{"path", ancestor.path},
                {"count", or_null(ancestor.count)},
                {"bytes", or_null(ancestor.bytes)}};
    if (ancestor.pages) one["bytes_by_kind"] = json_of(*ancestor.pages);
    ancestors.push_back(std::move(one));
  }
  return {{"hierarchy", to_string(count.hierarchy)},
          {"kernel", count.kernel},
          {"live", count.live},
          {"zombies", count.zombies()},
          {"low", count.low},
          {"high", count.high},
          {"exact", count.exact()},
          {"memory_only", count.memory_only},
          {"source", where ? Json(to_string(where->source)) : Json(nullptr)},
          {"by_ancestor", std::move(ancestors)}};
}

}  // namespace cgctl::tool
