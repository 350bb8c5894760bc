// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/numa_stat.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "cgctl/filesystem.hpp"
#include "detail/tree_walk.hpp"

namespace cgctl::numa {
namespace {

constexpr std::size_t largest_text = std::size_t{4} << 20;

/// Names of RootReader's stats, in the order of the kernel's file.
constexpr std::array<std::string_view, 4> v1_names = {
    "hierarchical_total", "hierarchical_file", "hierarchical_anon", "hierarchical_unevictable"};
constexpr std::array<std::string_view, 5> v2_names = {
    "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"};

/// The LRU lists of one node, in the kernel's order (enum lru_list).
using Lru = std::array<std::uint64_t, 5>;
constexpr std::array<std::string_view, 5> lru_keys = {
    "nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable"};

bool parse_lru(std::string_view text, Lru& out) noexcept {
  std::size_t found = 0;
  while (!text.empty() && found < lru_keys.size()) {
    std::string_view row = parse::line(text);
    const std::string_view key = lru_keys[found];
    if (row.size() <= key.size() || row[key.size()] != ' ' || !parse::starts_with(row, key))
      continue;
    row.remove_prefix(key.size() + 1);
    if (!parse::number(row, out[found])) return false;
    ++found;
  }
  return found == lru_keys.size();
}

std::chrono::nanoseconds now(clockid_t clock) noexcept {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::string milliseconds(std::chrono::nanoseconds time) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  if (micros < 10'000) return std::to_string(micros) + " us";
  return std::to_string(micros / 1000) + " ms";
}

}  // namespace

std::string_view to_string(Unit unit) noexcept { return unit == Unit::pages ? "pages" : "bytes"; }
std::string_view to_string(Source source) noexcept {
  return source == Source::file ? "file" : "nodes";
}

Status parse(std::string_view text, Version version, NumaStat& out) {
  const std::size_t needed = NumaStat::before + text.size() + NumaStat::after;
  if (out.text_.size() < needed) out.text_.resize(needed);
  std::copy(text.begin(), text.end(), out.text_.begin() + NumaStat::before);
  out.page_size_ = NumaStat().page_size_;
  return out.parse_rows(text.size(), version, "numa_stat");
}

std::optional<NumaStat::Stat> NumaStat::find(std::string_view name) const noexcept {
  for (std::size_t i = 0; i < size(); ++i) {
    if ((*this)[i].name == name) return (*this)[i];
  }
  return std::nullopt;
}

void NumaStat::make_text(std::size_t size) { text_.resize(size); }

Reader::Reader(UniqueFd fd, Version version, std::uint64_t page_size, std::string path) noexcept
    : fd_(std::move(fd)), version_(version), page_size_(page_size), path_(std::move(path)) {}

Result<Reader> Reader::open(const Group& group) {
  const auto place = group.place("memory");
  if (!place) return fail(place.error());
  auto fd = open_file_in(**place, group.path(), "memory.numa_stat", O_RDONLY);
  if (!fd) {
    Error error = fd.error();
    if (error.kind == errc::unsupported) {
      error.hint = (*place)->hierarchy->version == Version::v2
                       ? "cgroup v2 has it since Linux 5.10, on NUMA kernels, where the memory "
                         "controller is enabled"
                       : "kernels built without NUMA do not have it";
    }
    return fail(std::move(error));
  }
  return Reader(std::move(*fd), (*place)->hierarchy->version, group.host().page_size(),
                group.shown("memory.numa_stat"));
}

Status Reader::again(ssize_t got, NumaStat& out) const {
  if (got == -EINTR) return {};
  if (got < 0) return fail(fs::system_error("read", path_, static_cast<int>(-got)));
  if (out.text_.size() >= largest_text) {
    return fail(Error::make(errc::malformed, "read", path_, "larger than 4 MiB"));
  }
  out.text_.resize(out.text_.size() * 4);
  return {};
}

RootReader::RootReader(std::vector<Node> nodes, Version version, std::uint64_t page_size,
                       std::string path) noexcept
    : nodes_(std::move(nodes)), version_(version), page_size_(page_size), path_(std::move(path)) {}

Result<RootReader> RootReader::open(const Host& host, Version version) {
  const std::string& root = host.roots().sys;
  const std::string nodes_at = "devices/system/node/";
  auto list = fs::read_in_root(root, nodes_at + "has_memory");
  if (!list) list = fs::read_in_root(root, nodes_at + "has_normal_memory");
  if (!list) list = fs::read_in_root(root, nodes_at + "online");
  if (!list) {
    Error error = list.error();
    if (error.os_errno == ENOENT) {
      error.kind = errc::unsupported;
      error.reason = "no NUMA nodes are shown";
      error.hint = "kernels built without NUMA have no per-node counters";
    }
    return fail(std::move(error));
  }
  std::vector<Node> nodes;
  Status status;
  const bool listed = parse::ranges(*list, [&](std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t id = first; status && id <= last; ++id) {
      auto fd =
          fs::open_in_root(root, nodes_at + "node" + std::to_string(id) + "/vmstat", O_RDONLY);
      if (!fd) {
        status = fail(fd.error());
      } else {
        nodes.push_back({static_cast<std::uint32_t>(id), std::move(*fd)});
      }
    }
  });
  if (!status) return fail(status.error());
  const std::string directory = fs::join(root, "devices/system/node");
  if (!listed || nodes.empty()) {
    return fail(
        Error::make(errc::malformed, "parse", directory, "the list of nodes cannot be understood"));
  }
  return RootReader(std::move(nodes), version, host.page_size(), directory);
}

Status RootReader::read(NumaStat& out) const {
  const bool v1 = version_ == Version::v1;
  out.clear(v1 ? Unit::pages : Unit::bytes, Source::nodes);
  out.page_size_ = page_size_;
  const std::size_t count = nodes_.size();
  const std::size_t rows = v1 ? v1_names.size() : v2_names.size();
  out.values_.resize(rows * count);
  for (std::size_t i = 0; i < count; ++i) {
    const Node& node = nodes_[i];
    const auto text = fs::read_once(node.vmstat.get(), out.text_, path_);
    if (!text) {
      Error error = text.error();
      if (error.kind == errc::vanished) error.reason = "the NUMA node went offline";
      return fail(std::move(error));
    }
    Lru lru{};
    if (!parse_lru(*text, lru)) {
      return fail(Error::make(errc::malformed, "parse",
                              fs::join(path_, "node" + std::to_string(node.id) + "/vmstat"),
                              "the LRU counters are missing"));
    }
    std::array<std::uint64_t, 5> values{};
    if (v1) {
      const std::uint64_t anon = lru[0] + lru[1];
      const std::uint64_t file = lru[2] + lru[3];
      values = {file + anon + lru[4], file, anon, lru[4]};
    } else {
      std::transform(lru.begin(), lru.end(), values.begin(),
                     [this](std::uint64_t pages) { return pages * page_size_; });
    }
    for (std::size_t row = 0; row < rows; ++row) {
      out.values_[row * count + i] = {node.id, values[row]};
    }
  }
  // The text of the counters is no longer needed: its buffer now holds the names.
  std::uint32_t at = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::string_view name = v1 ? v1_names[row] : v2_names[row];
    std::copy(name.begin(), name.end(), out.text_.data() + at);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += out.values_[row * count + i].value;
    out.add_row({at, static_cast<std::uint32_t>(name.size()), total, row * count, count});
    at += static_cast<std::uint32_t>(name.size());
  }
  return {};
}

