// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string_view>
#include <utility>

#include "cgctl/cpu.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"
#include "cli/command.hpp"

namespace cgctl::tool::top_command {
namespace {

using std::chrono::duration;
using std::chrono::seconds;

double or_nan(const std::optional<std::uint64_t>& number) {
  return number ? static_cast<double>(*number) : NAN;
}

/// Returns the first of these lines, or the sum of `others` less `without`: a census has only the
/// lengths of the LRU lists.
double lines_of(const memory::Stat& stat, memory::Key first, memory::Key second,
                std::initializer_list<memory::Key> lists, std::optional<memory::Key> without) {
  if (stat[first]) return or_nan(stat[first]);
  if (stat[second]) return or_nan(stat[second]);
  double sum = 0;
  for (const memory::Key key : lists) sum += or_nan(stat[key]);
  if (without && stat[*without]) sum -= or_nan(stat[*without]);
  return sum < 0 ? 0 : sum;
}

void take_memory(const Sample& sample, Values& values) {
  using memory::Key;
  value(values, Column::memory) = or_nan(sample.memory_usage);
  if (sample.memory_stat == nullptr) return;
  const memory::Stat& stat = *sample.memory_stat;
  if (sample.memory_usage) {
    value(values, Column::working_set) =
        static_cast<double>(memory::working_set(*sample.memory_usage, stat));
  }
  value(values, Column::anon) =
      lines_of(stat, Key::anon, Key::rss, {Key::inactive_anon, Key::active_anon}, Key::shmem);
  value(values, Column::file) =
      lines_of(stat, Key::file, Key::cache, {Key::inactive_file, Key::active_file}, std::nullopt);
  if (stat[Key::swap]) value(values, Column::swap) = or_nan(stat[Key::swap]);
}

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

bool wants(const std::vector<Column>& columns, std::initializer_list<Column> any) {
  return std::any_of(any.begin(), any.end(), [&](Column column) {
    return std::find(columns.begin(), columns.end(), column) != columns.end();
  });
}

void read_limits(const Group& group, Row& row, Unread& unread) {
  const auto cpu = cpu::Controller{group}.state();
  row.limit_cpus = NAN;
  if (unread.has(cpu) && cpu->bandwidth) row.limit_cpus = cpu->bandwidth->cpus().value_or(NAN);
  const auto memory = memory::Controller{group}.state();
  value(row.values, Column::max) = NAN;
  if (!unread.has(memory)) return;
  if (memory->max) value(row.values, Column::max) = or_nan(memory->max->bytes);
  if (memory->version == Version::v2) {
    value(row.values, Column::swap) = or_nan(memory->swap_usage);
  }
}

/// Returns a file's number, or that of the line `name`; NaN if there is none.
double number_in(const Group& group, std::string_view file, Unread& unread,
                 std::string_view name = {}) {
  const auto text = group.read(file);
  if (!unread.has(text)) return NAN;
  if (name.empty()) {
    return or_nan(parse::whole_number(
        std::string_view(*text).substr(0, std::min(text->find('\n'), text->size()))));
  }
  return or_nan(parse::value_of(*text, name));
}

/// Bytes read and written since the cgroup was made.
struct Transferred {
  double read = NAN;
  double written = NAN;
};

/// Adds the numbers after "rbytes=" and "wbytes=" of all devices of an io.stat (v2).
Transferred io_stat(std::string_view text) {
  Transferred sum{0, 0};
  while (!text.empty()) {
    std::string_view line = parse::line(text);
    for (std::string_view word = parse::field(line); !word.empty(); word = parse::field(line)) {
      constexpr std::size_t key = 7;
      const auto number = parse::whole_number(word.substr(std::min(key, word.size())));
      if (number && parse::starts_with(word, "rbytes=")) sum.read += or_nan(number);
      if (number && parse::starts_with(word, "wbytes=")) sum.written += or_nan(number);
    }
  }
  return sum;
}

/// Adds the lines "MAJOR:MINOR Read N" and "... Write N" of all devices (v1).
Transferred service_bytes(std::string_view text) {
  Transferred sum{0, 0};
  while (!text.empty()) {
    std::string_view line = parse::line(text);
    (void)parse::field(line);
    const std::string_view kind = parse::field(line);
    const auto number = parse::whole_number(parse::field(line));
    if (number && kind == "Read") sum.read += or_nan(number);
    if (number && kind == "Write") sum.written += or_nan(number);
  }
  return sum;
}

Transferred transferred(const Group& group, Unread& unread) {
  if (const auto text = group.read("io.stat"); unread.has(text)) return io_stat(*text);
  for (const char* const file :
       {"blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"}) {
    if (const auto text = group.read(file); unread.has(text)) return service_bytes(*text);
  }
  return {};
}

double rate(double before, double after, double elapsed) {
  return after >= before && elapsed > 0 ? (after - before) / elapsed : NAN;
}

void read_io(const Group& group, Row& row, Unread& unread) {
  const Transferred now = transferred(group, unread);
  const auto at = Clock::now();
  const double elapsed = duration<double>(at - row.io_at).count();
  value(row.values, Column::read) = rate(row.bytes_read, now.read, elapsed);
  value(row.values, Column::write) = rate(row.bytes_written, now.written, elapsed);
  row.bytes_read = now.read;
  row.bytes_written = now.written;
  row.io_at = at;
}

void read_pressure(const Group& group, pressure::Resource resource, Row& row, Unread& unread,
                   Column some, Column full) {
  const auto read = pressure::read(group, resource);
  value(row.values, some) = unread.has(read) ? read->some.avg10 : NAN;
  value(row.values, full) = read && read->full ? read->full->avg10 : NAN;
}

/// Counts removed cgroups below, where the file counts those of the memory controller too.
double zombies_below(const Group& group, Unread& unread) {
  const auto memory = group.place("memory");
  if (!unread.has(memory) || (*memory)->hierarchy->version != Version::v2) return NAN;
  return number_in(group, "cgroup.stat", unread, "nr_dying_descendants");
}

void read_events(const Group& group, Row& row, Unread& unread) {
  const auto events = memory::events(group);
  value(row.values, Column::oom) = unread.has(events) ? or_nan(events->oom_kill) : NAN;
}

}  // namespace

void Unread::note(const Error& error) {
  const bool absent = error.kind == errc::unsupported || error.kind == errc::vanished ||
                      error.os_errno == ENOENT || error.os_errno == ENODEV;
  if (absent) return;
  ++count_;
  if (!first_) first_ = error;
}

Result<Watch> Watch::open(const Host& host, std::string_view path, names::Resolver resolver) {
  Sampler::Config config;
  config.memory = Sampler::Config::Memory::cheapest;
  auto sampler = Sampler::open(host, path, config);
  if (!sampler) return fail(sampler.error());
  Watch watch(host, std::move(*sampler), std::move(resolver));
  if (auto status = watch.sample(); !status) return fail(status.error());
  return watch;
}

void Watch::find_name(Row& row) {
  if (row.name != nullptr) return;
  row.name = std::make_unique<std::string>(names::text_of(resolver_.names_of(row.path)));
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
  take_memory(sample, row->values);
  value(row->values, Column::limit) =
      row->limit_cpus > 0 ? value(row->values, Column::cpu) / row->limit_cpus * 100 : NAN;
  if (!point) return;
  row->cpu.add(value(row->values, Column::cpu));
  row->memory.add(value(row->values, Column::memory));
}

Status Watch::sample() {
  constexpr auto between_points = std::chrono::milliseconds(2900);
  if (auto status = find_new(); !status) return status;
  const bool point = Clock::now() - point_at_ >= between_points;
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
  if (sampler_unread_ == 0) return {};
  return fmt::format("top: files of {} could not be read", counted(sampler_unread_, "cgroup"));
}

void Watch::read_more(Row& row, const std::vector<Column>& columns) {
  const auto others = std::find_if(columns.begin(), columns.end(),
                                   [](Column column) { return !text_of(column).sampled; });
  if (others == columns.end()) return;
  const auto group = host_.open(row.path);
  if (!unread_.has(group)) return;
  for (const Group::Unopened& one : group->unopened()) unread_.note(one.error);
  constexpr auto limits_stay = seconds(5);
  const bool limits = wants(columns, {Column::limit, Column::max, Column::swap});
  if (limits && Clock::now() - row.limits_at >= limits_stay) {
    read_limits(*group, row, unread_);
    row.limits_at = Clock::now();
  }
  value(row.values, Column::limit) =
      row.limit_cpus > 0 ? value(row.values, Column::cpu) / row.limit_cpus * 100 : NAN;
  if (wants(columns, {Column::tasks})) {
    value(row.values, Column::tasks) = number_in(*group, "pids.current", unread_);
  }
  if (wants(columns, {Column::read, Column::write})) read_io(*group, row, unread_);
  if (wants(columns, {Column::oom})) read_events(*group, row, unread_);
  if (wants(columns, {Column::zombies})) {
    value(row.values, Column::zombies) = zombies_below(*group, unread_);
  }
  if (wants(columns, {Column::cpu_some, Column::cpu_full})) {
    read_pressure(*group, pressure::Resource::cpu, row, unread_, Column::cpu_some,
                  Column::cpu_full);
  }
  if (wants(columns, {Column::memory_some, Column::memory_full})) {
    read_pressure(*group, pressure::Resource::memory, row, unread_, Column::memory_some,
                  Column::memory_full);
  }
  if (wants(columns, {Column::io_some, Column::io_full})) {
    read_pressure(*group, pressure::Resource::io, row, unread_, Column::io_some, Column::io_full);
  }
}

}  // namespace cgctl::tool::top_command
