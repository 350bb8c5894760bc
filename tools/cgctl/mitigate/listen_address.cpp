// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/listen_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <limits>
#include <string>

#include "cgctl/parse.hpp"
#include "cli/unix_socket.hpp"

namespace cgctl::tool {
namespace {

template <class Address>
void store(ListenAddress& out, const Address& address) {
  static_assert(sizeof address <= sizeof out.address);
  std::memcpy(&out.address, &address, sizeof address);
  out.size = sizeof address;
}

std::optional<ListenAddress> in_file_system(std::string_view path) {
  const auto found =
      path.empty() || path.front() != '/' || path.back() == '/' ? std::nullopt : unix_address(path);
  if (!found) return std::nullopt;
  ListenAddress out;
  store(out, found->address);
  out.size = found->size;
  out.path = path;
  return out;
}

std::optional<ListenAddress> ipv4(const std::string& host, in_port_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = port;
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return std::nullopt;
  ListenAddress out;
  store(out, address);
  constexpr unsigned network_bits = 24;
  out.loopback = ntohl(address.sin_addr.s_addr) >> network_bits == IN_LOOPBACKNET;
  return out;
}

std::optional<ListenAddress> ipv6(const std::string& host, in_port_t port) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = port;
  if (::inet_pton(AF_INET6, host.c_str(), &address.sin6_addr) != 1) return std::nullopt;
  ListenAddress out;
  store(out, address);
  out.loopback = std::memcmp(&address.sin6_addr, &in6addr_loopback, sizeof(in6_addr)) == 0;
  return out;
}

}  // namespace

const sockaddr* ListenAddress::get() const noexcept {
  return reinterpret_cast<const sockaddr*>(&address);
}

std::optional<ListenAddress> listen_address(std::string_view text) {
  constexpr std::string_view scheme = "unix:";
  if (parse::starts_with(text, scheme)) return in_file_system(text.substr(scheme.size()));
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto number = parse::whole_number(text.substr(colon + 1));
  if (!number || *number == 0 || *number > std::numeric_limits<in_port_t>::max()) {
    return std::nullopt;
  }
  const in_port_t port = htons(static_cast<in_port_t>(*number));
  const std::string_view host = text.substr(0, colon);
  if (host.empty() || host == "localhost") return ipv4("127.0.0.1", port);
  if (host.front() == '[' && host.back() == ']') {
    return ipv6(std::string(host.substr(1, host.size() - 2)), port);
  }
  return ipv4(std::string(host), port);
}

}  // namespace cgctl::tool
