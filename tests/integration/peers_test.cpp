// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/peers.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "../support/result.hpp"
#include "../support/skip.hpp"

namespace peers_test {

using namespace cgctl;
using peers::Counter;
using test::must;
using test::ok;

bool raise_loopback() {
  const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::string("lo").copy(request.ifr_name, sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_UP;
  return ::ioctl(any.get(), SIOCSIFFLAGS, &request) == 0;
}

/// A connection from 127.0.0.1 to 127.0.0.2, port 6379.
struct Connection {
  UniqueFd sender;
  UniqueFd receiver;

  bool open() {
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_port = htons(6379);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    const auto* const address = reinterpret_cast<const sockaddr*>(&there);
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sender = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listener.get(), address, sizeof there) != 0) return false;
    if (::listen(listener.get(), 1) != 0) return false;
    if (::connect(sender.get(), address, sizeof there) != 0) return false;
    receiver = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return receiver.get() >= 0;
  }

  /// Makes the receiver lose all that arrives, before TCP sees it.
  [[nodiscard]] bool lose() const {
    sock_filter nothing{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog program{1, &nothing};
    return ::setsockopt(receiver.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ==
           0;
  }

  [[nodiscard]] unsigned resent() const {
    tcp_info info{};
    socklen_t size = sizeof info;
    ::getsockopt(sender.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
    return info.tcpi_total_retrans;
  }

  /// Sends a byte, and waits until it was sent again twice: after some 0.6 s.
  [[nodiscard]] bool send_again() const {
    constexpr int patience = 1000;
    if (::send(sender.get(), "x", 1, MSG_NOSIGNAL) != 1) return false;
    for (int i = 0; i < patience && resent() < 2; ++i) ::usleep(10'000);
    return resent() >= 2;
  }
};

/// Says with one byte that a step is done, and waits for the other process to do the same.
class Steps {
 public:
  Steps() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0); }
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;
  ~Steps() {
    for (const int end : ends_) ::close(end);
  }
  void say(int end) const { EXPECT_EQ(::write(ends_[static_cast<std::size_t>(end)], "x", 1), 1); }
  [[nodiscard]] bool hear(int end) const {
    char byte = 0;
    return ::read(ends_[static_cast<std::size_t>(end)], &byte, 1) == 1;
  }

 private:
  std::array<int, 2> ends_{};
};

/// The child's part: a network namespace of its own, in which segments are lost. Returns the step
/// that failed, or 0.
int lose_segments(const Steps& steps) {
  Connection connection;
  if (::unshare(CLONE_NEWNET) != 0) return 1;
  if (!raise_loopback()) return 2;
  if (!connection.open()) return 3;
  steps.say(1);
  if (!steps.hear(1)) return 4;
  if (!connection.lose()) return 5;
  if (!connection.send_again()) return 6;
  steps.say(1);
  return steps.hear(1) ? 0 : 7;
}

std::uint64_t own_namespace() {
  struct stat found {};
  return ::stat("/proc/thread-self/ns/net", &found) == 0 ? found.st_ino : 0;
}

class RealPeers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test::is_root()) return test::skip("needs root");
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::_exit(lose_segments(steps_));
    }
    ASSERT_TRUE(steps_.hear(0));
  }

  void TearDown() override {
    if (child_ <= 0) return;
    steps_.say(0);
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, 0), child_);
    EXPECT_EQ(status, 0);
  }

  void lose() const {
    steps_.say(0);
    ASSERT_TRUE(steps_.hear(0));
  }

  const Host host_ = must(Host::detect());
  const Steps steps_;
  pid_t child_ = 0;
};

TEST_F(RealPeers, AreNamedWithTheSegmentsThatWereSentAgain) {
  const std::uint64_t before = own_namespace();
  auto watch = must(peers::Watch::start(host_, child_));
  EXPECT_EQ(own_namespace(), before);
  EXPECT_NE(watch.found().network_namespace, before);
  lose();
  ASSERT_TRUE(ok(watch.finish()));
  const peers::Resent& found = watch.found();
  EXPECT_GE(found.segments, 2U);
  EXPECT_EQ(found.counters[Counter::retrans_segs], found.segments);
  EXPECT_GE(found.counters[Counter::tcp_timeouts].value_or(0), 1U);
  ASSERT_EQ(found.bursts.size(), 1U);
  if (found.peers_unknown && found.peers_unknown->kind == errc::unsupported) {
    return test::skip("the kernel cannot list TCP sockets");
  }
  ASSERT_FALSE(found.peers_unknown) << found.peers_unknown->message();
  ASSERT_EQ(found.peers.size(), 1U);
  EXPECT_EQ(to_string(found.peers[0]), "127.0.0.2:6379");
  EXPECT_GE(found.peers[0].segments, 2U);
  EXPECT_LE(found.peers[0].segments, found.segments + 1);
}

TEST_F(RealPeers, OfAnotherNamespaceAreNotCounted) {
  auto watch = must(peers::Watch::start(host_));
  EXPECT_EQ(watch.found().network_namespace, own_namespace());
  lose();
  ASSERT_TRUE(ok(watch.finish()));
  for (const peers::Peer& peer : watch.found().peers) {
    EXPECT_NE(to_string(peer), "127.0.0.2:6379");
  }
}

}  // namespace peers_test
