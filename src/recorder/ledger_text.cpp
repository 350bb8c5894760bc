// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <utility>

#include "detail/state_directory.hpp"
#include "detail/state_text.hpp"
#include "recorder/ledger.hpp"

namespace cgctl::recorder {
namespace {

using cgctl::detail::Scanner;
using std::chrono::seconds;

constexpr std::string_view first_line = "cgctl ledger 1";
constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::string_view nothing = "-";

// Bits of a recording's kind.
constexpr unsigned has_inodes = 1;
constexpr unsigned has_no_releases = 2;

/// Returns a word: bytes that are not printable ASCII as %XX; "-" for an empty text.
std::string word_of(std::string_view text) {
  if (text.empty()) return std::string(nothing);
  std::string word;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool first_dash = word.empty() && c == '-';
    if (byte > ' ' && byte < 0x7f && c != '%' && !first_dash) {
      word += c;
    } else {
      word += '%';
      word += hex_digits[byte >> 4U];
      word += hex_digits[byte & 0xfU];
    }
  }
  return word;
}

/// Parses hexadecimal digits; nothing if there is another letter or more than 64 bits.
std::optional<std::uint64_t> hex_number(std::string_view text) {
  constexpr std::size_t most = 16;
  if (text.empty() || text.size() > most) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    const std::size_t digit = hex_digits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 4U | digit;
  }
  return value;
}

std::string hex(std::uint64_t value) {
  std::string text;
  do {
    text.insert(text.begin(), hex_digits[value & 0xfU]);
    value >>= 4U;
  } while (value != 0);
  return text;
}

/// Parses the text of word_of().
std::optional<std::string> text_of_word(std::string_view word) {
  if (word == nothing) return std::string();
  std::string text;
  while (!word.empty()) {
    if (word.front() != '%') {
      text += word.front();
      word.remove_prefix(1);
      continue;
    }
    const auto byte = word.size() < 3 ? std::nullopt : hex_number(word.substr(1, 2));
    if (!byte) return std::nullopt;
    text += static_cast<char>(*byte);
    word.remove_prefix(3);
  }
  return text;
}

/// Adds numbers to a line, each after a space.
template <class... Number>
void add_numbers(std::string& line, Number... numbers) {
  ((line += ' ', line += std::to_string(numbers)), ...);
}

std::string line_of(const Maker& maker) {
  std::string line = "maker";
  add_numbers(line, maker.removals, maker.released, maker.forgotten, maker.first.count(),
              maker.last.count());
  return line + " " + word_of(maker.pattern) + " " + word_of(maker.example) + "\n";
}

/// Returns the line of a removed cgroup; `path` is its last word.
std::string line_of(const Removed& one, std::string_view path) {
  std::string line = "dead " + hex(one.id);
  add_numbers(line, one.at.count(), one.maker);
  return line.append(" ").append(path).append("\n");
}

/// Returns the lines of the removed cgroups, in at most `room` bytes if that is possible without
/// paths.
std::string lines_of(const std::vector<Removed>& dead, std::size_t room) {
  std::size_t bare = 0;
  for (const Removed& one : dead) bare += line_of(one, nothing).size();
  std::size_t spare = room > bare ? room - bare : 0;
  std::vector<std::string> lines;
  for (auto one = dead.rbegin(); one != dead.rend(); ++one) {
    const std::string path = word_of(one->path);
    const bool fits = path.size() <= spare;
    lines.push_back(line_of(*one, fits ? path : nothing));
    // Once a path has no room, older ones have none either.
    spare = fits ? spare - path.size() + nothing.size() : 0;
  }
  std::string text;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) text += *line;
  return text;
}

std::string scan_text(Scanner& scan, bool& fine) {
  auto text = text_of_word(scan.word());
  fine = fine && text;
  return text ? std::move(*text) : std::string();
}

std::uint64_t scan_hex(Scanner& scan, bool& fine) {
  const auto value = hex_number(scan.word());
  fine = fine && value;
  return value.value_or(0);
}

