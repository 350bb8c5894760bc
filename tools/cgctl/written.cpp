// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "json.hpp"
#include "limits.hpp"

namespace cgctl::tool {

void print_written(const Globals& globals, const std::string& path,
                   const std::vector<settings::Written>& written) {
  Json list = Json::array();
  for (const settings::Written& one : written) {
    if (globals.format == Format::text && one.kept != one.asked) {
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
