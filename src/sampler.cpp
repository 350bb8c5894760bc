// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/sampler.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "cgctl/census.hpp"
#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory.hpp"
#include "detail/open_beneath.hpp"
#include "detail/tree_walk.hpp"

namespace cgctl {
namespace {

using std::chrono::nanoseconds;

std::size_t half_of_the_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<std::size_t>(limit.rlim_cur / 2);
}

/// Longest path of a cgroup in bytes, which leaves room for a file's name. Longer paths are
/// malicious and are skipped: the paths of a chain of cgroups take memory in proportion to the
/// square of its depth.
constexpr std::size_t longest_path = PATH_MAX - NAME_MAX - 2;

/// Reads a short file. Returns the size of its text or a negated errno.
ssize_t read_short(int fd, std::array<char, 1024>& buffer) noexcept {
  ssize_t got = -EINTR;
  while (got == -EINTR) got = sys::pread(fd, buffer.data(), buffer.size(), 0);
  return got;
}

/// A counter of a census as a line of memory.stat. A version that lacks the line has no second key.
struct StatLine {
  census::Counter counter;
  std::optional<memory::Key> v1;
  std::optional<memory::Key> v2;
};

constexpr StatLine stat_lines[] = {
    {census::Counter::inactive_anon, memory::Key::inactive_anon, memory::Key::inactive_anon},
    {census::Counter::active_anon, memory::Key::active_anon, memory::Key::active_anon},
    {census::Counter::inactive_file, memory::Key::inactive_file, memory::Key::inactive_file},
    {census::Counter::active_file, memory::Key::active_file, memory::Key::active_file},
    {census::Counter::unevictable, memory::Key::unevictable, memory::Key::unevictable},
    {census::Counter::shmem, memory::Key::shmem, memory::Key::shmem},
    {census::Counter::mapped, memory::Key::mapped_file, memory::Key::file_mapped},
    {census::Counter::dirty, memory::Key::dirty, memory::Key::file_dirty},
    {census::Counter::writeback, memory::Key::writeback, memory::Key::file_writeback},
    {census::Counter::swap, memory::Key::swap, std::nullopt},
    {census::Counter::slab_reclaimable, std::nullopt, memory::Key::slab_reclaimable},
    {census::Counter::slab_unreclaimable, std::nullopt, memory::Key::slab_unreclaimable},
    {census::Counter::sockets, std::nullopt, memory::Key::sock},
};

}  // namespace

/// The census of a round.
struct Sampler::Walked {
  census::Census census;
  UniqueFd root_stat;  // memory.stat; reading it brings the counters up to date
  memory::Stat root;
  census::Snapshot snapshot;
  std::vector<std::pair<std::uint64_t, std::size_t>> by_inode;  // of the entries
  std::vector<std::pair<memory::Key, census::Counter>> lines;   // that this kernel's file has

  void index(const std::vector<Entry>& entries);
  [[nodiscard]] Status gather(const Source& stat, std::vector<Entry>& entries);
  void learn_lines(Version version);
};

void Sampler::Walked::index(const std::vector<Entry>& entries) {
  by_inode.clear();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].memory_inode != 0) by_inode.emplace_back(entries[i].memory_inode, i);
  }
  std::sort(by_inode.begin(), by_inode.end());
}

void Sampler::Walked::learn_lines(Version version) {
  for (const StatLine& line : stat_lines) {
    const auto key = version == Version::v1 ? line.v1 : line.v2;
    if (key && root[*key]) lines.emplace_back(*key, line.counter);
  }
}

Status Sampler::Walked::gather(const Source& stat, std::vector<Entry>& entries) {
  for (Entry& entry : entries) entry.counted = none;
  const Version version = stat.hierarchy->version;
  if (auto read = memory::read_stat(root_stat.get(), version, stat.file, root); !read) return read;
  if (lines.empty()) learn_lines(version);
  if (auto took = census.take(snapshot, {false, false, true, false}); !took) return took;
  for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
    const census::Cgroup& one = snapshot.cgroups[i];
    if (!one.live) continue;
    const auto found =
        std::lower_bound(by_inode.begin(), by_inode.end(), std::pair(one.inode, std::size_t{0}));
    if (found != by_inode.end() && found->first == one.inode) {
      entries[found->second].counted = static_cast<Place>(i);
    }
  }
  return {};
}

