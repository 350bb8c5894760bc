// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/names.hpp"

/// The texts that the programs keep about their containers and units. Each function returns empty
/// names for a text that it does not understand.
namespace cgctl::names {

/// Returns the text if it can be a name: at most 255 bytes without control characters.
std::string name_or_nothing(std::string_view text);

/// Parses the name of a link that the kubelet makes in /var/log/containers:
/// "POD_NAMESPACE_CONTAINER-ID.log". `id` is set to the container's id.
Names of_log_link(std::string_view link, std::string& id);

/// Parses the config.json of a bundle (OCI runtime specification) that containerd or CRI-O made.
Names of_bundle(std::string_view text);

/// Parses a config.v2.json of Docker.
Names of_docker(std::string_view text);

/// Parses the containers.json of a storage that Podman and CRI-O use: names by id, not sorted.
std::vector<std::pair<std::string, Names>> of_storage(std::string_view text);

/// Returns the Description= of a unit file, with the specifiers %i, %I, %n, %p and %% replaced;
/// empty if it has others.
std::string description_in(std::string_view text, std::string_view unit);

/// Returns "getty@.service" for "getty@tty1.service"; empty if the unit is no instance.
std::string template_of(std::string_view unit);

}  // namespace cgctl::names
