// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <termios.h>

#include <chrono>
#include <string>
#include <string_view>

#include "top/draw.hpp"
#include "top/keys.hpp"

namespace cgctl::tool::top_command {

/// The terminal while `top` draws on it: shows its second screen, sends each key at once. The
/// destructor restores it, and so does each signal that ends or stops the command.
class Screen {
 public:
  /// True if standard input and output are a terminal that can be drawn on.
  static bool is_possible();

  Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();

  enum class Event {
    key,
    time,     ///< `until` is over
    resized,  ///< also after a stop and a continue
    ended,    ///< by Ctrl-C, or because the terminal is gone
    killed,   ///< by SIGTERM, SIGHUP or SIGQUIT: leave, then call die()
  };
  Event wait(std::chrono::steady_clock::time_point until, Key& key);

  /// Writes text; a terminal that is gone is found by wait().
  void show(std::string_view text);
  [[nodiscard]] Size size() const;
  [[nodiscard]] const Style& style() const { return style_; }

  /// Ends the process by the signal that came. Call it without a screen.
  static void die();

 private:
  void enter();
  void leave();
  void stop();
  [[nodiscard]] bool read_keys(int timeout);

  Style style_;
  ::termios before_{};
  sigset_t unblocked_{};  // signals are handled only in wait()
  std::string pending_;
  bool gone_ = false;
};

/// Returns what the environment says about the terminal: NO_COLOR, LC_ALL, LC_CTYPE, LANG.
Style style_of_terminal();

}  // namespace cgctl::tool::top_command
