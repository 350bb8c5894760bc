// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "kernel/loader.hpp"
#include "kernel/pages.h"

namespace cgctl::kernel {

/// Addresses in the kernel, or the words found there.
using Words = std::vector<std::uint64_t>;

/// Reads structures and lists of pages with the program. An address that cannot be read, such as 0,
/// has a word of 0 and an empty text; after a failure this is true of all.
class PageProgram {
 public:
  [[nodiscard]] static Result<PageProgram> load();

  /// Reads the word at `offset` of each structure.
  [[nodiscard]] Words words(const Words& structures, std::uint32_t offset);
  /// Reads the text at each address, up to 255 bytes.
  [[nodiscard]] std::vector<std::string> texts(const Words& addresses);

  /// A list of pages, and the words of struct page where its link and its cgroup are.
  struct List {
    std::uint64_t head = 0;
    std::uint64_t next = 0;  ///< the entry that is read next
    std::uint64_t cgroup = 0;
    std::uint32_t link = 0;
    std::uint32_t owner = 0;
  };
  struct Followed {
    std::size_t pages = 0;
    bool lost = false;  ///< the list has changed meanwhile
  };
  /// Reads up to cgctl_folios pages, and moves `next`.
  [[nodiscard]] Followed follow(List& list);
  /// A page that follow() read.
  [[nodiscard]] const unsigned long long* page(std::size_t place) noexcept {
    return shared().folios[place];
  }

  /// Forgets the failure and the figures.
  void reset() noexcept;
  [[nodiscard]] const std::optional<Error>& failure() const noexcept { return failure_; }
  [[nodiscard]] std::size_t runs() const noexcept { return runs_; }
  [[nodiscard]] std::chrono::nanoseconds longest_run() const noexcept { return longest_run_; }

 private:
  explicit PageProgram(LoadedProgram code) noexcept : code_(std::move(code)) {}
  [[nodiscard]] cgctl_pages& shared() noexcept { return *static_cast<cgctl_pages*>(code_.value()); }
  [[nodiscard]] bool run(cgctl_look look, std::size_t count);

  LoadedProgram code_;
  std::optional<Error> failure_;
  std::size_t part_ = 1;  // the number of runs that the work of one is divided into
  std::size_t runs_ = 0;
  std::chrono::nanoseconds longest_run_{};
};

}  // namespace cgctl::kernel
