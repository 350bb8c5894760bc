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
/// On v1 before Linux 5.8 (commit dd8657b6c1cb) one read walks every memory cgroup below, removed
/// ones included, without letting go of the CPU: a second on a node with tens of thousands.
/// CostGuard keeps a caller from doing that, RootReader gives the root's figures without it.
namespace cgctl::numa {

enum class Unit { pages, bytes };
/// "file": memory.numa_stat itself. "nodes": the per-node LRU counters.
enum class Source { file, nodes };

std::string_view to_string(Unit unit) noexcept;
std::string_view to_string(Source source) noexcept;

struct NodeValue {
  std::uint32_t node;  ///< the kernel's node id; ids can be sparse and have many digits
  std::uint64_t value;
};

/// The result of a read, made to be reused: the next read overwrites it and allocates only when
/// there is more to hold than ever before. Views it hands out are valid until the next read into
/// it, or its end.
class NumaStat {
 public:
  /// One line of the file.
  struct Stat {
    std::string_view name;  ///< the kernel's: "hierarchical_file" (v1), "anon" (v2), ...
    std::uint64_t total;    ///< as the kernel says it (v1), or the sum of the nodes (v2, nodes)
    const NodeValue* first;
    std::size_t count;

    [[nodiscard]] const NodeValue* begin() const noexcept { return first; }
    [[nodiscard]] const NodeValue* end() const noexcept { return first + count; }
    /// Of one node; nothing where the kernel names no such node.
    [[nodiscard]] std::optional<std::uint64_t> on(std::uint32_t node) const noexcept {
      for (const NodeValue& entry : *this) {
        if (entry.node == node) return entry.value;
      }
      return std::nullopt;
    }
  };

  [[nodiscard]] Unit unit() const noexcept { return unit_; }
  [[nodiscard]] Source source() const noexcept { return source_; }
  [[nodiscard]] std::size_t size() const noexcept { return rows_.size(); }
  [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }
  [[nodiscard]] Stat operator[](std::size_t index) const noexcept {
    const Row& row = rows_[index];
    return {std::string_view(text_.data() + row.name, row.name_size), row.total,
            values_.data() + row.first, row.count};
  }
  [[nodiscard]] std::optional<Stat> find(std::string_view name) const noexcept;
  /// A value of this result in bytes, with the page size of the machine it was read from.
  [[nodiscard]] std::uint64_t bytes(std::uint64_t value) const noexcept {
    return unit_ == Unit::pages ? value * page_size_ : value;
  }
  /// Lines that did not have the kernel's form and were left out (vendor kernels add some).
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

  void clear(Unit unit, Source source) noexcept;
  void make_text(std::size_t size);
  void make_room(std::size_t values);
  Row& add_row();
  const char* parse_line(const char* name, const char* stop, Version version);
  [[nodiscard]] Status parse_rows(std::string_view text, Version version, std::string_view shown);
  [[nodiscard]] Status refuse(errc kind, std::string_view shown, const char* reason);

  std::vector<char> text_;  // rows_ point into it; parse::padding bytes longer than any text in it
  std::vector<Row> rows_;
  std::vector<NodeValue> values_;  // the first used_ count
  std::size_t used_ = 0;
  std::uint64_t page_size_ = 4096;
  std::size_t skipped_ = 0;
  Unit unit_ = Unit::pages;
  Source source_ = Source::file;
};

/// Parses the text of a `memory.numa_stat`. Lines of another form, and on v1 a vendor's about other
/// nodes than the kernel's own, are skipped and counted. errc::truncated when the text ends inside
/// a line, is empty, or (v1) lacks one of total, file, anon, unevictable or has only some of the
/// hierarchical lines; errc::malformed when no line has the kernel's form or lines disagree on the
/// number of nodes.
[[nodiscard]] Status parse(std::string_view text, Version version, NumaStat& out);

/// Reads the `memory.numa_stat` of one cgroup through a kept descriptor: one pread(2) a read,
/// nothing allocated once `out` has grown to the file's size. Not for concurrent use of one `out`;
/// the reader itself has no state that changes.
///
///     auto reader = cgctl::numa::Reader::open(*group);
///     cgctl::numa::NumaStat out;
///     while (reader->read(out)) use(out);
class Reader {
 public:
  /// errc::unsupported where the kernel has no such file: v2 before Linux 5.10, a kernel without
  /// NUMA, a v2 cgroup without the memory controller.
  [[nodiscard]] static Result<Reader> open(const Group& group);

  /// errc::vanished once the cgroup is removed; else what parse() and the kernel say.
  [[nodiscard]] Status read(NumaStat& out) const {
    out.page_size_ = page_size_;
    for (;;) {
      if (out.text_.size() < first_text) out.make_text(first_text);
      const std::size_t room = out.text_.size() - parse::padding;
      const ssize_t got = sys::pread(fd_.get(), out.text_.data(), room, 0);
      if (got >= 0 && static_cast<std::size_t>(got) < room) {
        return out.parse_rows(std::string_view(out.text_.data(), static_cast<std::size_t>(got)),
                              version_, path_);
      }
      if (auto status = again(got, out); !status) return status;
    }
  }

  [[nodiscard]] Version version() const noexcept { return version_; }
  /// The file's absolute path.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  static constexpr std::size_t first_text = 4096;

