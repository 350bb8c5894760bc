// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/holds.hpp"
#include "cgctl/peers.hpp"
#include "cgctl/zombies.hpp"
#include "cli/command.hpp"
#include "doctor/doctor_report.hpp"
#include "doctor/watch_words.hpp"

namespace cgctl::tool::doctor_command {

/// Segments that TCP sent again in one network namespace.
struct InNamespace {
  pid_t process = 0;  ///< a process in it; 0: the command's own
  Result<peers::Resent> resent = fail(Error{});
};

/// Everything that a watch has seen.
struct Watched {
  holds::Settings settings;
  Time started{};  ///< CLOCK_MONOTONIC
  Time ended{};
  Time cpu_time{};  ///< that the watching process used
  std::vector<Hold> holds;
  std::vector<Wait> waits;
  std::vector<Cpu> cpus;
  std::vector<Total> totals;
  holds::Missing missing;
  std::uint64_t forgotten = 0;  ///< holds and waits for which there was no room
  Result<zombies::Count> zombies = fail(Error{});
  std::vector<InNamespace> namespaces;
};

/// One step from the symptom to its cause.
struct Link {
  enum class State { proven, not_seen, unknown };
  const char* name = "";  ///< "who", "waited", ...
  State state = State::unknown;
  std::string text;  ///< the figures, or the reason why the step is not known
};

std::string_view to_string(Link::State state) noexcept;  ///< "proven", "not seen", "unknown"

/// The judgement of a watch.
struct Chain {
  /// True if a task held a CPU for Settings::shortest or more, for a known
  /// cause or while other work waited.
  bool held = false;
  std::string verdict;
  std::vector<Link> links;
  std::vector<std::string> others;  ///< further tasks that held a CPU, most first
  std::vector<std::string> advice;
};

Chain judge(const Watched& seen);

std::string text_of(const Watched& seen, const Chain& chain);
nlohmann::ordered_json json_of(const Watched& seen, const Chain& chain);

struct WatchOptions {
  std::optional<std::chrono::nanoseconds> time;  ///< absent: do not watch
  std::vector<pid_t> netns;  ///< processes whose network namespaces are watched as well
  std::string svg;           ///< file for a picture; empty: none
};

/// Watches the host for the time given, or until a signal asks the command to
/// end, and prints the chain.
Exit run_watch(const Globals& globals, const Host& host, const WatchOptions& options);

}  // namespace cgctl::tool::doctor_command
