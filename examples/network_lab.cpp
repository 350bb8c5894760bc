// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Shows what happens to the connections of pods while a task holds the CPU that receives their
// packets. Makes two pods as Calico connects them, a client and a server that answers its requests,
// and a task that holds the CPU inside the kernel: it flushes the table of a bridge, which the
// kernel does in one go with softirqs off, or reads the root's memory.stat, for which the kernel
// sums up many removed cgroups with interrupts off. Any kernel with veth and bridge will do. Shows
// the time from request to reply and the segments sent again: quiet, under holds, and with little
// work. Everything it makes ends with it, also if it is killed. Exit status: 0 done, 1 failed, 2
// usage.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/host.hpp"
#include "cgctl/peers.hpp"
#include "held.hpp"
#include "laboratory.hpp"
#include "pods.hpp"
#include "zombie_statistics.hpp"

namespace {

using namespace cgctl;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using lab::Failure;
using lab::Held;
using lab::need;
using std::chrono::nanoseconds;

constexpr unsigned client_number = 2;
constexpr unsigned server_number = 3;
constexpr std::uint16_t server_port = 6379;
constexpr std::size_t connections = 8;
constexpr std::size_t message_size = 64;
constexpr const char* by_bridge = "bridge";
constexpr const char* by_statistics = "memory.stat";

struct Options {
  int seconds = 10;
  int cpu = -1;      ///< the CPU to hold; -1: the last one that is allowed
  int hold = 300;    ///< milliseconds
  int pause = 1000;  ///< milliseconds between two holds
  std::string work = by_bridge;
  std::size_t cgroups = 3000;  ///< removed ones, for the work by_statistics
  std::string cgctl;
};

void need(bool done, const char* what) {
  if (!done) throw Failure{Error::system(what, {}, errno)};
}

double milliseconds(nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

void pin_to(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(cpu), &one);
  need(::sched_setaffinity(0, sizeof one, &one) == 0, "pin to a CPU");
}

/// A child process and the pipe to and from it. It is killed when this object, or the laboratory,
/// ends.
class Child {
 public:
  /// `work` gets the child's end of the pipe.
  Child(const char* name, const std::function<void(int)>& work) {
    std::array<int, 2> ends{};
    need(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, "make a pipe");
    pipe_ = UniqueFd(ends[0]);
    const UniqueFd other(ends[1]);
    std::fflush(stdout);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    need(pid_ >= 0, "start a process");
    if (pid_ == 0) run(name, work, other.get(), parent);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  template <class T>
  void tell(const T& value) const {
    need(::write(pipe_.get(), &value, sizeof value) == sizeof value, "tell a process");
  }
  template <class T>
  T hear() const {
    T value{};
    const ssize_t got = ::recv(pipe_.get(), &value, sizeof value, MSG_WAITALL);
    if (got != sizeof value) {
      throw Failure{Error::make(errc::system, "hear from a process", {}, "it ended early")};
    }
    return value;
  }

 private:
  [[noreturn]] static void run(const char* name, const std::function<void(int)>& work, int pipe,
                               pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::prctl(PR_SET_NAME, name);
    try {
      work(pipe);
    } catch (const Failure& failure) {
      std::fprintf(stderr, "network_lab: %s: %s\n", name, failure.error.message().c_str());
    }
    ::_exit(1);
  }

  UniqueFd pipe_;
  pid_t pid_ = 0;
};

template <class T>
void say(int pipe, const T& value) {
  need(::write(pipe, &value, sizeof value) == sizeof value, "tell the laboratory");
}

template <class T>
T listen_for(int pipe) {
  T value{};
  if (::recv(pipe, &value, sizeof value, MSG_WAITALL) != sizeof value) ::_exit(0);
  return value;
}

/// Becomes a pod: says so, and waits until the node has connected it.
void become_pod(int pipe, unsigned number) {
  need(lab::enter_pod());
  say(pipe, 'p');
  (void)listen_for<char>(pipe);
  need(lab::configure_pod(number));
}

sockaddr_in address(unsigned number) {
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(server_port);
  there.sin_addr.s_addr = htonl(lab::address_of(number));
  return there;
}

UniqueFd tcp_socket() {
  UniqueFd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  need(made.get() >= 0, "open a socket");
  const int on = 1;
  ::setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return made;
}

// --- the server: sends back what it gets

void serve(int pipe, int cpu) {
  pin_to(cpu);
  become_pod(pipe, server_number);
  const UniqueFd listener = tcp_socket();
  const sockaddr_in here = address(server_number);
  need(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0, "bind");
  need(::listen(listener.get(), connections) == 0, "listen");
  say(pipe, 'l');
  std::vector<pollfd> polled{{listener.get(), POLLIN, 0}};
  for (;;) {
    need(::poll(polled.data(), polled.size(), -1) > 0, "wait");
    for (std::size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      std::array<char, message_size> message{};
      const ssize_t got = ::read(polled[i].fd, message.data(), message.size());
      if (got <= 0) ::_exit(0);
      need(::write(polled[i].fd, message.data(), static_cast<std::size_t>(got)) == got, "answer");
    }
    if (polled[0].revents == 0) continue;
    const int accepted = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted >= 0) polled.push_back({accepted, POLLIN, 0});
  }
}

// --- the client: a request on each connection every few milliseconds

struct Times {
  std::uint64_t requests = 0;
  nanoseconds p50{};
  nanoseconds p99{};
  nanoseconds max{};
};

class Client {
 public:
  Client() {
    const sockaddr_in there = address(server_number);
    for (std::size_t i = 0; i < connections; ++i) {
      sockets_.push_back(tcp_socket());
      const auto* const to = reinterpret_cast<const sockaddr*>(&there);
      need(::connect(sockets_.back().get(), to, sizeof there) == 0, "connect with the server");
      polled_.push_back({sockets_.back().get(), POLLIN, 0});
    }
    sent_.resize(connections);
    waiting_.resize(connections);
  }

