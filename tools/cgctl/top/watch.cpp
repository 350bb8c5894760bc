// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/watch.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "cli/command.hpp"

namespace cgctl::tool::top_command {
namespace {

void take_cpu(const Sample& sample, Row& row) {
  value(row.values, Column::cpu) = sample.cpus.value_or(NAN);
  const double periods = or_nan(sample.cpu.nr_periods);
  const double throttled = or_nan(sample.cpu.nr_throttled);
  double& percent = value(row.values, Column::throttled);
  percent = NAN;
  if (periods > row.periods && throttled >= row.throttled_periods) {  // false for NaN
    percent = 100 * (throttled - row.throttled_periods) / (periods - row.periods);
  }
  row.periods = periods;
  row.throttled_periods = throttled;
}

/// Returns the most descriptors that the sampler may keep; the others are for files that are read
/// one at a time and for a census.
std::size_t descriptors_to_keep() {
  constexpr std::size_t others = 256;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const auto all = static_cast<std::size_t>(limit.rlim_cur);
  return all - std::min(all / 2, others);
}

}  // namespace

Result<Watch> Watch::open(const Host& host, std::string_view path, names::Resolver resolver,
                          bool keeps_past) {
  Sampler::Config config;
  config.memory = Sampler::Config::Memory::cheapest;
  config.descriptors = descriptors_to_keep();
  config.skip_idle = true;
  auto sampler = Sampler::open(host, path, config);
  if (!sampler) return fail(sampler.error());
  Watch watch(host, std::move(*sampler), std::move(resolver), keeps_past);
  if (auto status = watch.sample(); !status) return fail(status.error());
  return watch;
}

void Watch::find_name(Row& row) {
  if (row.named) return;
  row.named = true;
  std::string name = names::text_of(resolver_.names_of(row.path));
  if (!name.empty()) row.name = std::make_unique<std::string>(std::move(name));
}

Status Watch::find_new() {
  constexpr int share = 25;
  const auto start = Clock::now();
  if (start - found_at_ < finding_ * share) return {};
  auto status = sampler_.refresh();
  found_at_ = start;
  finding_ = Clock::now() - start;
  return status;
}

void Watch::take(const Sample& sample, std::size_t& next, Rows& added, bool point) {
  while (next < rows_.size() && rows_[next]->path < sample.path) rows_[next++]->path.clear();
  Row* row = nullptr;
  if (next < rows_.size() && rows_[next]->path == sample.path) {
    row = rows_[next++].get();
  } else {
    row = added.emplace_back(std::make_unique<Row>()).get();
    row->path = sample.path;
  }
  take_cpu(sample, *row);
  take_memory(sample.memory_usage, sample.memory_stat, row->values);
  value(row->values, Column::limit) =
      row->limit_cpus > 0 ? value(row->values, Column::cpu) / row->limit_cpus * 100 : NAN;
  if (!point) return;
  if (row->past == nullptr) row->past = std::make_unique<Past>();
  row->past->cpu.add(value(row->values, Column::cpu));
  row->past->memory.add(value(row->values, Column::memory));
}

Status Watch::sample() {
  constexpr auto between_points = std::chrono::milliseconds(2900);
  if (auto status = find_new(); !status) return status;
  const bool point = keeps_past_ && Clock::now() - point_at_ >= between_points;
  if (point) point_at_ = Clock::now();
  std::size_t next = 0;
  Rows added;
  unread_ = {};
  sampler_unread_ = sampler_.sample([&](const Sample& one) { take(one, next, added, point); });
  for (; next < rows_.size(); ++next) rows_[next]->path.clear();
  const auto gone =
      std::remove_if(rows_.begin(), rows_.end(), [](const auto& row) { return row->path.empty(); });
  const bool changed = gone != rows_.end() || !added.empty();
  rows_.erase(gone, rows_.end());
  if (!changed) return {};
  const auto old = static_cast<std::ptrdiff_t>(rows_.size());
  rows_.insert(rows_.end(), std::make_move_iterator(added.begin()),
               std::make_move_iterator(added.end()));
  std::inplace_merge(rows_.begin(), rows_.begin() + old, rows_.end(),
                     [](const auto& a, const auto& b) { return a->path < b->path; });
  link_parents(rows_);
  return {};
}

std::string Watch::trouble() const {
  if (unread_.first()) return message_of(*unread_.first());
  if (sampler_unread_ == 0) return zombies_.failure() ? message_of(*zombies_.failure()) : "";
  return fmt::format("top: files of {} could not be read", counted(sampler_unread_, "cgroup"));
}

void Watch::read_more(Row& row, const std::vector<Column>& columns) {
  const auto others = std::find_if(columns.begin(), columns.end(),
                                   [](Column column) { return !text_of(column).sampled; });
  if (others == columns.end()) return;
  read_figures(host_, row, columns, unread_);
  const Hierarchy* const memory = host_.find("memory");
  const bool counts = memory != nullptr && memory->version == Version::v1 &&
                      std::find(columns.begin(), columns.end(), Column::zombies) != columns.end();
  if (counts) value(row.values, Column::zombies) = zombies_.of(row.path);
}

}  // namespace cgctl::tool::top_command
