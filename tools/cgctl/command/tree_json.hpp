// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cgctl/tree.hpp"

/// Trees as JSON, one cgroup an object:
/// {"path": "/a", "controllers": {"cpu": {"cpu.shares": "512"}, "memory": {}}}. The value of a file
/// that has a line for each device is an array of lines. A path that is not UTF-8 is in
/// "path_base64", too, which is read in place of "path".
namespace cgctl::tool {

nlohmann::ordered_json json_of(const tree::Cgroup& cgroup);

/// Of objects that follow each other, on one line or many. errc::malformed with line and column, or
/// with the number of the object that is not such a one.
Result<tree::Tree> tree_from_json(const std::string& text, std::string_view shown);

}  // namespace cgctl::tool
