// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

/// What takes a write to a file of a cgroup back, where that is not the text that the file had.
namespace cgctl::detail {

/// How a file is brought back to what it read as.
enum class Inverse {
  text,         ///< it takes what it reads as, or restoring_text() of it
  rules,        ///< of the devices controller: see restore_devices()
  none,         ///< no write does: counters, triggers, what moves processes
  switches,     ///< reads as "cpu memory", takes "+cpu -memory"
  word,         ///< takes the first word of what it reads as
  share_alone,  ///< a rounded form of the share: the share itself brings it back
  share_after,  ///< the kernel forgets the share with it: written, and then the share
};

/// Of a file by its name; `text` for all that are not known.
Inverse inverse_of(std::string_view file) noexcept;

/// Where the share is, on v1 and on v2.
inline constexpr std::string_view share_files[] = {"cpu.shares", "cpu.weight"};

/// What takes `written` ("+cpu -memory") back in a cgroup.subtree_control that read `before`.
std::string switched_back(std::string_view before, std::string_view written);

}  // namespace cgctl::detail
