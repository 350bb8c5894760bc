// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/peers.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "../support/made.hpp"
#include "../support/result.hpp"
#include "peers/sockets.hpp"
#include "peers/tally.hpp"

namespace peers_test {

using namespace cgctl;
using namespace std::chrono_literals;
using peers::Counter;
using peers::Peer;
using peers::Service;
using test::fails;
using test::must;
using test::ok;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// --- counters

constexpr const char* names =
    "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets "
    "CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n";

std::string snmp(unsigned resent) {
  return "Ip: Forwarding DefaultTTL\nIp: 1 64\n" + std::string(names) +
         "Tcp: 1 200 120000 -1 90 12 5 0 0 21784 13877 " + std::to_string(resent) +
         " 0 2 0\nUdp: InDatagrams\nUdp: 31\n";
}

/// The text of Linux 4.19, some names left out.
constexpr const char* netstat =
    "TcpExt: SyncookiesSent TCPLostRetransmit TCPFastRetrans TCPSlowStartRetrans TCPTimeouts\n"
    "TcpExt: 0 1 2 3 4\n"
    "IpExt: InNoRoutes InTruncatedPkts\nIpExt: 0 0\n";

TEST(PeerCounters, AreTheKernelsOwn) {
  const auto counters = must(peers::parse(snmp(7), netstat));
  EXPECT_EQ(counters[Counter::out_segs], 13877U);
  EXPECT_EQ(counters[Counter::retrans_segs], 7U);
  EXPECT_EQ(counters[Counter::tcp_lost_retransmit], 1U);
  EXPECT_EQ(counters[Counter::tcp_fast_retrans], 2U);
  EXPECT_EQ(counters[Counter::tcp_slow_start_retrans], 3U);
  EXPECT_EQ(counters[Counter::tcp_timeouts], 4U);
  EXPECT_EQ(to_string(Counter::tcp_abort_on_timeout), "TCPAbortOnTimeout");
}

TEST(PeerCounters, AreAbsentWhereTheKernelHasNone) {
  const auto counters = must(peers::parse(snmp(7), netstat));
  EXPECT_FALSE(counters[Counter::tcp_spurious_rtos]);
  EXPECT_FALSE(counters[Counter::tcp_loss_probes]);
}

TEST(PeerCounters, MustFitTheirNames) {
  EXPECT_TRUE(fails(peers::parse(std::string(names) + "Tcp: 1 200\n", netstat), errc::malformed));
  EXPECT_TRUE(fails(peers::parse(names, netstat), errc::malformed));
  EXPECT_TRUE(fails(peers::parse("Ip: a\nIp: 1\n", netstat), errc::truncated));
  EXPECT_TRUE(fails(peers::parse(snmp(1), ""), errc::truncated));
}

TEST(PeerCounters, GrowOnlyIfBothReadingsHaveThem) {
  peers::Counters before;
  peers::Counters after;
  before[Counter::retrans_segs] = 3;
  after[Counter::retrans_segs] = 10;
  before[Counter::tcp_timeouts] = 9;
  after[Counter::tcp_timeouts] = 8;
  after[Counter::tcp_loss_probes] = 5;
  const auto grown = peers::growth(before, after);
  EXPECT_EQ(grown[Counter::retrans_segs], 7U);
  EXPECT_FALSE(grown[Counter::tcp_timeouts]);
  EXPECT_FALSE(grown[Counter::tcp_loss_probes]);
}

// --- addresses

peers::Socket socket_to(std::uint64_t cookie, std::uint8_t last_byte, std::uint32_t resent) {
  peers::Socket socket;
  socket.cookie = cookie;
  socket.remote = {10, 0, 3, last_byte};
  socket.local_port = 46318;
  socket.remote_port = 6379;
  socket.resent = resent;
  return socket;
}

/// Counts sockets whose first reading found that none had sent again.
struct Counting {
  Counting() { tally.end(true, 0s, 0s, found); }

  void end() { tally.end(true, 1s, 2s, found); }
  std::string only() {
    end();
    EXPECT_EQ(found.peers.size(), 1U);
    return found.peers.empty() ? "" : to_string(found.peers.front());
  }

  peers::Tally tally;
  peers::Resent found;
};

TEST(Peers, AreNamedByTheServicesPort) {
  Counting remote;
  remote.tally.see(socket_to(1, 7, 4));
  EXPECT_EQ(remote.only(), "10.0.3.7:6379");

  Counting local;
  auto served = socket_to(1, 7, 4);
  std::swap(served.local_port, served.remote_port);
  local.tally.see(served);
  EXPECT_EQ(local.only(), "10.0.3.7 (from port 6379)");
}

TEST(Peers, OfIpv6HaveBracketsUnlessMapped) {
  Counting six;
  auto socket = socket_to(1, 7, 4);
  socket.v6 = true;
  socket.remote = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
  six.tally.see(socket);
  EXPECT_EQ(six.only(), "[2001:db8::7]:6379");

  Counting mapped;
  socket.remote = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 3, 7};
  mapped.tally.see(socket);
  EXPECT_EQ(mapped.only(), "10.0.3.7:6379");
}