  /// Sends requests and takes replies until the laboratory says something.
  void run_until_told(int pipe) {
    polled_.push_back({pipe, POLLIN, 0});
    for (polled_.back().revents = 0; polled_.back().revents == 0;) {
      send_requests();
      ::poll(polled_.data(), polled_.size(), 1);
      take_replies();
    }
    polled_.pop_back();
  }

  Times times() {
    std::sort(took_.begin(), took_.end());
    Times found;
    found.requests = took_.size();
    if (!took_.empty()) {
      found.p50 = took_[took_.size() / 2];
      found.p99 = took_[took_.size() * 99 / 100];
      found.max = took_.back();
    }
    took_.clear();
    return found;
  }

 private:
  void send_requests() {
    constexpr std::array<char, message_size> request{};
    for (std::size_t i = 0; i < connections; ++i) {
      if (waiting_[i] || Clock::now() - sent_[i] < 2ms) continue;
      need(::write(sockets_[i].get(), request.data(), request.size()) == message_size, "ask");
      sent_[i] = Clock::now();
      waiting_[i] = true;
    }
  }

  void take_replies() {
    for (std::size_t i = 0; i < connections; ++i) {
      if (polled_[i].revents == 0) continue;
      std::array<char, message_size> reply{};
      need(::read(sockets_[i].get(), reply.data(), reply.size()) > 0, "take a reply");
      took_.push_back(Clock::now() - sent_[i]);
      waiting_[i] = false;
    }
  }

