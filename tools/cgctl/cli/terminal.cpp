// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/terminal.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "cgctl/parse.hpp"

namespace cgctl::tool {

std::optional<std::size_t> terminal_columns() {
  if (::isatty(STDOUT_FILENO) != 1) return std::nullopt;
  ::winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0) return size.ws_col;
  const char* const columns = std::getenv("COLUMNS");
  const auto named = parse::whole_number(columns == nullptr ? "" : columns);
  if (!named || *named == 0) return std::nullopt;
  return static_cast<std::size_t>(*named);
}

std::string local_time() {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{:%H:%M:%S}", fmt::localtime(now));
}

}  // namespace cgctl::tool
