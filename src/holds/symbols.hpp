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

/// Names the functions of the kernel at any addresses.
class FunctionNames {
 public:
  /// Adds an address to look up.
  void ask(std::uint64_t address) { asked_.push_back({address, 0, {}}); }
  /// Reads /proc/kallsyms, if there are addresses.
  [[nodiscard]] Status read(const Host& host);
  /// Returns the function at an address that was asked for; empty if it is not known.
  [[nodiscard]] Text<48> at(std::uint64_t address) const noexcept;

  /// Ends the questions; answers follow.
  void begin();
  /// Notes a line of /proc/kallsyms.
  void add_line(std::string_view line) noexcept;
  /// Ends the lines; only then are the answers right.
  void finish() noexcept;

 private:
  struct Asked {
    std::uint64_t address = 0;
    std::uint64_t start = 0;  ///< of the function; 0: none is known
    Text<48> name;
  };
  static bool is_lower(const Asked& one, std::uint64_t address) noexcept {
    return one.address < address;
  }

  std::vector<Asked> asked_;  // by address
};

}  // namespace cgctl::holds