  std::vector<UniqueFd> sockets_;
  std::vector<pollfd> polled_;
  std::vector<Clock::time_point> sent_;
  std::vector<bool> waiting_;
  std::vector<nanoseconds> took_;
};

void ask(int pipe, int cpu) {
  pin_to(cpu);
  become_pod(pipe, client_number);
  Client client;
  say(pipe, 'c');
  for (;;) {
    client.run_until_told(pipe);
    const char order = listen_for<char>(pipe);
    const Times times = client.times();
    if (order == 'r') say(pipe, times);  // else a phase begins
  }
}

// --- the holder: flushes the bridge's table, or reads memory.stat

struct Order {
  std::size_t size = 0;  ///< of the bridge's table, or number of removed cgroups
  nanoseconds phase{};   ///< 0: one hold
  nanoseconds pause{};
};

/// The times that the work held the CPU.
struct Work {
  Held held;
  Held refills;  ///< system calls that filled the bridge's table, if they held the CPU too
};

/// The work that holds the CPU.
class Holder {
 public:
  Holder(const Host& host, const lab::Node& node, bool reads_statistics)
      : host_(host), node_(node), reads_statistics_(reads_statistics) {}

  /// Obeys the orders that come from the pipe.
  void work(int pipe, int cpu) {
    pin_to(cpu);
    for (;;) {
      const auto order = listen_for<Order>(pipe);
      prepare(order.size);
      Work done;
      const auto end = Clock::now() + order.phase;
      do {
        hold(order.size, done);
        const auto left = std::chrono::duration_cast<nanoseconds>(end - Clock::now());
        const nanoseconds rest = std::clamp(left, nanoseconds(0), order.pause);
        ::usleep(static_cast<useconds_t>(rest / 1us));
      } while (Clock::now() < end);
      say(pipe, done);
    }
  }

 private:
  /// Makes the removed cgroups; those of an earlier order go.
  void prepare(std::size_t size) {
    if (!reads_statistics_ || (statistics_ && statistics_->count() == size)) return;
    statistics_.reset();
    statistics_.emplace(need(lab::ZombieStatistics::make(host_, size)));
  }

  /// Prepares in short system calls, and holds the CPU by a long one. Adds the time that the kernel
  /// worked on the latter.
  void hold(std::size_t size, Work& done) const {
    if (reads_statistics_) {
      need(statistics_->change());
    } else {
      need(node_.plug());
      need(node_.learn(size, done.refills));
    }
    const nanoseconds before = lab::cpu_time();
    need(reads_statistics_ ? statistics_->read() : node_.unplug());
    done.held.add(lab::cpu_time() - before);
  }

