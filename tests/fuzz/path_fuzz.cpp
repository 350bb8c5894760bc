// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cstdlib>

#include "cgctl/filesystem.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto clean = cgctl::fs::clean_relative_path({reinterpret_cast<const char*>(data), size});
  if (!clean) return 0;
  const std::string framed = "/" + *clean + "/";
  const bool escapes = framed.find("/../") != std::string::npos ||
                       framed.find("//") != std::string::npos ||
                       framed.find('\0') != std::string::npos || clean->size() > 4095;
  if (escapes) std::abort();
  return 0;
}
