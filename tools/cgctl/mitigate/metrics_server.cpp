// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/metrics_server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "cli/timespec.hpp"
#include "mitigate/openmetrics.hpp"

namespace cgctl::tool {
namespace {

constexpr std::size_t most_clients = 16;
constexpr std::chrono::seconds patience(1);

UniqueFd stream_socket(const ListenAddress& address) {
  return UniqueFd(
      ::socket(address.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

Error in_use(const std::string& path) {
  return Error::make(errc::busy, "listen", path, "another process listens there",
                     "stop that process, or choose another address");
}

/// Takes the lock that the process listening at a path holds.
Result<UniqueFd> take_lock(const std::string& path, const std::string& lock_path) {
  UniqueFd lock(
      ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!lock) return fail(fs::system_error("listen", path, errno));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return fail(in_use(path));
    return fail(fs::system_error("lock", lock_path, errno));
  }
  struct ::stat mine {};
  struct ::stat named {};
  const bool same = ::fstat(lock.get(), &mine) == 0 && ::lstat(lock_path.c_str(), &named) == 0 &&
                    mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
  // Another process ended in between and removed the file.
  if (!same) return fail(in_use(path));
  return lock;
}

/// Removes a socket that no process listens on. Only a refused connection proves that: a full queue
/// (EAGAIN) means a busy server.
Status make_room(const std::string& path, const ListenAddress& address) {
  struct ::stat about {};
  if (::lstat(path.c_str(), &about) != 0) return {};
  if (!S_ISSOCK(about.st_mode)) {
    return fail(Error::make(errc::invalid_argument, "listen", path, "exists and is not a socket"));
  }
  const UniqueFd probe = stream_socket(address);
  if (!probe) return fail(fs::system_error("listen", path, errno));
  if (::connect(probe.get(), address.get(), address.size) == 0 || errno == EAGAIN) {
    return fail(in_use(path));
  }
  if (errno != ECONNREFUSED) return fail(fs::system_error("connect", path, errno));
  ::unlink(path.c_str());
  return {};
}

UniqueFd any_descriptor() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

/// Returns the status of the answer to a request.
const char* status_of(std::string_view request, const std::string& text) {
  std::string_view row = parse::line(request);
  const std::string_view method = parse::field(row);
  std::string_view path = parse::field(row);
  path = path.substr(0, path.find('?'));
  if (!parse::starts_with(parse::field(row), "HTTP/1.")) return "400 Bad Request";
  if (method != "GET" && method != "HEAD") return "405 Method Not Allowed";
  if (path != "/metrics" && path != "/") return "404 Not Found";
  return text.empty() ? "503 Service Unavailable" : "200 OK";
}

/// Returns the answer to a request.
std::string answer_to(std::string_view request, const std::string& text) {
  const std::string_view status = status_of(request, text);
  const char* type = "text/plain";
  std::string body;
  if (!parse::starts_with(status, "200")) {
    body = fmt::format("{}\n", status);
  } else if (prefers_openmetrics(request)) {
    type = "application/openmetrics-text; version=1.0.0";
    body = openmetrics(text);
  } else {
    type = "text/plain; version=0.0.4";
    body = text;
  }
  const char* const allow = parse::starts_with(status, "405") ? "Allow: GET, HEAD\r\n" : "";
  const std::string head = fmt::format(
      "HTTP/1.1 {}\r\n{}Content-Type: {}; charset=utf-8\r\nContent-Length: {}\r\n"
      "Connection: close\r\n\r\n",
      status, allow, type, body.size());
  return parse::starts_with(request, "HEAD ") ? head : head + body;
}

}  // namespace

MetricsServer::OwnFile::~OwnFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

Result<MetricsServer> MetricsServer::listen_at_path(const ListenAddress& address) {
  const std::string path(address.path);
  const std::string lock_path = path + ".lock";
  auto lock = take_lock(path, lock_path);
  if (!lock) return fail(lock.error());
  OwnFile lock_file(lock_path);
  if (auto status = make_room(path, address); !status) return fail(status.error());
  UniqueFd socket = stream_socket(address);
  if (!socket || ::bind(socket.get(), address.get(), address.size) != 0) {
    return fail(fs::system_error("listen", path, errno));
  }
  MetricsServer server(std::move(*lock), std::move(lock_file), OwnFile(path), std::move(socket));
  if (::chmod(path.c_str(), 0660) != 0 || ::listen(server.socket_.get(), SOMAXCONN) != 0 ||
      !server.prepare()) {
    return fail(fs::system_error("listen", path, errno));
  }
  return server;
}

Result<MetricsServer> MetricsServer::listen_at_port(const ListenAddress& address,
                                                    const std::string& shown) {
  UniqueFd socket = stream_socket(address);
  if (!socket) return fail(fs::system_error("listen", shown, errno));
  // A port of which old connections are still known can be used again at once.
  const int yes = 1;
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(socket.get(), address.get(), address.size) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0) {
    return errno == EADDRINUSE ? fail(in_use(shown))
                               : fail(fs::system_error("listen", shown, errno));
  }
  MetricsServer server({}, OwnFile(), OwnFile(), std::move(socket));
  if (!server.prepare()) return fail(fs::system_error("listen", shown, errno));
  return server;
}

Result<MetricsServer> MetricsServer::listen(const std::string& address) {
  const auto parsed = listen_address(address);
  if (!parsed) {
    return fail(
        Error::make(errc::invalid_argument, "listen", address, std::string("not ") + listen_forms));
  }
  return parsed->path.empty() ? listen_at_port(*parsed, address) : listen_at_path(*parsed);
}

bool MetricsServer::prepare() {
  reserve_ = any_descriptor();
  events_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  clients_.reserve(most_clients + 1);
  return reserve_ && events_ && timer_ && watch(socket_.get()) && watch(timer_.get());
}

bool MetricsServer::watch(int fd) const noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  return ::epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

/// Turns away one client for which no descriptor is left: otherwise it would stay in the queue, and
/// the socket readable, for ever. If even that fails, pauses accepting for a second.
void MetricsServer::refuse_one() {
  reserve_.reset();
  const UniqueFd refused(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (refused) return;
  paused_ = ::epoll_ctl(events_.get(), EPOLL_CTL_DEL, socket_.get(), nullptr) == 0;
}

void MetricsServer::accept_all() {
  for (std::size_t i = 0; i < most_clients; ++i) {
    UniqueFd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client) {
      if (watch(client.get())) clients_.push_back({std::move(client), Clock::now() + patience, {}});
      if (clients_.size() > most_clients) clients_.erase(clients_.begin());
    } else if (errno == EMFILE || errno == ENFILE) {
      // The oldest client is dropped; if there is none, the newest is turned away.
      if (clients_.empty()) return refuse_one();
      clients_.erase(clients_.begin());
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

/// Reads the client's request and sends the answer, as far as the socket takes it. Returns true if
/// the client is done. Each part that is sent gives the client another second.
bool MetricsServer::attend(Client& client, const std::string& text) const {
  const int fd = client.socket.get();
  if (client.answer.empty()) {
    std::array<char, 2048> request{};
    const ssize_t got = ::recv(fd, request.data(), request.size(), 0);
    if (got < 0) return errno != EAGAIN && errno != EINTR;
    if (got == 0) return true;
    client.answer = answer_to({request.data(), static_cast<std::size_t>(got)}, text);
    epoll_event event{};
    event.events = EPOLLOUT;
    if (::epoll_ctl(events_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return true;
  }
  const ssize_t sent = ::send(fd, client.answer.data(), client.answer.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno != EAGAIN && errno != EINTR;
  client.answer.erase(0, static_cast<std::size_t>(sent));
  client.until = Clock::now() + patience;
  return client.answer.empty();
}

/// Sets the timer to the end of the time of a client, or of the pause.
void MetricsServer::set_timer() const noexcept {
  itimerspec when{};
  if (paused_ || !clients_.empty()) {
    auto next = Clock::now() + patience;
    for (const Client& client : clients_) next = std::min(next, client.until);
    when.it_value = to_timespec(next.time_since_epoch());
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void MetricsServer::serve(const std::string& text) {
  if (paused_) paused_ = !watch(socket_.get());
  accept_all();
  const auto now = Clock::now();
  for (auto client = clients_.begin(); client != clients_.end();) {
    const bool done = attend(*client, text) || client->until <= now;
    client = done ? clients_.erase(client) : client + 1;
  }
  if (!reserve_) reserve_ = any_descriptor();
  set_timer();
}

}  // namespace cgctl::tool
