// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::lab {

/// One or more messages of rtnetlink(7).
class RouteMessages {
 public:
  /// Begins a message; `body` is the structure of its type, such as ifinfomsg.
  template <class Body>
  void begin(std::uint16_t type, std::uint16_t flags, const Body& body) {
    start_ = bytes_.size();
    nlmsghdr head{};
    head.nlmsg_type = type;
    head.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    append(&head, sizeof head);
    append(&body, sizeof body);
    fit();
  }

  /// Adds an attribute.
  void add(std::uint16_t type, const void* data, std::size_t size);
  void add(std::uint16_t type, std::uint32_t value) { add(type, &value, sizeof value); }
  void add(std::uint16_t type, const std::string& text) {
    add(type, text.c_str(), text.size() + 1);
  }

  /// Begins an attribute that contains others. Returns its place, for end_nest().
  std::size_t begin_nest(std::uint16_t type);
  void end_nest(std::size_t at);
  /// Adds the structure that begins some nested attributes.
  template <class Body>
  void add_body(const Body& body) {
    append(&body, sizeof body);
  }

  void clear() { bytes_.clear(); }
  [[nodiscard]] const std::vector<char>& bytes() const noexcept { return bytes_; }
  /// Asks the kernel to answer the last message even if it succeeds.
  void ask_for_answer();

 private:
  void append(const void* data, std::size_t size);
  void fit();

  std::vector<char> bytes_;
  std::size_t start_ = 0;  // of the last message
};

/// A socket that changes the network configuration of the namespace in which it was opened.
class RouteSocket {
 public:
  static Result<RouteSocket> open();

  /// Sends the messages and waits for the answer to the last one. `what` is named in the error.
  Status send(RouteMessages& messages, const char* what) const;

 private:
  explicit RouteSocket(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace cgctl::lab
