// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/input.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include "cgctl/filesystem.hpp"

namespace cgctl::tool {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::int64_t anonymous_pipe = 0x50495045;  // PIPEFS_MAGIC
using End = std::optional<steady_clock::time_point>;

/// Waits for input. Returns false once the time is over.
bool wait_for_input(int fd, End end) {
  pollfd input{fd, POLLIN, 0};
  int ready = 0;
  do {
    constexpr int for_ever = -1;
    int left = for_ever;
    if (end) {
      const auto rest = std::chrono::ceil<milliseconds>(*end - steady_clock::now());
      left = static_cast<int>(std::max(rest, milliseconds(0)).count());
    }
    ready = ::poll(&input, 1, left);
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

bool is_fifo(int fd) {
  struct ::stat about {};
  return ::fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode);
}

/// True for a FIFO with a name, which a process may still open for writing, unlike <(command).
bool may_get_a_writer(int fd) {
  struct ::statfs system {};
  return is_fifo(fd) && ::fstatfs(fd, &system) == 0 &&
         static_cast<std::int64_t>(system.f_type) != anonymous_pipe;
}

Error late(const std::string& shown, const char* reason, milliseconds waited) {
  return Error::make(errc::timed_out, "read", shown,
                     fmt::format("{} within {} ms", reason, waited.count()), "use a regular file");
}

/// Reads a descriptor to its end. `awaits_writer` is true for a FIFO, opened with O_NONBLOCK, that
/// may have no writer yet: poll(2) reports data only, but a read of 0 bytes means that there is no
/// writer, and EAGAIN that there is one.
Result<std::string> read_to_end(int fd, const std::string& shown, const InputLimits& limits,
                                bool awaits_writer) {
  const auto began = steady_clock::now();
  End end;
  if (limits.patience) end = began + *limits.patience;
  const auto first_wait =
      std::min(limits.first_writer, limits.patience.value_or(limits.first_writer));
  std::string text;
  std::array<char, 65536> piece{};
  for (;;) {
    const bool ready = wait_for_input(fd, awaits_writer ? began + first_wait : end);
    if (!ready && !awaits_writer) return fail(late(shown, "it did not end", *limits.patience));
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got == 0 && !ready) return fail(late(shown, "nobody wrote to this FIFO", first_wait));
    awaits_writer = false;
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
  auto text = read_to_end(fd->get(), path, limits, may_get_a_writer(fd->get()));
  if (text && text->empty() && is_fifo(fd->get())) {
    return fail(Error::make(errc::malformed, "read", path, "nothing was written to this pipe",
                            "start its writer first"));
  }
  return text;
}

Result<std::string> read_standard_input(const InputLimits& limits) {
  return read_to_end(STDIN_FILENO, "standard input", limits, false);
}

}  // namespace cgctl::tool
