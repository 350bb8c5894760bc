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

/// Returns a field of the css that a record has a copy of.
template <class T>
T copied(const cgctl_record& record, std::uint32_t offset) {
  T value{};
  if (offset + sizeof value <= sizeof record.raw) {
    std::memcpy(&value, record.raw + offset, sizeof value);
  }
  return value;
}

std::int64_t page_bytes() { return ::sysconf(_SC_PAGESIZE); }

/// Returns the time of one jiffy: the resolution of the coarse clocks, which tick with it.
nanoseconds jiffy() {
  struct ::timespec resolution {};
  ::clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
  return std::chrono::seconds(resolution.tv_sec) + nanoseconds(resolution.tv_nsec);
}

std::uint64_t bytes_of(std::int64_t value) {
  return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

}  // namespace

void Walker::start() {
  cgctl_walk& walk = program_.shared();
  walk.phase = cgctl_at_start;
  walk.visited_parent = walk.visited_serial = 0;
  if (walk.steps == 0) walk.steps = cgctl_steps;
  above_.clear();
  name_ends_.clear();
  charged_.clear();
}

Status Walker::run_once(census::Snapshot& snapshot) {
  constexpr nanoseconds long_run = microseconds(60);
  cgctl_walk& walk = program_.shared();
  const auto start = Clock::now();
  if (auto status = program_.run(); !status) return status;
  const nanoseconds took = Clock::now() - start;
  ++snapshot.runs;
  snapshot.longest_run = std::max(snapshot.longest_run, took);
  if (took > long_run) {
    walk.steps = std::max(walk.steps / 2, 1U);
  } else if (walk.steps < cgctl_steps) {
    ++walk.steps;
  }
  return {};
}

Status Walker::take(census::Snapshot& snapshot, std::vector<char>& names) {
  Status status = walk(snapshot, names);
  program_.detach();
  return status;
}

