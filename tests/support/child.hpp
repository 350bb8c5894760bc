// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

namespace cgctl::test {

/// Runs `work` in a child process, for what would change the test's own process: credentials,
/// mounts, namespaces. `work` returns what was wrong, or nothing. The result is that text, or how
/// the child died.
std::string in_child(const std::function<std::string()>& work);

/// Runs `work` as in_child() does, with mounts of its own: nobody else sees them, and they end with
/// the child. Works only where cannot_mount() returns nothing.
std::string in_private_mounts(const std::function<std::string()>& work);

/// Returns why in_private_mounts() cannot work here, or nothing: only root mounts, and in a plain
/// chroot the root directory is no mount point that could be made private.
std::string cannot_mount();

}  // namespace cgctl::test
