// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::tool {

/// Answers HTTP on a socket in the file system, which is removed at the end.
class MetricsServer {
 public:
  /// `address` is unix:/PATH. A socket left over at that path is replaced, anything else is an
  /// error, and so is one that still answers.
  static Result<MetricsServer> listen(const std::string& address);

  MetricsServer(MetricsServer&& other) noexcept;
  MetricsServer& operator=(MetricsServer&&) = delete;
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  ~MetricsServer();

  /// Readable when someone asks.
  [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }
  /// Answers who asks: GET of any path with `text`. Takes a fifth of a second at most, whatever the
  /// other side does.
  void answer(const std::string& text) const;

 private:
  MetricsServer(UniqueFd socket, std::string path) noexcept
      : socket_(std::move(socket)), path_(std::move(path)) {}

  UniqueFd socket_;
  std::string path_;
};

}  // namespace cgctl::tool
