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

/// What a cgroup uses at one time. What its version or kernel lacks is absent.
struct Sample {
  std::string_view path;  ///< the cgroup's; valid until the sampler's next refresh(), move or end
  /// Usage and throttling; on v1 without user and system time, which are files of their own:
  /// cpu::StatReader.
  cpu::Stat cpu;
  std::optional<double> cpus;  ///< CPUs used since the sample before; absent in the first one
  std::optional<std::uint64_t> memory_usage;  ///< bytes
  /// Valid until the next sample that is taken with the same scratch; null where there is none.
  const memory::Stat* memory_stat = nullptr;
};

/// Samples a cgroup and all below it, again and again: the heart of a node agent.
///
/// Keeps descriptors open, up to four for each cgroup on v1 and three on v2, and takes one pread(2)
/// for each in a sample. Cgroups for which none are left are sampled all the same: their files are
/// opened each time, one at a time, which costs two to three times as much. sample() allocates
/// nothing once it has seen each kind of file; a cgroup takes less than 1 KiB, its descriptors
/// apart.
///
///     auto sampler = cgctl::Sampler::open(*host, "/kubepods");
///     for (;; wait()) {
///       sampler->refresh();  // now and then: what was made or removed meanwhile
///       const auto unread = sampler->sample([](const cgctl::Sample& sample) { use(sample); });
///       if (unread != 0) warn(unread);
///     }
class Sampler {
 public:
  struct Config {
    /// The most descriptors to keep. Nothing: half of those that the process may have
    /// (RLIMIT_NOFILE). More than it can have is lowered for good: to that, less a few to read the
    /// others, and by half each time refresh() finds too few left to walk with.
    std::optional<std::size_t> descriptors;
  };
  /// What one thread needs to take samples.
  class Scratch {
    friend class Sampler;
    memory::Stat memory_;
    std::string path_;
    std::size_t unread_ = 0;
  };

  /// Finds the cgroup `path` and those below. errc::vanished when there is none, errc::unsupported
  /// when the host has neither cpu nor memory.
  [[nodiscard]] static Result<Sampler> open(const Host& host, std::string_view path, Config config);
  [[nodiscard]] static Result<Sampler> open(const Host& host, std::string_view path);
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  ~Sampler();

  /// Finds the cgroups that were made since, in all hierarchies, and forgets removed ones. The walk
  /// keeps at most some 30 descriptors open, for which kept ones are given up where the process has
  /// no others (EMFILE when that is not enough). Cgroups with paths above 3,839 bytes are left out,
  /// see too_long(). Not while another thread samples.
  [[nodiscard]] Status refresh();

  /// The number of cgroups, removed ones included until the next refresh().
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// The number of directories left out by the last refresh() because their paths are too long;
  /// those below them are not counted.
  [[nodiscard]] std::size_t too_long() const noexcept { return too_long_; }
  /// The number of descriptors kept.
  [[nodiscard]] std::size_t descriptors() const noexcept { return kept_; }

  /// Calls `visit(const Sample&)` for each cgroup, sorted by path; removed ones are left out. One
  /// that was removed and made again is a new one.
  ///
  /// Returns the number of cgroups that are there and of which a file could not be read, because
  /// the process has no descriptor left to open it (EMFILE), or the kernel refused (EACCES, ENOMEM)
  /// or wrote what cannot be parsed: they lack those figures, and are left out when they lack all.
  template <class Visit>
  std::size_t sample(Visit visit) {
    return sample(own_, 0, 1, visit);
  }
  /// The same for the part `part` of `parts`, 0 to parts - 1: a thread for each, with a scratch of
  /// its own. Cgroups that follow each other are of different parts, so that each part has as many
  /// whose files are kept open.
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
    const Hierarchy* hierarchy = nullptr;  // null: the host has no such figure
    const char* file = nullptr;
  };
  struct Entry {
    enum State : std::uint8_t { absent, kept, by_name };
    std::string path;
    std::array<UniqueFd, figure_count> fds;
    std::array<State, figure_count> states{};
    std::array<std::uint64_t, cpu_usage + 1> inodes{};  // of the files that usage was read from
    std::optional<std::chrono::nanoseconds> usage;      // at
    std::chrono::steady_clock::time_point at;
  };
  struct Found;

  Sampler(const Host& host, std::string path, std::size_t most);
  [[nodiscard]] int open_file(Figure figure, Entry& entry, std::string& path) const;
  void open_files(Entry& entry, std::string& path);
  void count_kept() noexcept;
  void keep_at_most(std::size_t most);
  [[nodiscard]] Status find(Found& found) const;
  bool read(Entry& entry, Scratch& scratch, Sample& out);
  int read(Figure figure, Entry& entry, Scratch& scratch, Sample& out) const;
  int read(Figure figure, int fd, Scratch& scratch, Sample& out) const;

  Host host_;
  std::string path_;
  std::size_t most_;
  std::size_t kept_ = 0;
  std::size_t too_long_ = 0;
  std::array<Source, figure_count> sources_;
  std::vector<Entry> entries_;  // sorted by path
  Scratch own_;
};

}  // namespace cgctl
