// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"
#include "peers/tally.hpp"

namespace cgctl::peers {

/// Opens a netlink socket in the network namespace of a process; 0 is the own process.
Result<UniqueFd> open_netlink(const Host& host, pid_t process);

/// Returns the inode of the process's network namespace; 0 if it cannot be read.
std::uint64_t namespace_of(const Host& host, pid_t process);

/// Reads the TCP sockets of a network namespace.
class SocketReader {
 public:
  explicit SocketReader(UniqueFd netlink);

  /// Gives each socket but listening ones and those in TIME-WAIT, IPv4 and IPv6, to `tally`. Reads
  /// again if the kernel says that they changed during the reading; returns false if they did so
  /// each time. errc::unsupported if the kernel lacks what is needed, errc::malformed for an answer
  /// of another form, errc::timed_out without an answer.
  Result<bool> read(Tally& tally);

 private:
  /// One answer of the kernel, from the request to its last message.
  struct Dump {
    bool done = false;
    bool interrupted = false;
  };

  Status ask(std::uint8_t family);
  Result<Dump> read_family(std::uint8_t family, Tally& tally);
  Status receive(Tally& tally, Dump& dump);
  Status take_message(std::string_view message, Tally& tally, Dump& dump) const;

  UniqueFd netlink_;
  std::vector<char> buffer_;
  std::uint32_t sequence_ = 0;
};

}  // namespace cgctl::peers
