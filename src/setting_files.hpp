// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cgctl/host.hpp"
#include "cgctl/settings.hpp"

/// What is known about the files of controllers, by their names.
namespace cgctl::detail {

/// Whether what a readable and writable file says is a setting: not a counter that can be reset, a
/// trigger, an alias, or a state.
bool is_setting(std::string_view file) noexcept;

/// Whether the file is there to be read, or to be written for what that does at once, although a
/// list of all that can be written names it: counters, states, memory.force_empty.
bool is_reading(std::string_view file) noexcept;

/// Whether that version has the file, as far as is known.
bool is_of(std::string_view file, Version version) noexcept;

/// Whether the file has a line for each device or resource, and takes one line at a time.
bool has_line_per_key(std::string_view file) noexcept;

/// Whether a new cgroup takes the value of the one above.
bool is_inherited(std::string_view file) noexcept;

/// Whether `value` (a line without its newline) is what a new cgroup has in it. Of files that are
/// not known, such as a vendor's, "0", "max" and nothing at all are.
bool is_default(std::string_view file, std::string_view value);

/// The value that is written for a file to read as `text`: its own text but for memory.oom_control.
std::string written_form(std::string_view file, std::string_view text);

/// Whether the kernel reads both as the same: "1G" and "1073741824", "-1" and what v1 says for no
/// limit, "0,1" and "0-1", shares that it clamps.
bool same_value(std::string_view file, std::string_view a, std::string_view b,
                std::uint64_t page_size);

/// Of a file with a line per key that reads as `text`, the line that has the key of `wanted`; what
/// brings the same back, where there is none.
std::string current_line(std::string_view file, std::string_view text, std::string_view wanted);

/// Whether writing `wanted` would change nothing in `current`, a line with the same key.
bool same_line(std::string_view current, std::string_view wanted);

/// A number of bytes; nothing inside: no limit.
struct Size {
  std::optional<std::uint64_t> bytes;
};
/// With or without a unit of 1024 (K, M, G, T), rounded down to a multiple of `unit`; "max", "-1",
/// and more than any memory are no limit. Nothing for another text.
std::optional<Size> size_of(std::string_view text, std::uint64_t unit) noexcept;

}  // namespace cgctl::detail
