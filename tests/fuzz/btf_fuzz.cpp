// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/btf.hpp"
#include "kernel/layout.hpp"
#include "kernel/page_layout.hpp"
#include "kernel/pages.h"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto btf =
      cgctl::kernel::Btf::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!btf) {
    require(btf.error().kind == cgctl::errc::malformed);
    return 0;
  }
  (void)btf->field("outer", "inside.many");
  (void)btf->value("numbers", "SECOND");
  const auto pages = cgctl::kernel::page_layout_of(*btf);
  require(!pages || pages->owner / sizeof(std::uint64_t) < cgctl_folio_words);
  const auto layout = cgctl::kernel::layout_of(*btf);
  if (!layout) {
    require(layout.error().kind == cgctl::errc::unsupported);
    return 0;
  }
  require(layout->fields.state_bytes < sizeof cgctl_record::state);
  require(layout->fields.lists_bytes < sizeof(std::uint64_t) * cgctl_lists);
  return 0;
}
