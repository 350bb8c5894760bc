// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cgctl/cpu.hpp"
#include "cgctl/memory_stat.hpp"
#include "require.hpp"

using namespace cgctl;

/// All inputs use one object: the texts it has seen before must not change the result of the
/// next.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static memory::Stat kept;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Version version : {Version::v1, Version::v2}) {
    cpu::Stat cpu;
    (void)cpu::parse(text, version, cpu);
    memory::Stat fresh;
    const bool good = memory::parse(text, version, fresh).has_value();
    require(good == memory::parse(text, version, kept).has_value());
    std::size_t lines = 0;
    fresh.each([&lines](std::string_view name, std::uint64_t) {
      require(!name.empty());
      ++lines;
    });
    std::size_t again = 0;
    kept.each([&again](std::string_view, std::uint64_t) { ++again; });
    require(lines == again);
    for (std::size_t i = 0; i < memory::key_count; ++i) {
      const auto key = static_cast<memory::Key>(i);
      require(fresh[key] == kept[key] && fresh.local(key) == kept.local(key));
    }
  }
  return 0;
}
