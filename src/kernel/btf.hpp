// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"

namespace cgctl::kernel {

/// The kernel's description of its own types: BTF, the BPF Type Format (bpf/btf.rst).
class Btf {
 public:
  /// A member of a structure, members of members included.
  struct Field {
    std::uint32_t offset = 0;  ///< bytes from the start of the outermost structure
    std::uint32_t size = 0;    ///< bytes
    bool pointer = false;
  };

  /// Parses the content of /sys/kernel/btf/vmlinux. errc::malformed if a part lies outside the
  /// content or the kind of a type is unknown, since the next type cannot be found then.
  [[nodiscard]] static Result<Btf> parse(std::string content);

  /// The member "a" or "a.b" of a structure; anonymous members are searched too.
  [[nodiscard]] std::optional<Field> field(std::string_view structure, std::string_view path) const;
  /// The size in bytes of a structure.
  [[nodiscard]] std::optional<std::uint32_t> size(std::string_view structure) const;
  /// The value of an enumerator of a named enumeration.
  [[nodiscard]] std::optional<std::int64_t> value(std::string_view enumeration,
                                                  std::string_view enumerator) const;

 private:
  struct Type;
  struct Patience;
  explicit Btf(std::string content) : content_(std::move(content)) {}
  [[nodiscard]] bool index();
  [[nodiscard]] std::uint32_t word(std::uint64_t at) const noexcept;
  /// True if the name at `offset` is `text`. Reads no more of it than that, since a text that means
  /// harm may be one long name.
  [[nodiscard]] bool is_named(std::uint32_t offset, std::string_view text) const noexcept;
  [[nodiscard]] Type type(std::uint32_t id) const noexcept;
  [[nodiscard]] Type resolved(std::uint32_t id) const noexcept;
  [[nodiscard]] std::uint64_t size_of(std::uint32_t id) const noexcept;
  [[nodiscard]] std::optional<Type> find(const std::vector<std::uint32_t>& ids,
                                         std::string_view name) const noexcept;
  [[nodiscard]] std::optional<Field> member(const Type& structure, std::string_view path,
                                            Patience patience) const;

  std::string content_;
  std::string_view strings_;
  std::vector<std::uint32_t> types_;  // where each begins, by its number
  std::vector<std::uint32_t> structures_;
  std::vector<std::uint32_t> enumerations_;
};

}  // namespace cgctl::kernel
