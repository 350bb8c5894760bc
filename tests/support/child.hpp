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

/// in_child with mounts of its own: what `work` mounts is seen by nobody else and gone with it.
/// Needs root.
std::string in_private_mounts(const std::function<std::string()>& work);

}  // namespace cgctl::test
