// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "verdict.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstring>
#include <sstream>
#include <string_view>
#include <utility>

namespace cgctl::faults {
namespace {

/// Kinds of characters: letters, digits with their points and signs, white space, others.
enum class Kind { letter, digit, space, other };

Kind kind_of(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (std::isalpha(byte) != 0 || c == '_') return Kind::letter;
  if (std::isdigit(byte) != 0 || c == '.') return Kind::digit;
  return std::isspace(byte) != 0 ? Kind::space : Kind::other;
}

/// Returns the length of the hexadecimal number that begins at `at`; 0 if there is none, or if it
/// may be a decimal one with its unit.
std::size_t length_of_hex(const std::string& line, std::size_t at) {
  constexpr std::size_t shortest = 4;
  const std::size_t end = std::min(line.find_first_not_of("0123456789abcdef", at), line.size());
  const bool whole = end == line.size() || kind_of(line[end]) == Kind::space;
  const bool number = line.find_first_of("0123456789", at) < end;
  return whole && number && end - at >= shortest ? end - at : 0;
}

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  Kind last = Kind::other;
  for (std::size_t at = 0; at < line.size(); ++at) {
    const char c = line[at];
    const Kind kind = kind_of(c);
    if (const std::size_t hex = last == Kind::space ? length_of_hex(line, at) : 0; hex != 0) {
      words.push_back(line.substr(at, hex));
      at += hex - 1;
      last = Kind::digit;
      continue;
    }
    if (words.empty() || kind != last || kind == Kind::other) words.emplace_back();
    // Any gap counts as one space: its width depends on the numbers around it.
    if (kind != Kind::space || words.back().empty()) words.back() += kind == Kind::space ? ' ' : c;
    last = kind;
  }
  return words;
}

/// Replaces each time of day, such as "01:02:16".
std::string without_times(std::string line) {
  constexpr std::string_view form = "00:00:00";
  constexpr std::string_view name = "HH:MM:SS";
  for (std::size_t at = 0; at + form.size() <= line.size(); ++at) {
    const auto fits = [&](char wanted, char c) {
      return wanted == '0' ? std::isdigit(static_cast<unsigned char>(c)) != 0 : wanted == c;
    };
    if (std::equal(form.begin(), form.end(), line.begin() + static_cast<std::ptrdiff_t>(at),
                   fits)) {
      line.replace(at, form.size(), name);
    }
  }
  return line;
}

/// True if a line says that something is unknown, or gives the reason of the error.
bool admits(const std::string& line, int error) {
  if (line.find(std::strerror(error)) != std::string::npos) return true;
  constexpr std::array<std::string_view, 12> words = {
      "unknown", "incomplete", "cannot",          "could not", "not read",    "unreadable",
      "error",   "at least",   "\"exact\":false", "not known", "not counted", "\"complete\":false"};
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return line.find(word) != std::string::npos; });
}

bool contains(const std::string& text, std::string_view word) {
  return text.find(word) != std::string::npos;
}

/// True if the errors say that something is not as it was before.
bool admits_remains(const std::string& err) {
  constexpr std::array<std::string_view, 5> words = {"left", "remain", "could not be", "undo",
                                                     "still "};
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return contains(err, word); });
}

std::string quoted(const char* head, const std::vector<std::string>& lines) {
  constexpr std::size_t most = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(lines.size(), most); ++i) {
    text += std::string("    ") + head + lines[i].substr(0, 300) + "\n";
  }
  if (lines.size() > most) text += std::string("    ") + head + "...\n";
  return text;
}

std::string difference(const Expected& expected, const std::vector<std::string>& lines) {
  return quoted("- ", expected.missing(lines)) + quoted("+ ", expected.unexpected(lines));
}

/// Returns a complaint about crashes, hangs and processes left behind, which are always wrong.
std::string outrage(const Outcome& outcome) {
  if (outcome.hung) return "does not end\n";
  if (contains(outcome.err, "Sanitizer:") || contains(outcome.err, "runtime error:")) {
    return "is stopped by a sanitizer\n";
  }
  if (outcome.signalled) {
    return "is ended by signal " + std::to_string(outcome.status - 128) + "\n";
  }
  if (!outcome.left.empty() && !contains(outcome.err, "process")) {
    return "leaves processes behind:\n" + quoted("", outcome.left);
  }
  return {};
}

}  // namespace

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(without_times(std::move(line)));
  return lines;
}

bool Expected::Line::matches(const std::vector<std::string>& other) const {
  if (any) return true;
  if (other.size() != words.size()) return false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].empty() && words[i] != other[i]) return false;
  }
  return true;
}

void Expected::add(const std::vector<std::string>& lines) {
  if (!std::exchange(begun_, true)) {
    for (const std::string& line : lines) lines_.push_back({line, words_of(line), false});
    return;
  }
  any_ = any_ || lines.size() != lines_.size();
  if (any_) {
    for (const std::string& line : unexpected(lines))
      lines_.push_back({line, words_of(line), false});
  }
  for (std::size_t i = 0; !any_ && i < lines.size(); ++i) {
    const auto words = words_of(lines[i]);
    Line& line = lines_[i];
    line.any = line.any || words.size() != line.words.size();
    for (std::size_t j = 0; !line.any && j < words.size(); ++j) {
      if (words[j] != line.words[j]) line.words[j].clear();
    }
  }
}

bool Expected::matches(const std::vector<std::string>& lines) const {
  if (any_) return true;
  if (lines.size() != lines_.size()) return false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!lines_[i].matches(words_of(lines[i]))) return false;
  }
  return true;
}

std::vector<std::string> Expected::unexpected(const std::vector<std::string>& lines) const {
  std::vector<std::string> found;
  for (const std::string& line : lines) {
    const auto words = words_of(line);
    const auto fits = [&](const Line& one) { return one.matches(words); };
    if (std::none_of(lines_.begin(), lines_.end(), fits)) found.push_back(line);
  }
  return found;
}

std::vector<std::string> Expected::missing(const std::vector<std::string>& lines) const {
  std::vector<std::string> found;
  for (const Line& line : lines_) {
    const auto fits = [&](const std::string& one) { return line.matches(words_of(one)); };
    if (std::none_of(lines.begin(), lines.end(), fits)) found.push_back(line.text);
  }
  return found;
}

std::string complaint(const Baseline& baseline, const Outcome& outcome, int error,
                      bool may_stop_half_way) {
  if (auto text = outrage(outcome); !text.empty()) return text;
  const auto out = lines_of(outcome.out);
  const bool same_out = baseline.out.matches(out);
  const bool done = baseline.after.matches(outcome.state);
  const auto err = lines_of(outcome.err);
  const bool said = !baseline.err.matches(err) || !baseline.err.unexpected(err).empty();
  if (outcome.status != baseline.status) {
    if (!said && same_out) {
      return "fails without an error message: exit status " + std::to_string(outcome.status) + "\n";
    }
    const bool restored = outcome.state == baseline.before;
    if (done || restored || may_stop_half_way || admits_remains(outcome.err)) return {};
    Expected before;
    before.add(baseline.before);
    return "leaves a part of its work and does not say so:\n" + difference(before, outcome.state);
  }
  if (said) return {};
  if (!done)
    return "leaves another state without a message:\n" + difference(baseline.after, outcome.state);
  if (same_out) return {};
  const auto unexpected = baseline.out.unexpected(out);
  const auto said_there = [&](const std::string& line) { return admits(line, error); };
  if (std::any_of(unexpected.begin(), unexpected.end(), said_there)) return {};
  return "gives wrong output without a message:\n" + difference(baseline.out, out);
}

}  // namespace cgctl::faults
