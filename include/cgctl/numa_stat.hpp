// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/unique_fd.hpp"

/// Memory per NUMA node of a cgroup: `memory.numa_stat` of cgroup v1 (in pages,
/// cgroup-v1/memory.rst section 5.6) and of cgroup v2 (in bytes, since Linux 5.10, cgroup-v2.rst).
///
/// On v1 before Linux 5.8 (commit dd8657b6c1cb) one read visits every memory cgroup below, removed
/// ones included, without yielding the CPU: with tens of thousands that takes a second. CostGuard
/// prevents such reads; RootReader gives the root's figures without them.
namespace cgctl::numa {

enum class Unit { pages, bytes };
/// The source of the figures. "file": memory.numa_stat itself. "nodes": the per-node LRU counters.
enum class Source { file, nodes };

std::string_view to_string(Unit unit) noexcept;
std::string_view to_string(Source source) noexcept;

struct NodeValue {
  std::uint32_t node;  ///< the kernel's node id; ids can be sparse and have many digits
  std::uint64_t value;
};

/// The result of a read. Reuse the object: the next read overwrites it and allocates only if the
/// text is larger than any before. Its views are valid until the next read into it or its
/// destruction.
class NumaStat {
 public:
  /// One line of the file.
  struct Stat {
    std::string_view name;  ///< the kernel's name: "hierarchical_file" (v1), "anon" (v2), ...
    std::uint64_t total;    ///< the kernel's total (v1), or the sum of the nodes (v2, nodes)
    const NodeValue* first;
    std::size_t count;

    [[nodiscard]] const NodeValue* begin() const noexcept { return first; }
    [[nodiscard]] const NodeValue* end() const noexcept { return first + count; }
    /// Returns the value of one node; nothing if the line has no such node.
    [[nodiscard]] std::optional<std::uint64_t> on(std::uint32_t node) const noexcept {
      for (const NodeValue& entry : *this) {
        if (entry.node == node) return entry.value;
      }
      return std::nullopt;
    }
  };

  [[nodiscard]] Unit unit() const noexcept { return unit_; }
  [[nodiscard]] Source source() const noexcept { return source_; }
  [[nodiscard]] std::size_t size() const noexcept { return row_count_; }
  [[nodiscard]] bool empty() const noexcept { return row_count_ == 0; }
  [[nodiscard]] Stat operator[](std::size_t index) const noexcept {
    const Row& row = rows_[index];
    return {std::string_view(text_.data() + row.name, row.name_size), row.total,
            values_.data() + row.first, row.count};
  }
  [[nodiscard]] std::optional<Stat> find(std::string_view name) const noexcept;
  /// Converts a value of this result to bytes, with the page size of the machine it was read from.
  [[nodiscard]] std::uint64_t bytes(std::uint64_t value) const noexcept {
    return unit_ == Unit::pages ? value * page_size_ : value;
  }
  /// Returns the number of lines left out because they did not have the documented form (vendor
  /// kernels add some).
  [[nodiscard]] std::size_t skipped_lines() const noexcept { return skipped_; }

 private:
  friend class Reader;
  friend class RootReader;
  friend Status parse(std::string_view text, Version version, NumaStat& out);

  struct Row {
    std::uint32_t name, name_size;
    std::uint64_t total;
    std::size_t first, count;
  };
  /// The text before the value of a node, the same in each line: " N12=".
  struct Prefix {
    std::uint64_t text;  ///< in the order of memory
    std::uint64_t mask;  ///< the bytes that the text has
    std::uint32_t node;
    std::uint32_t size;
  };
  /// Bytes before and after a text that the parser may read, of any content.
  static constexpr std::size_t before = 16;
  static constexpr std::size_t after = 64;

  void clear(Unit unit, Source source) noexcept;
  void make_text(std::size_t size);
  void add_row(const Row& row);
  void learn_prefixes();
  const char* parse_known_lines(const char* at, const char* end, Version version);
  const char* parse_line(const char* name, Version version);
  [[nodiscard]] Status parse_rows(std::size_t size, Version version, std::string_view shown);
  [[nodiscard]] Status refuse(errc kind, std::string_view shown, const char* reason);

