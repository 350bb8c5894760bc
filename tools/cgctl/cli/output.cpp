// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "cli/command.hpp"
#include "cli/escape.hpp"
#include "cli/terminal.hpp"

namespace cgctl::tool {
namespace {

/// The errno of the first failed write to standard output; 0 if none failed.
int lost_because = 0;

bool is_terminal(std::FILE* stream) {
  static const bool output = ::isatty(STDOUT_FILENO) == 1;
  return stream == stdout ? output : ::isatty(::fileno(stream)) == 1;
}

bool not_empty(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

Exit status_of(errc kind) {
  switch (kind) {
    case errc::over_budget:
      return Exit::refused;
    case errc::busy:
      return Exit::locked;
    case errc::invalid_argument:
      return Exit::usage;
    default:
      return Exit::failed;
  }
}

std::string padded(const std::string& cell, std::size_t width, Table::Align align) {
  const std::string gap(width - std::min(width, cell.size()), ' ');
  return align == Table::Align::right ? gap + cell : cell + gap;
}

/// True if `c` continues a UTF-8 character.
bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

/// Shortens `path` to at most `width` bytes: "..." replaces its middle, because its end identifies
/// it.
std::string shortened(const std::string& path, std::size_t width) {
  constexpr std::string_view gap = "...";
  if (path.size() <= width) return path;
  std::size_t head = (width - gap.size()) / 3;
  std::size_t tail = path.size() - (width - gap.size() - head);
  while (head > 0 && continues(path[head])) --head;
  while (tail < path.size() && continues(path[tail])) ++tail;
  return path.substr(0, head).append(gap).append(path, tail);
}

/// Shortens the paths of the last column so that a row fits the terminal, if there is one.
void fit_terminal(const std::vector<std::size_t>& widths,
                  std::vector<std::vector<std::string>>& rows) {
  constexpr std::size_t least = 12;
  constexpr std::size_t gap = 2;
  const auto columns = terminal_columns();
  if (!columns) return;
  std::size_t before = 0;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) before += widths[i] + gap;
  const std::size_t left = std::max(*columns, before + least) - before;
  for (auto& row : rows) {
    if (row.back().substr(0, 1) == "/") row.back() = shortened(row.back(), left);
  }
}

}  // namespace

void print(const Globals& globals, std::string_view text) {
  if (globals.quiet) return;
  write(stdout, text);
}

const std::string& host_name() {
  static const std::string name = [] {
    utsname machine{};
    ::uname(&machine);
    return std::string(machine.nodename);
  }();
  return name;
}

std::string json_text(nlohmann::ordered_json value) {
  constexpr int one_line = -1;
  keep_bytes(value);
  return value.dump(one_line, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string json_line(std::string_view schema, nlohmann::ordered_json object,
                      std::chrono::system_clock::time_point time) {
  std::string line =
      fmt::format(R"({{"schema":"cgctl.{}","time":"{:%Y-%m-%dT%H:%M:%SZ}","host":{})", schema,
                  fmt::gmtime(std::chrono::system_clock::to_time_t(time)), json_text(host_name()));
  if (!object.empty()) line += ',';
  return line.append(json_text(std::move(object)), 1).append("\n");
}

void print(const Globals& globals, std::string_view schema, nlohmann::ordered_json object) {
  if (!globals.quiet) print(globals, std::string_view(json_line(schema, std::move(object))));
}

void write(std::FILE* stream, std::string_view text) {
  if (!is_terminal(stream)) {
    (void)std::fwrite(text.data(), 1, text.size(), stream);
    return;
  }
  const std::string safe = escaped_lines(text);
  (void)std::fwrite(safe.data(), 1, safe.size(), stream);
}

bool flush_output() {
  errno = 0;
  if (std::fflush(stdout) == 0) return true;
  if (lost_because == 0) lost_because = errno;
  return false;
}

void reserve_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) (void)::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  }
}

bool close_output() {
  (void)flush_output();
  const bool lost = lost_because != 0 || std::ferror(stdout) != 0;
  // A stream that was closed from the beginning (EBADF) and not written to has lost nothing.
  if (!lost && (std::fclose(stdout) == 0 || errno == EBADF)) return true;
  // Without an errno an earlier write failed, and its reason is not known any more.
  int reason = lost_because;
  if (reason == 0) reason = errno == 0 ? EIO : errno;
  if (reason != EPIPE) report(Error::system("write", "standard output", reason));
  return false;
}

Exit report(const Error& error) {
  warn(message_of(error));
  return status_of(error.kind);
}

void warn(std::string_view message) {
  std::string line(message);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  line = "cgctl: " + escaped(line) + "\n";
  (void)std::fwrite(line.data(), 1, line.size(), stderr);
}

void warn_of(const std::vector<Error>& errors) {
  std::set<std::string> messages;
  for (const Error& error : errors) messages.insert(message_of(error));
  for (const std::string& message : messages) warn(message);
}

bool use_color() {
  static const bool use = [] {
    const char* const terminal = std::getenv("TERM");
    const bool dumb = terminal != nullptr && std::string_view(terminal) == "dumb";
    return ::isatty(STDOUT_FILENO) == 1 && !not_empty("NO_COLOR") && !dumb;
  }();
  return use;
}

std::string paint(Color color, std::string_view text) {
  if (!use_color()) return std::string(text);
  const char* code = "1";
  if (color == Color::red) code = "31";
  if (color == Color::green) code = "32";
  if (color == Color::yellow) code = "33";
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::string printable(std::string_view name) {
  return is_terminal(stdout) ? escaped(name) : std::string(name);
}

const char* describe(zombies::Source source) noexcept {
  switch (source) {
    case zombies::Source::census:
      return "a census";
    case zombies::Source::page_flags:
      return "page flags";
    case zombies::Source::memory_stat:
      break;
  }
  return "memory.stat";
}

std::string in_words(const zombies::Count& count) {
  if (!count.exact()) return fmt::format("{} to {} zombies", count.low, count.high);
  return counted(count.low, "zombie");
}

std::string counted(std::uint64_t number, const char* one) {
  return fmt::format("{} {}{}", number, one, number == 1 ? "" : "s");
}

std::string labelled(std::string_view label, std::string_view text) {
  return fmt::format("{:<16}{}\n", label, text);
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  std::vector<std::string> headings;
  for (const Column& column : columns_) {
    headings.push_back(column.heading);
    widths.push_back(column.heading.size());
  }
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      text += padded(cells[i], widths[i], columns_[i].align);
      if (i + 1 < widths.size()) text += "  ";
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  };
  auto rows = rows_;
  fit_terminal(widths, rows);
  std::string text = paint(Color::bold, line(headings)) + "\n";
  for (const auto& row : rows) text += line(row) + "\n";
  return text;
}

}  // namespace cgctl::tool