/// The cgroups that a refresh has found. Those with an entry are marked there.
struct Sampler::Found {
  std::vector<std::string> added;  // without an entry, sorted as far as `settled`
  std::size_t settled = 0;         // number of those found in earlier hierarchies
  std::size_t next = 0;            // the entry after the one found last
  std::size_t too_long = 0;
  bool any = false;

  [[nodiscard]] bool has_added(const std::string& path) const {
    return std::binary_search(added.begin(), added.begin() + static_cast<std::ptrdiff_t>(settled),
                              path);
  }
  /// Ends a hierarchy.
  void settle() {
    const auto middle = added.begin() + static_cast<std::ptrdiff_t>(settled);
    std::sort(middle, added.end());
    std::inplace_merge(added.begin(), middle, added.end());
    settled = added.size();
    next = 0;
  }
};

Sampler::Sampler(const Host& host, std::string path, std::size_t most)
    : host_(host), path_(std::move(path)), most_(most) {
  const auto add = [this](Figure figure, const char* controller, const char* v1, const char* v2) {
    const Hierarchy* const hierarchy = host_.find(controller);
    if (hierarchy == nullptr) return;
    const char* const file = hierarchy->version == Version::v1 ? v1 : v2;
    if (file != nullptr) sources_.at(figure) = {hierarchy, file};
  };
  add(cpu_stat, "cpu", "cpu.stat", "cpu.stat");
  add(cpu_usage, "cpuacct", "cpuacct.usage", nullptr);
  add(memory_usage, "memory", "memory.usage_in_bytes", "memory.current");
  add(memory_stat, "memory", "memory.stat", "memory.stat");
}

Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;
Sampler::~Sampler() = default;

Result<Sampler> Sampler::open(const Host& host, std::string_view path, Config config) {
  const auto clean = host.relative_path(path);
  if (!clean) return fail(clean.error());
  Sampler sampler(host, *clean == "." ? "/" : "/" + *clean,
                  config.descriptors.value_or(half_of_the_limit()));
  for (const char* const controller : {"cpu", "memory"}) {
    const auto hierarchy = host.require(controller);
    if (!hierarchy && hierarchy.error().kind != errc::unsupported) return fail(hierarchy.error());
  }
  if (std::none_of(sampler.sources_.begin(), sampler.sources_.end(),
                   [](const Source& source) { return source.hierarchy != nullptr; })) {
    return fail(Error::make(errc::unsupported, "sample", sampler.path_,
                            "the host has neither the cpu nor the memory controller"));
  }
  sampler.skip_idle_ = config.skip_idle;
  if (auto status = sampler.refresh(); !status) return fail(status.error());
  if (config.memory == Config::Memory::files) return sampler;
  auto status = sampler.use_census(config.memory);
  if (!status && config.memory == Config::Memory::census) return fail(status.error());
  return sampler;
}

Result<Sampler> Sampler::open(const Host& host, std::string_view path) {
  return open(host, path, Config{});
}

/// Opens a file of the entry. Returns a descriptor or a negated errno. If the file's inode has
/// changed, the cgroup was removed and made again, and its previous usage is forgotten. Since Linux
/// 4.14 (commit 4a3ef68acacf) the inode number of a cgroup is reused only after billions of others.
int Sampler::open_file(Figure figure, Entry& entry, std::string& path) const {
  const Source& source = sources_.at(figure);
  path.assign(entry.path, 1);
  if (!path.empty()) path.push_back('/');
  path.append(source.file);
  const Hierarchy& hierarchy = *source.hierarchy;
  const int opened = detail::open_beneath(hierarchy.directory.get(), path.c_str(),
                                          O_RDONLY | hierarchy.open_flags);
  const bool counts_usage =
      figure == cpu_usage || (figure == cpu_stat && hierarchy.version == Version::v2);
  if (opened < 0 || !counts_usage) return opened;
  struct ::stat found {};
  if (const int status = sys::stat(opened, found); status < 0) {
    sys::close(opened);
    return status;
  }
  std::uint64_t& inode = entry.inodes.at(figure);
  if (inode != found.st_ino) entry.usage.reset();
  inode = found.st_ino;
  return opened;
}

