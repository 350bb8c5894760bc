// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/zombies_below.hpp"

#include <algorithm>

namespace cgctl::tool::top_command {

double ZombiesBelow::of(std::string_view path) {
  constexpr int share = 25;
  constexpr Clock::duration fresh = std::chrono::seconds(2);
  const auto now = Clock::now();
  if (!opened_ || now - counted_at_ >= std::max(fresh, counting_ * share)) {
    count();
    counted_at_ = now;
    counting_ = Clock::now() - now;
  }
  if (path == "/") return root_;
  if (!all_known_) return NAN;
  const auto found =
      std::lower_bound(counts_.begin(), counts_.end(), path,
                       [](const auto& one, std::string_view wanted) { return one.first < wanted; });
  const bool any = found != counts_.end() && found->first == path;
  return any ? static_cast<double>(found->second) : 0;
}

void ZombiesBelow::count() {
  if (!opened_) {
    opened_ = true;
    census::Options options;
    options.rounds = 2;
    if (host_.live()) {
      auto census = census::Census::open(host_, options);
      if (census) census_ = std::move(*census);
      if (!census) note(census.error());
    }
  }
  all_known_ = census_ && count_by_census();
  if (all_known_) return;
  root_ = NAN;
  if (!counter_) {
    auto counter = zombies::Counter::open(host_, 0, zombies::Counter::Use::directories);
    if (!counter) return note(counter.error());
    counter_ = std::move(*counter);
  }
  constexpr unsigned walks = 1;
  const auto count = counter_->count(walks);
  if (!count) return note(count.error());
  root_ = static_cast<double>(count->low);
}

void ZombiesBelow::note(const Error& error) {
  if (!failure_ && error.kind != errc::unsupported) failure_ = error;
}

/// Adds each removed cgroup to all cgroups above it, which come before it in a census.
bool ZombiesBelow::count_by_census() {
  if (auto status = census_->take(snapshot_, {true, false, false, false}); !status) {
    note(status.error());
    return false;
  }
  const auto& all = snapshot_.cgroups;
  std::vector<std::uint32_t> below(all.size());
  for (std::size_t i = all.size(); i-- > 1;) {
    below[all[i].parent] += below[i] + (all[i].live ? 0U : 1U);
  }
  counts_.clear();
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (all[i].live && below[i] != 0) counts_.emplace_back(snapshot_.path(i), below[i]);
  }
  std::sort(counts_.begin(), counts_.end());
  root_ = below.empty() ? NAN : static_cast<double>(below.front());
  return true;
}

}  // namespace cgctl::tool::top_command
