// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_stat.hpp"
#include "top/rows.hpp"

/// Reads the figures of one cgroup by column.
namespace cgctl::tool::top_command {

/// The files of one round that exist and could not be read.
class Unread {
 public:
  /// Notes an error, unless it says that the file or the cgroup does not exist.
  void note(const Error& error);
  /// Notes the error, if there is one. True if there is a value.
  template <class T>
  bool has(const Result<T>& result) {
    if (!result) note(result.error());
    return result.has_value();
  }

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] const std::optional<Error>& first() const noexcept { return first_; }

 private:
  std::size_t count_ = 0;
  std::optional<Error> first_;
};

/// Returns a number as a figure; NaN if there is none.
inline double or_nan(const std::optional<std::uint64_t>& number) {
  return number ? static_cast<double>(*number) : NAN;
}

/// Sets the columns memory, working set, anon, file and, on v1, swap. `stat` is null where the
/// cgroup has none.
void take_memory(const std::optional<std::uint64_t>& usage, const memory::Stat* stat,
                 Values& values);

/// Reads those of `columns` that the sampler does not have, but the zombies only on v2. Limits stay
/// for 5 s. `opened` is the cgroup if it is open already. A cgroup that is gone has no figures.
void read_figures(const Host& host, Row& row, const std::vector<Column>& columns, Unread& unread,
                  const Group* opened = nullptr);

/// Reads all of `columns` that do not take two samples.
void read_once(const Group& group, Row& row, const std::vector<Column>& columns, Unread& unread);

}  // namespace cgctl::tool::top_command
