// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "json.hpp"
#include "limits.hpp"

namespace cgctl::tool {
namespace {

/// Whether the kernel keeps something else, not only another way to write it: v1 has a number for
/// no limit, and some files read as several lines.
bool differs(const settings::Written& one) {
  if (one.asked == "-1" && one.kept.size() >= 19) return false;
  return one.kept != one.asked && one.kept.find('\n') == std::string::npos;
}

}  // namespace

void print_written(const Globals& globals, const std::string& path,
                   const std::vector<settings::Written>& written) {
  Json list = Json::array();
  for (const settings::Written& one : written) {
    if (globals.format == Format::text && differs(one)) {
      print(globals, fmt::format("{}: {} kept, {} asked\n", one.file, one.kept, one.asked));
    }
    list.push_back(
        {{"file", one.file}, {"before", one.before}, {"asked", one.asked}, {"kept", one.kept}});
  }
  if (globals.format == Format::json) {
    print(globals, Json{{"path", path}, {"written", std::move(list)}});
  }
}

}  // namespace cgctl::tool
