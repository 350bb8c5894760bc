// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/filesystem.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view path(reinterpret_cast<const char*>(data), size);
  const auto clean = cgctl::fs::clean_relative_path(path);
  if (!clean) {
    require(clean.error().kind == cgctl::errc::outside ||
            clean.error().kind == cgctl::errc::invalid_argument);
    return 0;
  }
  require(!clean->empty() && clean->front() != '/');
  require(clean->find('\0') == std::string::npos);
  const std::string framed = "/" + *clean + "/";
  require(framed.find("/../") == std::string::npos && framed.find("//") == std::string::npos);
  require(*clean == "." || framed.find("/./") == std::string::npos);
  require(cgctl::fs::clean_relative_path(*clean).value_or("") == *clean);
  return 0;
}
