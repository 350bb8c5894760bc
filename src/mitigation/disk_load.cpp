// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/disk_load.hpp"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"

namespace cgctl::detail {
namespace {

using std::chrono::steady_clock;

constexpr auto shortest = std::chrono::milliseconds(100);

/// False for block devices without hardware that others wait for.
bool is_disk(std::string_view name) {
  return !parse::starts_with(name, "ram") && !parse::starts_with(name, "zram") &&
         !parse::starts_with(name, "loop");
}

}  // namespace

DiskLoad::DiskLoad(const Host& host) : proc_(host.roots().proc), before_(read()) {}

Result<DiskLoad::Busy> DiskLoad::read() const {
  Busy busy;
  const auto text = fs::read_in_root(proc_, "diskstats");
  if (!text && text.error().os_errno == ENOENT) return busy;
  if (!text) return fail(text.error());
  for (std::string_view rest = *text; !rest.empty();) {
    // A line has the major and minor number, the name, then the fields.
    std::string_view line = parse::line(rest);
    constexpr int name_at = 2;
    constexpr int time_at = name_at + 10;
    std::string_view name;
    for (int i = 0; i <= time_at && !line.empty(); ++i) {
      const std::string_view field = parse::field(line);
      if (i == name_at) name = field;
      const auto time = i == time_at ? parse::whole_number(field) : std::nullopt;
      if (time && is_disk(name)) busy.emplace(name, *time);
    }
  }
  return busy;
}

Result<std::optional<double>> DiskLoad::busiest() const {
  if (!before_) return fail(before_.error());
  if (before_->empty()) return std::nullopt;
  std::this_thread::sleep_until(start_ + shortest);
  const auto after = read();
  if (!after) return fail(after.error());
  const double passed =
      std::chrono::duration<double, std::milli>(steady_clock::now() - start_).count();
  double most = 0;
  for (const auto& [name, time] : *after) {
    const auto before = before_->find(name);
    // The counter has 32 bits and may wrap, and disks may appear and vanish.
    if (before == before_->end() || time < before->second) continue;
    most = std::max(most, 100 * static_cast<double>(time - before->second) / passed);
  }
  return std::min(most, 100.0);
}

}  // namespace cgctl::detail
