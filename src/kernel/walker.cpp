// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/walker.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace cgctl::kernel {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

constexpr const char* walking = "take a census";
constexpr std::uint32_t css_online = 2;  // include/linux/cgroup-defs.h
constexpr std::uint32_t css_dying = 16;

/// Returns the time of one jiffy: the resolution of the coarse clocks, which tick with it.
nanoseconds jiffy() {
  struct ::timespec resolution {};
  ::clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
  return std::chrono::seconds(resolution.tv_sec) + nanoseconds(resolution.tv_nsec);
}

/// Returns the kernel's INITIAL_JIFFIES, which begin five minutes before 32 bits overflow.
std::uint64_t jiffies_at_boot(nanoseconds jiffy) {
  return (std::uint64_t{1} << 32) - static_cast<std::uint64_t>(std::chrono::minutes(5) / jiffy);
}

std::uint64_t bytes_of(std::int64_t value) {
  return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

bool is_live(const cgctl_place& place) {
  return (place.flags & css_online) != 0 && (place.flags & css_dying) == 0;
}

/// Returns the number of references to a cgroup: 0 for a live one and 1 for one that was removed
/// just now, whose count is spread over the CPUs. A live one with another count fails the proof.
std::uint64_t references_of(bool live, std::uint64_t count) {
  constexpr std::uint64_t bias = std::uint64_t{1} << 63;  // PERCPU_COUNT_BIAS
  constexpr std::uint64_t most = std::uint64_t{1} << 40;  // on each side
  const bool spread = count - (bias - most) < 2 * most;
  if (spread) return live ? 0 : 1;
  return live ? std::max<std::uint64_t>(count, 1) : count;
}

}  // namespace

Walker::Walker(Program program, const Layout& layout, bool births) noexcept
    : program_(std::move(program)),
      layout_(layout),
      page_(::sysconf(_SC_PAGESIZE)),
      jiffy_(jiffy()),
      steps_{cgctl_places, cgctl_records} {
  if (!births) layout_.fields.birth = CGCTL_ABSENT;
}

void Walker::start(bool with_records) {
  cgctl_walk& walk = program_.shared();
  walk.phase = cgctl_at_start;
  walk.visited_parent = walk.visited_serial = 0;
  walk.with_records = with_records ? 1 : 0;
  above_.clear();
  visited_ = 0;
  runs_ = 0;
  longest_run_ = {};
}

/// Runs the program, and adapts the length of the next run to the time that this one took.
Status Walker::run_once(bool with_records) {
  constexpr nanoseconds long_run = microseconds(60);
  const unsigned most = with_records ? cgctl_records : cgctl_places;
  unsigned& steps = steps_[with_records ? 1 : 0];
  program_.shared().steps = steps;
  const auto start = Clock::now();
  if (auto status = program_.run(); !status) return status;
  const nanoseconds took = Clock::now() - start;
  ++runs_;
  longest_run_ = std::max(longest_run_, took);
  steps = took > long_run ? std::max(steps / 2, 1U) : std::min(steps + 1, most);
  return {};
}

template <class Visit>
Status Walker::walk(bool with_records, Visit visit) {
  constexpr unsigned most_losses = 10000;
  constexpr unsigned most_idle_runs = 100000;  // each goes up a level or more
  start(with_records);
  const cgctl_walk& walk = program_.shared();
  unsigned idle = 0;
  for (unsigned losses = 0; losses < most_losses;) {
    if (auto status = run_once(with_records); !status) return status;
    idle = walk.count == 0 ? idle + 1 : 0;
    if (idle == most_idle_runs) {
      return fail(Error::make(errc::malformed, walking, {}, "the cgroups form a circle"));
    }
    for (unsigned i = 0; i < std::min(walk.count, walk.steps); ++i) {
      if (!enter(walk.places[i])) {
        return fail(Error::make(errc::malformed, walking, {},
                                "a cgroup was found that does not belong to its parent"));
      }
      visit(walk, i);
    }
    if (walk.status == cgctl_no_root) {
      return fail(Error::make(errc::unsupported, walking, {},
                              "the root of the memory hierarchy was not found"));
    }
    if (walk.status == cgctl_done) return {};
    if (walk.status == cgctl_lost) {
      ++losses;
      if (!recover()) break;
    }
  }
  return fail(Error::make(errc::busy, walking, {},
                          "cgroups come and go faster than they can be counted", "try again"));
}

