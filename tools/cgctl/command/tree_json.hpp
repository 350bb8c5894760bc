// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cgctl/tree.hpp"

/// Trees as JSON, one object per cgroup:
/// {"path": "/a", "controllers": {"cpu": {"cpu.shares": "512"}, "memory": {}}}. The value of a file
/// that has a line for each device is an array of lines. A path that is not UTF-8 is also in
/// "path_base64", which takes precedence over "path".
namespace cgctl::tool {

nlohmann::ordered_json json_of(const tree::Cgroup& cgroup);

/// Parses objects that follow each other, on one line or several. Returns errc::malformed with line
/// and column of the error.
Result<tree::Tree> tree_from_json(const std::string& text, std::string_view shown);

}  // namespace cgctl::tool
