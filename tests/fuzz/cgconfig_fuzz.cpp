// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cgconfig.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cgctl;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = cgconfig::parse(text, "fuzz");
  if (!parsed) {
    require(parsed.error().kind == errc::malformed || parsed.error().kind == errc::unsupported);
    require(parsed.error().reason.find("line ") == 0);
    return 0;
  }
  for (const tree::Cgroup& cgroup : parsed->tree) {
    require(cgroup.path.front() == '/');
    require((cgroup.path + "/").find("/../") == std::string::npos);
  }
  // The text that is written parses to the same configuration.
  const auto written = cgconfig::format(parsed->tree);
  if (!written) return 0;
  const auto again = cgconfig::parse(*written, "again");
  require(again.has_value());
  require(cgconfig::format(again->tree).value_or("") == *written);
  return 0;
}
