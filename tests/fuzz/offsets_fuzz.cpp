// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/offsets_file.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view build = "6.1.0 #1";
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto layout = cgctl::kernel::layout_from_text(text, build);
  if (!layout) return 0;
  require(cgctl::kernel::to_text(*layout, build) == text);
  require(layout->zones * cgctl::kernel::lru_lists <= cgctl_lists);
  for (const cgctl::kernel::Slot& slot : layout->slots) {
    require(slot.index == cgctl::kernel::Slot::absent || slot.index < cgctl_states);
  }
  return 0;
}
