// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cstdint>
#include <string_view>

#include "cgctl/parse.hpp"
#include "cli/json.hpp"
#include "cli/limits.hpp"
#include "cli/signals.hpp"

namespace cgctl::tool {
namespace {

/// True for a file of one line in which the kernel keeps another value than requested.
bool differs(const settings::Written& one) {
  return one.kept.find('\n') == std::string::npos && !settings::is_as_asked(one);
}

/// Returns the period in microseconds from a text of cpu.cfs_period_us or cpu.max.
std::uint64_t period_of(std::string_view text) {
  return parse::whole_number(text.substr(text.rfind(' ') + 1)).value_or(0);
}

}  // namespace

Written write_whole(const std::function<Written()>& write) {
  const HeldSignals signals;
  auto written = write();
  if (written && signals.came()) warn("all values were written before a signal ended the command");
  return written;
}

std::string period_note(const cpu::Change& wanted, const std::vector<settings::Written>& written) {
  if (wanted.period || !(wanted.cpus || wanted.quota)) return {};
  for (const settings::Written& one : written) {
    if (one.file != "cpu.cfs_period_us" && one.file != "cpu.max") continue;
    const std::uint64_t before = period_of(one.before);
    const std::uint64_t now = period_of(one.kept);
    if (before == now) continue;
    return fmt::format(
        "{}: the period is {} us instead of {} us, {}", one.file, now, before,
        now > before ? "because a quota is at least 1000 us" : "which is long enough again");
  }
  return {};
}

void print_written(const Globals& globals, const std::string& path,
                   const std::vector<settings::Written>& written) {
  Json list = Json::array();
  for (const settings::Written& one : written) {
    if (globals.format == Format::text && differs(one)) {
      print(globals,
            fmt::format("{}: the kernel set {} instead of {}\n", one.file, one.kept, one.asked));
    }
    list.push_back(
        {{"file", one.file}, {"before", one.before}, {"asked", one.asked}, {"kept", one.kept}});
  }
  if (globals.format == Format::json) {
    print(globals, "written/1", Json{{"path", path}, {"written", std::move(list)}});
  }
}

}  // namespace cgctl::tool
