// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/notify.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "cgctl/parse.hpp"
#include "cgctl/unique_fd.hpp"
#include "cli/unix_socket.hpp"

namespace cgctl::tool {

void notify(std::string_view state) {
  const char* const path = ::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  const auto address = unix_address(path);
  if (!address) return;
  // The socket stays open: without free descriptors the process would seem dead otherwise.
  static const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return;
  (void)::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address->address), address->size);
}

std::optional<std::chrono::microseconds> watchdog_time() {
  const char* const time = ::getenv("WATCHDOG_USEC");
  const char* const pid = ::getenv("WATCHDOG_PID");
  if (time == nullptr || (pid != nullptr && pid != std::to_string(::getpid()))) {
    return std::nullopt;
  }
  const auto value = parse::whole_number(time);
  if (!value || *value == 0) return std::nullopt;
  return std::chrono::microseconds(*value);
}

}  // namespace cgctl::tool
