// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "tree_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "cgctl/filesystem.hpp"

namespace cgctl::tool {
namespace {

using Json = nlohmann::ordered_json;
using settings::Setting;
using tree::Cgroup;
using tree::Section;

tl::unexpected<Error> malformed(std::string_view shown, std::string reason, std::string hint = {}) {
  return fail(Error::make(errc::malformed, "parse", std::string(shown), std::move(reason),
                          std::move(hint)));
}

std::string position(std::string_view text, std::size_t at) {
  at = std::min(at, text.size());
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(at), '\n');
  const std::size_t before = text.substr(0, at).rfind('\n');
  const std::size_t column = before == std::string_view::npos ? at + 1 : at - before;
  return fmt::format("line {}, column {}", line, column);
}

/// Without the library's own prefix, which names a position of its own.
std::string reason_of(const Json::parse_error& error) {
  const std::string text = error.what();
  const std::size_t colon = text.find(": ", text.find("column"));
  return colon == std::string::npos ? text : text.substr(colon + 2);
}

std::optional<std::string> text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer() || value.is_number_unsigned()) return value.dump();
  return std::nullopt;
}

/// Empty, or why it is no section.
std::string take_settings(const Json& files, Section& out) {
  if (!files.is_object()) return fmt::format("'{}' has to be an object", out.controller);
  for (const auto& [file, value] : files.items()) {
    const auto lines = value.is_array() ? value : Json::array({value});
    for (const Json& line : lines) {
      const auto text = text_of(line);
      if (!text) return fmt::format("'{}' has to be a string, a number or an array of them", file);
      out.settings.push_back({file, *text});
    }
  }
  return {};
}

std::string take_cgroup(const Json& object, Cgroup& out) {
  if (!object.is_object()) return "not an object";
  const auto path = object.find("path");
  const auto controllers = object.find("controllers");
  if (path == object.end() || !path->is_string()) return "'path' has to be a string";
  if (controllers == object.end() || !controllers->is_object()) {
    return "'controllers' has to be an object";
  }
  const auto clean = fs::clean_relative_path(path->get<std::string>());
  if (!clean) return "no path of a cgroup: " + clean.error().reason;
  out.path = *clean == "." ? "/" : "/" + *clean;
  for (const auto& [name, files] : controllers->items()) {
    Section& section = out.sections.emplace_back(Section{name, {}});
    if (auto reason = take_settings(files, section); !reason.empty()) return reason;
  }
  return {};
}

}  // namespace

Json json_of(const Cgroup& cgroup) {
  Json one{{"path", cgroup.path}, {"controllers", Json::object()}};
  for (const Section& section : cgroup.sections) {
    Json& files = one["controllers"][section.controller] = Json::object();
    for (const Setting& setting : section.settings) {
      const auto known = files.find(setting.file);
      if (known == files.end()) {
        files[setting.file] = setting.value;
      } else {
        if (!known->is_array()) *known = Json::array({*known});
        known->push_back(setting.value);
      }
    }
  }
  return one;
}

Result<tree::Tree> tree_from_json(const std::string& text, std::string_view shown) {
  tree::Tree tree;
  std::set<std::string> known;
  std::istringstream stream(text);
  for (stream >> std::ws; stream && stream.peek() != std::istringstream::traits_type::eof();
       stream >> std::ws) {
    const auto begin = static_cast<std::size_t>(stream.tellg());
    Json object;
    try {
      stream >> object;
    } catch (const Json::parse_error& error) {
      const std::size_t at = begin + (error.byte == 0 ? 0 : error.byte - 1);
      return malformed(shown, position(text, at) + ": " + reason_of(error));
    }
    Cgroup cgroup;
    std::string reason = take_cgroup(object, cgroup);
    if (reason.empty() && !known.insert(cgroup.path).second) reason = "it is there twice";
    if (!reason.empty()) {
      const std::string which = cgroup.path.empty() ? std::string() : cgroup.path + ": ";
      return malformed(shown, fmt::format("{}: {}{}", position(text, begin), which, reason),
                       "the form is that of `cgctl --json snapshot`");
    }
    tree.push_back(std::move(cgroup));
  }
  std::stable_sort(tree.begin(), tree.end(),
                   [](const Cgroup& a, const Cgroup& b) { return a.path < b.path; });
  return tree;
}

}  // namespace cgctl::tool
