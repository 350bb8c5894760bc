// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/keys.hpp"

#include <algorithm>
#include <cstddef>

namespace cgctl::tool::top_command {
namespace {

constexpr char esc = '\x1b';

Key::Code final_letter(char letter) {
  switch (letter) {
    case 'A':
      return Key::up;
    case 'B':
      return Key::down;
    case 'C':
      return Key::right;
    case 'D':
      return Key::left;
    case 'H':
      return Key::home;
    case 'F':
      return Key::end;
    default:
      return Key::none;
  }
}

/// Returns the key of "ESC [ NUMBER ~".
Key::Code numbered(char number) {
  switch (number) {
    case '1':
    case '7':
      return Key::home;
    case '4':
    case '8':
      return Key::end;
    case '5':
      return Key::page_up;
    case '6':
      return Key::page_down;
    default:
      return Key::none;
  }
}

/// Returns the length of the sequence at the start of `text`: "ESC [ parameters letter" or
/// "ESC O letter"; 0 if its end is missing.
std::size_t sequence_length(const std::string& text) {
  if (text[1] == 'O') return text.size() < 3 ? 0 : 3;
  for (std::size_t i = 2; i < text.size(); ++i) {
    if (text[i] >= '@' && text[i] <= '~') return i + 1;
  }
  constexpr std::size_t longest = 16;
  return text.size() < longest ? 0 : text.size();
}

bool begins_sequence(const std::string& text) {
  return text.size() > 1 && (text[1] == '[' || text[1] == 'O');
}

Key plain(char byte) {
  constexpr char del = '\x7f';
  if (byte == '\r' || byte == '\n') return {Key::enter, 0};
  if (byte == del || byte == '\b') return {Key::backspace, 0};
  if (static_cast<unsigned char>(byte) < ' ') return {Key::none, 0};
  return {Key::character, byte};
}

}  // namespace

bool take_key(std::string& pending, bool last, Key& out) {
  if (pending.empty()) return false;
  std::size_t used = 1;
  if (pending.front() != esc) {
    out = plain(pending.front());
  } else if (begins_sequence(pending)) {
    used = sequence_length(pending);
    if (used == 0 && !last) return false;
    if (used == 0) used = pending.size();
    const char end = pending[used - 1];
    out = {end == '~' ? numbered(pending[2]) : final_letter(end), 0};
  } else {
    if (pending.size() == 1 && !last) return false;
    out = {Key::escape, 0};
  }
  pending.erase(0, used);
  return true;
}

}  // namespace cgctl::tool::top_command