  const Host& host_;
  const lab::Node& node_;
  bool reads_statistics_;
  std::optional<lab::ZombieStatistics> statistics_;
};

/// Returns the number of addresses whose removal takes as long as the hold should.
std::size_t calibrate(const Child& holder, nanoseconds wanted) {
  constexpr std::size_t most = 1'000'000;
  std::size_t addresses = 5000;
  constexpr int tries = 6;
  for (int i = 0; i < tries; ++i) {
    holder.tell(Order{addresses, 0s, 0s});
    const nanoseconds took = std::max<nanoseconds>(holder.hear<Work>().held.longest, 10us);
    if (took > wanted * 9 / 10 && took < wanted * 5 / 4) break;
    const double factor = std::min(milliseconds(wanted) / milliseconds(took), 16.0);
    addresses = std::clamp<std::size_t>(
        static_cast<std::size_t>(static_cast<double>(addresses) * factor), 1000, most);
  }
  return addresses;
}

/// Makes the removed cgroups. Returns their number.
std::size_t make_statistics(const Child& holder, std::size_t cgroups) {
  holder.tell(Order{cgroups, 0s, 0s});
  (void)holder.hear<Work>();
  return cgroups;
}

// --- the phases

struct Pods {
  const Host& host;
  const Child& client;
  const Child& server;
};

void show_heading() {
  std::printf("%-12s %9s %22s %12s %10s %s\n", "", "requests", "p50 / p99 / max, ms", "sent again",
              "timeouts", "  CPU held, times, longest");
}

/// Returns "1006 ms, 3, 345 ms".
std::string in_words(const Held& held) {
  std::array<char, 80> text{};
  std::snprintf(text.data(), text.size(), "%.0f ms, %llu, %.0f ms", milliseconds(held.total),
                static_cast<unsigned long long>(held.holds), milliseconds(held.longest));
  return text.data();
}

void show(const char* phase, const Times& times, const peers::Resent& asked,
          const peers::Resent& answered, const Work& work) {
  const auto timeouts = [](const peers::Resent& resent) {
    return resent.counters[peers::Counter::tcp_timeouts].value_or(0);
  };
  const unsigned long long segments = asked.segments + answered.segments;
  const unsigned long long expired = timeouts(asked) + timeouts(answered);
  std::array<char, 40> rtt{};
  std::snprintf(rtt.data(), rtt.size(), "%.2f / %.2f / %.0f", milliseconds(times.p50),
                milliseconds(times.p99), milliseconds(times.max));
  std::printf("%-12s %9llu %22s %12llu %10llu", phase,
              static_cast<unsigned long long>(times.requests), rtt.data(), segments, expired);
  if (work.held.holds != 0) std::printf("   %s", in_words(work.held).c_str());
  if (work.refills.holds != 0) {
    std::printf("; refills of 4 ms or more: %s", in_words(work.refills).c_str());
  }
  std::printf("\n");
  for (const peers::Resent* resent : {&asked, &answered}) {
    for (const peers::Peer& peer : resent->peers) {
      std::printf("%-12s   to %s: %llu segments\n", "", to_string(peer).c_str(),
                  static_cast<unsigned long long>(peer.segments));
    }
  }
}

/// Measures while `work` runs.
void phase(const char* name, const Pods& pods, const std::function<Work()>& work) {
  auto asked = need(peers::Watch::start(pods.host, pods.client.pid()));
  auto answered = need(peers::Watch::start(pods.host, pods.server.pid()));
  pods.client.tell('b');
  const Work done = work();
  pods.client.tell('r');
  const auto times = pods.client.hear<Times>();
  need(asked.finish());
  need(answered.finish());
  show(name, times, asked.found(), answered.found(), done);
}

/// Returns the first and the last CPU that this process may use.
std::pair<int, int> cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  need(::sched_getaffinity(0, sizeof allowed, &allowed) == 0, "get affinity");
  std::pair<int, int> found{-1, -1};
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (!CPU_ISSET(static_cast<std::size_t>(i), &allowed)) continue;
    if (found.first < 0) found.first = i;
    found.second = i;
  }
  return found;
}

/// True if the process has opened an event to sample a CPU.
bool samples(pid_t process) {
  std::error_code ignored;
  const auto directory = "/proc/" + std::to_string(process) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const auto target = std::filesystem::read_symlink(entry.path(), ignored);
    if (target.string().find("perf_event") != std::string::npos) return true;
  }
  return false;
}

/// True if the process sleeps.
bool sleeps(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  return text.find(") S ") != std::string::npos;
}

/// Waits until the process samples and mostly sleeps, as the watch does once it has started. A slow
/// machine needs seconds to start it.
void wait_until_watched(pid_t process) {
  constexpr int enough = 8;
  for (int tries = 0, asleep = 0; tries < 1000 && asleep < enough; ++tries) {
    asleep = samples(process) && sleeps(process) ? asleep + 1 : 0;
    ::usleep(10000);
  }
}

/// Runs cgctl beside the holds, and waits until it watches.
pid_t start_watching(const Options& options, pid_t client) {
  if (options.cgctl.empty()) return 0;
  std::fflush(stdout);
  const pid_t child = ::fork();
  need(child >= 0, "start cgctl");
  if (child == 0) {
    const std::string pid = std::to_string(client);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execlp(options.cgctl.c_str(), "cgctl", "doctor", "--watch=24h", "--netns", pid.c_str(),
             nullptr);
    std::perror("network_lab: cgctl");
    ::_exit(1);
  }
  wait_until_watched(child);
  return child;
}

