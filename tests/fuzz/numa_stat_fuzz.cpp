// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cstdlib>

#include "cgctl/numa_stat.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  cgctl::numa::NumaStat out;
  for (const auto version : {cgctl::Version::v1, cgctl::Version::v2}) {
    if (!cgctl::numa::parse(text, version, out)) {
      if (!out.empty()) std::abort();
      continue;
    }
    if (out.empty()) std::abort();
    for (std::size_t i = 0; i < out.size(); ++i) {
      // Every line has as many nodes as the first, and its name stands in the text.
      if (out[i].count == 0 || out[i].count != out[0].count || out[i].name.empty()) std::abort();
      if (text.find(out[i].name) == std::string_view::npos) std::abort();
    }
  }
  return 0;
}