/// Lowers the limit of kept descriptors and closes those above it, the last entries' first.
void Sampler::keep_at_most(std::size_t most) {
  most_ = most;
  for (auto entry = entries_.rbegin(); entry != entries_.rend() && kept_ > most_; ++entry) {
    for (std::size_t i = 0; i < figure_count && kept_ > most_; ++i) {
      if (entry->states.at(i) != Entry::kept) continue;
      entry->fds.at(i).reset();
      entry->states.at(i) = Entry::by_name;
      --kept_;
    }
  }
}

/// Opens the files of an entry. `path` is a scratch buffer.
void Sampler::open_files(Entry& entry, std::string& path) {
  for (std::size_t i = 0; i < figure_count; ++i) {
    Entry::State& state = entry.states.at(i);
    const bool room = kept_ < most_ && (i < memory_usage || walked_.empty());
    const bool settled = state == Entry::kept || (state == Entry::by_name && !room);
    if (sources_.at(i).hierarchy == nullptr || settled) continue;
    UniqueFd fd(open_file(static_cast<Figure>(i), entry, path));
    if (fd && room) {
      entry.fds.at(i) = std::move(fd);
      state = Entry::kept;
      ++kept_;
      continue;
    }
    state = detail::is_gone(fd.get()) ? Entry::absent : Entry::by_name;
    constexpr std::size_t to_read_the_others = 16;
    if (detail::too_many_are_open(fd.get())) {
      keep_at_most(kept_ > to_read_the_others ? kept_ - to_read_the_others : 0);
    }
  }
}

/// Marks the entry of a cgroup, or adds the cgroup to `found`.
void Sampler::note(const std::string& path, Found& found) {
  std::size_t at = found.next;  // a walk meets most paths in their order
  if (at == entries_.size() || entries_[at].path != path) {
    const auto place =
        std::lower_bound(entries_.begin(), entries_.end(), path,
                         [](const Entry& one, const std::string& text) { return one.path < text; });
    at = static_cast<std::size_t>(place - entries_.begin());
  }
  if (at < entries_.size() && entries_[at].path == path) {
    entries_[at].found = true;
    found.next = at + 1;
  } else if (!found.has_added(path)) {
    found.added.push_back(path);
  }
}

/// Finds the cgroup `path_` and those below in one hierarchy, if it exists there.
Status Sampler::find(const Hierarchy& hierarchy, Found& found) {
  const std::string shown = fs::join(hierarchy.mount_point, path_);
  const auto top =
      fs::open_beneath(hierarchy.directory.get(), path_.substr(1), O_PATH | O_DIRECTORY, shown);
  if (!top && top.error().os_errno == ENOENT) return {};
  if (!top) return fail(top.error());
  found.any = true;
  note(path_, found);
  std::string path = path_ == "/" ? "" : path_;
  const std::size_t prefix = path.size();
  auto walked = detail::walk_below(top->get(), shown, [&](const detail::Step& step) {
    const bool fits = prefix + step.path.size() <= longest_path;
    if (fits) note(path.replace(prefix, std::string::npos, step.path), found);
    if (!fits) ++found.too_long;
    return Result<detail::Next>(fits ? detail::Next::inside : detail::Next::past);
  });
  found.settle();
  return walked;
}

Status Sampler::find(Found& found) {
  found = {};
  for (Entry& entry : entries_) entry.found = false;
  for (std::size_t i = 0; i < figure_count; ++i) {
    const Hierarchy* const hierarchy = sources_.at(i).hierarchy;
    const bool known = std::any_of(sources_.begin(), sources_.begin() + i,
                                   [&](const Source& s) { return s.hierarchy == hierarchy; });
    if (hierarchy == nullptr || known) continue;
    if (auto status = find(*hierarchy, found); !status) return status;
  }
  if (!found.any) {
    return fail({errc::vanished, ENOENT, "sample", path_, "the cgroup does not exist", ""});
  }
  return {};
}

void Sampler::count_kept() noexcept {
  kept_ = 0;
  for (const Entry& entry : entries_) {
    kept_ +=
        static_cast<std::size_t>(std::count(entry.states.begin(), entry.states.end(), Entry::kept));
  }
}

