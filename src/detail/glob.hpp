// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cgctl::detail {

/// Returns the files whose paths match a pattern of glob(7), in no order. Directories that cannot
/// be read have no files. glob(3) would add the C library's user database and resolver, 100 KB, to
/// a static program.
std::vector<std::string> files_matching(std::string_view pattern);

}  // namespace cgctl::detail
