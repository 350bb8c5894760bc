// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/btf.hpp"

#include <cstring>
#include <utility>

namespace cgctl::kernel {
namespace {

// The kinds of include/uapi/linux/btf.h.
enum Kind : std::uint32_t {
  none,
  integer,
  pointer,
  array,
  structure,
  union_,
  enumeration,
  forward,
  typedef_,
  volatile_,
  const_,
  restrict_,
  function,
  prototype,
  variable,
  section,
  floating,
  declaration_tag,
  type_tag,
  enumeration64,
  kinds,
};

constexpr std::uint32_t header_bytes = 24;
constexpr std::uint32_t type_bytes = 12;
constexpr unsigned most_nested = 16;  // deeper than any type of the kernel
constexpr unsigned most_members = 10000;

/// Returns the bytes that follow the type's first twelve.
std::uint64_t bytes_behind(std::uint32_t kind, std::uint32_t members) {
  switch (kind) {
    case integer:
    case variable:
    case declaration_tag:
      return 4;
    case array:
      return 12;
    case structure:
    case union_:
    case section:
    case enumeration64:
      return std::uint64_t{12} * members;
    case enumeration:
    case prototype:
      return std::uint64_t{8} * members;
    default:
      return 0;
  }
}

bool is_alias(std::uint32_t kind) {
  return (kind >= typedef_ && kind <= restrict_) || kind == type_tag;
}

}  // namespace

/// Ends a search in a text that means harm.
struct Btf::Patience {
  unsigned& members;
  unsigned depth = 0;
};

struct Btf::Type {
  std::uint32_t at = 0;  // where the type begins in content_
  std::uint32_t kind = none;
  std::uint32_t members = 0;
  std::uint32_t size_or_type = 0;
  bool bit_fields = false;
};

Result<Btf> Btf::parse(std::string content) {
  Btf btf(std::move(content));
  if (!btf.index()) {
    return fail(Error::make(errc::malformed, "parse", "/sys/kernel/btf/vmlinux",
                            "not the type format that this version knows (BTF)"));
  }
  return btf;
}

std::uint32_t Btf::word(std::uint64_t at) const noexcept {
  std::uint32_t value = 0;
  if (at + sizeof value <= content_.size()) std::memcpy(&value, content_.data() + at, sizeof value);
  return value;
}

bool Btf::is_named(std::uint32_t offset, std::string_view text) const noexcept {
  if (offset >= strings_.size()) return text.empty();
  const char* const at = strings_.data() + offset;
  const std::size_t rest = strings_.size() - offset;
  if (text.empty()) return *at == '\0';
  if (*at != text.front() || rest < text.size()) return false;
  return std::memcmp(at, text.data(), text.size()) == 0 &&
         (rest == text.size() || at[text.size()] == '\0');
}

bool Btf::index() {
  constexpr std::uint32_t magic = 0xeb9f;
  if (content_.size() < header_bytes || (word(0) & 0xffff) != magic) return false;
  const std::uint64_t header = word(4);
  const std::uint64_t first = header + word(8);
  const std::uint64_t end = first + word(12);
  const std::uint64_t strings = header + word(16);
  const std::uint64_t strings_end = strings + word(20);
  if (end > content_.size() || strings_end > content_.size()) return false;
  strings_ = std::string_view(content_).substr(static_cast<std::size_t>(strings),
                                               static_cast<std::size_t>(strings_end - strings));
  types_.push_back(0);  // number 0 is void
  for (std::uint64_t at = first; at < end;) {
    const std::uint32_t information = word(at + 4);
    const std::uint32_t kind = information >> 24 & 31;
    if (kind == none || kind >= kinds || at + type_bytes > end) return false;
    const auto id = static_cast<std::uint32_t>(types_.size());
    if (kind == structure) structures_.push_back(id);
    if (kind == enumeration) enumerations_.push_back(id);
    types_.push_back(static_cast<std::uint32_t>(at));
    at += type_bytes + bytes_behind(kind, information & 0xffff);
    if (at > end) return false;
  }
  return true;
}

Btf::Type Btf::type(std::uint32_t id) const noexcept {
  if (id == 0 || id >= types_.size()) return {};
  const std::uint32_t at = types_[id];
  const std::uint32_t information = word(at + 4);
  return {at, information >> 24 & 31, information & 0xffff, word(at + 8), information >> 31 != 0};
}

Btf::Type Btf::resolved(std::uint32_t id) const noexcept {
  Type found = type(id);
  for (unsigned i = 0; i < most_nested && is_alias(found.kind); ++i) {
    found = type(found.size_or_type);
  }
  return found;
}

std::uint64_t Btf::size_of(std::uint32_t id) const noexcept {
  std::uint64_t elements = 1;
  for (unsigned i = 0; i < most_nested; ++i) {
    const Type found = resolved(id);
    if (found.kind == pointer) return elements * 8;
    if (found.kind != array) return elements * found.size_or_type;
    elements *= word(found.at + type_bytes + 8);
    if (elements > UINT32_MAX) return 0;
    id = word(found.at + type_bytes);
  }
  return 0;
}

std::optional<Btf::Type> Btf::find(const std::vector<std::uint32_t>& ids,
                                   std::string_view name) const noexcept {
  for (const std::uint32_t id : ids) {
    if (is_named(word(types_[id]), name)) return type(id);
  }
  return std::nullopt;
}

// NOLINTNEXTLINE(misc-no-recursion): at most most_nested deep
std::optional<Btf::Field> Btf::member(const Type& structure, std::string_view path,
                                      Patience patience) const {
  constexpr std::uint32_t member_bytes = 12;
  constexpr std::uint32_t offset_bits = 0xffffff;
  if (patience.depth == most_nested) return std::nullopt;
  ++patience.depth;
  const std::size_t dot = path.find('.');
  for (std::uint32_t i = 0; i < structure.members && patience.members > 0; ++i) {
    --patience.members;
    const std::uint64_t at = structure.at + type_bytes + member_bytes * i;
    const std::uint32_t called = word(at);
    const std::uint32_t id = word(at + 4);
    const std::uint32_t bits = word(at + 8);
    const std::uint32_t offset = (structure.bit_fields ? bits & offset_bits : bits) / 8;
    std::optional<Field> found;
    if (is_named(called, {})) {
      found = member(resolved(id), path, patience);
    } else if (is_named(called, path.substr(0, dot))) {
      if (dot == std::string_view::npos) {
        return Field{offset, static_cast<std::uint32_t>(size_of(id)), resolved(id).kind == pointer};
      }
      found = member(resolved(id), path.substr(dot + 1), patience);
    }
    if (!found) continue;
    found->offset += offset;
    return found;
  }
  return std::nullopt;
}

std::optional<Btf::Field> Btf::field(std::string_view structure, std::string_view path) const {
  const auto found = find(structures_, structure);
  if (!found) return std::nullopt;
  unsigned members = most_members;
  return member(*found, path, {members});
}

std::optional<std::uint32_t> Btf::size(std::string_view structure) const {
  const auto found = find(structures_, structure);
  if (!found) return std::nullopt;
  return found->size_or_type;
}

std::optional<std::int64_t> Btf::value(std::string_view enumeration,
                                       std::string_view enumerator) const {
  const auto found = find(enumerations_, enumeration);
  for (std::uint32_t i = 0; found && i < found->members; ++i) {
    const std::uint64_t at = found->at + type_bytes + std::uint64_t{8} * i;
    if (is_named(word(at), enumerator)) return static_cast<std::int32_t>(word(at + 4));
  }
  return std::nullopt;
}

}  // namespace cgctl::kernel
