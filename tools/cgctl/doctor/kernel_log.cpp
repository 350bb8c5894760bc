// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/kernel_log.hpp"

#include <sys/klog.h>

#include <algorithm>
#include <cstddef>

#include "cgctl/parse.hpp"

namespace cgctl::tool::doctor_command {
namespace {

// syslog(2)
constexpr int read_all = 3;
constexpr int buffer_size = 10;

/// Returns the time of a line that begins with "<4>[ 1234.567890] ".
std::optional<std::chrono::seconds> time_of(std::string_view line) {
  const std::size_t open = line.find('[');
  if (open == std::string_view::npos) return std::nullopt;
  line.remove_prefix(open + 1);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::size_t point = line.find('.');
  if (point == std::string_view::npos) return std::nullopt;
  const auto since_boot = parse::whole_number(line.substr(0, point));
  if (!since_boot) return std::nullopt;
  return std::chrono::seconds(static_cast<std::int64_t>(*since_boot));
}

}  // namespace

std::vector<OomKill> oom_kills(std::string_view log) {
  constexpr std::string_view begin = "oom-kill:constraint=CONSTRAINT_MEMCG";
  constexpr std::string_view key = ",task_memcg=";
  constexpr std::string_view end = ",task=";
  std::vector<OomKill> kills;
  while (!log.empty()) {
    const std::string_view line = parse::line(log);
    const std::size_t at = line.find(begin);
    if (at == std::string_view::npos) continue;
    const std::size_t from = line.find(key, at);
    if (from == std::string_view::npos) continue;
    const std::size_t to = line.find(end, from + key.size());
    if (to == std::string_view::npos) continue;
    const std::size_t first = from + key.size();
    kills.push_back({std::string(line.substr(first, to - first)), time_of(line.substr(0, at))});
  }
  return kills;
}

std::string read_kernel_log() {
  constexpr int most = 1 << 20;
  const int size = std::min(::klogctl(buffer_size, nullptr, 0), most);
  if (size <= 0) return {};
  std::string log(static_cast<std::size_t>(size), '\0');
  const int got = ::klogctl(read_all, log.data(), size);
  log.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return log;
}

}  // namespace cgctl::tool::doctor_command
