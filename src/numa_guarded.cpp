// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/numa_guarded.hpp"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/zombies.hpp"
#include "detail/memory_row.hpp"

namespace cgctl::numa {
namespace {

CostGuard::Time now() noexcept { return std::chrono::steady_clock::now().time_since_epoch(); }

/// Opens the file with the number of memory cgroups.
Result<UniqueFd> open_counts(const Group& group, const Hierarchy& memory) {
  if (memory.version == Version::v2) return group.open_file("cgroup.stat", O_RDONLY);
  return fs::open_in_root(group.host().roots().proc, "cgroups", O_RDONLY);
}

}  // namespace

GuardedReader::GuardedReader(Group group, const Hierarchy& memory, UniqueFd counts,
                             const CostGuard::Config& config) noexcept
    : group_(std::move(group)), memory_(&memory), counts_(std::move(counts)), guard_(config) {}

Result<GuardedReader> GuardedReader::open(const Host& host, std::string_view path,
                                          const CostGuard::Config& config) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  auto group = host.open(path);
  if (!group) return fail(group.error());
  auto counts = open_counts(*group, **memory);
  if (!counts) return fail(counts.error());
  GuardedReader reader(std::move(*group), **memory, std::move(*counts), config);
  auto file = Reader::open(reader.group_);
  if (file) {
    reader.file_ = std::move(*file);
  } else if (file.error().kind != errc::unsupported || !reader.is_root()) {
    return fail(file.error());
  } else {
    reader.missing_ = file.error();
  }
  // If there is no cgroup to measure, the guard uses its prior.
  reader.calibrated_ = now();
  (void)calibrate(host, reader.guard_, reader.calibrated_);
  return reader;
}

bool GuardedReader::is_root() const noexcept { return group_.path() == "/" && memory_->whole; }

/// Returns an upper bound for the memory cgroups below this one. v1 has only the number of the
/// whole machine; v2 has a number for each cgroup.
Result<std::uint64_t> GuardedReader::memcgs_at_most() {
  const auto text = fs::read_once(counts_.get(), text_, "the number of memory cgroups");
  if (!text) return fail(text.error());
  if (memory_->version == Version::v1) {
    return std::max<std::uint64_t>(1, cgctl::detail::memory_cgroups(*text).value_or(1));
  }
  return 1 + parse::value_of(*text, "nr_descendants").value_or(0) +
         parse::value_of(*text, "nr_dying_descendants").value_or(0);
}

/// Returns the live cgroups below this one plus all removed ones of the machine: v1 does not tell
/// below which cgroup the removed ones are.
Result<std::uint64_t> GuardedReader::memcgs_below() const {
  const auto place = group_.place("memory");
  if (!place) return fail(place.error());
  const auto live = zombies::count_directories((*place)->directory.get(), group_.path());
  if (!live) return fail(live.error());
  const auto zombies = zombies::count(group_.host());
  if (!zombies) return fail(zombies.error());
  return *live + zombies->high;
}

/// Returns the number of memory cgroups that a read may visit. Returns 0 and sets refused_ if they
/// are too many.
Result<std::uint64_t> GuardedReader::admitted(CostGuard::Time now) {
  refused_.reset();
  auto most = memcgs_at_most();
  if (!most) return most;
  const auto first = guard_.admit(*most, now);
  if (first) return most;
  refused_ = first.error();
  if (is_root() || memory_->version == Version::v2) return std::uint64_t{0};
  auto below = memcgs_below();
  // If only a part of the hierarchy is visible, the number is unknown: all of the machine's cgroups
  // may be below.
  if (!below && below.error().kind == errc::incomplete_view) return std::uint64_t{0};
  if (!below) return below;
  const auto second = guard_.admit(*below, now);
  if (!second) {
    refused_ = second.error();
    return std::uint64_t{0};
  }
  refused_.reset();
  return below;
}

Status GuardedReader::read_nodes(NumaStat& out) {
  if (!nodes_) {
    auto nodes = RootReader::open(group_.host(), memory_->version);
    if (!nodes) return fail(nodes.error());
    nodes_ = std::move(*nodes);
  }
  return nodes_->read(out);
}

Status GuardedReader::read(NumaStat& out) {
  if (!file_) return read_nodes(out) ? Status{} : fail(missing_);
  const auto start = now();
  if (start - calibrated_ >= guard_.config().remeasure_after) {
    calibrated_ = start;
    (void)calibrate(group_.host(), guard_, start);
  }
  const auto memcgs = admitted(start);
  if (!memcgs) return fail(memcgs.error());
  if (*memcgs == 0) {
    return is_root() ? read_nodes(out) : fail(refused_->error(group_.shown("memory.numa_stat")));
  }
  const auto cost = measured_read(*file_, out);
  if (!cost) return fail(cost.error());
  guard_.record(*cost, *memcgs, now());
  return {};
}

}  // namespace cgctl::numa