TEST(Peers, CountOnlyWhatWasSentAgainSinceTheStart) {
  peers::Tally tally;
  peers::Resent found;
  tally.see(socket_to(1, 7, 100));
  tally.end(true, 0s, 1s, found);
  EXPECT_TRUE(found.peers.empty());
  tally.see(socket_to(1, 7, 103));
  tally.see(socket_to(2, 7, 2));  // a new one
  tally.see(socket_to(3, 8, 0));
  tally.end(true, 1s, 2s, found);
  tally.see(socket_to(1, 7, 104));
  tally.end(true, 2s, 3s, found);
  ASSERT_EQ(found.peers.size(), 1U);
  EXPECT_EQ(found.peers[0].segments, 6U);
  ASSERT_EQ(found.peer_bursts.size(), 2U);
  EXPECT_EQ(found.peer_bursts[0].segments, 5U);
  EXPECT_EQ(found.peer_bursts[1].since, 2s);
  EXPECT_EQ(found.peer_bursts[1].until, 3s);
}

TEST(Peers, AreBounded) {
  Counting many;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    auto socket = socket_to(i + 1, 7, 1);
    socket.remote_port = static_cast<std::uint16_t>(1000 + i);
    many.tally.see(socket);
  }
  many.end();
  EXPECT_EQ(many.found.peers.size(), peers::Watch::most_peers);
}

TEST(Peers, KeepTheFiguresOfOpenSocketsOnly) {
  Counting churn;
  constexpr std::uint64_t rounds = 20;
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    churn.tally.see(socket_to(1, 7, static_cast<std::uint32_t>(round)));
    for (std::uint64_t i = 0; i < 2000; ++i) churn.tally.see(socket_to(round * 10000 + i, 8, 1));
    churn.end();
  }
  ASSERT_EQ(churn.found.peers.size(), 2U);
  EXPECT_EQ(churn.found.peers[0].segments, rounds);
  EXPECT_EQ(churn.found.peers[1].segments, 2000 * rounds);
}

TEST(Peers, LeaveOutSocketsThatTheFullTableLacks) {
  peers::Tally tally;
  peers::Resent found;
  const auto all = [&tally] {
    for (std::uint64_t i = 1; i <= peers::Tally::most_sockets + 5; ++i) {
      tally.see(socket_to(i, 7, 50));
    }
  };
  all();
  tally.end(true, 0s, 1s, found);
  all();
  tally.end(true, 1s, 2s, found);
  EXPECT_TRUE(found.peers.empty());
}

// --- the kernel's messages

/// A message of Linux 6.18 on a socket from 127.0.0.1:34662 to 127.0.0.1:32795.
constexpr const char* captured =
    "980100001400020007000000cf7a0000020100008766801b7f0000010000000000000000000000007f00000100"
    "000000000000000000000000000000030000000000000000000000000000000000000000000000d30d2d000500"
    "08000000000008000f00000000000c001500010000000000000006001600520000001c010200010000000007aa"
    "01400d030000000000e57f00001802000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000ffff0000d7ff0000180000000c000000ffffff7f0a000000cbff00000300000000000000d7"
    "ff0000000000004b1acf1309000000ffffffffffffffff01000000000000000000000000000000020000000100"
    "000000000000180000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000000010000000000000000000000000000000000000000000000000000000000000000000000cbff0000"
    "000001000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000";

constexpr std::size_t sequence_at = 8;
constexpr std::size_t flags_at = 6;
constexpr std::size_t resent_at = 228;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

template <class T>
void patch(std::string& bytes, std::size_t at, T value) {
  std::memcpy(&bytes[at], &value, sizeof value);
}

std::string a_socket(std::uint32_t sequence, std::uint32_t resent, std::uint16_t flags = 0) {
  std::string bytes = bytes_of(captured);
  patch(bytes, sequence_at, sequence);
  patch(bytes, flags_at, flags);
  patch(bytes, resent_at, resent);
  return bytes;
}

std::string an_end(std::uint32_t sequence, std::int32_t error = 0,
                   std::uint16_t type = NLMSG_DONE) {
  nlmsghdr head{};
  head.nlmsg_len = sizeof head + sizeof error;
  head.nlmsg_type = type;
  head.nlmsg_seq = sequence;
  std::string bytes(head.nlmsg_len, '\0');
  patch(bytes, 0, head);
  patch(bytes, sizeof head, error);
  return bytes;
}

