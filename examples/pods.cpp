// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "pods.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "cgctl/filesystem.hpp"

namespace cgctl::lab {
namespace {

constexpr const char* pod_device = "eth0";
constexpr std::uint8_t host_route = 32;

std::uint32_t gateway() noexcept { return htonl(0xa9fe0101); }  // 169.254.1.1

Status write_file(const std::string& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail(fs::system_error("open", path, errno));
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail(fs::system_error("write", path, errno));
  }
  return {};
}

/// Calls the steps in their order, until one fails.
template <class... Step>
Status in_order(Step... step) {
  Status status;
  static_cast<void>(((status = step(), status.has_value()) && ...));
  return status;
}

Status make_pair(const RouteSocket& route, const std::string& name, const std::string& peer,
                 pid_t peer_process) {
  RouteMessages message;
  message.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.add(IFLA_IFNAME, name);
  const std::size_t info = message.begin_nest(IFLA_LINKINFO);
  message.add(IFLA_INFO_KIND, std::string("veth"));
  const std::size_t data = message.begin_nest(IFLA_INFO_DATA);
  const std::size_t other = message.begin_nest(VETH_INFO_PEER);
  message.add_body(ifinfomsg{});
  message.add(IFLA_IFNAME, peer);
  if (peer_process != 0) message.add(IFLA_NET_NS_PID, static_cast<std::uint32_t>(peer_process));
  message.end_nest(other);
  message.end_nest(data);
  message.end_nest(info);
  return route.send(message, "make a pair of network cards (veth)");
}

Status make_bridge_device(const RouteSocket& route, const std::string& name) {
  RouteMessages message;
  message.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.add(IFLA_IFNAME, name);
  const std::size_t info = message.begin_nest(IFLA_LINKINFO);
  message.add(IFLA_INFO_KIND, std::string("bridge"));
  message.end_nest(info);
  return route.send(message, "make a bridge");
}

Status raise(const RouteSocket& route, const std::string& name) {
  ifinfomsg link{};
  link.ifi_index = static_cast<int>(::if_nametoindex(name.c_str()));
  link.ifi_flags = IFF_UP;
  link.ifi_change = IFF_UP;
  RouteMessages message;
  message.begin(RTM_NEWLINK, 0, link);
  return route.send(message, "start a network card");
}

Status add_address(const RouteSocket& route, const std::string& name, std::uint32_t address) {
  ifaddrmsg body{};
  body.ifa_family = AF_INET;
  body.ifa_prefixlen = host_route;
  body.ifa_index = ::if_nametoindex(name.c_str());
  RouteMessages message;
  message.begin(RTM_NEWADDR, NLM_F_CREATE, body);
  message.add(IFA_LOCAL, address);
  return route.send(message, "add an address");
}

/// Adds a route to an address; with `via` 0 the address is on the link. `to` 0 is all addresses.
Status add_route(const RouteSocket& route, const std::string& name, std::uint32_t to,
                 std::uint32_t via) {
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_dst_len = to == 0 ? 0 : host_route;
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = via == 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  RouteMessages message;
  message.begin(RTM_NEWROUTE, NLM_F_CREATE, body);
  if (to != 0) message.add(RTA_DST, to);
  if (via != 0) message.add(RTA_GATEWAY, via);
  message.add(RTA_OIF, ::if_nametoindex(name.c_str()));
  return route.send(message, "add a route");
}

/// Adds the message that adds the address number `i` to the table of the port's bridge.
void add_to_table(RouteMessages& messages, unsigned port, std::size_t i) {
  constexpr unsigned byte = 8;
  ndmsg body{};
  body.ndm_family = AF_BRIDGE;
  body.ndm_ifindex = static_cast<int>(port);
  body.ndm_state = NUD_REACHABLE;
  body.ndm_flags = NTF_MASTER;
  messages.begin(RTM_NEWNEIGH, NLM_F_CREATE, body);
  const std::array<std::uint8_t, 6> mac = {2,
                                           0,
                                           0,
                                           static_cast<std::uint8_t>(i >> (2 * byte)),
                                           static_cast<std::uint8_t>(i >> byte),
                                           static_cast<std::uint8_t>(i)};
  messages.add(NDA_LLADDR, mac.data(), mac.size());
}

/// The number of addresses that one system call adds, so that it takes about half a millisecond.
class Batch {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void note(std::chrono::nanoseconds took) noexcept {
    constexpr std::size_t most = 20;
    if (took > std::chrono::microseconds(500)) size_ = std::max<std::size_t>(size_ / 2, 1);
    if (took < std::chrono::microseconds(200)) size_ = std::min(size_ + 1, most);
  }

 private:
  std::size_t size_ = 1;
};

}  // namespace

std::uint32_t address_of(unsigned number) noexcept { return 0x0a2a0000U + number; }

