// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/rows.hpp"

#include <algorithm>
#include <cstring>

namespace cgctl::tool::top_command {
namespace {

constexpr unsigned half = 16;  // bits of a float that a point leaves out

}  // namespace

void History::add(double figure) noexcept {
  const auto exact = static_cast<float>(figure);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &exact, sizeof bits);
  points_[next_] = static_cast<std::uint16_t>(bits >> half);
  next_ = static_cast<std::uint8_t>((next_ + 1U) % size);
  if (count_ < size) ++count_;
}

float History::at(std::size_t index) const noexcept {
  const std::uint32_t bits = std::uint32_t{points_[(next_ + size - count_ + index) % size]} << half;
  float figure = 0;
  std::memcpy(&figure, &bits, sizeof figure);
  return figure;
}

Row* find_row(const Rows& rows, std::string_view path) noexcept {
  const auto found = std::lower_bound(
      rows.begin(), rows.end(), path,
      [](const std::unique_ptr<Row>& row, std::string_view wanted) { return row->path < wanted; });
  return found != rows.end() && (*found)->path == path ? found->get() : nullptr;
}

void link_parents(const Rows& rows) {
  for (const auto& row : rows) {
    row->parent = nullptr;
    std::string_view above = row->path;
    while (row->parent == nullptr && above.size() > 1) {
      above = above.substr(0, above.rfind('/'));
      if (above.empty()) above = "/";
      row->parent = find_row(rows, above);
    }
  }
}

}  // namespace cgctl::tool::top_command
