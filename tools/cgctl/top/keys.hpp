// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace cgctl::tool::top_command {

/// A key that was pressed.
struct Key {
  enum Code : std::uint8_t {
    none,  ///< an unknown sequence
    character,
    up,
    down,
    left,
    right,
    page_up,
    page_down,
    home,
    end,
    enter,
    escape,
    backspace,
  };
  Code code = none;
  char byte = 0;  ///< of Key::character; a character of UTF-8 comes as several keys
};

/// Takes the first key out of `pending`, the bytes that a terminal sent. Returns false if there is
/// none, or only the begin of a sequence; with `last` no further bytes come, and an ESC is the key
/// Esc.
bool take_key(std::string& pending, bool last, Key& out);

}  // namespace cgctl::tool::top_command
