// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "value_files.hpp"

#include <utility>

namespace cgctl::detail {

Result<std::optional<std::string>> read_if_there(const Group& group, std::string_view file) {
  auto text = group.read(file);
  if (text) return std::optional<std::string>(std::move(*text));
  if (text.error().kind == errc::unsupported) return std::nullopt;
  return fail(text.error());
}

tl::unexpected<Error> malformed(const Group& group, std::string_view file, std::string_view text) {
  return fail(Error::make(errc::malformed, "parse", group.shown(file),
                          "not what the kernel writes there: '" + std::string(text) + "'"));
}

std::string file_of(const Error& error) {
  const std::size_t slash = error.path.rfind('/');
  return slash == std::string::npos ? error.path : error.path.substr(slash + 1);
}

Error explained(Error error, Rule rule) {
  if (rule.reason.empty()) return error;
  error.reason = std::move(rule.reason);
  if (!rule.hint.empty() && !error.hint.empty()) rule.hint += "; ";
  error.hint = rule.hint + error.hint;
  return error;
}

}  // namespace cgctl::detail
