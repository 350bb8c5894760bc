// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/unix_socket.hpp"

#include <cstddef>

namespace cgctl::tool {

std::optional<UnixAddress> unix_address(std::string_view path) {
  UnixAddress out;
  if (path.empty() || path.size() >= sizeof out.address.sun_path) return std::nullopt;
  out.address.sun_family = AF_UNIX;
  path.copy(&out.address.sun_path[0], path.size());
  const bool abstract = path.front() == '@';
  if (abstract) out.address.sun_path[0] = '\0';
  out.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return out;
}

}  // namespace cgctl::tool
