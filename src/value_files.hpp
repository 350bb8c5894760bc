// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"

/// What the controllers share: reading files that a kernel may lack, and saying which rule a
/// refused value has broken.
namespace cgctl::detail {

/// The text of a file; nothing where the cgroup has no such file.
Result<std::optional<std::string>> read_if_there(const Group& group, std::string_view file);

/// errc::malformed: `text` is not what the kernel writes to `file`.
tl::unexpected<Error> malformed(const Group& group, std::string_view file, std::string_view text);

/// Of the path in an error, the file's name.
std::string file_of(const Error& error);

/// A rule of the kernel, and what to do; without a reason none that is known.
struct Rule {
  std::string reason;
  std::string hint;
};

/// The error with the rule in place of the bare errno.
Error explained(Error error, Rule rule);

}  // namespace cgctl::detail