Result<Cost> measured_read(const Reader& reader, NumaStat& out) {
  const auto cpu = now(CLOCK_THREAD_CPUTIME_ID);
  const auto wall = now(CLOCK_MONOTONIC);
  const Status status = reader.read(out);
  const Cost cost{now(CLOCK_MONOTONIC) - wall, now(CLOCK_THREAD_CPUTIME_ID) - cpu};
  if (!status) return fail(status.error());
  return cost;
}

Error OverBudget::error(std::string path) const {
  return Error::make(errc::over_budget, "read", std::move(path),
                     "predicted to take up to " + milliseconds(predicted) + " with " +
                         std::to_string(memcgs) + " memory cgroups below" +
                         (measured ? "" : " (assumed: no read was measured yet)") +
                         "; the budget is " + milliseconds(budget),
                     "raise the budget, or read the root's figures by nodes");
}

void CostGuard::record(const Cost& cost, std::uint64_t memcgs, Time now) noexcept {
  memcgs = std::max<std::uint64_t>(memcgs, 1);
  if (newest() == nullptr || predict(memcgs) > config_.budget) last_probe_ = now;
  samples_[next_] = {cost, memcgs, now};
  next_ = (next_ + 1) % samples_.size();
}

const CostGuard::Sample* CostGuard::newest() const noexcept {
  const Sample& last = samples_[(next_ + samples_.size() - 1) % samples_.size()];
  return last.memcgs == 0 ? nullptr : &last;
}

CostGuard::nanoseconds CostGuard::predict(std::uint64_t memcgs) const noexcept {
  memcgs = std::max<std::uint64_t>(memcgs, 1);
  const auto scaled = [&](nanoseconds cost, std::uint64_t over) {
    const double factor = std::max(1.0, static_cast<double>(memcgs) / static_cast<double>(over));
    constexpr double longest = 1e18;
    return nanoseconds(
        static_cast<std::int64_t>(std::min(longest, static_cast<double>(cost.count()) * factor)));
  };
  const Sample* const last = newest();
  if (last == nullptr) return scaled(config_.prior, 1);
  nanoseconds least = nanoseconds::max();
  for (const Sample& sample : samples_) {
    if (sample.memcgs == 0 || last->at - sample.at > config_.remeasure_after) continue;
    least = std::min(least, scaled(sample.cost.wall, sample.memcgs));
  }
  return least;
}

