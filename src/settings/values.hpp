// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/settings.hpp"
#include "group/kernel_files.hpp"

/// Interprets the texts of kernel files, both read and written.
namespace cgctl::detail {

/// True if `value` (a line without its newline) is the file's value in a new cgroup. For an unknown
/// file these are "0", "max" and the empty text.
bool is_default(const KernelFile& file, std::string_view value);

/// Returns the value to write so that a file reads as `text`: `text` itself, except for
/// memory.oom_control.
std::string written_form(const KernelFile& file, std::string_view text);

/// Returns the value that makes a file read as `text` again after a write of `written`. Empty if
/// that is not known, as for a file of several lines that are not keyed.
std::string restoring_text(const KernelFile& file, std::string_view text, std::string_view written);

/// Splits a value of several lines, for a file that takes one line at a time, into one setting for
/// each line. Other settings are unchanged.
std::vector<settings::Setting> one_line_each(const std::vector<settings::Setting>& settings);

/// True if the read text `kept` means the same as `asked`. Unlike same_value(), it does not allow
/// clamping or rounding.
bool is_as_asked(const KernelFile& file, std::string_view asked, std::string_view kept);

/// True if the kernel reads both texts as the same value: "1G" and "1073741824", "-1" and v1's
/// number for no limit, "0,1" and "0-1", shares that it clamps.
bool same_value(const KernelFile& file, std::string_view a, std::string_view b,
                std::uint64_t page_size);

/// Returns the line with the key of `wanted` in `text`, the text of a keyed file. If there is none,
/// returns the line that restores this state.
std::string current_line(const KernelFile& file, std::string_view text, std::string_view wanted);

/// Returns the text that undoes a write of `written` ("+cpu -memory") to a cgroup.subtree_control
/// that read `before`.
std::string switched_back(std::string_view before, std::string_view written);

/// True if writing `wanted` would not change `current`, a line with the same key.
bool same_line(std::string_view current, std::string_view wanted);

/// A number of bytes; absent: no limit.
struct Size {
  std::optional<std::uint64_t> bytes;
};
/// Parses a size like the kernel's memparse(): decimal, hexadecimal with 0x or octal with 0 in
/// front, with or without a unit of 1024 (K, M, G, T, P, E). Rounds down to a multiple of `unit`.
/// "max", "-1" and numbers beyond any memory mean no limit. Nothing for another text.
std::optional<Size> size_of(std::string_view text, std::uint64_t unit) noexcept;

}  // namespace cgctl::detail