Result<Node> Node::enter() {
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail(Error::system("make a network namespace", {}, errno, "this needs root"));
  }
  auto route = RouteSocket::open();
  if (!route) return fail(route.error());
  // The mounted sysfs shows the network cards of the old namespace.
  UniqueFd sysfs(sys::mount_nowhere("sysfs"));
  if (auto status = raise(*route, "lo"); !status) return fail(status.error());
  if (auto status = write_file("/proc/sys/net/ipv4/ip_forward", "1"); !status) {
    return fail(status.error());
  }
  return Node(std::move(*route), std::move(sysfs));
}

Status Node::receive_on(const std::string& device, unsigned cpu) const {
  const std::string file = "class/net/" + device + "/queues/rx-0/rps_cpus";
  const int fd = sysfs_ ? ::openat(sysfs_.get(), file.c_str(), O_WRONLY | O_CLOEXEC) : -1;
  if (fd < 0) return fail(Error::system("choose the receiving CPU", file, errno));
  const UniqueFd opened(fd);
  constexpr unsigned digit = 4;  // bits of it
  if (cpu >= 8 * digit) {
    return fail(Error::make(errc::invalid_argument, "choose the receiving CPU", file,
                            "the laboratory knows only the CPUs 0 to 31"));
  }
  const std::string mask = "1248"[cpu % digit] + std::string(cpu / digit, '0');
  if (::write(fd, mask.data(), mask.size()) < 0) {
    return fail(Error::system("choose the receiving CPU", file, errno));
  }
  return {};
}

Status Node::connect(pid_t pod, unsigned number, unsigned cpu) {
  const std::string name = "cali" + std::to_string(number);
  const std::string settings = "/proc/sys/net/ipv4/conf/" + name;
  const std::string neighbours = "/proc/sys/net/ipv4/neigh/" + name;
  return in_order([&] { return make_pair(route_, name, pod_device, pod); },
                  [&] { return raise(route_, name); },
                  [&] { return write_file(settings + "/proxy_arp", "1"); },
                  [&] { return write_file(neighbours + "/proxy_delay", "0"); },
                  [&] { return add_route(route_, name, htonl(address_of(number)), 0); },
                  [&] { return receive_on(name, cpu); });
}

Status Node::make_bridge() {
  auto status =
      in_order([&] { return make_bridge_device(route_, "bridge"); },
               [&] { return make_pair(route_, "port", "machines", 0); },
               [&] { return raise(route_, "bridge"); }, [&] { return raise(route_, "port"); },
               [&] { return raise(route_, "machines"); },
               // The node answers for 169.254.1.1 only if it has a route to it.
               [&] { return add_route(route_, "bridge", 0, 0); });
  bridge_ = ::if_nametoindex("bridge");
  port_ = ::if_nametoindex("port");
  return status;
}

Status Node::set_master(unsigned master) const {
  ifinfomsg link{};
  link.ifi_index = static_cast<int>(port_);
  RouteMessages message;
  message.begin(RTM_NEWLINK, 0, link);
  message.add(IFLA_MASTER, master);
  return route_.send(message, master == 0 ? "disconnect from a bridge" : "connect with a bridge");
}

Status Node::plug() const { return set_master(bridge_); }
Status Node::unplug() const { return set_master(0); }

Status Node::learn(std::size_t count, Held& held) const {
  // Samples of equal system calls would look like one call, so they differ in length and buffer.
  constexpr std::size_t different = 41;
  constexpr std::size_t buffers = 31;
  std::array<RouteMessages, buffers> all;
  Batch batch;
  std::size_t calls = 0;
  for (std::size_t i = 0; i < count; ++calls) {
    RouteMessages& messages = all[calls % buffers];
    messages.clear();
    for (std::size_t left = batch.size() + calls % different % batch.size(); left > 0 && i < count;
         --left) {
      add_to_table(messages, port_, i++);
    }
    const auto before = cpu_time();
    if (auto status = route_.send(messages, "add an address to a bridge"); !status) return status;
    const auto took = cpu_time() - before;
    batch.note(took);
    if (took >= shortest_hold) held.add(took);
  }
  return {};
}

Status enter_pod() {
  if (::unshare(CLONE_NEWNET) == 0) return {};
  return fail(Error::system("make a network namespace", {}, errno, "this needs root"));
}

Status configure_pod(unsigned number) {
  const auto route = RouteSocket::open();
  if (!route) return fail(route.error());
  return in_order([&] { return raise(*route, "lo"); }, [&] { return raise(*route, pod_device); },
                  [&] { return add_address(*route, pod_device, htonl(address_of(number))); },
                  [&] { return add_route(*route, pod_device, gateway(), 0); },
                  [&] { return add_route(*route, pod_device, 0, gateway()); });
}

}  // namespace cgctl::lab
