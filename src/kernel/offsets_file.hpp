// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "kernel/layout.hpp"

namespace cgctl::kernel {

/// Returns the name of the running kernel's build: release, version and build ID.
[[nodiscard]] std::string build_of(const Host& host);

/// Writes offsets as text: one line for each, after the kernel that they are of.
[[nodiscard]] std::string to_text(const Layout& layout, std::string_view build);
/// Reads the text of to_text(). The flags of the layout, and whether slab objects are counted in
/// bytes, follow from the release that `build` begins with; births are unknown. errc::malformed if
/// the text differs in any byte from that of to_text() or has an impossible value,
/// errc::unsupported if it is of another kernel.
[[nodiscard]] Result<Layout> layout_from_text(std::string_view text, std::string_view build);

/// Reads the offsets of this kernel. errc::outside if other users can write the file.
[[nodiscard]] Result<Layout> load_offsets(const std::string& path, std::string_view build);
/// Replaces the file; makes its directory.
[[nodiscard]] Status save_offsets(const std::string& path, const Layout& layout,
                                  std::string_view build);

}  // namespace cgctl::kernel
