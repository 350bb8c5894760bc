// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/names.hpp"

namespace cgctl::tool {
namespace {

/// An empty text becomes null.
void put_name(Json& json, const char* key, const std::string& name) {
  json[key] = name.empty() ? Json(nullptr) : Json(name);
}

}  // namespace

std::string machine_root(const Globals& globals) {
  return globals.host_root.empty() ? workload::machine_root(globals.roots) : globals.host_root;
}

names::Resolver resolver_for(const Globals& globals) {
  return names::Resolver(machine_root(globals));
}

std::string pod_of(const names::Names& names) {
  return names.pod.empty() ? std::string() : names.space + "/" + names.pod;
}

void put_names(Json& json, const names::Names& names) {
  put_name(json, "pod", pod_of(names));
  put_name(json, "container", names.container);
  put_name(json, "image", names.image);
  put_name(json, "unit", names.unit);
  put_name(json, "description", names.description);
}

std::string with_name(const std::string& path, const std::string& name) {
  std::string text = printable(path);
  if (!name.empty()) text.append(" (").append(printable(name)).append(")");
  return text;
}

std::string with_name(const std::string& path, names::Resolver* names) {
  return with_name(path, names == nullptr ? std::string() : names::text_of(names->names_of(path)));
}

void name_ancestors(Json& report, names::Resolver& names) {
  for (Json& one : report["by_ancestor"]) {
    put_name(one, "name", names::text_of(names.names_of(one["path"].get<std::string>())));
  }
}

}  // namespace cgctl::tool
