// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "route_messages.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace cgctl::lab {

void RouteMessages::append(const void* data, std::size_t size) {
  const auto* const from = static_cast<const char*>(data);
  bytes_.insert(bytes_.end(), from, from + size);
  bytes_.resize((bytes_.size() + NLMSG_ALIGNTO - 1) / NLMSG_ALIGNTO * NLMSG_ALIGNTO);
}

/// Writes the present length of the last message into its head.
void RouteMessages::fit() {
  const auto length = static_cast<std::uint32_t>(bytes_.size() - start_);
  std::memcpy(&bytes_[start_ + offsetof(nlmsghdr, nlmsg_len)], &length, sizeof length);
}

void RouteMessages::add(std::uint16_t type, const void* data, std::size_t size) {
  const rtattr head{static_cast<std::uint16_t>(sizeof head + size), type};
  append(&head, sizeof head);
  append(data, size);
  fit();
}

std::size_t RouteMessages::begin_nest(std::uint16_t type) {
  const std::size_t at = bytes_.size();
  const rtattr head{0, type};
  append(&head, sizeof head);
  return at;
}

void RouteMessages::end_nest(std::size_t at) {
  const auto length = static_cast<std::uint16_t>(bytes_.size() - at);
  std::memcpy(&bytes_[at + offsetof(rtattr, rta_len)], &length, sizeof length);
  fit();
}

void RouteMessages::ask_for_answer() {
  std::uint16_t flags = 0;
  char* const at = &bytes_[start_ + offsetof(nlmsghdr, nlmsg_flags)];
  std::memcpy(&flags, at, sizeof flags);
  flags = static_cast<std::uint16_t>(flags | NLM_F_ACK);
  std::memcpy(at, &flags, sizeof flags);
}

Result<RouteSocket> RouteSocket::open() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return fail(Error::system("open a socket", "rtnetlink", errno));
  return RouteSocket(std::move(fd));
}

Status RouteSocket::send(RouteMessages& messages, const char* what) const {
  messages.ask_for_answer();
  const std::vector<char>& bytes = messages.bytes();
  if (::send(fd_.get(), bytes.data(), bytes.size(), 0) < 0) {
    return fail(Error::system(what, {}, errno));
  }
  struct Answer {
    nlmsghdr head;
    nlmsgerr error;
    std::array<char, 512> rest;
  } answer{};
  if (::recv(fd_.get(), &answer, sizeof answer, 0) < 0) return fail(Error::system(what, {}, errno));
  if (answer.head.nlmsg_type != NLMSG_ERROR || answer.error.error == 0) return {};
  return fail(Error::system(
      what, {}, -answer.error.error,
      answer.error.error == -EOPNOTSUPP ? "the kernel needs the modules veth and bridge" : ""));
}

}  // namespace cgctl::lab
