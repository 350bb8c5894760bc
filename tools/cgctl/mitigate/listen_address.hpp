// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string_view>

namespace cgctl::tool {

/// The address at which the daemon serves its metrics.
struct ListenAddress {
  sockaddr_storage address{};
  socklen_t size = 0;
  std::string_view path = {};  ///< of a socket in the file system; empty: TCP
  bool loopback = true;        ///< false: other hosts can reach it

  [[nodiscard]] const sockaddr* get() const noexcept;
};

/// Parses "unix:/PATH", with a path of at most 107 characters, or HOST:PORT. HOST is "localhost",
/// empty for the same, an IPv4 address, or an IPv6 address in brackets; names are not looked up.
std::optional<ListenAddress> listen_address(std::string_view text);

/// The forms of listen_address(), for an error.
inline constexpr const char* listen_forms =
    "unix:/PATH (of at most 107 characters) or ADDRESS:PORT (localhost:9101, 0.0.0.0:9101, "
    "[::1]:9101)";

}  // namespace cgctl::tool
