// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

/// Records the removal of memory cgroups, and the moment at which the kernel lets each one go. The
/// kernel records by itself, in a tracing instance (tracefs, Documentation/trace/ftrace.rst), so
/// that no process has to run. A removed cgroup is a zombie until the kernel lets it go.
///
///     recorder::start(host);                                // once, at boot
///     auto ledger = recorder::collect(host, "/var/lib/cgctl");  // from time to time
namespace cgctl::recorder {

struct Settings {
  std::string instance = "cgctl";  ///< name of the tracing instance, the same for all processes
};

/// Makes the kernel record, also if it did so partly. The buffers take 256 KiB for each CPU, 8 MiB
/// at most, or 64 KiB for each CPU beyond that; each full buffer loses its oldest records. Where
/// tracefs is not mounted, it is mounted without a path, for this call only. Needs root in the
/// host's user namespace (errc::system); errc::unsupported without tracefs.
[[nodiscard]] Status start(const Host& host, const Settings& settings = {});

/// Removes the tracing instance with the records not yet collected. Returns false if there was
/// none.
[[nodiscard]] Result<bool> stop(const Host& host, const Settings& settings = {});

/// The cgroups that one origin has made, such as a CronJob or a kind of unit (workload.hpp).
struct Maker {
  std::string pattern;         ///< workload::maker_of(); the first 96 bytes
  std::string example;         ///< path of the last one removed; the first 200 bytes
  std::uint64_t removals = 0;  ///< recorded
  std::uint64_t released = 0;  ///< removals whose cgroup was released later
  /// Removals whose release cannot be noticed: Ledger::dead had no room for them, or releases are
  /// not recorded.
  std::uint64_t forgotten = 0;
  std::chrono::seconds first{};  ///< of the first removal recorded, in CLOCK_BOOTTIME
  std::chrono::seconds last{};   ///< of the last one

  /// Returns the least number of zombies. Equals most_dead() if no removal was forgotten.
  [[nodiscard]] std::uint64_t least_dead() const noexcept {
    return removals - released - forgotten;
  }
  [[nodiscard]] std::uint64_t most_dead() const noexcept { return removals - released; }
  /// Returns the time from one removal to the next, on average; nothing before the second one.
  [[nodiscard]] std::optional<std::chrono::milliseconds> interval() const noexcept;
};

/// One zombie: its removal is recorded, and its release is not.
struct Removed {
  std::uint64_t id = 0;       ///< the inode of its directory, if Ledger::inodes; 0: unknown
  std::chrono::seconds at{};  ///< of the removal, in CLOCK_BOOTTIME
  std::size_t maker = 0;      ///< its place in Ledger::makers
  std::string path;           ///< empty if there was no room for it
};

/// A release that was read before the removal, from the buffer of another CPU.
struct Early {
  std::uint64_t id = 0;
  std::chrono::nanoseconds at{};  ///< CLOCK_BOOTTIME
};

/// The records of this boot. At most 128 makers and 4,096 removed cgroups are kept. A maker beyond
/// that takes the place of the one with the fewest removals, whose figures are added to the first
/// one, which stands for all others.
struct Ledger {
  std::vector<Maker> makers{1};    ///< the first one stands for all others; its pattern is empty
  std::vector<Removed> dead;       ///< by time of removal
  std::chrono::seconds since{};    ///< start of the recording, in CLOCK_BOOTTIME
  std::chrono::seconds written{};  ///< time of the collection
  bool inodes = true;              ///< false before Linux 5.5, where the IDs are other numbers
  /// False for the records of a Watch. `dead` then has the newest removals, and some of those
  /// cgroups may be released.
  bool releases = true;
  std::uint64_t lost = 0;      ///< records overwritten or read by others before a collection
  std::uint64_t instance = 0;  ///< tells one tracing instance from the next; 0: no recording
  std::uint64_t consumed = 0;  ///< records read from that instance so far
  std::vector<Early> early;    ///< for the next collection

