// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/names.hpp"
#include "cgctl/sampler.hpp"
#include "top/figures.hpp"
#include "top/rows.hpp"
#include "top/zombies_below.hpp"

namespace cgctl::tool::top_command {

/// Keeps the rows of the table: all figures that the sampler has for all cgroups, and the others,
/// which take a file each, for the cgroups and columns that are shown.
class Watch {
 public:
  /// `keeps_past`: with the last minutes of each cgroup.
  [[nodiscard]] static Result<Watch> open(const Host& host, std::string_view path,
                                          names::Resolver resolver, bool keeps_past);

  /// Looks up the name of a row, once.
  void find_name(Row& row);
  /// Returns all names of a cgroup.
  [[nodiscard]] names::Names names_of(const std::string& path) { return resolver_.names_of(path); }
  /// Takes a sample. Cgroups that were made since are found every time, or less often where to look
  /// for them would take more than 4 % of the time.
  [[nodiscard]] Status sample();
  /// Reads the figures of these columns that the sampler does not have. Leaves a cgroup that is
  /// gone as it is.
  void read_more(Row& row, const std::vector<Column>& columns);

  [[nodiscard]] const Rows& rows() const noexcept { return rows_; }
  /// Returns the number of cgroups, and of further files, that could not be read since sample() was
  /// called.
  [[nodiscard]] std::size_t unread() const noexcept { return sampler_unread_ + unread_.count(); }
  /// Returns why, in words; empty if all could be read.
  [[nodiscard]] std::string trouble() const;

 private:
  Watch(Host host, Sampler sampler, names::Resolver resolver, bool keeps_past)
      : host_(std::move(host)),
        sampler_(std::move(sampler)),
        resolver_(std::move(resolver)),
        zombies_(host_),
        keeps_past_(keeps_past) {}
  [[nodiscard]] Status find_new();
  void take(const Sample& sample, std::size_t& next, Rows& added, bool point);

  Host host_;
  Sampler sampler_;
  names::Resolver resolver_;
  ZombiesBelow zombies_;
  bool keeps_past_;
  Rows rows_;
  std::size_t sampler_unread_ = 0;
  Unread unread_;
  Clock::time_point found_at_;  // when new cgroups were looked for
  Clock::duration finding_{};   // how long that took
  Clock::time_point point_at_;  // of the last point of the histories
};

}  // namespace cgctl::tool::top_command