Maker scan_maker(Scanner& scan, bool& fine) {
  Maker maker;
  scan.line("maker");
  maker.removals = scan.count();
  maker.released = scan.count();
  maker.forgotten = scan.count();
  maker.first = seconds(scan.count());
  maker.last = seconds(scan.count());
  maker.pattern = scan_text(scan, fine);
  maker.example = scan_text(scan, fine);
  fine = fine && maker.first <= maker.last && maker.released <= maker.removals &&
         maker.forgotten <= maker.removals - maker.released;
  return maker;
}

Removed scan_removed(Scanner& scan, bool& fine) {
  Removed one;
  scan.line("dead");
  one.id = scan_hex(scan, fine);
  one.at = seconds(scan.count());
  one.maker = static_cast<std::size_t>(std::min<std::uint64_t>(scan.count(), most_makers));
  one.path = scan_text(scan, fine);
  return one;
}

/// True if the parts of a ledger fit each other and no time is later than its writing.
bool is_sound(const Ledger& ledger) {
  if (ledger.makers.empty() || ledger.makers.size() > most_makers) return false;
  if (ledger.dead.size() > most_dead) return false;
  const bool makers = std::all_of(ledger.makers.begin(), ledger.makers.end(),
                                  [&](const Maker& one) { return one.last <= ledger.written; });
  const bool dead = std::all_of(ledger.dead.begin(), ledger.dead.end(), [&](const Removed& one) {
    return one.maker < ledger.makers.size() && one.at <= ledger.written;
  });
  return makers && dead && ledger.since <= ledger.written;
}

}  // namespace

std::string to_text(const Ledger& ledger, const Present& written) {
  std::string text(first_line);
  text += "\nboot " + written.boot_id;
  add_numbers(text, written.uptime.count());
  text += "\nrecording";
  const unsigned kind = (ledger.inodes ? has_inodes : 0) | (ledger.releases ? 0 : has_no_releases);
  add_numbers(text, ledger.since.count(), kind, ledger.lost, ledger.consumed);
  text += " " + hex(ledger.instance) + "\nearly";
  for (const Early& one : ledger.early) {
    text += " " + hex(one.id) + " " + hex(static_cast<std::uint64_t>(one.at.count()));
  }
  text += '\n';
  for (const Maker& maker : ledger.makers) text += line_of(maker);
  const std::size_t used = text.size() + cgctl::detail::checksum_line({}).size();
  constexpr std::size_t most = cgctl::detail::largest_state_file;
  text += lines_of(ledger.dead, used < most ? most - used : 0);
  return text + cgctl::detail::checksum_line(text);
}

std::optional<Ledger> ledger_from_text(std::string_view text, const Present& now) {
  const auto checked = cgctl::detail::without_checksum(text);
  if (!checked) return std::nullopt;
  Ledger ledger;
  bool fine = true;
  Scanner scan(*checked);
  scan.line(first_line);
  scan.line("boot");
  const std::string_view boot_id = scan.word();
  ledger.written = seconds(scan.count());
  scan.line("recording");
  ledger.since = seconds(scan.count());
  const std::uint64_t kind = scan.count();
  ledger.inodes = (kind & has_inodes) != 0;
  ledger.releases = (kind & has_no_releases) == 0;
  ledger.lost = scan.count();
  ledger.consumed = scan.count();
  ledger.instance = scan_hex(scan, fine);
  scan.line("early");
  while (scan.more_in_line() && fine) {
    const std::uint64_t id = scan_hex(scan, fine);
    const auto at = static_cast<std::int64_t>(scan_hex(scan, fine));
    ledger.early.push_back({id, std::chrono::nanoseconds(at)});
  }
  ledger.makers.clear();
  while (scan.follows("maker") && fine) ledger.makers.push_back(scan_maker(scan, fine));
  while (scan.follows("dead") && fine) ledger.dead.push_back(scan_removed(scan, fine));
  if (!fine || !scan.at_end() || !is_sound(ledger)) return std::nullopt;
  if (boot_id != now.boot_id) return Ledger();
  if (ledger.written > now.uptime) return std::nullopt;
  return ledger;
}

}  // namespace cgctl::recorder
