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
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"

namespace cgctl::tool::top_command {
namespace {

using std::chrono::duration;

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

/// Reads files of one cgroup beneath the directories of the hierarchies, which costs three system
/// calls for each; to open the cgroup costs several for each hierarchy.
class Files {
 public:
  Files(const Host& host, const std::string& path, Unread& unread)
      : host_(host), path_(path), unread_(unread) {}

  /// Returns the text of a file; nothing if there is none.
  [[nodiscard]] std::optional<std::string> read(const Hierarchy* hierarchy,
                                                const char* file) const {
    if (hierarchy == nullptr) return std::nullopt;
    const std::string path = fs::join(path_, file);
    auto text =
        fs::read_beneath(hierarchy->directory.get(), path.substr(1), path, hierarchy->open_flags);
    if (text) return std::move(*text);
    // EOPNOTSUPP: the kernel keeps no such figures.
    if (text.error().os_errno != EOPNOTSUPP) unread_.note(text.error());
    return std::nullopt;
  }
  [[nodiscard]] std::optional<std::string> read(const char* controller, const char* file) const {
    return read(host_.find(controller), file);
  }
  [[nodiscard]] const Host& host() const { return host_; }

 private:
  const Host& host_;
  const std::string& path_;
  Unread& unread_;
};

/// Returns the number of a text, or of its line `name`; NaN if there is none.
double number_in(const std::optional<std::string>& text, std::string_view name = {}) {
  if (!text) return NAN;
  if (!name.empty()) return or_nan(parse::value_of(*text, name));
  std::string_view rest = *text;
  return or_nan(parse::whole_number(parse::line(rest)));
}

/// Bytes read and written since the cgroup was made.
struct Transferred {
  double read = NAN;
  double written = NAN;
  bool counts_below = false;  ///< true if those of the cgroups below are in them
};

/// Adds the numbers after "rbytes=" and "wbytes=" of all devices of an io.stat (v2).
Transferred io_stat(std::string_view text) {
  Transferred sum{0, 0, true};
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
Transferred service_bytes(std::string_view text, bool counts_below) {
  Transferred sum{0, 0, counts_below};
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

Transferred transferred(const Files& files) {
  if (const auto text = files.read("io", "io.stat")) return io_stat(*text);
  if (const auto text = files.read("blkio", "blkio.throttle.io_service_bytes_recursive")) {
    return service_bytes(*text, true);
  }
  const auto text = files.read("blkio", "blkio.throttle.io_service_bytes");
  return text ? service_bytes(*text, false) : Transferred{};
}

double rate(double before, double after, double elapsed) {
  return after >= before && elapsed > 0 ? (after - before) / elapsed : NAN;
}

/// False if the cgroup above lacks the file: a controller that a cgroup has not, no cgroup below
/// has. The root lacks files that cgroups below it have.
bool may_have(const Row& row, bool Row::*file) {
  return row.parent == nullptr || row.parent->path == "/" || row.parent->*file;
}

/// True if the row's bytes are known to be the same when those of the cgroup above were read: no
/// cgroup at or below that one moved any between two readings, and the row's was not before the
/// first of them.
bool is_below_idle(const Row& row) {
  const Row* const above = row.parent;
  return above != nullptr && above->io_idle && above->io_at > row.io_at &&
         above->io_before <= row.io_at && !std::isnan(row.bytes_read);
}

void read_io(const Files& files, Row& row) {
  const bool skip = is_below_idle(row);
  Transferred now{row.bytes_read, row.bytes_written, true};
  if (!skip) now = may_have(row, &Row::has_io) ? transferred(files) : Transferred{};
  row.has_io = !std::isnan(now.read);
  const auto at = skip ? row.parent->io_at : Clock::now();
  const double elapsed = duration<double>(at - row.io_at).count();
  value(row.values, Column::read) = rate(row.bytes_read, now.read, elapsed);
  value(row.values, Column::write) = rate(row.bytes_written, now.written, elapsed);
  row.io_idle = now.counts_below && now.read == row.bytes_read && now.written == row.bytes_written;
  row.bytes_read = now.read;
  row.bytes_written = now.written;
  row.io_before = row.io_at;
  row.io_at = at;
}

void read_pressure(const Files& files, const char* file, Row& row, Column some, Column full) {
  const auto text = files.read(files.host().unified(), file);
  const auto pressure = text ? pressure::parse(*text) : fail(Error{});
  value(row.values, some) = pressure ? pressure->some.avg10 : NAN;
  value(row.values, full) = pressure && pressure->full ? pressure->full->avg10 : NAN;
}

double oom_kills(const Files& files) {
  const Hierarchy* const memory = files.host().find("memory");
  const bool v2 = memory != nullptr && memory->version == Version::v2;
  return number_in(files.read(memory, v2 ? "memory.events" : "memory.oom_control"), "oom_kill");
}

/// Counts removed cgroups below, where the file counts those of the memory controller too.
double zombies_below(const Files& files) {
  const Hierarchy* const memory = files.host().find("memory");
  if (memory == nullptr || memory->version != Version::v2) return NAN;
  return number_in(files.read(memory, "cgroup.stat"), "nr_dying_descendants");
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

void read_pressures(const Files& files, Row& row, const std::vector<Column>& columns) {
  if (wants(columns, {Column::cpu_some, Column::cpu_full})) {
    read_pressure(files, "cpu.pressure", row, Column::cpu_some, Column::cpu_full);
  }
  if (wants(columns, {Column::memory_some, Column::memory_full})) {
    read_pressure(files, "memory.pressure", row, Column::memory_some, Column::memory_full);
  }
  if (wants(columns, {Column::io_some, Column::io_full})) {
    read_pressure(files, "io.pressure", row, Column::io_some, Column::io_full);
  }
}

/// Reads what takes the cgroup opened in all hierarchies.
void read_opened(const Group& group, Row& row, const std::vector<Column>& columns, bool limits,
                 Unread& unread) {
  if (limits) {
    read_limits(group, row, unread);
    row.limits_at = Clock::now();
  }
  if (wants(columns, {Column::processes})) {
    value(row.values, Column::processes) = processes_in(group);
  }
  if (wants(columns, {Column::age})) value(row.values, Column::age) = age_of(group);
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

void read_figures(const Host& host, Row& row, const std::vector<Column>& columns, Unread& unread,
                  const Group* opened) {
  constexpr auto limits_stay = std::chrono::seconds(5);
  const bool limits = wants(columns, {Column::limit, Column::max, Column::swap}) &&
                      Clock::now() - row.limits_at >= limits_stay;
  if (opened != nullptr) {
    read_opened(*opened, row, columns, limits, unread);
  } else if (limits || wants(columns, {Column::processes, Column::age})) {
    const auto group = host.open(row.path);
    if (!unread.has(group)) return;
    for (const Group::Unopened& one : group->unopened()) unread.note(one.error);
    read_opened(*group, row, columns, limits, unread);
  }
  value(row.values, Column::limit) =
      row.limit_cpus > 0 ? value(row.values, Column::cpu) / row.limit_cpus * 100 : NAN;
  const Files files(host, row.path, unread);
  if (wants(columns, {Column::tasks})) {
    double& tasks = value(row.values, Column::tasks);
    tasks = may_have(row, &Row::has_tasks) ? number_in(files.read("pids", "pids.current")) : NAN;
    row.has_tasks = !std::isnan(tasks);
  }
  if (wants(columns, {Column::read, Column::write})) read_io(files, row);
  if (wants(columns, {Column::oom})) value(row.values, Column::oom) = oom_kills(files);
  if (wants(columns, {Column::zombies})) value(row.values, Column::zombies) = zombies_below(files);
  read_pressures(files, row, columns);
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
  read_figures(group.host(), row, columns, unread, &group);
}

}  // namespace cgctl::tool::top_command
