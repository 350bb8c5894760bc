// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/names.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"

/// Names of pods, containers, images and units beside the paths of cgroups.
namespace cgctl::tool {

/// Returns the directory with the machine's root: --host-root, else the one beside Roots::proc.
std::string machine_root(const Globals& globals);

/// Returns a resolver for the machine of --host-root, else of --proc-root.
names::Resolver resolver_for(const Globals& globals);

/// Sets pod ("NAMESPACE/NAME"), container, image, unit and description; null where not known.
void put_names(Json& json, const names::Names& names);

/// Returns "NAMESPACE/NAME"; empty if the pod is not known.
std::string pod_of(const names::Names& names);

/// Returns a path for display, with its name in parentheses if there is one.
std::string with_name(const std::string& path, const std::string& name);
/// Looks the name up; a null resolver knows none.
std::string with_name(const std::string& path, names::Resolver* names);

/// Sets `name`, null where it is not known, in each member of "by_ancestor" that zombies_json()
/// wrote.
void name_ancestors(Json& report, names::Resolver& names);

}  // namespace cgctl::tool