void run(const Options& options) {
  const Host host = need(Host::detect());
  const auto [first, last] = cpus();
  const int cpu = options.cpu < 0 ? last : options.cpu;
  const int other = cpu == first ? last : first;
  lab::Node node = need(lab::Node::enter());
  const Child server("lab-server", [other = other](int pipe) { serve(pipe, other); });
  const Child client("lab-client", [other = other](int pipe) { ask(pipe, other); });
  (void)server.hear<char>();
  (void)client.hear<char>();
  need(node.make_bridge());
  need(node.connect(server.pid(), server_number, static_cast<unsigned>(cpu)));
  need(node.connect(client.pid(), client_number, static_cast<unsigned>(cpu)));
  server.tell('g');
  (void)server.hear<char>();
  client.tell('g');
  (void)client.hear<char>();
  const bool statistics = options.work == by_statistics;
  const Child holder("lab-holder",
                     [&](int pipe) { Holder(host, node, statistics).work(pipe, cpu); });
  const std::size_t size = statistics ? make_statistics(holder, options.cgroups)
                                      : calibrate(holder, std::chrono::milliseconds(options.hold));
  std::printf("pods: the client, process %d, and the server, process %d (10.42.0.3:6379)\n",
              client.pid(), server.pid());
  std::printf("holder: process %d, CPU %d, %zu %s\n\n", holder.pid(), cpu, size,
              statistics ? "removed memory cgroups" : "addresses in a bridge's table");

  const Pods pods{host, client, server};
  const auto holding = [&](std::size_t count) {
    holder.tell(Order{count, std::chrono::seconds(options.seconds),
                      std::chrono::milliseconds(options.pause)});
    return holder.hear<Work>();
  };
  show_heading();
  phase("quiet", pods, [&] {
    ::sleep(static_cast<unsigned>(options.seconds));
    return Work{};
  });
  const pid_t watching = start_watching(options, client.pid());
  phase("holds", pods, [&] { return holding(size); });
  if (watching != 0) {
    ::kill(watching, SIGTERM);
    ::waitpid(watching, nullptr, 0);
  }
  phase("cured", pods, [&] { return holding(std::max<std::size_t>(size / 1000, 1)); });
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Makes two pods as Calico connects them, lets one ask the other, and holds the CPU that "
      "receives their packets inside the kernel, by flushing the table of a bridge or by a read of "
      "memory.stat. Shows the time from request to reply and the segments sent again: quiet, under "
      "holds, and with a thousandth of the work. Needs root and at least two CPUs. Leaves nothing "
      "behind."};
  app.add_option("--seconds", options.seconds, "length of each of the three phases")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  app.add_option("--cpu", options.cpu, "the CPU to hold; by default the last one")
      ->check(CLI::Range(0, 31));
  app.add_option("--hold", options.hold, "with `bridge`: length of a hold in milliseconds, about")
      ->capture_default_str()
      ->check(CLI::Range(1, 5000));
  app.add_option("--work", options.work,
                 "what holds the CPU: `bridge` flushes a bridge's table; `memory.stat` reads the "
                 "root's memory.stat, for which the kernel sums up removed cgroups (since Linux "
                 "5.13, and before 7.1)")
      ->capture_default_str()
      ->check(CLI::IsMember({by_bridge, by_statistics}));
  app.add_option("--cgroups", options.cgroups, "with `memory.stat`: number of removed cgroups")
      ->capture_default_str()
      ->check(CLI::Range(1, 50000));
  app.add_option("--pause", options.pause, "milliseconds between two holds")
      ->capture_default_str()
      ->check(CLI::Range(1, 60000));
  app.add_option("--cgctl", options.cgctl, "run this cgctl's doctor --watch during the holds");
  return lab::run("network_lab", app, argc, argv, [&options] {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // for a reader behind a pipe
    run(options);
    return 0;
  });
}