Status Sampler::refresh() {
  count_kept();
  Found found;
  Status walked = find(found);
  while (!walked && detail::too_many_are_open(-walked.error().os_errno) && kept_ > 0) {
    keep_at_most(kept_ / 2);
    walked = find(found);
  }
  if (!walked) return walked;
  too_long_ = found.too_long;
  entries_.erase(std::remove_if(entries_.begin(), entries_.end(),
                                [](const Entry& entry) { return !entry.found; }),
                 entries_.end());
  entries_.reserve(entries_.size() + found.added.size());
  for (std::string& path : found.added) entries_.emplace_back().path = std::move(path);
  if (!found.added.empty()) {
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.path < b.path; });
  }
  count_kept();
  if (skip_idle_) link_parents();
  std::string path;
  for (Entry& entry : entries_) {
    open_files(entry, path);
    find_in_census(entry, path);
  }
  if (!walked_.empty()) walked_.front().index(entries_);
  return {};
}

/// Changes the source of the memory figures to a census, and closes the files that it replaces.
Status Sampler::use_census(Config::Memory memory) {
  constexpr std::size_t fewest = 64;
  constexpr std::size_t most_others = 4;
  const Source& source = sources_.at(memory_stat);
  if (source.hierarchy == nullptr || (memory == Config::Memory::cheapest && size() < fewest)) {
    return fail(Error::make(errc::unsupported, "sample", path_, "a census does not pay"));
  }
  census::Options options;
  if (memory == Config::Memory::cheapest) options.rounds = 2;
  auto census = census::Census::open(host_, options);
  if (!census) return fail(census.error());
  const auto count = census->count();
  if (!count) return fail(count.error());
  if (memory == Config::Memory::cheapest && count->live + count->dead > most_others * size()) {
    return fail(Error::make(errc::unsupported, "sample", path_, "a census does not pay"));
  }
  UniqueFd root(detail::open_beneath(source.hierarchy->directory.get(), source.file,
                                     O_RDONLY | source.hierarchy->open_flags));
  walked_.push_back({std::move(*census), std::move(root), {}, {}, {}, {}});
  for (Entry& entry : entries_) {
    for (const Figure figure : {memory_usage, memory_stat}) {
      if (entry.states.at(figure) == Entry::absent) continue;
      entry.fds.at(figure).reset();
      entry.states.at(figure) = Entry::by_name;
    }
  }
  return refresh();
}

/// Notes the inode of the entry's directory, unless the last census has found it.
void Sampler::find_in_census(Entry& entry, std::string& path) {
  if (walked_.empty() || entry.counted != none || entry.states.at(memory_usage) == Entry::absent) {
    return;
  }
  path.assign(entry.path == "/" ? "." : entry.path.substr(1));
  const UniqueFd directory(detail::open_beneath(
      sources_.at(memory_usage).hierarchy->directory.get(), path.c_str(), O_PATH | O_DIRECTORY));
  struct ::stat found {};
  entry.memory_inode = directory && sys::stat(directory.get(), found) == 0 ? found.st_ino : 0;
}

Status Sampler::gather() {
  return walked_.empty() ? Status{} : walked_.front().gather(sources_.at(memory_stat), entries_);
}

void Sampler::read_census(const Entry& entry, Scratch& scratch, Sample& out) const {
  const Walked& walked = walked_.front();
  std::array<memory::Stat::Figure, census::counters> figures;  // NOLINT: the first ones are set
  std::size_t count = 0;
  for (const auto& [key, counter] : walked.lines) {
    figures.at(count++) = {key, walked.snapshot.counter(entry.counted, counter)};
  }
  scratch.memory_.assign(sources_.at(memory_stat).hierarchy->version, figures.data(), count);
  out.memory_usage = walked.snapshot.cgroups[entry.counted].usage;
  out.memory_stat = &scratch.memory_;
}

/// Links each entry to that of the cgroup above, which precedes it.
void Sampler::link_parents() noexcept {
  for (Entry& entry : entries_) {
    entry.parent = none;
    const std::string_view path = entry.path;
    if (&entry == &entries_.front()) continue;
    const std::string_view above = path.substr(0, std::max(path.rfind('/'), std::size_t{1}));
    const auto found = std::lower_bound(
        entries_.begin(), entries_.end(), above,
        [](const Entry& one, std::string_view wanted) { return one.path < wanted; });
    if (found->path == above) entry.parent = static_cast<Place>(found - entries_.begin());
  }
}