  Reader(UniqueFd fd, Version version, std::uint64_t page_size, std::string path) noexcept;
  /// After a pread that did not deliver: grows the buffer or says why to stop.
  [[nodiscard]] Status again(ssize_t got, NumaStat& out) const;

  UniqueFd fd_;
  Version version_;
  std::uint64_t page_size_;
  std::string path_;
};

/// The root cgroup's hierarchical figures from `/sys/devices/system/node/node*/vmstat`: the LRU
/// counters of a node are the sums over all memory cgroups, removed ones included, so they equal
/// the root's hierarchical lines up to per-CPU drift, at a cost of O(nodes) and without any walk.
/// They cannot give the root's own (non-hierarchical) lines. v1:
/// hierarchical_{total,file,anon,unevictable} in pages; v2: {in,}active_{anon,file} and unevictable
/// in bytes.
class RootReader {
 public:
  /// Uses the nodes that have memory. `version` is the form wanted, usually that of the memory
  /// controller. errc::unsupported on a kernel without NUMA, which has no memory.numa_stat either.
  [[nodiscard]] static Result<RootReader> open(const Host& host, Version version);
  RootReader(RootReader&&) noexcept = default;
  RootReader& operator=(RootReader&&) noexcept = default;
  RootReader(const RootReader&) = delete;
  RootReader& operator=(const RootReader&) = delete;
  ~RootReader() = default;

  /// errc::vanished when a node was taken offline: open again.
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

/// What one read cost.
struct Cost {
  std::chrono::nanoseconds wall{};
  std::chrono::nanoseconds cpu{};  ///< of the calling thread (CLOCK_THREAD_CPUTIME_ID)
};

/// reader.read(out), measured. Two more system calls than read().
[[nodiscard]] Result<Cost> measured_read(const Reader& reader, NumaStat& out);

/// The least cost of a few reads, since one that was interrupted, or that had to gather first what
/// each CPU counted, says nothing about the walk. None is made once they took `enough` together: a
/// slow read is not repeated.
[[nodiscard]] Result<Cost> least_cost(const Reader& reader, std::chrono::nanoseconds enough);

/// Why a read was refused.
struct OverBudget {
  std::chrono::nanoseconds predicted{};
  std::chrono::nanoseconds budget{};
  std::uint64_t memcgs = 0;  ///< below the cgroup, as the caller said
  bool measured = false;     ///< false: predicted from the prior alone

  [[nodiscard]] Error error(std::string path) const;
};

/// Decides whether a read of a `memory.numa_stat` may be afforded. Keeps what the last reads cost
/// beside the number of memory cgroups below each, and predicts from the one property every kernel
/// has: the cost is at most linear in that number. So each measured read bounds every other from
/// above, cost * max(1, memcgs / its memcgs), and the least bound counts. Before the first
/// measurement the bound is `prior` for each memory cgroup.
///
/// One guard serves all cgroups of a machine. It has no clock and does no I/O; it does not
/// allocate. Not synchronised.
class CostGuard {
 public:
  using nanoseconds = std::chrono::nanoseconds;
  /// Any monotonic clock of the caller's, as time since its epoch.
  using Time = std::chrono::nanoseconds;

  struct Config {
    nanoseconds budget = std::chrono::milliseconds(10);
    /// Cost assumed for each memory cgroup while nothing is measured: 0.7 s for 10,000 (commit
    /// dd8657b6c1cb).
    nanoseconds prior = std::chrono::microseconds(70);
    /// Measurements older than this, at the time of the newest, no longer count: a kernel gets
    /// busier.
    nanoseconds remeasure_after = std::chrono::minutes(10);
    /// A read predicted to exceed the budget is let through now and then all the same, as a probe,
    /// since predictions are upper bounds: when it is predicted to cost at most this many budgets
    /// (1: no probes), ...
    unsigned probe_factor = 10;
    /// ... and when the last probe (or the first measurement) is remeasure_after ago, and at least
    /// this many times the predicted cost, so that probes take at most 1/probe_rest of the time of
    /// one CPU.
    unsigned probe_rest = 10000;
  };

  CostGuard() noexcept : CostGuard(Config{}) {}
  explicit CostGuard(const Config& config) noexcept : config_(config) {}

  [[nodiscard]] const Config& config() const noexcept { return config_; }

  /// Tells what a read at `now` cost. `memcgs`: memory cgroups below and including the one read, at
  /// least 1; for the root of v1 the number in /proc/cgroups. Never too high; too low only makes
  /// the guard more careful.
  void record(const Cost& cost, std::uint64_t memcgs, Time now) noexcept;

  /// The predicted wall time of a read with `memcgs` memory cgroups below and including the cgroup.
  [[nodiscard]] nanoseconds predict(std::uint64_t memcgs) const noexcept;

  /// Whether a read may go ahead: its prediction is within the budget, or it is a probe as Config
  /// describes. Record its cost afterwards.
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
  Time last_probe_{};  // or the first measurement
};

/// Gives the guard a first measurement at next to no cost: reads the numa_stat of a cgroup without
/// children, of which there is nothing to walk below but what was removed there. Of those that are
/// found first the one with the least memory in use, since removed cgroups are charged to the one
/// they hang below. Reads it a few times and takes the least. errc::unsupported when the root is
/// the only memory cgroup.
[[nodiscard]] Result<Cost> calibrate(const Host& host, CostGuard& guard, CostGuard::Time now);

}  // namespace cgctl::numa

#include "cgctl/detail/numa_stat_inl.hpp"
