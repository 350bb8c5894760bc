// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "cli/command.hpp"

namespace cgctl::tool {
namespace {

/// Words that the library's errors use, and the command's words for them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 14> words = {{
    {"Roots::cgroup", "--cgroup-root"},
    {"Roots::proc", "--proc-root"},
    {"Roots::sys", "--sys-root"},
    {"name a state directory that", "name a directory with --state-dir that"},
    {"Removal::Below::remove", "--recursive"},
    {"Removal::Tasks::kill", "--kill"},
    {"Group::attach()", "`cgctl move`"},
    {"Group::create()", "`cgctl create`"},
    {"Group::children()", "`cgctl ls`"},
    {"Host::hierarchies()", "`cgctl info`"},
    {"Census::discover()", "`cgctl census --discover`"},
    {"zombies::count()", "`cgctl zombies`"},
    {"start the recording first", "cgctl record --start starts it"},
    {"settings::apply()", "`cgctl set`"},
}};

}  // namespace

std::string message_of(const Error& error) {
  std::string text = error.message();
  for (const auto& [library, command] : words) {
    for (std::size_t at = text.find(library); at != std::string::npos;
         at = text.find(library, at + command.size())) {
      text.replace(at, library.size(), command);
    }
  }
  return text;
}

}  // namespace cgctl::tool