tl::expected<void, OverBudget> CostGuard::admit(std::uint64_t memcgs, Time now) const noexcept {
  const nanoseconds predicted = predict(memcgs);
  if (predicted <= config_.budget) return {};
  const Sample* const last = newest();
  const OverBudget refusal{predicted, config_.budget, memcgs, last != nullptr};
  using Wide = std::chrono::duration<double, std::nano>;  // where the products cannot overflow
  if (last == nullptr || predicted > Wide(config_.budget) * config_.probe_factor) {
    return tl::unexpected<OverBudget>(refusal);
  }
  const nanoseconds rest = now - last_probe_;
  const bool rare = rest >= config_.remeasure_after && rest >= Wide(predicted) * config_.probe_rest;
  if (!rare) return tl::unexpected<OverBudget>(refusal);
  return {};
}

namespace {

/// A memory cgroup without children.
struct Leaf {
  std::string path;
  std::uint64_t usage;  ///< bytes
};

/// Returns the bytes charged to a cgroup, from a single counter that is cheap on every kernel.
std::uint64_t usage_of(int parent, const char* name, int open_flags) {
  for (const char* const file : {"memory.usage_in_bytes", "memory.current"}) {
    const auto text = fs::read_beneath(parent, fs::join(name, file), file, open_flags);
    if (text) return parse::whole_number(*text).value_or(0);
  }
  return std::numeric_limits<std::uint64_t>::max();
}

/// Adds the leaves below the root, until there are enough to choose from.
Status add_leaves(const Hierarchy& memory, std::vector<Leaf>& out) {
  using cgctl::detail::Next;
  using cgctl::detail::Step;
  constexpr std::size_t enough = 32;
  // On v2 all children of a cgroup have the controller, or none.
  const auto look_for_file = [](const Step& step) {
    struct ::stat file {};
    const std::string name = fs::join(step.name, "memory.numa_stat");
    return sys::stat_at(step.parent, name.c_str(), file);
  };
  std::string deepest;  // the directory entered last; a leaf if it is left next
  const auto enter = [&](const Step& step) -> Result<Next> {
    if (out.size() >= enough) return Next::end;
    const int looked = look_for_file(step);
    if (cgctl::detail::is_gone(looked)) return Next::past;
    if (looked < 0) return fail(fs::system_error("stat", step.path, -looked));
    deepest = step.path;
    return Next::inside;
  };
  const auto leave = [&](const Step& step) -> Status {
    if (step.path != deepest || out.size() >= enough) return {};
    out.push_back({step.path, usage_of(step.parent, step.name, memory.open_flags)});
    return {};
  };
  return cgctl::detail::walk_below(memory.directory.get(), memory.mount_point, enter, leave);
}

}  // namespace

Result<Cost> least_cost(const Reader& reader, std::chrono::nanoseconds enough) {
  constexpr int most = 6;
  NumaStat out;
  Result<Cost> least = measured_read(reader, out);
  if (!least) return least;
  auto spent = least->wall;
  for (int reads = 1; reads < most && spent < enough; ++reads) {
    Result<Cost> next = measured_read(reader, out);
    if (!next) return next;
    spent += next->wall;
    if (next->wall < least->wall) least = next;
  }
  return least;
}

namespace {

Result<Cost> measure_leaf(const Host& host, const std::string& path) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  const auto reader = Reader::open(*group);
  if (!reader) return fail(reader.error());
  return least_cost(*reader, std::chrono::milliseconds(1));
}

}  // namespace

Result<Cost> calibrate(const Host& host, CostGuard& guard, CostGuard::Time now) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  std::vector<Leaf> leaves;
  if (auto status = add_leaves(**memory, leaves); !status) return fail(status.error());
  if (leaves.empty()) {
    return fail(Error::make(errc::unsupported, "calibrate", (*memory)->mount_point,
                            "there is no memory cgroup below the root to measure"));
  }
  // A read also visits the removed cgroups below a childless cgroup. Their memory is charged to
  // that cgroup, so the one with the least memory in use has the fewest. The second is tried if the
  // first one vanishes.
  std::sort(leaves.begin(), leaves.end(),
            [](const Leaf& a, const Leaf& b) { return a.usage < b.usage; });
  Result<Cost> least = measure_leaf(host, leaves.front().path);
  if (!least && leaves.size() > 1) least = measure_leaf(host, leaves[1].path);
  if (least) guard.record(*least, 1, now);
  return least;
}

}  // namespace cgctl::numa
