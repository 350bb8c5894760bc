// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "peers/sockets.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "cgctl/filesystem.hpp"
#include "detail/blocked_signals.hpp"

namespace cgctl::peers {
namespace {

constexpr const char* operation = "list TCP sockets";

Error system_error(int os_errno, const char* hint = "") {
  return Error::system(operation, {}, os_errno, hint);
}

Error unsupported(const char* reason, const char* hint) {
  return Error::make(errc::unsupported, operation, {}, reason, hint);
}

// --- the namespace

std::string namespace_file(pid_t process) {
  return (process == 0 ? "self" : std::to_string(process)) + "/ns/net";
}

int make_socket() { return ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG); }

Error error_of_socket(int os_errno) {
  if (os_errno == EPROTONOSUPPORT || os_errno == EAFNOSUPPORT) {
    return unsupported("the kernel cannot list sockets", "it needs CONFIG_INET_DIAG");
  }
  return system_error(os_errno);
}

/// Replaces the descriptor `place` by a netlink socket of the namespace; in a child process, whose
/// namespace alone changes. Makes only system calls. Returns 0 or an errno.
int make_socket_there(int name_space, int place) {
  if (::setns(name_space, CLONE_NEWNET) != 0) return errno;
  const int made = make_socket();
  if (made < 0) return errno;
  return ::dup3(made, place, O_CLOEXEC) < 0 ? errno : 0;
}

/// Starts a child process that shares this one's descriptors, and runs no signal handler. No
/// SIGCHLD tells of its end. Returns its status, or a negated errno.
int in_child(int name_space, int place) {
  const detail::BlockedSignals blocked;
  const auto child =
      static_cast<pid_t>(::syscall(SYS_clone, CLONE_FILES, nullptr, nullptr, nullptr, 0));
  if (child < 0) return -errno;
  if (child == 0) ::_exit(make_socket_there(name_space, place));
  int status = 0;
  while (::waitpid(child, &status, static_cast<int>(__WCLONE)) < 0) {
    if (errno != EINTR) return -errno;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

Result<UniqueFd> open_there(int name_space, const std::string& shown) {
  UniqueFd netlink(make_socket());  // keeps the place for the child's
  if (!netlink) return fail(error_of_socket(errno));
  const int status = in_child(name_space, netlink.get());
  if (status == 0) return netlink;
  Error error = Error::system("enter network namespace", shown, status < 0 ? -status : status);
  if (status == EPERM) error.hint = "this needs root (CAP_SYS_ADMIN)";
  return fail(std::move(error));
}

}  // namespace

std::uint64_t namespace_of(const Host& host, pid_t process) {
  const auto file = fs::open_in_root(host.roots().proc, namespace_file(process), O_RDONLY);
  struct ::stat found {};
  return file && sys::stat(file->get(), found) == 0 ? found.st_ino : 0;
}

Result<UniqueFd> open_netlink(const Host& host, pid_t process) {
  if (!host.live()) {
    return fail(unsupported("this is not the running kernel", "read the sockets on the machine"));
  }
  if (namespace_of(host, process) == namespace_of(host, 0)) {
    UniqueFd netlink(make_socket());
    if (!netlink) return fail(error_of_socket(errno));
    return netlink;
  }
  const std::string file = namespace_file(process);
  const auto name_space = fs::open_in_root(host.roots().proc, file, O_RDONLY);
  if (!name_space) return fail(name_space.error());
  return open_there(name_space->get(), fs::join(host.roots().proc, file));
}

namespace {

// --- messages

/// Copies a structure off the start of `bytes`. Returns false if they are too few.
template <class T>
bool take(std::string_view bytes, T& out) {
  if (bytes.size() < sizeof out) return false;
  std::memcpy(&out, bytes.data(), sizeof out);
  return true;
}

std::size_t aligned(std::size_t size) {
  static_assert(NLMSG_ALIGNTO == RTA_ALIGNTO, "messages and attributes are aligned alike");
  return (size + NLMSG_ALIGNTO - 1) / NLMSG_ALIGNTO * NLMSG_ALIGNTO;
}

/// Removes the first `size` bytes and those that align what follows.
void drop(std::string_view& bytes, std::size_t size) {
  bytes.remove_prefix(std::min(aligned(size), bytes.size()));
}

/// Returns tcpi_total_retrans of the attribute INET_DIAG_INFO; 0 if there is none, as for a socket
/// that is no longer connected.
std::uint32_t resent_of(std::string_view attributes) {
  rtattr head{};
  while (take(attributes, head) && head.rta_len >= sizeof head &&
         head.rta_len <= attributes.size()) {
    const std::string_view info = attributes.substr(sizeof head, head.rta_len - sizeof head);
    constexpr std::size_t offset = offsetof(tcp_info, tcpi_total_retrans);
    std::uint32_t resent = 0;
    if (head.rta_type == INET_DIAG_INFO && info.size() > offset &&
        take(info.substr(offset), resent))
      return resent;
    drop(attributes, head.rta_len);
  }
  return 0;
}

bool take_socket(std::string_view payload, Tally& tally) {
  inet_diag_msg found{};
  if (!take(payload, found)) return false;
  constexpr unsigned half = 32;
  Socket socket;
  socket.cookie = found.id.idiag_cookie[0] | std::uint64_t{found.id.idiag_cookie[1]} << half;
  socket.v6 = found.idiag_family == AF_INET6;
  std::memcpy(socket.remote.data(), found.id.idiag_dst,
              socket.v6 ? sizeof(in6_addr) : sizeof(in_addr));
  socket.local_port = ntohs(found.id.idiag_sport);
  socket.remote_port = ntohs(found.id.idiag_dport);
  drop(payload, sizeof found);
  socket.resent = resent_of(payload);
  tally.see(socket);
  return true;
}

Error malformed() {
  return Error::make(errc::malformed, operation, {}, "the kernel's answer has an unknown form");
}

/// Returns the error of a message that ends an answer with a negated errno; nothing if it is 0.
Status status_of(std::string_view payload) {
  std::int32_t error = 0;
  if (!take(payload, error) || error == 0) return {};
  if (error == -ENOENT || error == -EOPNOTSUPP) {
    return fail(unsupported("the kernel cannot list TCP sockets",
                            "load its module tcp_diag (CONFIG_INET_TCP_DIAG)"));
  }
  return fail(system_error(-error));
}

struct Request {
  nlmsghdr head;
  inet_diag_req_v2 what;
};

/// States of sockets that may send again: all but TIME-WAIT, CLOSE, LISTEN and those without a
/// socket of their own yet (enum tcp_state of the kernel).
constexpr std::uint32_t sending_states =
    1U << TCP_ESTABLISHED | 1U << TCP_SYN_SENT | 1U << TCP_FIN_WAIT1 | 1U << TCP_FIN_WAIT2 |
    1U << TCP_CLOSE_WAIT | 1U << TCP_LAST_ACK | 1U << TCP_CLOSING;

}  // namespace

SocketReader::SocketReader(UniqueFd netlink)
    // The kernel's messages are at most this long (netlink_recvmsg()).
    : netlink_(std::move(netlink)), buffer_(std::size_t{32} * 1024) {
  const timeval patience{2, 0};
  ::setsockopt(netlink_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

Status SocketReader::ask(std::uint8_t family) {
  Request request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.head.nlmsg_seq = ++sequence_;
  request.what.sdiag_family = family;
  request.what.sdiag_protocol = IPPROTO_TCP;
  request.what.idiag_ext = 1U << (INET_DIAG_INFO - 1);
  request.what.idiag_states = sending_states;
  for (;;) {
    const ssize_t sent = sys::write(netlink_.get(), &request, sizeof request);
    if (sent >= 0) return {};
    if (sent != -EINTR) return fail(system_error(static_cast<int>(-sent)));
  }
}

Status SocketReader::take_message(std::string_view message, Tally& tally, Dump& dump) const {
  nlmsghdr head{};
  if (!take(message, head)) return fail(malformed());
  if (head.nlmsg_seq != sequence_) return {};
  dump.interrupted = dump.interrupted || (head.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
  const std::string_view payload = message.substr(sizeof head);
  if (head.nlmsg_type == NLMSG_DONE || head.nlmsg_type == NLMSG_ERROR) {
    dump.done = true;
    return status_of(payload);
  }
  if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY) return {};
  if (take_socket(payload, tally)) return {};
  return fail(malformed());
}

Status SocketReader::receive(Tally& tally, Dump& dump) {
  const ssize_t got = sys::read(netlink_.get(), buffer_.data(), buffer_.size());
  if (got == -EINTR) return {};
  if (got == -EAGAIN) {
    return fail(Error::make(errc::timed_out, operation, {}, "the kernel does not answer"));
  }
  if (got < 0) return fail(system_error(static_cast<int>(-got)));
  if (got == 0) return fail(malformed());
  std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
  nlmsghdr head{};
  while (!dump.done && take(bytes, head)) {
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > bytes.size()) return fail(malformed());
    if (auto status = take_message(bytes.substr(0, head.nlmsg_len), tally, dump); !status) {
      return status;
    }
    drop(bytes, head.nlmsg_len);
  }
  return {};
}

Result<SocketReader::Dump> SocketReader::read_family(std::uint8_t family, Tally& tally) {
  if (auto status = ask(family); !status) return fail(status.error());
  Dump dump;
  while (!dump.done) {
    if (auto status = receive(tally, dump); !status) return fail(status.error());
  }
  return dump;
}

Result<bool> SocketReader::read(Tally& tally) {
  constexpr int tries = 3;
  bool whole = true;
  for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
    bool interrupted = true;
    for (int i = 0; i < tries && interrupted; ++i) {
      const auto dump = read_family(family, tally);
      if (!dump) return fail(dump.error());
      interrupted = dump->interrupted;
    }
    whole = whole && !interrupted;
  }
  return whole;
}

}  // namespace cgctl::peers
