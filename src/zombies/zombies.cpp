// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/zombies.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "cgctl/census.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/memory_row.hpp"
#include "zombies/census_pays.hpp"
#include "zombies/sources.hpp"

namespace cgctl::zombies {

Result<const Hierarchy*> whole_memory_hierarchy(const Host& host) {
  Result<const Hierarchy*> hierarchy = host.require("memory");
  if (!hierarchy) return hierarchy;
  if (!(*hierarchy)->whole) {
    return fail(Error::make(
        errc::incomplete_view, "count zombies", (*hierarchy)->mount_point,
        "only a part of the memory hierarchy is visible here (a cgroup namespace, or a partial "
        "mount)",
        "the kernel's number is for the whole machine: run in the host's cgroup namespace (nsenter "
        "--cgroup --target 1), or mount the host's /sys/fs/cgroup and /proc and name them: "
        "Roots::cgroup and Roots::proc"));
  }
  return hierarchy;
}

std::string_view to_string(CountSource source) noexcept {
  if (source == CountSource::kernel) return "kernel";
  return source == CountSource::census ? "census" : "directories";
}

Counter::Counter(Host host, const Hierarchy& hierarchy, UniqueFd source, std::string path,
                 DirectoryCounter directories, Use use) noexcept
    : host_(std::move(host)),
      hierarchy_(&hierarchy),
      source_(std::move(source)),
      path_(std::move(path)),
      directories_(std::move(directories)),
      use_(use) {}

Counter::Counter(Counter&&) noexcept = default;
Counter& Counter::operator=(Counter&&) noexcept = default;
Counter::~Counter() = default;

Result<Counter> Counter::open(const Host& host, std::size_t descriptors, Use use) {
  const auto hierarchy = whole_memory_hierarchy(host);
  if (!hierarchy) return fail(hierarchy.error());
  if ((*hierarchy)->version == Version::v1) {
    std::string path = fs::join(host.roots().proc, "cgroups");
    auto source = fs::open_in_root(host.roots().proc, "cgroups", O_RDONLY);
    if (!source) return fail(source.error());
    Counter counter(host, **hierarchy, std::move(*source), std::move(path),
                    DirectoryCounter(descriptors), use);
    if (use == Use::census) {
      if (auto status = counter.open_census(); !status) return fail(status.error());
    }
    return counter;
  }
  std::string path = fs::join((*hierarchy)->mount_point, "cgroup.stat");
  auto source = fs::open_beneath((*hierarchy)->directory.get(), "cgroup.stat",
                                 O_RDONLY | (*hierarchy)->open_flags, path);
  if (!source) {
    Error error = source.error();
    if (error.os_errno == ENOENT) {
      error.kind = errc::unsupported;
      error.hint = "cgroup v2 counts removed cgroups since Linux 4.14";
    }
    return fail(std::move(error));
  }
  return Counter(host, **hierarchy, std::move(*source), std::move(path),
                 DirectoryCounter(descriptors), use);
}

Result<Count> Counter::count(unsigned rounds) {
  return hierarchy_->version == Version::v1 ? count_v1(std::max(rounds, 1U)) : count_v2();
}

Result<std::uint64_t> Counter::kernel_count() {
  const auto text = fs::read_once(source_.get(), text_, path_);
  if (!text) return fail(text.error());
  const auto number = detail::memory_cgroups(*text);
  if (!number) {
    return fail(Error::make(errc::malformed, "parse", path_, "the memory row has no num_cgroups"));
  }
  return *number;
}

Status Counter::open_census() {
  census::Options options;
  options.rounds = 2;
  auto census = census::Census::open(host_, options);
  if (!census) return fail(census.error());
  census_.push_back(std::move(*census));
  return {};
}

/// Counts directories from now on. The next census must pay far more than this one.
void Counter::close_census() noexcept {
  census_.clear();
  counts_ = 0;
  spent_ = {};
  ++refusals_;
}

Result<Count> Counter::count_v1(unsigned rounds) {
  using Clock = std::chrono::steady_clock;
  using std::chrono::nanoseconds;
  if (pays_ && !open_census()) close_census();
  pays_ = false;
  auto start = Clock::now();
  if (!census_.empty()) {
    auto count = count_census();
    if (use_ == Use::census) return count;
    const nanoseconds took = Clock::now() - start;
    fastest_ = counts_ == 0 ? took : std::min(fastest_, took);
    ++counts_;
    if (!count || census_is_slow({fastest_, counts_}, last_, count->kernel)) close_census();
    if (count) return count;
  }
  start = Clock::now();
  auto count = count_directories(rounds);
  last_ = Clock::now() - start;
  spent_ += last_;
  pays_ = count && use_ == Use::cheapest && host_.live() &&
          census_pays({last_, spent_, refusals_}, count->live, count->kernel);
  return count;
}

Result<Count> Counter::count_census() {
  const auto counted = census_.front().count();
  if (!counted) return fail(counted.error());
  Count count;
  count.source = CountSource::census;
  count.live = counted->live;
  count.low = count.high = counted->dead;
  count.kernel = counted->live + counted->dead;
  return count;
}

Result<Count> Counter::count_directories(unsigned rounds) {
  auto before = kernel_count();
  if (!before) return fail(before.error());
  Count count;
  count.source = CountSource::directories;
  for (unsigned round = 0; round < rounds; ++round) {
    const auto live = directories_.count(hierarchy_->directory.get(), hierarchy_->mount_point);
    if (!live) return fail(live.error());
    const auto after = kernel_count();
    if (!after) return fail(after.error());
    const auto [least, most] = std::minmax(*before, *after);
    count.kernel = *after;
    count.live = *live;
    count.low = least > *live ? least - *live : 0;
    count.high = most > *live ? most - *live : 0;
    count.agreed = least >= *live;
    if (least == most && count.agreed) break;
    before = after;
  }
  return count;
}

Result<Count> Counter::count_v2() {
  const auto text = fs::read_once(source_.get(), text_, path_);
  if (!text) return fail(text.error());
  Count count;
  count.hierarchy = Version::v2;
  auto dying = parse::value_of(*text, "nr_dying_subsys_memory");
  auto live = parse::value_of(*text, "nr_subsys_memory");
  if (!dying || !live) {
    dying = parse::value_of(*text, "nr_dying_descendants");
    live = parse::value_of(*text, "nr_descendants");
    if (live) ++*live;
    count.memory_only = false;
  }
  if (!dying || !live) {
    return fail(Error::make(errc::malformed, "parse", path_,
                            "neither nr_dying_subsys_memory nor nr_dying_descendants is there"));
  }
  count.live = *live;
  count.kernel = *live + *dying;
  count.low = *dying;
  count.high = *dying;
  return count;
}

Result<Count> count(const Host& host) {
  auto counter = Counter::open(host);
  if (!counter) return fail(counter.error());
  return counter->count();
}

}  // namespace cgctl::zombies
