// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cstdlib>

#include "cgctl/pressure.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto pressure = cgctl::pressure::parse(text);
  if (pressure && text.find("some") == std::string_view::npos) std::abort();
  return 0;
}
