// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/figures.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <string_view>

#include "cgctl/cpu.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"

namespace cgctl::tool::top_command {
namespace {

using std::chrono::duration;
using std::chrono::seconds;

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

/// Counts the processes of the cgroup in all hierarchies, each once. NaN if one hierarchy does not
/// tell: EOPNOTSUPP for a threaded cgroup of v2, EACCES for a cgroup of another user.
double processes_in(const Group& group) {
  std::set<std::uint64_t> found;
  for (const Group::Place& place : group.places()) {
    const auto text = fs::read_beneath(place.directory.get(), "cgroup.procs", group.path(),
                                       place.hierarchy->open_flags);
    if (!text) return NAN;
    for (std::string_view rest = *text; !rest.empty();) {
      if (const auto pid = parse::whole_number(parse::line(rest))) found.insert(*pid);
    }
  }
  return static_cast<double>(found.size());
}

/// Returns the seconds since a directory of the cgroup changed last: since the cgroup was made, or
/// a cgroup directly below was made or removed. The kernel may have forgotten an older time.
double age_of(const Group& group) {
  double changed = NAN;
  for (const Group::Place& place : group.places()) {
    struct ::stat found {};
    if (::fstat(place.directory.get(), &found) != 0) continue;
    changed = std::fmax(changed, static_cast<double>(found.st_mtime));
  }
  if (std::isnan(changed)) return NAN;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::fmax(duration<double>(now).count() - changed, 0);
}

void read_pressures(const Group& group, Row& row, const std::vector<Column>& columns,
                    Unread& unread) {
  if (wants(columns, {Column::cpu_some, Column::cpu_full})) {
    read_pressure(group, pressure::Resource::cpu, row, unread, Column::cpu_some, Column::cpu_full);
  }
  if (wants(columns, {Column::memory_some, Column::memory_full})) {
    read_pressure(group, pressure::Resource::memory, row, unread, Column::memory_some,
                  Column::memory_full);
  }
  if (wants(columns, {Column::io_some, Column::io_full})) {
    read_pressure(group, pressure::Resource::io, row, unread, Column::io_some, Column::io_full);
  }
}

}  // namespace

void Unread::note(const Error& error) {
  const bool absent = error.kind == errc::unsupported || error.kind == errc::vanished ||
                      error.os_errno == ENOENT || error.os_errno == ENODEV;
  if (absent) return;
  ++count_;
  if (!first_) first_ = error;
}

void take_memory(const std::optional<std::uint64_t>& usage, const memory::Stat* stat,
                 Values& values) {
  using memory::Key;
  value(values, Column::memory) = or_nan(usage);
  if (stat == nullptr) return;
  if (usage) {
    value(values, Column::working_set) = static_cast<double>(memory::working_set(*usage, *stat));
  }
  value(values, Column::anon) =
      lines_of(*stat, Key::anon, Key::rss, {Key::inactive_anon, Key::active_anon}, Key::shmem);
  value(values, Column::file) =
      lines_of(*stat, Key::file, Key::cache, {Key::inactive_file, Key::active_file}, std::nullopt);
  if ((*stat)[Key::swap]) value(values, Column::swap) = or_nan((*stat)[Key::swap]);
}

void read_figures(const Group& group, Row& row, const std::vector<Column>& columns,
                  Unread& unread) {
  constexpr auto limits_stay = seconds(5);
  const bool limits = wants(columns, {Column::limit, Column::max, Column::swap});
  if (limits && Clock::now() - row.limits_at >= limits_stay) {
    read_limits(group, row, unread);
    row.limits_at = Clock::now();
  }
  value(row.values, Column::limit) =
      row.limit_cpus > 0 ? value(row.values, Column::cpu) / row.limit_cpus * 100 : NAN;
  if (wants(columns, {Column::tasks})) {
    value(row.values, Column::tasks) = number_in(group, "pids.current", unread);
  }
  if (wants(columns, {Column::read, Column::write})) read_io(group, row, unread);
  if (wants(columns, {Column::oom})) read_events(group, row, unread);
  if (wants(columns, {Column::zombies})) {
    value(row.values, Column::zombies) = zombies_below(group, unread);
  }
  if (wants(columns, {Column::processes})) {
    value(row.values, Column::processes) = processes_in(group);
  }
  if (wants(columns, {Column::age})) value(row.values, Column::age) = age_of(group);
  read_pressures(group, row, columns, unread);
}

void read_once(const Group& group, Row& row, const std::vector<Column>& columns, Unread& unread) {
  if (wants(columns,
            {Column::memory, Column::working_set, Column::anon, Column::file, Column::swap})) {
    const auto memory = memory::Controller{group}.state();
    const auto stat = memory::stat(group);
    const bool known = unread.has(stat);
    take_memory(unread.has(memory) ? memory->usage : std::nullopt, known ? &*stat : nullptr,
                row.values);
  }
  read_figures(group, row, columns, unread);
}

}  // namespace cgctl::tool::top_command
