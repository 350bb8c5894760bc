// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/screen.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "cli/command.hpp"

namespace cgctl::tool::top_command {
namespace {

constexpr const char* second_screen = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr const char* first_screen = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

/// The signals that came since the last look, for the handler.
volatile sig_atomic_t resized = 0;
volatile sig_atomic_t stopped = 0;
volatile sig_atomic_t interrupted = 0;
volatile sig_atomic_t killed_by = 0;

void note(int signal) {
  if (signal == SIGWINCH) resized = 1;
  if (signal == SIGTSTP) stopped = 1;
  if (signal == SIGINT) interrupted = 1;
  if (signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT) killed_by = signal;
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void handle_signals(void (*handler)(int)) {
  for (const int signal : handled) {
    if (is_ignored(signal)) continue;
    struct sigaction action {};
    action.sa_handler = handler;
    (void)::sigaction(signal, &action, nullptr);
  }
}

sigset_t handled_set() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : handled) ::sigaddset(&set, signal);
  return set;
}

/// Ends or stops the process as if it had no handler.
void raise_default(int signal) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  struct sigaction before {};
  (void)::sigaction(signal, &action, &before);
  sigset_t one;
  sigset_t mask;
  ::sigemptyset(&one);
  ::sigaddset(&one, signal);
  (void)::raise(signal);
  (void)::sigprocmask(SIG_UNBLOCK, &one, &mask);
  (void)::sigprocmask(SIG_SETMASK, &mask, nullptr);
  (void)::sigaction(signal, &before, nullptr);
}

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

bool says_utf8(std::string_view locale) {
  std::string lower(locale);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return lower.find("utf-8") != std::string::npos || lower.find("utf8") != std::string::npos;
}

timespec until_then(std::chrono::steady_clock::time_point then) {
  using std::chrono::nanoseconds;
  using std::chrono::seconds;
  const auto left = std::max(nanoseconds(0), nanoseconds(then - std::chrono::steady_clock::now()));
  timespec time{};
  time.tv_sec = static_cast<time_t>(left.count() / nanoseconds(seconds(1)).count());
  time.tv_nsec = static_cast<long>(left.count() % nanoseconds(seconds(1)).count());
  return time;
}

}  // namespace

Style style_of_terminal() {
  std::string_view locale = variable("LC_ALL");
  if (locale.empty()) locale = variable("LC_CTYPE");
  if (locale.empty()) locale = variable("LANG");
  return {use_color(), says_utf8(locale)};
}

bool Screen::is_possible() {
  const std::string_view terminal = variable("TERM");
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && !terminal.empty() &&
         terminal != "dumb";
}

Screen::Screen() : style_(style_of_terminal()) {
  (void)::tcgetattr(STDIN_FILENO, &before_);
  const sigset_t set = handled_set();
  (void)::sigprocmask(SIG_BLOCK, &set, &unblocked_);
  handle_signals(note);
  enter();
}

Screen::~Screen() {
  leave();
  handle_signals(SIG_DFL);
  if (killed_by == 0) (void)::sigprocmask(SIG_SETMASK, &unblocked_, nullptr);
}

void Screen::enter() {
  ::termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  (void)::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  show(second_screen);
}

void Screen::leave() {
  show(first_screen);
  (void)::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

void Screen::stop() {
  leave();
  raise_default(SIGTSTP);
  (void)::tcgetattr(STDIN_FILENO, &before_);
  enter();
}

void Screen::show(std::string_view text) {
  while (!text.empty() && !gone_) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    gone_ = written < 0 && errno != EAGAIN;
    if (written < 0 && errno == EAGAIN) {
      ::pollfd ready{STDOUT_FILENO, POLLOUT, 0};
      constexpr int patience = 1000;  // ms
      gone_ = ::poll(&ready, 1, patience) <= 0;
    }
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

Size Screen::size() const {
  ::winsize found{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) != 0) return {};
  Size size;
  if (found.ws_col != 0) size.columns = found.ws_col;
  if (found.ws_row != 0) size.lines = found.ws_row;
  return size;
}

/// Reads what the terminal has sent. Returns false if it sends nothing within `timeout` ms.
bool Screen::read_keys(int timeout) {
  ::pollfd ready{STDIN_FILENO, POLLIN, 0};
  if (::poll(&ready, 1, timeout) <= 0) return false;
  std::array<char, 256> buffer{};
  const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
  if (got > 0) pending_.append(buffer.data(), static_cast<std::size_t>(got));
  if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) gone_ = true;
  return got > 0;
}

Screen::Event Screen::wait(std::chrono::steady_clock::time_point until, Key& key) {
  constexpr int rest_of_sequence = 50;  // ms
  for (;;) {
    if (killed_by != 0) return Event::killed;
    if (interrupted != 0 || gone_) return Event::ended;
    if (stopped != 0) {
      stopped = 0;
      stop();
      return Event::resized;
    }
    if (resized != 0) {
      resized = 0;
      show("\x1b[2J");
      return Event::resized;
    }
    if (take_key(pending_, false, key)) return Event::key;
    if (!pending_.empty() && !read_keys(rest_of_sequence) && take_key(pending_, true, key)) {
      return Event::key;
    }
    const timespec left = until_then(until);
    ::pollfd ready{STDIN_FILENO, POLLIN, 0};
    const int found = ::ppoll(&ready, 1, &left, &unblocked_);
    if (found > 0) (void)read_keys(0);
    if (found == 0) return Event::time;
  }
}

void Screen::die() { raise_default(killed_by); }

}  // namespace cgctl::tool::top_command