  std::vector<char> text_;         // rows_ point into it
  std::vector<Row> rows_;          // only the first row_count_ are valid
  std::vector<Prefix> prefixes_;   // those of the last line that was parsed without them
  std::vector<NodeValue> values_;  // only the first used_ are valid
  std::size_t row_count_ = 0;
  std::size_t used_ = 0;
  std::uint64_t page_size_ = 4096;
  std::size_t skipped_ = 0;
  Unit unit_ = Unit::pages;
  Source source_ = Source::file;
};

/// Parses the text of a `memory.numa_stat`. Lines of another form, and on v1 a vendor's lines about
/// other nodes than the kernel's own lines, are skipped and counted. errc::truncated if the text
/// ends inside a line, is empty, or (v1) lacks one of total, file, anon, unevictable or has only
/// some of the hierarchical lines; errc::malformed if no line has the documented form or lines
/// disagree on the number of nodes.
[[nodiscard]] Status parse(std::string_view text, Version version, NumaStat& out);

/// Reads the `memory.numa_stat` of one cgroup through a kept descriptor. A read makes one pread(2)
/// and allocates nothing once `out` has grown to the file's size. Threads may share a reader, which
/// has no mutable state, but not an `out`.
///
///     auto reader = cgctl::numa::Reader::open(*group);
///     cgctl::numa::NumaStat out;
///     while (reader->read(out)) use(out);
class Reader {
 public:
  /// Opens the file. errc::unsupported if there is none: v2 before Linux 5.10, a kernel without
  /// NUMA, a v2 cgroup without the memory controller.
  [[nodiscard]] static Result<Reader> open(const Group& group);

  /// Reads the figures. errc::vanished once the cgroup is removed; otherwise the errors of parse()
  /// and of pread(2).
  [[nodiscard]] Status read(NumaStat& out) const {
    out.page_size_ = page_size_;
    for (;;) {
      if (out.text_.size() < first_text) out.make_text(first_text);
      const std::size_t room = out.text_.size() - NumaStat::before - NumaStat::after;
      const ssize_t got = sys::pread(fd_.get(), out.text_.data() + NumaStat::before, room, 0);
      if (got >= 0 && static_cast<std::size_t>(got) < room) {
        return out.parse_rows(static_cast<std::size_t>(got), version_, path_);
      }
      if (auto status = again(got, out); !status) return status;
    }
  }

  [[nodiscard]] Version version() const noexcept { return version_; }
  /// Returns the file's absolute path.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  static constexpr std::size_t first_text = 4096;

  Reader(UniqueFd fd, Version version, std::uint64_t page_size, std::string path) noexcept;
  /// Handles a pread(2) that failed or filled the buffer: grows the buffer, or returns an error.
  [[nodiscard]] Status again(ssize_t got, NumaStat& out) const;

  UniqueFd fd_;
  Version version_;
  std::uint64_t page_size_;
  std::string path_;
};

/// Reads the root cgroup's hierarchical figures from `/sys/devices/system/node/node*/vmstat`, at a
/// cost of O(nodes). The LRU counters of a node are sums over all memory cgroups, removed ones
/// included, so they equal the root's hierarchical lines up to per-CPU drift. They cannot give the
/// root's own (non-hierarchical) lines. v1: hierarchical_{total,file,anon,unevictable} in pages;
/// v2: {in,}active_{anon,file} and unevictable in bytes.
class RootReader {
 public:
  /// Opens the counters of the nodes that have memory. `version` selects the form of the result,
  /// usually the memory controller's version. errc::unsupported on a kernel without NUMA, which has
  /// no memory.numa_stat either.
  [[nodiscard]] static Result<RootReader> open(const Host& host, Version version);
  RootReader(RootReader&&) noexcept = default;
  RootReader& operator=(RootReader&&) noexcept = default;
  RootReader(const RootReader&) = delete;
  RootReader& operator=(const RootReader&) = delete;
  ~RootReader() = default;

  /// Reads the figures. errc::vanished if a node was taken offline: open a new reader.
  [[nodiscard]] Status read(NumaStat& out) const;

  [[nodiscard]] std::size_t nodes() const noexcept { return nodes_.size(); }

 private:
  struct Node {
    std::uint32_t id;
    UniqueFd vmstat;
  };
  RootReader(std::vector<Node> nodes, Version version, std::uint64_t page_size,
             std::string path) noexcept;

