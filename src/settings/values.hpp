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

/// The meaning of what a kernel file reads as, and of what is written to it.
namespace cgctl::detail {

/// True if `value` (a line without its newline) is what a new cgroup has in the file. An unknown
/// file has "0", "max" or nothing at all.
bool is_default(const KernelFile& file, std::string_view value);

/// The value that is written for a file to read as `text`: its own text but for memory.oom_control.
std::string written_form(const KernelFile& file, std::string_view text);

/// What is written to a file for it to read as `text` again after `written`; empty where that is
/// not known: of a file of several lines that is none with a line per key.
std::string restoring_text(const KernelFile& file, std::string_view text, std::string_view written);

/// A value of several lines for a file that takes one line at a time, as one setting for each;
/// others as they are.
std::vector<settings::Setting> one_line_each(const std::vector<settings::Setting>& settings);

/// Whether what a file reads as, `kept`, is `asked` in other words; other than for same_value()
/// nothing is clamped or rounded.
bool is_as_asked(const KernelFile& file, std::string_view asked, std::string_view kept);

/// Whether the kernel reads both as the same: "1G" and "1073741824", "-1" and what v1 says for no
/// limit, "0,1" and "0-1", shares that it clamps.
bool same_value(const KernelFile& file, std::string_view a, std::string_view b,
                std::uint64_t page_size);

/// Of a file with a line per key that reads as `text`, the line that has the key of `wanted`; what
/// brings the same back, where there is none.
std::string current_line(const KernelFile& file, std::string_view text, std::string_view wanted);

/// Returns what undoes a write of `written` ("+cpu -memory") to a cgroup.subtree_control that read
/// `before`.
std::string switched_back(std::string_view before, std::string_view written);

/// Whether writing `wanted` would change nothing in `current`, a line with the same key.
bool same_line(std::string_view current, std::string_view wanted);

/// A number of bytes; nothing inside: no limit.
struct Size {
  std::optional<std::uint64_t> bytes;
};
/// As the kernel's memparse() reads it: decimal, with 0x or, octal, with 0 in front, with or
/// without a unit of 1024 (K, M, G, T, P, E). Rounded down to a multiple of `unit`; "max", "-1",
/// and more than any memory are no limit. Nothing for another text.
std::optional<Size> size_of(std::string_view text, std::uint64_t unit) noexcept;

}  // namespace cgctl::detail
