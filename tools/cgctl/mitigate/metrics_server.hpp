// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"
#include "mitigate/listen_address.hpp"

namespace cgctl::tool {

/// Answers HTTP on a TCP port, or on a socket in the file system, which is removed at the end.
/// Never waits for a client: drops a client that sends no request within a second, or takes no part
/// of its answer for a second, and the oldest of more than 16.
class MetricsServer {
 public:
  /// Listens at a listen_address(). Replaces a socket left over at a path; fails for any other
  /// file, and for a socket that a process listens on, busy or not. Holds PATH.lock meanwhile.
  static Result<MetricsServer> listen(const std::string& address);

  MetricsServer(MetricsServer&&) = default;
  MetricsServer& operator=(MetricsServer&&) = delete;
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  ~MetricsServer() = default;

  /// Returns a descriptor that is readable when serve() has something to do.
  [[nodiscard]] int descriptor() const noexcept { return events_.get(); }
  /// Answers each client that has sent a request: a GET of /metrics or / with `text`, Prometheus'
  /// text format, or with the same as OpenMetrics if the client prefers that; with 503 if `text` is
  /// empty.
  void serve(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  struct Client {
    UniqueFd socket;
    Clock::time_point until;
    std::string answer;  ///< the part that is not sent yet
  };
  /// File that is removed together with the server.
  class OwnFile {
   public:
    explicit OwnFile(std::string path = {}) noexcept : path_(std::move(path)) {}
    OwnFile(OwnFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    OwnFile& operator=(OwnFile&&) = delete;
    OwnFile(const OwnFile&) = delete;
    OwnFile& operator=(const OwnFile&) = delete;
    ~OwnFile();

   private:
    std::string path_;
  };

  MetricsServer(UniqueFd lock, OwnFile lock_file, OwnFile socket_file, UniqueFd socket) noexcept
      : lock_(std::move(lock)),
        lock_file_(std::move(lock_file)),
        socket_file_(std::move(socket_file)),
        socket_(std::move(socket)) {}
  static Result<MetricsServer> listen_at_path(const ListenAddress& address);
  static Result<MetricsServer> listen_at_port(const ListenAddress& address,
                                              const std::string& shown);
  [[nodiscard]] bool prepare();
  [[nodiscard]] bool watch(int fd) const noexcept;
  void accept_all();
  void refuse_one();
  bool attend(Client& client, const std::string& text) const;
  void set_timer() const noexcept;

  UniqueFd lock_;
  OwnFile lock_file_;
  OwnFile socket_file_;
  UniqueFd socket_;
  UniqueFd events_;
  UniqueFd timer_;
  UniqueFd reserve_;             ///< closed for a moment to accept and turn away a client
  bool paused_ = false;          ///< true while no client is accepted, for a second
  std::vector<Client> clients_;  ///< oldest first
};

}  // namespace cgctl::tool