/// True if the entry's usage is known to be that of the last round, and it has no quota.
bool Sampler::is_below_idle(const Entry& entry) const noexcept {
  return entry.parent != none && entries_[entry.parent].idle && entry.usage && !entry.has_quota;
}

bool Sampler::read(Entry& entry, Scratch& scratch, Sample& out) {
  out.path = entry.path;
  const auto now = std::chrono::steady_clock::now();
  const bool counted = entry.counted != none;
  const bool skip = scratch.skips_idle_ && is_below_idle(entry);
  bool any = counted || skip;
  bool failed = false;
  if (counted) read_census(entry, scratch, out);
  for (std::size_t i = skip ? memory_usage : cpu_stat; i < (counted ? memory_usage : figure_count);
       ++i) {
    if (entry.states.at(i) == Entry::absent) continue;
    const int status = read(static_cast<Figure>(i), entry, scratch, out);
    any = any || status == 0;
    failed = failed || (status != 0 && !detail::is_gone(status));
  }
  if (failed) ++scratch.unread_;
  if (skip) {
    out.cpu.usage = entry.usage;
    if (entry.counts_periods) out.cpu.nr_periods = out.cpu.nr_throttled = 0;
  }
  take_usage(entry, now, out);
  return any;
}

/// Sets the CPUs used since the last round, and remembers the usage for the next.
void Sampler::take_usage(Entry& entry, std::chrono::steady_clock::time_point now, Sample& out) {
  entry.idle = out.cpu.usage && entry.usage == out.cpu.usage;
  if (!out.cpu.usage) return;
  if (entry.usage && *out.cpu.usage >= *entry.usage && now > entry.at) {
    out.cpus = static_cast<double>((*out.cpu.usage - *entry.usage).count()) /
               static_cast<double>(nanoseconds(now - entry.at).count());
  }
  entry.usage = out.cpu.usage;
  entry.at = now;
  entry.counts_periods = out.cpu.nr_periods.has_value();
  entry.has_quota = out.cpu.nr_periods.value_or(0) != 0;
}

/// Reads a figure. Returns 0 or a negated errno. If a kept file cannot be read, its cgroup was
/// removed; a new cgroup of the same name may exist, so the file is opened again.
int Sampler::read(Figure figure, Entry& entry, Scratch& scratch, Sample& out) const {
  if (entry.states.at(figure) == Entry::kept) {
    const int status = read(figure, entry.fds.at(figure).get(), scratch, out);
    if (!detail::is_gone(status)) return status;
    entry.fds.at(figure).reset();
    entry.states.at(figure) = Entry::by_name;
    if (figure <= cpu_usage) entry.usage.reset();
  }
  const UniqueFd fd(open_file(figure, entry, scratch.path_));
  return fd ? read(figure, fd.get(), scratch, out) : fd.get();
}

/// Reads a figure through a descriptor. Returns 0 or a negated errno.
int Sampler::read(Figure figure, int fd, Scratch& scratch, Sample& out) const {
  const Source& source = sources_.at(figure);
  if (figure == memory_stat) {
    const Status status =
        memory::read_stat(fd, source.hierarchy->version, source.file, scratch.memory_);
    if (!status) return status.error().os_errno != 0 ? -status.error().os_errno : -EBADMSG;
    out.memory_stat = &scratch.memory_;
    return 0;
  }
  std::array<char, 1024> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): the kernel's
  const ssize_t size = read_short(fd, buffer);
  if (size < 0) return static_cast<int>(size);
  const std::string_view text(buffer.data(), static_cast<std::size_t>(size));
  if (figure == cpu_stat) {
    return cpu::parse(text, source.hierarchy->version, out.cpu) ? 0 : -EBADMSG;
  }
  const auto number = parse::whole_number(text);
  if (!number) return -EBADMSG;
  if (figure == memory_usage) {
    out.memory_usage = number;
  } else {
    out.cpu.usage = nanoseconds(*number);
  }
  return 0;
}

}  // namespace cgctl
