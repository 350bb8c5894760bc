// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/peek.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "kernel/peek_code.hpp"

namespace cgctl::kernel {

Result<Peek> Peek::load() {
  constexpr Code code{peek_code, std::size(peek_code), sizeof(cgctl_peek)};
  Error error;
  for (const Way way : {Way::on_demand, Way::by_rename}) {
    auto loaded = LoadedProgram::load(code, way);
    if (loaded) {
      // Only a run shows whether the kernel has this way.
      if (auto status = loaded->run(); !status) loaded = fail(status.error());
    }
    if (loaded) {
      loaded->detach();
      return Peek(std::move(*loaded));
    }
    error = std::move(loaded.error());
    if (error.kind != errc::unsupported) break;
  }
  return fail(std::move(error));
}

bool Peek::read(std::uint64_t from, void* to, std::size_t bytes) {
  cgctl_peek& peek = shared();
  auto* out = static_cast<unsigned char*>(to);
  while (bytes != 0) {
    const std::size_t part = std::min(bytes, sizeof peek.memory);
    peek.from = from;
    peek.bytes = part;
    if (from >> 62U != CGCTL_HIGHEST_BITS) {
      std::memset(peek.memory, 0, part);
    } else if (!code_.run()) {
      return false;
    }
    std::memcpy(out, peek.memory, part);
    out += part;
    from += part;
    bytes -= part;
  }
  return true;
}

std::uint64_t Peek::task() {
  shared().bytes = 0;
  shared().task = 0;
  return code_.run() ? shared().task : 0;
}

std::uint64_t Peek::word(std::uint64_t from) {
  std::uint64_t value = 0;
  return read(from, &value, sizeof value) ? value : 0;
}

}  // namespace cgctl::kernel
