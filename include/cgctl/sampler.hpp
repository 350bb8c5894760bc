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
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/memory_stat.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl {

/// The source of the memory figures of a Sampler.
enum class MemorySource {
  files,   ///< the files of each cgroup
  census,  ///< one census of all memory cgroups for each round, see census::Census
};

/// The resource usage of a cgroup at one time. Figures that its version or kernel lacks are absent.
struct Sample {
  std::string_view path;  ///< valid until the sampler's next refresh(), move or destruction
  /// Usage and throttling. On v1 without user and system time, which are in separate files: use
  /// cpu::StatReader.
  cpu::Stat cpu;
  /// CPUs used on average since the previous sample; absent in the first.
  std::optional<double> cpus;
  std::optional<std::uint64_t> memory_usage;  ///< bytes
  /// Valid until the next sample with the same scratch; null if there is none. From a census it has
  /// only the lines that are counters of census::Counter (on v1 their "total_" lines).
  const memory::Stat* memory_stat = nullptr;
};

/// Samples a cgroup and all below it repeatedly, for node agents.
///
/// Keeps descriptors open, up to four for each cgroup on v1 and three on v2, and makes one pread(2)
/// for each in a sample. If no descriptors are left for a cgroup, its files are opened for each
/// sample, one at a time, which costs two to three times as much. sample() allocates nothing once
/// it has seen each kind of file. A cgroup takes less than 1 KiB, not counting its descriptors.
///
///     auto sampler = cgctl::Sampler::open(*host, "/kubepods");
///     for (;; wait()) {
///       sampler->refresh();  // now and then: finds new and removed cgroups
///       const auto unread = sampler->sample([](const cgctl::Sample& sample) { use(sample); });
///       if (unread != 0) warn(unread);
///     }
class Sampler {
 public:
  struct Config {
    /// Most descriptors to keep. Absent: half of the process's limit (RLIMIT_NOFILE). A number
    /// above the limit is lowered permanently to the limit less a few for reading other files, and
    /// is halved each time refresh() has too few descriptors left for its walk.
    std::optional<std::size_t> descriptors;
    enum class Memory {
      files,  ///< all lines of memory.stat
      /// One census for each round. The usage is exact; the lines are as fresh as in the files,
      /// since the root's memory.stat is read before, which brings the kernel's counters up to date
      /// (before Linux 5.13 the files and a census read the same counters, which lag). Cgroups that
      /// a census does not find, such as new ones, are read from their files.
      census,
      /// A census if the host allows one and it is cheaper: if open() finds at least 64 cgroups,
      /// and a fourth of all memory cgroups of the host, removed ones included. For callers that
      /// use no other lines of memory.stat than a census has.
      cheapest,
    };
    Memory memory = Memory::files;
    /// Does not read the cpu files of a cgroup if the usage of the cgroup above is the same as in
    /// the last round: that usage counts all cgroups below, so theirs is the same too. The sample
    /// then has the usage of the last round, and neither user nor system time. A cgroup with a
    /// quota is read always. A removed cgroup may be visited until the next refresh(). Only
    /// sample(visit) does so.
    bool skip_idle = false;
  };
  /// Buffers that one thread needs to take samples.
  class Scratch {
    friend class Sampler;
    memory::Stat memory_;
    std::string path_;
    std::size_t unread_ = 0;
    bool skips_idle_ = false;
  };

  /// Finds the cgroup `path` and those below. errc::vanished if there is no such cgroup,
  /// errc::unsupported if the host has neither a cpu nor a memory controller. With Memory::census
  /// also the errors of census::Census::open().
  [[nodiscard]] static Result<Sampler> open(const Host& host, std::string_view path, Config config);
  [[nodiscard]] static Result<Sampler> open(const Host& host, std::string_view path);
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  ~Sampler();

  /// Finds new cgroups in all hierarchies and forgets removed ones. The walk holds at most some 30
  /// descriptors; if the process has no others, kept ones are closed for it (EMFILE if that is not
  /// enough). Cgroups with paths above 3,839 bytes are left out, see too_long(). Do not call it
  /// while another thread samples.
  [[nodiscard]] Status refresh();

  /// Returns the number of cgroups; removed ones are included until the next refresh().
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// Returns the number of directories that the last refresh() left out because their paths are too
  /// long, not counting those below them.
  [[nodiscard]] std::size_t too_long() const noexcept { return too_long_; }
  /// Returns the number of descriptors kept.
  [[nodiscard]] std::size_t descriptors() const noexcept { return kept_; }

  [[nodiscard]] MemorySource memory_source() const noexcept {
    return walked_.empty() ? MemorySource::files : MemorySource::census;
  }
  /// Takes the census for the next round of several threads; does nothing without one. If it fails,
  /// the round reads files. Do not call it while another thread samples.
  Status gather();

  /// Calls `visit(const Sample&)` for each cgroup, sorted by path, except removed ones. A cgroup
  /// that was removed and made again is a new cgroup.
  ///
  /// Returns the number of existing cgroups with a file that could not be read: the process had no
  /// descriptor left (EMFILE), the kernel refused (EACCES, ENOMEM), or the text could not be
  /// parsed. Their samples lack those figures; a cgroup that lacks all figures is left out.
  template <class Visit>
  std::size_t sample(Visit visit) {
    (void)gather();
    own_.skips_idle_ = skip_idle_;
    return sample(own_, 0, 1, visit);
  }
  /// Samples the part `part` (0 to parts - 1) of the cgroups, for one thread of several, with the
  /// memory figures of the last gather() where the source is a census; each
  /// thread needs its own scratch. Neighbouring cgroups belong to different parts, so that each
  /// part has its share of the cgroups whose files are kept open.
  template <class Visit>
  std::size_t sample(Scratch& scratch, std::size_t part, std::size_t parts, Visit visit) {
    scratch.unread_ = 0;
    for (std::size_t i = part; i < entries_.size(); i += parts) {
      Sample sample;
      if (read(entries_[i], scratch, sample)) visit(static_cast<const Sample&>(sample));
    }
    return scratch.unread_;
  }

 private:
  enum Figure : std::uint8_t { cpu_stat, cpu_usage, memory_usage, memory_stat, figure_count };
  struct Source {
    const Hierarchy* hierarchy = nullptr;  // null if the host has no such figure
    const char* file = nullptr;
  };
  using Place = std::uint32_t;  // in a list; 32 bits, because a node has many entries
  static constexpr Place none = ~Place{0};
  struct Entry {
    enum State : std::uint8_t { absent, kept, by_name };
    std::string path;
    std::array<UniqueFd, figure_count> fds;
    std::array<State, figure_count> states{};
    bool found = false;                                 // by the last refresh()
    bool idle = false;                                  // used no CPU time since the round before
    bool counts_periods = false;                        // its cpu.stat has nr_periods
    bool has_quota = false;                             // nr_periods was not 0
    std::array<std::uint64_t, cpu_usage + 1> inodes{};  // inodes of the usage files
    std::optional<std::chrono::nanoseconds> usage;      // at
    std::chrono::steady_clock::time_point at;
    std::uint64_t memory_inode = 0;  // of the directory; 0 without a census
    Place counted = none;            // in the last census
    Place parent = none;             // in entries_; set if idle cgroups are skipped
  };
  struct Found;
  struct Walked;

  Sampler(const Host& host, std::string path, std::size_t most);
  [[nodiscard]] int open_file(Figure figure, Entry& entry, std::string& path) const;
  void open_files(Entry& entry, std::string& path);
  void count_kept() noexcept;
  void keep_at_most(std::size_t most);
  void note(const std::string& path, Found& found);
  [[nodiscard]] Status find(const Hierarchy& hierarchy, Found& found);
  [[nodiscard]] Status find(Found& found);
  void link_parents() noexcept;
  [[nodiscard]] bool is_below_idle(const Entry& entry) const noexcept;
  bool read(Entry& entry, Scratch& scratch, Sample& out);
  static void take_usage(Entry& entry, std::chrono::steady_clock::time_point now, Sample& out);
  int read(Figure figure, Entry& entry, Scratch& scratch, Sample& out) const;
  int read(Figure figure, int fd, Scratch& scratch, Sample& out) const;
  [[nodiscard]] Status use_census(Config::Memory memory);
  void find_in_census(Entry& entry, std::string& path);
  void read_census(const Entry& entry, Scratch& scratch, Sample& out) const;

  Host host_;
  std::string path_;
  std::size_t most_;
  std::size_t kept_ = 0;
  std::size_t too_long_ = 0;
  std::array<Source, figure_count> sources_;
  std::vector<Entry> entries_;  // sorted by path
  std::vector<Walked> walked_;  // one if the source is a census
  bool skip_idle_ = false;
  Scratch own_;
};

}  // namespace cgctl
