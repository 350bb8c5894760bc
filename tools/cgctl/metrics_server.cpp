// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "metrics_server.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "unix_socket.hpp"

namespace cgctl::tool {
namespace {

const sockaddr* as_sockaddr(const UnixAddress& address) {
  return reinterpret_cast<const sockaddr*>(&address.address);
}

UniqueFd stream_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// Removes what an earlier run left.
Status make_room(const std::string& path, const UnixAddress& address) {
  struct ::stat about {};
  if (::lstat(path.c_str(), &about) != 0) return {};
  if (!S_ISSOCK(about.st_mode)) {
    return fail(Error::make(errc::invalid_argument, "listen", path, "exists and is no socket"));
  }
  const UniqueFd probe = stream_socket();
  if (probe && ::connect(probe.get(), as_sockaddr(address), address.size) == 0) {
    return fail(Error::make(errc::busy, "listen", path, "somebody else listens there"));
  }
  ::unlink(path.c_str());
  return {};
}

}  // namespace

Result<MetricsServer> MetricsServer::listen(const std::string& address) {
  const std::string path = address.substr(std::string_view("unix:").size());
  const auto name = unix_address(path);
  if (!name) {
    return fail(Error::make(errc::invalid_argument, "listen", path,
                            "too long for the path of a socket (107 characters)"));
  }
  if (auto status = make_room(path, *name); !status) return fail(status.error());
  UniqueFd socket = stream_socket();
  if (!socket || ::bind(socket.get(), as_sockaddr(*name), name->size) != 0) {
    return fail(fs::system_error("listen", path, errno));
  }
  constexpr int waiting = 8;
  MetricsServer server(std::move(socket), path);
  if (::chmod(path.c_str(), 0660) != 0 || ::listen(server.descriptor(), waiting) != 0) {
    return fail(fs::system_error("listen", path, errno));
  }
  return server;
}

MetricsServer::MetricsServer(MetricsServer&& other) noexcept
    : socket_(std::move(other.socket_)), path_(std::exchange(other.path_, {})) {}

MetricsServer::~MetricsServer() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void MetricsServer::answer(const std::string& text) const {
  const UniqueFd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client) return;
  const timeval patience{0, 100'000};
  ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::array<char, 2048> request{};
  const ssize_t got = ::recv(client.get(), request.data(), request.size(), 0);
  if (got <= 0) return;
  const std::string_view asked(request.data(), static_cast<std::size_t>(got));
  const bool get = parse::starts_with(asked, "GET ");
  const std::string answer = fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
      "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
      get ? "200 OK" : "405 Method Not Allowed", get ? text.size() : 0, get ? text : "");
  (void)::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
}

}  // namespace cgctl::tool
