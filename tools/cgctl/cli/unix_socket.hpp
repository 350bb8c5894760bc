// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <string_view>

namespace cgctl::tool {

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;
};

/// Returns the address for a path, or for '@' and a name in the abstract namespace (unix(7));
/// nothing if it is too long.
std::optional<UnixAddress> unix_address(std::string_view path);

}  // namespace cgctl::tool
