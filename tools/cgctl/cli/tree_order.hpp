// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>

namespace cgctl::tool {

/// Orders "/a" < "/a/b" < "/a-b": the cgroups below a cgroup follow it directly.
struct TreeOrder {
  bool operator()(const std::string& a, const std::string& b) const {
    const auto rank = [](char c) { return c == '/' ? 0U : static_cast<unsigned char>(c) + 1U; };
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                        [&](char x, char y) { return rank(x) < rank(y); });
  }
};

}  // namespace cgctl::tool
