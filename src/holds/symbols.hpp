// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/holds.hpp"

namespace cgctl::holds {

/// The addresses of the kernel's functions that tell a cause, and of its system calls.
class Symbols {
 public:
  static constexpr std::uint16_t none = 0xffff;

  struct Function {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    std::uint32_t name_at = 0;
    std::uint16_t name_size = 0;
    Cause cause = Cause::other;  ///< other: a system call
  };

  /// Reads /proc/kallsyms. errc::unsupported if it shows no addresses.
  [[nodiscard]] static Result<Symbols> read(const Host& host);

  /// An address in the kernel, and the function there.
  struct Address {
    std::uint64_t at = 0;
    std::uint64_t start = 0;
    Text<48> function;
  };
  /// Reads /proc/kallsyms again and names these functions.
  static Status name(const Host& host, std::vector<Address>& addresses);

  /// Adds lines of /proc/kallsyms, "ADDRESS TYPE NAME [MODULE]", in its order.
  void add_line(std::string_view line);
  /// Ends the text; only then can functions be found.
  void finish();

  /// Returns the place of the function at this address; `none` if it is no such function.
  [[nodiscard]] std::uint16_t find(std::uint64_t address) const noexcept;
  [[nodiscard]] const Function& operator[](std::uint16_t place) const noexcept {
    return functions_[place];
  }
  [[nodiscard]] std::string_view name(std::uint16_t place) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return functions_.size(); }
  /// True if the text had addresses, which the kernel replaces with zeros for some readers.
  [[nodiscard]] bool shown() const noexcept { return shown_; }

 private:
  std::vector<Function> functions_;  // by address
  std::string names_;
  std::size_t open_ = 0;  // the functions from here on have no end yet
  bool shown_ = false;
};

}  // namespace cgctl::holds
