// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "cgctl/numa_stat.hpp"
#include "require.hpp"

namespace {

using cgctl::Version;
using cgctl::numa::NumaStat;
using cgctl::numa::Unit;

void check(const NumaStat& out, std::string_view text, Version version) {
  require(!out.empty());
  require(out.unit() == (version == Version::v1 ? Unit::pages : Unit::bytes));
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  require(out.size() + out.skipped_lines() == lines);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const NumaStat::Stat stat = out[i];
    require(stat.count != 0 && stat.count == out[0].count);
    require(!stat.name.empty() && stat.name.find_first_of("= \n") == std::string_view::npos);
    require(text.find(stat.name) != std::string_view::npos);
    require(out.find(stat.name).has_value());
    std::uint64_t sum = 0;
    for (const auto& entry : stat) {
      require(stat.on(entry.node).has_value());
      sum += entry.value;
    }
    require(version == Version::v1 || stat.total == sum);
  }
  if (version == Version::v2) return;
  for (const char* name : {"total", "file", "anon", "unevictable"})
    require(out.find(name).has_value());
  const bool hierarchical = out.find("hierarchical_total").has_value();
  for (const char* name : {"file", "anon", "unevictable"})
    require(out.find(std::string("hierarchical_") + name).has_value() == hierarchical);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static NumaStat reused;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto version : {Version::v1, Version::v2}) {
    NumaStat fresh;
    const bool parsed = cgctl::numa::parse(text, version, fresh).has_value();
    require(cgctl::numa::parse(text, version, reused).has_value() == parsed);
    require(reused.size() == fresh.size() && reused.skipped_lines() == fresh.skipped_lines());
    if (parsed) {
      check(fresh, text, version);
      check(reused, text, version);
    } else {
      require(fresh.empty());
    }
  }
  return 0;
}
