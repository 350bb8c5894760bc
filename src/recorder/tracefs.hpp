// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::recorder {

inline constexpr std::int64_t tracefs_magic = 0x74726163;

/// A directory of tracefs.
struct Tracefs {
  UniqueFd directory;
  std::string shown;
};

/// Adds a hint to the error of a file or call of the tracing system.
Error explain(Error error);

/// Opens a file of tracefs; `path` is relative to the directory.
Result<UniqueFd> open_file(int directory, const std::string& shown, const std::string& path,
                           int flags);
Result<std::string> read_file(int directory, const std::string& shown, const std::string& path);

/// Writes a file of tracefs.
Status write_file(const Tracefs& instance, const std::string& path, const std::string& value);

/// Opens the mounted tracefs; mounts it only if it is not there, because that would reset its mount
/// options before Linux 6.10. A mount of its own has no path and ends with the last descriptor.
Result<Tracefs> open_tracefs(const Host& host);

}  // namespace cgctl::recorder
