// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "names/layouts.hpp"

#include <algorithm>
#include <optional>

#include "cgctl/parse.hpp"
#include "names/json_strings.hpp"

namespace cgctl::names {
namespace {

constexpr std::size_t id_digits = 64;

struct Annotation {
  std::string_view key;
  std::string Names::*name;
};

/// The annotations of containerd (pkg/cri/annotations), those of CRI-O, and the labels that the
/// kubelet gives to every container.
constexpr Annotation annotations[] = {
    {"io.kubernetes.cri.sandbox-namespace", &Names::space},
    {"io.kubernetes.cri.sandbox-name", &Names::pod},
    {"io.kubernetes.cri.container-name", &Names::container},
    {"io.kubernetes.cri.image-name", &Names::image},
    {"io.kubernetes.pod.namespace", &Names::space},
    {"io.kubernetes.pod.name", &Names::pod},
    {"io.kubernetes.container.name", &Names::container},
    {"io.kubernetes.cri-o.ImageName", &Names::image},
};

void take_annotation(std::string_view key, std::string_view value, Names& out) {
  for (const Annotation& one : annotations) {
    if (one.key == key) out.*one.name = name_or_nothing(value);
  }
}

bool is_id(std::string_view text) {
  return text.size() == id_digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string_view cut(std::string_view& text, char end) {
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos) return {};
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(at + 1);
  return head;
}

/// Parses the metadata of Podman, {"image-name":...,"name":...}, which is JSON in a string.
void take_metadata(std::string_view text, Names& out) {
  Names found = out;
  JsonStrings strings(text);
  while (strings.next()) {
    if (strings.at({"image-name"})) found.image = name_or_nothing(strings.value());
    if (strings.at({"name"})) found.container = name_or_nothing(strings.value());
  }
  if (!strings.broken()) out = found;
}

/// Splits "NAME@INSTANCE.TYPE"; the instance is empty without an "@".
struct UnitName {
  std::string_view prefix;
  std::string_view instance;
  std::string_view type;  // with its dot
};

UnitName split_unit(std::string_view unit) {
  const std::size_t dot = std::min(unit.rfind('.'), unit.size());
  UnitName name{unit.substr(0, dot), {}, unit.substr(dot)};
  const std::size_t at = name.prefix.find('@');
  if (at == std::string_view::npos) return name;
  name.instance = name.prefix.substr(at + 1);
  name.prefix = name.prefix.substr(0, at);
  return name;
}

/// Undoes the escapes of systemd.unit(5): "-" stands for "/", "\x2d" for "-".
std::string unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text.substr(0, 4) == "\\x2d") {
      out += '-';
      text.remove_prefix(4);
      continue;
    }
    out += text.front() == '-' ? '/' : text.front();
    text.remove_prefix(1);
  }
  return out;
}

std::optional<std::string> specifier(char letter, std::string_view unit) {
  const UnitName name = split_unit(unit);
  switch (letter) {
    case '%':
      return "%";
    case 'i':
      return std::string(name.instance);
    case 'I':
      return unescaped(name.instance);
    case 'n':
      return std::string(unit);
    case 'p':
      return std::string(name.prefix);
    default:
      return std::nullopt;
  }
}

std::string expanded(std::string_view text, std::string_view unit) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto meant = i + 1 < text.size() ? specifier(text[i + 1], unit) : std::nullopt;
    if (!meant) return {};
    out += *meant;
    ++i;
  }
  return out;
}

}  // namespace

std::string name_or_nothing(std::string_view text) {
  constexpr std::size_t longest = 255;
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
  if (text.size() > longest || std::any_of(text.begin(), text.end(), is_control)) return {};
  return std::string(text);
}

Names of_log_link(std::string_view link, std::string& id) {
  constexpr std::string_view end = ".log";
  constexpr std::size_t tail = id_digits + end.size() + 1;
  if (link.size() <= tail || link.substr(link.size() - end.size()) != end) return {};
  const std::string_view digits = link.substr(link.size() - tail + 1, id_digits);
  if (link[link.size() - tail] != '-' || !is_id(digits)) return {};
  std::string_view rest = link.substr(0, link.size() - tail);
  Names found;
  found.pod = name_or_nothing(cut(rest, '_'));
  found.space = name_or_nothing(cut(rest, '_'));
  found.container = name_or_nothing(rest);
  if (found.pod.empty() || found.space.empty() || found.container.empty()) return {};
  id = digits;
  return found;
}

Names of_bundle(std::string_view text) {
  Names found;
  JsonStrings strings(text);
  while (strings.next()) {
    const auto& keys = strings.keys();
    if (keys.size() == 2 && keys[0] == "annotations") {
      take_annotation(keys[1], strings.value(), found);
    }
  }
  return strings.broken() ? Names() : found;
}

Names of_docker(std::string_view text) {
  Names found;
  Names kubernetes;
  JsonStrings strings(text);
  while (strings.next()) {
    const auto& keys = strings.keys();
    std::string_view value = strings.value();
    if (strings.at({"Name"})) {
      if (parse::starts_with(value, "/")) value.remove_prefix(1);
      found.container = name_or_nothing(value);
    } else if (strings.at({"Config", "Image"})) {
      found.image = name_or_nothing(value);
    } else if (keys.size() == 3 && keys[0] == "Config" && keys[1] == "Labels") {
      take_annotation(keys[2], value, kubernetes);
    }
  }
  if (strings.broken()) return {};
  if (kubernetes.pod.empty()) return found;
  kubernetes.image = found.image;
  return kubernetes;
}

std::vector<std::pair<std::string, Names>> of_storage(std::string_view text) {
  std::vector<std::pair<std::string, Names>> found;
  JsonStrings strings(text);
  while (strings.next()) {
    const std::string& value = strings.value();
    if (strings.at({"", "id"})) {
      found.emplace_back(value, Names());
    } else if (found.empty()) {
      continue;
    } else if (strings.at({"", "names", ""}) && found.back().second.container.empty()) {
      found.back().second.container = name_or_nothing(value);
    } else if (strings.at({"", "metadata"})) {
      take_metadata(value, found.back().second);
    }
  }
  if (strings.broken()) found.clear();
  return found;
}

std::string template_of(std::string_view unit) {
  const UnitName name = split_unit(unit);
  if (name.instance.empty()) return {};
  return std::string(name.prefix).append("@").append(name.type);
}

std::string description_in(std::string_view text, std::string_view unit) {
  constexpr std::string_view key = "Description=";
  std::string_view found;
  bool in_unit = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (parse::starts_with(line, "[")) in_unit = line == "[Unit]";
    if (in_unit && parse::starts_with(line, key)) found = line.substr(key.size());
  }
  return name_or_nothing(expanded(found, unit));
}

}  // namespace cgctl::names
