// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "cgctl/cgctl.h"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/memory_stat.hpp"

struct cgctl_host {
  cgctl::Host host;
};

/// Carries arguments, results and errors between cgctl.h and the library.
namespace cgctl::c_api {

/// True if the caller has set the structure's size.
template <class T>
bool has_size(const T* structure) noexcept {
  constexpr std::size_t largest = 65536;
  return structure != nullptr && structure->size >= sizeof structure->size &&
         structure->size <= largest;
}

/// Copies `value` into the caller's structure, as many bytes as both know, and sets the others to
/// 0.
template <class T>
int give(T value, T* out) noexcept {
  if (!has_size(out)) return CGCTL_INVALID_ARGUMENT;
  value.size = out->size;
  const std::size_t known = std::min(out->size, sizeof value);
  const std::size_t unknown = out->size - known;
  std::memcpy(out, &value, known);
  std::memset(reinterpret_cast<char*>(out) + known, 0, unknown);
  return CGCTL_OK;
}

/// As above; the error names the structure's mistake.
template <class T>
Status deliver(const T& value, T* out) {
  if (give(value, out) == CGCTL_OK) return {};
  return fail(Error::make(errc::invalid_argument, "return", {}, "the result has no valid size"));
}

/// Describes the error to the caller; returns its kind.
int report(const Error& error, cgctl_error* out);
/// As above, for a lack of memory; allocates nothing.
int report_no_memory(cgctl_error* out) noexcept;

/// Calls `work`, which returns a Status, and reports its error. The library throws nothing but
/// std::bad_alloc.
template <class Work>
int guarded(cgctl_error* error, Work work) noexcept {
  try {
    const Status done = work();
    return done ? static_cast<int>(CGCTL_OK) : report(done.error(), error);
  } catch (...) {
    return report_no_memory(error);
  }
}

/// Fails if a pointer is null.
template <class... Pointer>
Status given(const Pointer*... pointers) {
  if ((... && (pointers != nullptr))) return {};
  return fail(Error::make(errc::invalid_argument, "read", {}, "an argument is null"));
}

/// Moves the opened object into a new handle for the caller.
template <class Handle, class T>
Status hand_over(Result<T> opened, Handle** out) {
  if (!opened) return fail(std::move(opened.error()));
  *out = new Handle{std::move(*opened)};
  return {};
}

/// Copies a text, cut to fit.
template <std::size_t size>
void copy_text(std::string_view text, char (&out)[size]) noexcept {
  const std::size_t fits = std::min(text.size(), size - 1);
  std::memcpy(out, text.data(), fits);
  out[fits] = '\0';
}

inline std::uint64_t figure(const std::optional<std::uint64_t>& value) noexcept {
  return value.value_or(CGCTL_ABSENT);
}
template <class Rep, class Period>
std::uint64_t figure(const std::optional<std::chrono::duration<Rep, Period>>& value) noexcept {
  return value ? static_cast<std::uint64_t>(value->count()) : CGCTL_ABSENT;
}

/// Returns the anonymous memory, by the name of the stat's version.
inline std::uint64_t anon_of(const memory::Stat& stat) noexcept {
  const auto v2 = stat[memory::Key::anon];
  return figure(v2 ? v2 : stat[memory::Key::rss]);
}
/// Returns the page cache, by the name of the stat's version.
inline std::uint64_t file_of(const memory::Stat& stat) noexcept {
  const auto v2 = stat[memory::Key::file];
  return figure(v2 ? v2 : stat[memory::Key::cache]);
}
inline std::uint64_t working_set_of(const std::optional<std::uint64_t>& usage,
                                    const memory::Stat& stat) noexcept {
  return usage ? memory::working_set(*usage, stat) : CGCTL_ABSENT;
}

}  // namespace cgctl::c_api
