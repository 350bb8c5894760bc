// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::tool {

/// Answers HTTP on a socket in the file system, which is removed at the end. Never waits for a
/// client: a client that asks nothing for a second is dropped, and of more than 16 the oldest.
class MetricsServer {
 public:
  /// `address` is unix:/PATH. A socket left over at that path is replaced; anything else is an
  /// error, and so is a socket that somebody listens on, busy or not. PATH.lock is held meanwhile.
  static Result<MetricsServer> listen(const std::string& address);

  MetricsServer(MetricsServer&&) = default;
  MetricsServer& operator=(MetricsServer&&) = delete;
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  ~MetricsServer() = default;

  /// Readable when serve() has something to do.
  [[nodiscard]] int descriptor() const noexcept { return events_.get(); }
  /// Answers each client that has asked: GET of any path with `text`.
  void serve(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  struct Client {
    UniqueFd socket;
    Clock::time_point until;
  };
  /// A file that goes with the server.
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
  [[nodiscard]] bool prepare();
  [[nodiscard]] bool watch(int fd) const noexcept;
  void accept_all();
  void refuse_one();
  void set_timer() const noexcept;

  UniqueFd lock_;
  OwnFile lock_file_;
  OwnFile socket_file_;
  UniqueFd socket_;
  UniqueFd events_;
  UniqueFd timer_;
  UniqueFd reserve_;     ///< given up for a moment to turn a client away when there is no other
  bool paused_ = false;  ///< nobody is accepted for a second
  std::vector<Client> clients_;  ///< oldest first
};

}  // namespace cgctl::tool
