// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/limits.hpp"
#include "cli/setting_options.hpp"

namespace cgctl::tool {
namespace {

memory::Limit parse_limit(const std::string& text) {
  if (means_none(text)) return {};
  return memory::Limit{parse_size(text)};
}

constexpr const char* group = "Memory";

}  // namespace

void add_memory_options(CLI::App& command, memory::Change& wanted) {
  const auto add_limit = [&command](const char* name, const char* description,
                                    std::optional<memory::Limit>& limit) {
    add_setting(command, group, name, "SIZE|max", description,
                [&limit](const std::string& text) { limit = parse_limit(text); });
  };
  add_limit("--max,--memory", "limit, such as 512M or 1.5G; max: no limit", wanted.max);
  add_limit("--high", "above this, throttled and reclaimed (v2)", wanted.high);
  add_limit("--low", "below this, reclaimed only if nothing else can be\n(v2)", wanted.low);
  add_limit("--min", "below this, never reclaimed (v2)", wanted.min);
  add_limit("--soft-limit", "above this, reclaimed first (v1)", wanted.soft_limit);
  add_limit("--swap-max", "limit of swap alone", wanted.swap_max);
  add_limit("--memsw-max", "limit of memory and swap together", wanted.memsw_max);
  add_limit("--swap-high", "above this much swap, throttled (v2)", wanted.swap_high);
  add_setting(command, group, "--swappiness", "N", "0 to 100, or to 200 since Linux 5.8 (v1)",
              [&wanted](const std::string& text) { wanted.swappiness = parse_count(text); });
  add_setting(command, group, "--oom-group", "on|off", "on: an OOM kill ends the whole cgroup (v2)",
              [&wanted](const std::string& text) { wanted.oom_group = parse_switch(text); });
  add_setting(command, group, "--oom-kill", "on|off",
              "off: at the limit, tasks wait instead of being\nkilled (v1)",
              [&wanted](const std::string& text) { wanted.oom_kill = parse_switch(text); });
}

}  // namespace cgctl::tool
