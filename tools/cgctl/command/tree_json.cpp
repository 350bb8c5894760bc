// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "command/tree_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cli/escape.hpp"

namespace cgctl::tool {
namespace {

using Json = nlohmann::ordered_json;
using settings::Setting;
using tree::Cgroup;
using tree::Section;

constexpr const char* tree_schema = "cgctl.snapshot/1";

/// The keys of a cgroup; the first three may be left out.
constexpr std::string_view known_keys[] = {"schema", "time",        "host",
                                           "path",   "path_base64", "controllers"};

constexpr const char* form = "write the JSON that `cgctl --json snapshot` prints";

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

/// Returns the parser's message without its prefix, which names another position.
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

/// Adds the settings of a section to `out`; returns the reason if they are malformed, else empty.
std::string take_settings(const Json& files, Section& out) {
  if (!files.is_object()) return fmt::format("'{}' must be an object", out.controller);
  for (const auto& [file, value] : files.items()) {
    const auto lines = value.is_array() ? value : Json::array({value});
    for (const Json& line : lines) {
      const auto text = text_of(line);
      if (!text) return fmt::format("'{}' must be a string, a number, or an array of these", file);
      out.settings.push_back({file, *text});
    }
  }
  return {};
}

/// Finds a key that occurs twice in an object; the JSON parser silently keeps the last one.
class KeyTwice : public nlohmann::json_sax<Json> {
 public:
  [[nodiscard]] const std::string& found() const { return found_; }

  bool key(string_t& name) override {
    if (objects_.back().insert(name).second) return true;
    found_ = name;
    return false;
  }
  bool start_object(std::size_t /*size*/) override {
    objects_.emplace_back();
    return true;
  }
  bool end_object() override {
    objects_.pop_back();
    return true;
  }
  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return true; }
  bool start_array(std::size_t /*size*/) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t /*at*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  std::vector<std::set<std::string>> objects_;
  std::string found_;
};

std::string key_twice(std::string_view text) {
  KeyTwice keys;
  (void)Json::sax_parse(text.begin(), text.end(), &keys);
  return keys.found();
}

/// Returns the path in `path_base64`, or `path` without that key; nothing if `path_base64` is
/// malformed.
std::optional<std::string> path_of(const Json& object) {
  const auto exact = object.find("path_base64");
  if (exact == object.end()) return object.at("path").get<std::string>();
  return exact->is_string() ? from_base64(exact->get<std::string>()) : std::nullopt;
}

/// Returns the offset at which brackets are nested deeper than the format needs; nothing if
/// nowhere.
std::optional<std::size_t> too_deep(std::string_view text) {
  constexpr int most = 32;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\') ++i;
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > most) return i;
  }
  return std::nullopt;
}

std::string take_cgroup(const Json& object, Cgroup& out) {
  if (!object.is_object()) return "not an object";
  for (const auto& [key, value] : object.items()) {
    if (key == "schema" && value != tree_schema) {
      return fmt::format("'schema' must be \"{}\"", tree_schema);
    }
    if (std::find(std::begin(known_keys), std::end(known_keys), key) == std::end(known_keys)) {
      return fmt::format("unknown key '{}'", key);
    }
  }
  const auto path = object.find("path");
  const auto controllers = object.find("controllers");
  if (path == object.end() || !path->is_string()) return "'path' must be a string";
  if (controllers == object.end() || !controllers->is_object()) {
    return "'controllers' must be an object";
  }
  const auto bytes = path_of(object);
  if (!bytes) return "'path_base64' must be a string in base64";
  const auto clean = fs::clean_relative_path(*bytes);
  if (!clean) return "not a path of a cgroup: " + clean.error().reason;
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
  if (const auto at = too_deep(text)) {
    return malformed(shown, position(text, *at) + ": nested deeper than 32 levels", form);
  }
  tree::Tree tree;
  std::set<std::string> known;
  std::istringstream stream(text);
  for (stream >> std::ws; stream && stream.peek() != std::istringstream::traits_type::eof();
       stream >> std::ws) {
    const auto begin = static_cast<std::size_t>(stream.tellg());
    Json object;
    try {
      stream >> object;
    } catch (const Json::out_of_range&) {
      return malformed(shown, position(text, begin) + ": a number is too large", form);
    } catch (const Json::parse_error& error) {
      const std::size_t at = begin + (error.byte == 0 ? 0 : error.byte - 1);
      return malformed(shown, position(text, at) + ": " + reason_of(error));
    }
    Cgroup cgroup;
    const auto end = stream.eof() ? text.size() : static_cast<std::size_t>(stream.tellg());
    const std::string twice = key_twice(std::string_view(text).substr(begin, end - begin));
    std::string reason =
        twice.empty() ? take_cgroup(object, cgroup) : fmt::format("'{}' occurs twice", twice);
    if (reason.empty() && !known.insert(cgroup.path).second) reason = "the cgroup occurs twice";
    if (!reason.empty()) {
      const std::string which = cgroup.path.empty() ? std::string() : cgroup.path + ": ";
      return malformed(shown, fmt::format("{}: {}{}", position(text, begin), which, reason), form);
    }
    tree.push_back(std::move(cgroup));
  }
  std::stable_sort(tree.begin(), tree.end(),
                   [](const Cgroup& a, const Cgroup& b) { return a.path < b.path; });
  return tree;
}

}  // namespace cgctl::tool
