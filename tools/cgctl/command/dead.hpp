// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cgctl/census.hpp"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/names.hpp"
#include "cgctl/recorder.hpp"
#include "cli/json.hpp"

/// The removed memory cgroups, each with the path that it had.
namespace cgctl::tool {

/// Returns the file of what `census --discover` found.
std::string offsets_file_in(const std::string& state_dir);

struct DeadOptions {
  std::uint64_t top = 10;                    ///< rows of the table
  std::string below;                         ///< only those below this cgroup; empty: all
  const recorder::Ledger* ledger = nullptr;  ///< records of removals; null or empty: there are none
  names::Resolver* names = nullptr;          ///< of pods, containers and images
  std::vector<recorder::Seen> seen;          ///< first sightings, by serial number
};

/// The dead cgroups as text and as JSON.
struct Dead {
  std::string text;
  Json json = Json::array();
  std::size_t left_out = 0;
};

/// Takes a census. The errors are those of census::Census::open().
[[nodiscard]] Result<census::Snapshot> take_census(const Host& host, const std::string& state_dir);

/// Notes the removed cgroups of a census in the state directory; returns since when each is known.
[[nodiscard]] Result<std::vector<recorder::Seen>> note_dead(const Host& host,
                                                            const census::Snapshot& snapshot,
                                                            const std::string& state_dir);

[[nodiscard]] Dead describe_dead(const census::Snapshot& snapshot, const DeadOptions& options);

/// Sets a key. An empty text becomes null. For many keys: a call is shorter than an initializer.
void put(Json& json, const char* key, std::uint64_t value);
void put(Json& json, const char* key, const std::string& value);

/// True if `path` is below the cgroup `top`; an empty `top` means all.
[[nodiscard]] bool is_below(const std::string& path, const std::string& top);

}  // namespace cgctl::tool
