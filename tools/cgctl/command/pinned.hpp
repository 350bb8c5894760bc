// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "cgctl/census.hpp"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cli/json.hpp"
#include "command/dead.hpp"

/// The files whose pages hold removed memory cgroups.
namespace cgctl::tool {

struct PinnedOptions : DeadOptions {
  std::chrono::nanoseconds time = std::chrono::seconds(1);  ///< longest search
};

/// The files as text and as keys of a JSON object.
struct Pinned {
  std::string text;
  Json json = Json::object();
};

/// The errors are those of census::FileFinder::open().
[[nodiscard]] Result<Pinned> describe_files(const Host& host, const census::Snapshot& snapshot,
                                            const PinnedOptions& options);

}  // namespace cgctl::tool
