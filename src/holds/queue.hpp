// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace cgctl::holds {

/// A queue with a fixed number of places.
template <class T>
class Queue {
 public:
  explicit Queue(std::size_t most) : places_(std::max<std::size_t>(most, 1)) {}
  bool push(const T& one) noexcept {
    if (used_ == places_.size()) return false;
    places_[(first_ + used_++) % places_.size()] = one;
    return true;
  }
  bool pop(T& out) noexcept {
    if (used_ == 0) return false;
    out = places_[first_];
    first_ = (first_ + 1) % places_.size();
    --used_;
    return true;
  }

 private:
  std::vector<T> places_;
  std::size_t first_ = 0;
  std::size_t used_ = 0;
};

}  // namespace cgctl::holds
