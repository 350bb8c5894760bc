// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

/// Display of bytes that others chose, such as names of cgroups.
namespace cgctl::tool {

/// Writes \xNN for each byte that could steer a terminal or mislead its reader: control characters
/// (C0 with newline and tab, DEL, C1), line separators, bidirectional controls, and bytes that are
/// not UTF-8.
std::string escaped(std::string_view text);

/// Escapes a text of several lines: newlines, tabs and the colours of paint() stay.
std::string escaped_lines(std::string_view text);

bool is_utf8(std::string_view text);

/// Quotes a word for a shell, if that is needed.
std::string quoted(const std::string& word);

/// Converts to and from base64 as RFC 4648 defines it, with padding.
std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

/// Adds "KEY_base64" with the exact bytes beside each member KEY that is not UTF-8, in an array if
/// the member is one.
void keep_bytes(nlohmann::json& object);
void keep_bytes(nlohmann::ordered_json& object);

}  // namespace cgctl::tool
