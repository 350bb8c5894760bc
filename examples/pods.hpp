// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"
#include "held.hpp"
#include "route_messages.hpp"

namespace cgctl::lab {

/// The network of a node with pods, as Calico makes it: each pod has a network namespace, whose
/// only neighbour is the gateway 169.254.1.1, for which the node answers (proxy_arp). The node is a
/// namespace too. Everything ends with the processes in these namespaces, however they end.
class Node {
 public:
  /// Makes a network namespace for the calling process, which becomes the node.
  static Result<Node> enter();

  /// Connects a process that has a network namespace of its own, as the pod with this address
  /// (10.42.0.NUMBER). Its packets are received on `cpu`.
  Status connect(pid_t pod, unsigned number, unsigned cpu);

  /// Creates a bridge with one port.
  Status make_bridge();
  /// Connects the port with the bridge.
  [[nodiscard]] Status plug() const;
  /// Adds `count` addresses of machines behind the port to the bridge's table, in system calls of
  /// about a millisecond. Counts the system calls that took a hold's time nevertheless.
  [[nodiscard]] Status learn(std::size_t count, Held& held) const;
  /// Disconnects the port, for which the kernel removes its addresses from the table: in one go,
  /// while no packet is received on the CPU.
  [[nodiscard]] Status unplug() const;

 private:
  Node(RouteSocket route, UniqueFd sysfs) noexcept
      : route_(std::move(route)), sysfs_(std::move(sysfs)) {}
  [[nodiscard]] Status receive_on(const std::string& device, unsigned cpu) const;
  [[nodiscard]] Status set_master(unsigned master) const;

  RouteSocket route_;
  UniqueFd sysfs_;
  unsigned bridge_ = 0;
  unsigned port_ = 0;
};

/// Returns the address of a pod, in host byte order.
std::uint32_t address_of(unsigned number) noexcept;

/// Makes a network namespace for the calling process, which becomes a pod.
Status enter_pod();
/// Configures the pod's side, once Node::connect() was called for it.
Status configure_pod(unsigned number);

}  // namespace cgctl::lab