/// Finds the place of the next cgroup in the tree. Returns false if its parent was not visited.
bool Walker::enter(const cgctl_place& place) {
  while (!above_.empty() && above_.back().css != place.parent) above_.pop_back();
  if (above_.empty() != (visited_ == 0)) return false;
  above_.push_back({place.css, place.serial, visited_++});
  return true;
}

/// Continues at the parent of a cgroup that was released, after the children visited so far.
bool Walker::recover() {
  cgctl_walk& walk = program_.shared();
  while (!above_.empty() && above_.back().css != walk.current) above_.pop_back();
  if (above_.size() < 2) return false;
  const Place gone = above_.back();
  above_.pop_back();
  walk.current = walk.visited_parent = above_.back().css;
  walk.current_serial = above_.back().serial;
  walk.visited_serial = gone.serial;
  walk.phase = cgctl_inside;
  return true;
}

Result<census::Count> Walker::count() {
  census::Count count;
  const auto walked = walk(false, [&](const cgctl_walk& run, unsigned i) {
    ++(is_live(run.places[i]) ? count.live : count.dead);
  });
  program_.detach();
  if (!walked) return fail(walked.error());
  return count;
}

/// Marks the figures that are not wanted as absent in the layout, so that the program skips them.
void Walker::want(const census::Wanted& wanted) {
  cgctl_layout& at = program_.shared().layout;
  at = layout_.fields;
  wanted_ = wanted;
  if (wanted.pages && at.nodes == 0) wanted_.counters = true;  // these are counters then
  if (!wanted_.names) at.kn_name = CGCTL_ABSENT;
  if (!wanted_.counters) at.state_bytes = 0;
  if (!wanted_.pages) at.nodes = 0;
}

Status Walker::take(census::Snapshot& snapshot, const census::Wanted& wanted) {
  snapshot.clear();
  // A vector that grows by itself takes up to three times the memory meanwhile.
  constexpr std::size_t more = 64;
  const std::size_t expected = last_size_ == 0 ? 0 : last_size_ + more;
  snapshot.cgroups.reserve(expected);
  if (wanted.counters) snapshot.counters_.reserve(expected);
  name_ends_.clear();
  want(wanted);
  auto walked = walk(true, [&](const cgctl_walk& run, unsigned i) {
    add(run.places[i], run.records[i], snapshot);
  });
  program_.detach();
  if (walked) finish(snapshot);
  last_size_ = snapshot.cgroups.size();
  return walked;
}

void Walker::add(const cgctl_place& place, const cgctl_record& record, census::Snapshot& snapshot) {
  const bool is_root = above_.size() < 2;
  census::Cgroup& one = snapshot.cgroups.emplace_back();
  one.parent = is_root ? 0 : above_[above_.size() - 2].index;
  one.serial = place.serial;
  one.live = is_live(place);
  one.inode = record.kn_id;
  one.address = place.css;
  one.references = is_root ? 0 : references_of(one.live, record.reference_count);
  one.usage = bytes_of(static_cast<std::int64_t>(record.usage) * page_);
  const std::uint64_t jiffies = program_.shared().jiffies;
  if (!is_root && record.birth >= jiffies_at_boot(jiffy_) && record.birth <= jiffies) {
    one.age = std::chrono::duration_cast<std::chrono::seconds>(
        jiffy_ * static_cast<std::int64_t>(jiffies - record.birth));
  }
  if (wanted_.pages) add_pages(record, snapshot);
  if (wanted_.counters) add_counters(record, snapshot);
  if (!wanted_.names) return;
  std::vector<char>& names = snapshot.names_;
  if (!is_root) {
    names.insert(names.end(), record.name, record.name + ::strnlen(record.name, cgctl_name));
  }
  name_ends_.push_back(names.size());
}

