// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

/// The small files that programs keep between runs, in a directory that only their user can write.
namespace cgctl::detail {

inline constexpr std::size_t largest_state_file = std::size_t{256} << 10;

/// Reads the ID of the running boot below a proc such as "/proc".
Result<std::string> boot_id(const std::string& proc);

/// Reads a file that may be a state file. Returns nothing for a symbolic link, a file with several
/// hard links, a FIFO, a directory, or more than `largest_state_file` bytes.
Result<std::optional<std::string>> read_state_file(const std::string& path);

/// Renames the file at `path` and returns its new name. Tries further names if one is taken by
/// something that cannot be replaced (a directory).
Result<std::string> set_aside(const std::string& path);

/// Replaces a state file atomically. A directory at the name of the new file is set aside.
Status replace_state_file(const std::string& path, std::string_view text);

/// Makes the directory and its missing parents, and takes the lock `name` in it. errc::busy if
/// another process holds the lock, errc::outside if other users could change the files.
Result<UniqueFd> lock_state(const std::string& directory, const char* name);

}  // namespace cgctl::detail
