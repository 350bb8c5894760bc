// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

namespace cgctl::test {

/// Runs `work` in a child process, for work that changes its process: credentials, mounts,
/// namespaces. `work` returns its complaint, or an empty text. Returns that text, or how the child
/// died.
std::string in_child(const std::function<std::string()>& work);

/// Runs `work` as in_child() does, with private mounts, which nobody else sees and which end with
/// the child. Works only if cannot_mount() is empty.
std::string in_private_mounts(const std::function<std::string()>& work);

/// Returns the reason why in_private_mounts() cannot work here, or an empty text. Only root can
/// mount, and in a plain chroot the root directory is not a mount point, so that it cannot be made
/// private.
std::string cannot_mount();

/// Makes a system call fail with `error` for this process, by a seccomp filter.
void refuse_call(unsigned number, unsigned error);

/// Makes bpf(2) fail with EPERM for this process, as a container engine's filter does.
void refuse_bpf();

}  // namespace cgctl::test