void Walker::add_pages(const cgctl_record& record, census::Snapshot& snapshot) const {
  const std::size_t zones = layout_.zones;
  const std::size_t generations =
      zones == 0 ? 0 : layout_.fields.generations_bytes / sizeof(std::uint64_t) / 2 / zones;
  const auto page = static_cast<std::uint64_t>(page_);
  census::Memory& own = snapshot.cgroups.back().own;
  for (unsigned node = 0; node < layout_.fields.nodes; ++node) {
    std::array<std::uint64_t, lru_lists> pages{};
    for (std::size_t i = 0; i < zones * lru_lists; ++i) {
      pages[i % lru_lists] += record.lists[node][i];
    }
    // Each generation has the zones of its anonymous pages, then those of its file pages.
    for (std::size_t i = 0; i < generations * 2 * zones; ++i) {
      pages[i / zones % 2 == 0 ? 0 : 2] += record.generations[node][i];
    }
    const census::Pages on_node{(pages[2] + pages[3]) * page, (pages[0] + pages[1]) * page,
                                pages[4] * page};
    own.file += on_node.file;
    own.anon += on_node.anon;
    own.unevictable += on_node.unevictable;
    if (wanted_.nodes) snapshot.by_node_.push_back(on_node);
  }
}

void Walker::add_counters(const cgctl_record& record, census::Snapshot& snapshot) const {
  census::Counters& values = snapshot.counters_.emplace_back();
  for (std::size_t i = 0; i < census::counters; ++i) {
    const Slot slot = layout_.slots[i];
    if (slot.index == Slot::absent) continue;
    values[i] = record.state[slot.index] * (slot.bytes ? 1 : page_);
  }
}

/// Fills in the cgroups' names and the memory charged to each cgroup itself.
void Walker::finish(census::Snapshot& snapshot) {
  snapshot.nodes = wanted_.pages ? layout_.fields.nodes : 0;
  snapshot.node_numbers.assign(layout_.fields.node_numbers,
                               layout_.fields.node_numbers + snapshot.nodes);
  snapshot.slab_holds = layout_.slab_holds;
  snapshot.pages_move = layout_.pages_move;
  snapshot.coarse_counters = layout_.coarse_counters;
  snapshot.runs = runs_;
  snapshot.longest_run = longest_run_;
  for (std::size_t i = 0, begin = 0; i < name_ends_.size(); begin = name_ends_[i++]) {
    snapshot.cgroups[i].name =
        std::string_view(snapshot.names_.data() + begin, name_ends_[i] - begin);
  }
  if (wanted_.counters) finish_own(snapshot);
}

/// Fills in the kinds of Cgroup::own that are counters. The counters of each cgroup count those
/// below it, which are subtracted meanwhile.
void Walker::finish_own(census::Snapshot& snapshot) const {
  std::vector<census::Counters>& all = snapshot.counters_;
  const auto add_to_parent = [&](std::size_t i, std::int64_t times) {
    census::Counters& parent = all[snapshot.cgroups[i].parent];
    for (std::size_t k = 0; k < census::counters; ++k) parent[k] += times * all[i][k];
  };
  for (std::size_t i = 1; i < all.size(); ++i) add_to_parent(i, -1);
  for (std::size_t i = 0; i < all.size(); ++i) {
    census::Memory& own = snapshot.cgroups[i].own;
    const auto value = [&](Counter counter) {
      return bytes_of(all[i][static_cast<std::size_t>(counter)]);
    };
    if (wanted_.pages && layout_.fields.nodes == 0) {
      own.anon = value(Counter::inactive_anon) + value(Counter::active_anon);
      own.file = value(Counter::inactive_file) + value(Counter::active_file);
      own.unevictable = value(Counter::unevictable);
    }
    own.shmem = value(Counter::shmem);
    own.mapped = value(Counter::mapped);
    own.dirty = value(Counter::dirty);
    own.writeback = value(Counter::writeback);
    own.slab = value(Counter::slab_reclaimable) + value(Counter::slab_unreclaimable);
    own.swap = value(Counter::swap);
    own.sockets = value(Counter::sockets);
  }
  for (std::size_t i = all.size(); i-- > 1;) add_to_parent(i, 1);
}

}  // namespace cgctl::kernel
