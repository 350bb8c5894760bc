// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "holds/totals.hpp"

#include <utility>

namespace cgctl::holds {
namespace {

constexpr std::size_t most_totals = 63;  // and one for all others

bool is_smaller(const Total& a, const Total& b) noexcept { return a.held < b.held; }

bool is_same(const Task& a, const Task& b) noexcept {
  return a.cause == b.cause && a.comm.view() == b.comm.view() && a.cgroup.view() == b.cgroup.view();
}

}  // namespace

Totals::Totals() {
  totals_.reserve(most_totals);
  others_.task.cause = Cause::other;
}

/// Returns the total to add to. Makes room by adding the smallest total to that of all others.
Total& Totals::place_for(const Task& task) noexcept {
  const auto found = std::find_if(totals_.begin(), totals_.end(),
                                  [&](const Total& one) { return is_same(one.task, task); });
  if (found != totals_.end()) return *found;
  if (totals_.size() < most_totals) return totals_.emplace_back();
  Total& smallest = *std::min_element(totals_.begin(), totals_.end(), is_smaller);
  others_.holds += smallest.holds;
  others_.samples += smallest.samples;
  others_.held += smallest.held;
  if (smallest.longest > others_.longest) others_.longest_cpu = smallest.longest_cpu;
  others_.longest = std::max(others_.longest, smallest.longest);
  return smallest = Total{};
}

void Totals::add(const Hold& hold, bool counts) noexcept {
  Total& total = place_for(hold.task);
  total.holds += counts ? 1U : 0U;
  total.samples += hold.samples;
  total.held += hold.length();
  if (hold.length() <= total.longest) return;
  total.longest = hold.length();
  total.longest_cpu = hold.cpu;
  total.task = hold.task;
}

std::vector<Total> Totals::sorted() const {
  std::vector<Total> all = totals_;
  // A sort of the standard library would be several times as large.
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = i + 1; j < all.size(); ++j) {
      if (is_smaller(all[i], all[j])) std::swap(all[i], all[j]);
    }
  }
  if (others_.samples != 0) all.push_back(others_);
  return all;
}

}  // namespace cgctl::holds
