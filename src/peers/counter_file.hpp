// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cgctl/host.hpp"

namespace cgctl::peers {

/// An open counter file of a namespace, with its buffer.
struct CounterFile {
  UniqueFd fd;
  std::string shown;
  std::vector<char> buffer;

  static Result<CounterFile> open(const Host& host, pid_t process, const char* name) {
    const std::string file =
        (process == 0 ? "self" : std::to_string(process)) + "/net/" + std::string(name);
    auto fd = fs::open_in_root(host.roots().proc, file, O_RDONLY);
    const std::string shown = fs::join(host.roots().proc, file);
    if (!fd) return fail(explained(fd.error(), process));
    constexpr std::size_t usual = 8192;
    return CounterFile{std::move(*fd), shown, std::vector<char>(usual)};
  }

  Result<std::string_view> read() { return fs::read_once(fd.get(), buffer, shown); }

 private:
  static Error explained(Error error, pid_t process) {
    const bool gone = error.os_errno == ENOENT || error.os_errno == ESRCH;
    if (gone && process != 0) error.hint = "is there a process " + std::to_string(process) + "?";
    return error;
  }
};

}  // namespace cgctl::peers
