// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "input.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "cgctl/filesystem.hpp"

namespace cgctl::tool {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Waits for something to read. Returns false once the time is over.
bool wait_for_input(int fd, std::optional<steady_clock::time_point> end) {
  constexpr int for_ever = -1;
  int left = for_ever;
  if (end) {
    const auto rest = std::chrono::ceil<milliseconds>(*end - steady_clock::now());
    left = static_cast<int>(std::max(rest, milliseconds(0)).count());
  }
  pollfd input{fd, POLLIN, 0};
  return ::poll(&input, 1, left) != 0;
}

Result<std::string> read_to_end(int fd, const std::string& shown, const InputLimits& limits) {
  std::optional<steady_clock::time_point> end;
  if (limits.patience) end = steady_clock::now() + *limits.patience;
  std::string text;
  std::array<char, 65536> piece{};
  for (;;) {
    if (!wait_for_input(fd, end)) {
      return fail(Error::make(errc::timed_out, "read", shown,
                              fmt::format("it did not end within {} ms", limits.patience->count()),
                              "keep the text in a regular file"));
    }
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail(fs::system_error("read", shown, errno));
    if (got == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(got));
    if (text.size() > limits.bytes) {
      return fail(Error::make(errc::malformed, "read", shown,
                              fmt::format("larger than {} KiB", limits.bytes >> 10U)));
    }
  }
}

}  // namespace

Result<std::string> read_input(const std::string& path, const InputLimits& limits) {
  const auto fd = fs::open_trusted(path, O_RDONLY);
  if (!fd) return fail(fd.error());
  struct ::stat about {};
  if (::fstat(fd->get(), &about) != 0) return fail(fs::system_error("stat", path, errno));
  auto text = read_to_end(fd->get(), path, limits);
  if (text && text->empty() && S_ISFIFO(about.st_mode)) {
    return fail(Error::make(errc::malformed, "read", path, "nothing was written to this pipe",
                            "start its writer first"));
  }
  return text;
}

Result<std::string> read_standard_input(const InputLimits& limits) {
  return read_to_end(STDIN_FILENO, "standard input", limits);
}

}  // namespace cgctl::tool
