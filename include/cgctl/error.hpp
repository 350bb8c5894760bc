// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

#include "cgctl/detail/language.hpp"  // first: says which C++ is needed

namespace cgctl {

/// Kinds of errors that a program may handle differently. For errc::system the reason is in
/// Error::os_errno.
enum class errc {
  system,            ///< a system call failed; Error::os_errno has the kernel's reason
  vanished,          ///< the cgroup was removed (ENODEV from an open descriptor, ENOENT for its
                     ///< directory)
  unsupported,       ///< this kernel, mount or cgroup does not have the file or the feature
  malformed,         ///< the file's text does not have the documented form
  truncated,         ///< the file's text ends too early
  invalid_argument,  ///< the caller's value or path breaks a rule; nothing was done
  outside,           ///< the path leaves the cgroup's directory or the cgroup file system
  incomplete_view,   ///< a cgroup namespace or a partial mount hides what the answer depends on
  over_budget,       ///< the predicted cost exceeds the caller's budget
  busy,              ///< another instance is running
  timed_out,         ///< the deadline passed
  cancelled,         ///< the caller cancelled it
};

/// Returns the name of an error kind, for logs: "vanished", "over_budget", ...
std::string_view to_string(errc kind) noexcept;

/// One failure, ready to print: the operation, the path, the reason, and a remedy. Building an
/// Error allocates memory; hot paths build none unless they fail.
struct Error {
  errc kind = errc::system;
  int os_errno = 0;            ///< the kernel's errno; 0 if no system call failed
  const char* operation = "";  ///< "open", "read", "detect", ...: a string literal
  std::string path;            ///< the file or cgroup concerned; may be empty
  std::string reason;          ///< if empty, message() prints the text of os_errno
  std::string hint;            ///< a remedy for the user; may be empty

  /// Returns "OPERATION PATH: REASON (HINT)".
  [[nodiscard]] std::string message() const;

  [[nodiscard]] static Error system(const char* operation, std::string path, int os_errno,
                                    std::string hint = {}) {
    return {errc::system, os_errno, operation, std::move(path), {}, std::move(hint)};
  }
  [[nodiscard]] static Error make(errc kind, const char* operation, std::string path,
                                  std::string reason, std::string hint = {}) {
    return {kind, 0, operation, std::move(path), std::move(reason), std::move(hint)};
  }
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = tl::expected<void, Error>;

inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace cgctl