/// A reader and the kernel's end of its socket.
class PeerSockets : public ::testing::Test {
 protected:
  PeerSockets() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()), 0);
    kernel_ = UniqueFd(ends[0]);
    reader_.emplace(UniqueFd(ends[1]));
    tally_.end(true, 0s, 0s, found_);
  }

  void answer(const std::string& bytes) {
    EXPECT_EQ(::send(kernel_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  Result<bool> read() { return reader_->read(tally_); }
  std::uint64_t segments() {
    tally_.end(true, 1s, 2s, found_);
    return found_.peers.empty() ? 0 : found_.peers.front().segments;
  }

  UniqueFd kernel_;
  std::optional<peers::SocketReader> reader_;
  peers::Tally tally_;
  peers::Resent found_;
};

TEST_F(PeerSockets, AreReadFromBothFamilies) {
  answer(a_socket(1, 5) + an_end(1));
  answer(an_end(2));
  EXPECT_EQ(must(read()), true);
  EXPECT_EQ(segments(), 5U);
  EXPECT_EQ(to_string(found_.peers.front()), "127.0.0.1:32795");
}

TEST_F(PeerSockets, AreReadAgainIfTheyChanged) {
  answer(a_socket(1, 3, NLM_F_DUMP_INTR) + an_end(1));
  answer(a_socket(2, 5) + an_end(2));
  answer(an_end(3));
  EXPECT_EQ(must(read()), true);
  EXPECT_EQ(segments(), 5U);
}

TEST_F(PeerSockets, ThatChangeEachTimeAreNotWhole) {
  for (std::uint32_t i = 1; i <= 3; ++i) answer(a_socket(i, 5, NLM_F_DUMP_INTR) + an_end(i));
  answer(an_end(4));
  EXPECT_EQ(must(read()), false);
  EXPECT_EQ(segments(), 5U);
}

TEST_F(PeerSockets, OfAnEarlierAnswerAreSkipped) {
  answer(a_socket(9, 77) + an_end(9));
  answer(a_socket(1, 5) + an_end(1));
  answer(an_end(2));
  EXPECT_EQ(must(read()), true);
  EXPECT_EQ(segments(), 5U);
}

TEST_F(PeerSockets, NeedTheKernelsModule) {
  answer(an_end(1, -ENOENT, NLMSG_ERROR));
  const auto failed = read();
  ASSERT_TRUE(fails(failed, errc::unsupported));
  EXPECT_THAT(failed.error().message(), HasSubstr("tcp_diag"));
}

TEST_F(PeerSockets, FailIfTheKernelStopsHalfWay) {
  answer(a_socket(1, 5));
  answer(an_end(1, -ENOMEM));
  const auto failed = read();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().os_errno, ENOMEM);
}

TEST_F(PeerSockets, OfAnotherFormAreAnError) {
  answer(a_socket(1, 5).substr(0, 60));
  EXPECT_TRUE(fails(read(), errc::malformed));
}

TEST_F(PeerSockets, CutOffInTheirHeadAreAnError) {
  std::string cut = a_socket(1, 5).substr(0, 60);
  patch(cut, 0, std::uint32_t{60});
  answer(cut);
  EXPECT_TRUE(fails(read(), errc::malformed));
}

TEST_F(PeerSockets, WithoutFiguresCountNothing) {
  std::string bare = a_socket(1, 5).substr(0, 88);
  patch(bare, 0, std::uint32_t{88});
  answer(bare + an_end(1));
  answer(an_end(2));
  EXPECT_EQ(must(read()), true);
  EXPECT_EQ(segments(), 0U);
}

// --- a watch

TEST(PeerWatch, SaysWhenSegmentsWereSentAgain) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("memory");
  machine.put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t1\t1\n");
  machine.put("proc/self/net/snmp", snmp(7));
  machine.put("proc/self/net/netstat", netstat);
  auto watch = must(peers::Watch::start(must(machine.host())));
  ASSERT_TRUE(ok(watch.poll()));
  EXPECT_TRUE(watch.found().bursts.empty());
  machine.put("proc/self/net/snmp", snmp(19));
  ASSERT_TRUE(ok(watch.finish()));
  ASSERT_EQ(watch.found().bursts.size(), 1U);
  EXPECT_EQ(watch.found().bursts[0].segments, 12U);
  EXPECT_GE(watch.found().bursts[0].since, watch.found().since);
  EXPECT_EQ(watch.found().bursts[0].until, watch.found().until);
  EXPECT_EQ(watch.found().segments, 12U);
  EXPECT_EQ(watch.found().counters[Counter::retrans_segs], 12U);
  ASSERT_TRUE(watch.found().peers_unknown);
  EXPECT_EQ(watch.found().peers_unknown->kind, errc::unsupported);
}

TEST(PeerWatch, NamesAProcessThatIsNotThere) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("memory");
  const auto watch = peers::Watch::start(must(machine.host()), 4242);
  ASSERT_FALSE(watch);
  EXPECT_THAT(watch.error().message(), HasSubstr("4242/net/snmp"));
  EXPECT_THAT(watch.error().message(), HasSubstr("is there a process 4242?"));
}

}  // namespace peers_test