Status Walker::walk(census::Snapshot& snapshot, std::vector<char>& names) {
  constexpr unsigned most_losses = 10000;
  constexpr unsigned most_idle_runs = 100000;  // each goes up a level or more
  snapshot = {};
  names.clear();
  start();
  const cgctl_walk& walk = program_.shared();
  unsigned idle = 0;
  for (unsigned losses = 0; losses < most_losses;) {
    if (auto status = run_once(snapshot); !status) return status;
    idle = walk.count == 0 ? idle + 1 : 0;
    if (idle == most_idle_runs) {
      return fail(Error::make(errc::malformed, walking, {}, "the cgroups form a circle"));
    }
    for (unsigned i = 0; i < std::min<unsigned>(walk.count, cgctl_steps); ++i) {
      if (!add(walk.records[i], snapshot, names)) {
        return fail(Error::make(errc::malformed, walking, {},
                                "a cgroup was found that does not belong to its parent"));
      }
    }
    if (walk.status == cgctl_no_root) {
      return fail(Error::make(errc::unsupported, walking, {},
                              "the root of the memory hierarchy was not found"));
    }
    if (walk.status == cgctl_done) {
      finish(snapshot, names);
      return {};
    }
    if (walk.status == cgctl_lost) {
      ++losses;
      if (!recover()) break;
    }
  }
  return fail(Error::make(errc::busy, walking, {},
                          "cgroups come and go faster than they can be counted", "try again"));
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

bool Walker::add(const cgctl_record& record, census::Snapshot& snapshot, std::vector<char>& names) {
  const cgctl_layout& at = layout_.fields;
  const auto parent = copied<std::uint64_t>(record, at.css_parent);
  const auto flags = copied<std::uint32_t>(record, at.css_flags);
  while (!above_.empty() && above_.back().css != parent) above_.pop_back();
  const std::size_t index = snapshot.cgroups.size();
  if (above_.empty() != (index == 0)) return false;
  census::Cgroup one;
  one.parent = index == 0 ? 0 : above_.back().index;
  one.serial = copied<std::uint64_t>(record, at.css_serial);
  one.live = (flags & css_online) != 0 && (flags & css_dying) == 0;
  one.inode = record.kn_id;
  one.references = one.live ? 0 : record.reference_count;
  one.usage = bytes_of(static_cast<std::int64_t>(record.usage) * page_bytes());
  const std::uint64_t jiffies = program_.shared().jiffies;
  if (births_ && index != 0 && record.birth != 0 && record.birth <= jiffies) {
    one.age = std::chrono::duration_cast<std::chrono::seconds>(
        jiffy() * static_cast<std::int64_t>(jiffies - record.birth));
  }
  read_memory(record, one.own);
  read_counters(record);
  if (index != 0)
    names.insert(names.end(), record.name, record.name + ::strnlen(record.name, cgctl_name));
  name_ends_.push_back(names.size());
  above_.push_back({record.css, one.serial, index});
  snapshot.cgroups.push_back(one);
  return true;
}

void Walker::read_memory(const cgctl_record& record, census::Memory& own) const {
  std::array<std::uint64_t, lru_lists> pages{};
  const std::size_t zones = layout_.zones;
  const std::size_t generations =
      zones == 0 ? 0 : layout_.fields.generations_bytes / sizeof(std::uint64_t) / 2 / zones;
  for (unsigned node = 0; node < layout_.fields.nodes; ++node) {
    for (std::size_t i = 0; i < zones * lru_lists; ++i) {
      pages[i % lru_lists] += record.lists[node][i];
    }
    // Each generation has the zones of its anonymous pages, then those of its file pages.
    for (std::size_t i = 0; i < generations * 2 * zones; ++i) {
      pages[i / zones % 2 == 0 ? 0 : 2] += record.generations[node][i];
    }
  }
  const auto page = static_cast<std::uint64_t>(page_bytes());
  own.anon = (pages[0] + pages[1]) * page;
  own.file = (pages[2] + pages[3]) * page;
  own.unevictable = pages[4] * page;
}

void Walker::read_counters(const cgctl_record& record) {
  std::array<std::int64_t, counters> values{};
  for (std::size_t i = 0; i < counters; ++i) {
    const Slot slot = layout_.slots[i];
    if (slot.index == Slot::absent) continue;
    values[i] = record.state[slot.index] * (slot.bytes ? 1 : page_bytes());
  }
  charged_.push_back(values);
}

void Walker::finish(census::Snapshot& snapshot, const std::vector<char>& names) const {
  std::vector<std::array<std::int64_t, counters>> own = charged_;
  for (std::size_t i = 1; i < own.size(); ++i) {
    for (std::size_t k = 0; k < counters; ++k) {
      own[snapshot.cgroups[i].parent][k] -= charged_[i][k];
    }
  }
  std::size_t begin = 0;
  for (std::size_t i = 0; i < own.size(); ++i) {
    census::Cgroup& one = snapshot.cgroups[i];
    one.name = std::string_view(names.data() + begin, name_ends_[i] - begin);
    begin = name_ends_[i];
    const auto value = [&](Counter counter) {
      return bytes_of(own[i][static_cast<std::size_t>(counter)]);
    };
    if (layout_.fields.nodes == 0) {
      one.own.anon = value(Counter::inactive_anon) + value(Counter::active_anon);
      one.own.file = value(Counter::inactive_file) + value(Counter::active_file);
      one.own.unevictable = value(Counter::unevictable);
    }
    one.own.shmem = value(Counter::shmem);
    one.own.mapped = value(Counter::mapped);
    one.own.dirty = value(Counter::dirty);
    one.own.writeback = value(Counter::writeback);
    one.own.slab = value(Counter::slab) + value(Counter::slab_fixed);
    one.own.swap = value(Counter::swap);
    one.own.sockets = value(Counter::sockets);
  }
  snapshot.nodes = layout_.fields.nodes;
  snapshot.slab_holds = layout_.slab_holds;
  snapshot.pages_move = layout_.pages_move;
}

}  // namespace cgctl::kernel
