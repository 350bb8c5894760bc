// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

namespace cgctl::bench {

/// Runs a command to its end and discards its output. Returns its resource usage if it succeeded.
inline std::optional<rusage> usage_of(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t process = 0;
  const int failed = ::posix_spawnp(&process, words[0], &actions, nullptr, words.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  int status = 1;
  rusage used{};
  if (failed != 0 || ::wait4(process, &status, 0, &used) != process || status != 0) return {};
  return used;
}

/// Runs a command to its end and discards its output. True if it succeeded.
inline bool run(const std::vector<std::string>& command) { return usage_of(command).has_value(); }

/// Returns the CPU time in seconds.
inline double cpu_seconds(const rusage& used) {
  constexpr double microsecond = 1e-6;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + microsecond * static_cast<double>(time.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

}  // namespace cgctl::bench