  std::vector<Node> nodes_;
  Version version_;
  std::uint64_t page_size_;
  std::string path_;
};

/// The cost of one read.
struct Cost {
  std::chrono::nanoseconds wall{};
  std::chrono::nanoseconds cpu{};  ///< CPU time of the calling thread (CLOCK_THREAD_CPUTIME_ID)
};

/// Calls reader.read(out) and measures its cost. Makes two more system calls than read().
[[nodiscard]] Result<Cost> measured_read(const Reader& reader, NumaStat& out);

/// Returns the least cost of a few reads. A single read can be slower for other reasons than the
/// number of cgroups: it was interrupted, or had to collect the per-CPU counters first. No further
/// read starts once the reads took `enough` together, so that a slow read is not repeated.
[[nodiscard]] Result<Cost> least_cost(const Reader& reader, std::chrono::nanoseconds enough);

/// The reason for refusing a read.
struct OverBudget {
  std::chrono::nanoseconds predicted{};
  std::chrono::nanoseconds budget{};
  std::uint64_t memcgs = 0;  ///< memory cgroups below, as given by the caller
  bool measured = false;     ///< false: predicted from the prior alone

  [[nodiscard]] Error error(std::string path) const;
};

/// Decides whether a read of `memory.numa_stat` stays within a budget. It keeps the costs of the
/// last reads with the number of memory cgroups below each. On every kernel the cost is at most
/// linear in that number, so each measured read gives an upper bound for another read: cost *
/// max(1, memcgs / measured memcgs). The prediction is the smallest bound. Before the first
/// measurement it is `prior` for each memory cgroup.
///
/// One guard serves all cgroups of a machine. It has no clock, does no I/O, allocates nothing and
/// is not synchronised.
class CostGuard {
 public:
  using nanoseconds = std::chrono::nanoseconds;
  /// Time since the epoch of any monotonic clock that the caller chooses.
  using Time = std::chrono::nanoseconds;

  struct Config {
    nanoseconds budget = std::chrono::milliseconds(10);
    /// Cost assumed for each memory cgroup before the first measurement: 0.7 s for 10,000 (commit
    /// dd8657b6c1cb).
    nanoseconds prior = std::chrono::microseconds(70);
    /// A measurement that is older than the newest one by more than this no longer counts, because
    /// a kernel gets busier.
    nanoseconds remeasure_after = std::chrono::minutes(10);
    /// Since predictions are upper bounds, a read predicted to exceed the budget is sometimes
    /// allowed as a probe. First condition: its predicted cost is at most this many budgets (1: no
    /// probes).
    unsigned probe_factor = 10;
    /// Second condition for a probe: the time since the last probe (or the first measurement) is at
    /// least remeasure_after and at least this many times the predicted cost. Probes then use at
    /// most 1/probe_rest of one CPU's time.
    unsigned probe_rest = 10000;
  };

  CostGuard() noexcept : CostGuard(Config{}) {}
  explicit CostGuard(const Config& config) noexcept : config_(config) {}

  [[nodiscard]] const Config& config() const noexcept { return config_; }

  /// Records the cost of a read at `now`. `memcgs` is the number of memory cgroups below and
  /// including the one read, at least 1; for the root of v1 the number in /proc/cgroups. It must
  /// not be too high; too low only makes the guard more careful.
  void record(const Cost& cost, std::uint64_t memcgs, Time now) noexcept;

  /// Predicts the wall time of a read with `memcgs` memory cgroups below and including the cgroup.
  [[nodiscard]] nanoseconds predict(std::uint64_t memcgs) const noexcept;

  /// Allows a read if its predicted cost is within the budget or if it may be a probe, see Config.
  /// Record the cost after the read.
  [[nodiscard]] tl::expected<void, OverBudget> admit(std::uint64_t memcgs, Time now) const noexcept;

 private:
  struct Sample {
    Cost cost;
    std::uint64_t memcgs = 0;  // 0: empty
    Time at{};
  };
  [[nodiscard]] const Sample* newest() const noexcept;

  Config config_;
  std::array<Sample, 16> samples_{};
  std::size_t next_ = 0;
  Time last_probe_{};  // last probe or first measurement
};

/// Gives the guard a first measurement at almost no cost: the least cost of a few reads of a
/// childless cgroup's numa_stat, for which the kernel visits only cgroups that were removed below
/// it. Among the first candidates it picks the one with the least memory in use, because the memory
/// of removed cgroups is charged to their parent. errc::unsupported if the root is the only memory
/// cgroup.
[[nodiscard]] Result<Cost> calibrate(const Host& host, CostGuard& guard, CostGuard::Time now);

}  // namespace cgctl::numa