  /// True if nothing was ever recorded in this boot.
  [[nodiscard]] bool empty() const noexcept { return instance == 0; }
  [[nodiscard]] std::uint64_t removals() const noexcept;
  /// Returns the removed cgroup with this inode; null if it is unknown.
  [[nodiscard]] const Removed* find(std::uint64_t inode) const noexcept;
};

/// Moves the kernel's records to the ledger in `directory` and returns it. The file `ledger` is
/// replaced atomically; a file that was altered or lies in the future is renamed, and one of an
/// earlier boot counts as empty. Records that a killed call has read are counted as lost.
/// errc::vanished if nothing records, errc::busy if another process collects.
[[nodiscard]] Result<Ledger> collect(const Host& host, const std::string& directory,
                                     const Settings& settings = {});

/// Records removals where the kernel cannot record them by itself (no tracefs): watches the
/// directories of the memory hierarchy (inotify(7)), as long as the object exists. The time of a
/// removal is that of follow(). The release of a cgroup is not recorded, nor the removal of one
/// whose parent was made a moment before. Watching holds no cgroup in the kernel. Not for
/// concurrent use.
class Watch {
 public:
  /// The default for the number of directories watched. Each takes about 1 KiB of the kernel's
  /// memory.
  static constexpr std::size_t usual_limit = 8192;

  /// Watches all directories, or the first `limit`; fs.inotify.max_user_watches may be less.
  [[nodiscard]] static Result<Watch> start(const Host& host, std::size_t limit = usual_limit);

  /// Becomes readable when directories come or go; call follow() then.
  [[nodiscard]] int descriptor() const noexcept { return events_.get(); }
  /// Notes removals, and watches new directories.
  [[nodiscard]] Status follow();
  /// Follows, moves the removals noted to the ledger in `directory`, and returns it. Continues the
  /// ledger of an earlier Watch.
  [[nodiscard]] Result<Ledger> collect(const Host& host, const std::string& directory);
  /// Returns the number of directories found that are not watched. Removals right inside them are
  /// not recorded.
  [[nodiscard]] std::size_t unwatched() const noexcept { return unwatched_; }

 private:
  struct Directory {
    int watch;
    std::uint64_t inode;
    unsigned round;  // of the last look at all directories that found it
    std::string path;
  };
  struct Gone {
    std::chrono::nanoseconds at;
    std::uint64_t inode;
    std::string path;
  };
  Watch() = default;
  [[nodiscard]] Status look_at_all();
  [[nodiscard]] Status enter(std::string path);
  [[nodiscard]] Result<bool> add(int directory, std::uint64_t inode, const std::string& path);
  [[nodiscard]] Status handle(const std::string& parent, const std::string& name,
                              std::uint32_t what);
  [[nodiscard]] Status handle_all(std::string_view events);
  void note_removal(std::string path, std::uint64_t inode);
  void forget(std::size_t place);
  void forget(const std::string& path);

  UniqueFd top_;
  UniqueFd events_;
  std::string shown_;
  std::size_t limit_ = 0;
  std::vector<Directory> directories_;  // by watch
  std::vector<Gone> gone_;
  std::chrono::nanoseconds now_{};
  std::chrono::nanoseconds started_{};
  std::uint64_t lost_ = 0;
  std::size_t unwatched_ = 0;
  unsigned round_ = 0;
  bool look_again_ = false;
};

/// A removed cgroup, and the time at which it was first seen removed.
struct Seen {
  std::uint64_t serial = 0;   ///< census::Cgroup::serial
  std::chrono::seconds at{};  ///< CLOCK_BOOTTIME
};

/// Notes that these cgroups, by ascending serial numbers, are the removed ones now. Returns each
/// with the time at which a call first noted it. The file `seen` in `directory` keeps 8,192 of
/// them, those noted first; it is replaced atomically and belongs to one boot.
[[nodiscard]] Result<std::vector<Seen>> note_dead(const Host& host, const std::string& directory,
                                                  const std::vector<std::uint64_t>& serials);

/// Reads the ledger as the last collection left it. Needs no privilege. Empty if there is none.
[[nodiscard]] Result<Ledger> peek(const Host& host, const std::string& directory);

}  // namespace cgctl::recorder
