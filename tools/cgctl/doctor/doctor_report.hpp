// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "../../../src/detail/wake_up_delay.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cgctl/names.hpp"
#include "cgctl/zombies.hpp"

/// Findings of `cgctl doctor` about a machine, and their report.
namespace cgctl::tool::doctor_command {

using detail::Sentinel;
using detail::SentinelClass;
using detail::WakeUpDelay;
using std::chrono::nanoseconds;

/// A finding, or a short reason why there is none.
template <class T>
using Known = tl::expected<T, std::string>;

struct Machine {
  Mode mode = Mode::v1;
  std::string kernel;                 ///< release of the kernel
  std::optional<std::uint64_t> cpus;  ///< number of online CPUs
  std::vector<std::uint32_t> nodes;   ///< online NUMA nodes; empty if the kernel shows none
};

/// Place of the memory controller.
struct Memory {
  Version version = Version::v1;
  std::string mount_point;
  bool whole = false;
};

struct Zombies {
  zombies::Count count;
  /// Cgroups that zombies hang below; absent if there are no zombies.
  std::optional<zombies::Attribution> where;
  std::string pins;                 ///< mitigation::explain_pins()
  std::string makers;               ///< the leading maker, if it is recorded
  std::vector<names::Names> names;  ///< of the first ancestors in `where`
};

/// The most memory cgroups, removed ones included, that the kernel can have at a time
/// (MEM_CGROUP_ID_MAX in mm/memcontrol.c).
inline constexpr std::uint64_t memcg_ids = 65'535;

/// The most ancestors of zombies that are named.
inline constexpr std::size_t ancestors_named = 3;

/// The ids of memory cgroups.
struct Ids {
  enum class Basis {
    none,
    ledger,   ///< removals of the last day that were recorded and not released
    history,  ///< the growth that mitigate measured last
    boot,     ///< all zombies, made since boot
  };
  std::uint64_t used = 0;               ///< upper bound: also those of zombies
  std::optional<double> zombies_a_day;  ///< zombies that a day adds
  Basis basis = Basis::none;
  std::optional<double> days_left;  ///< until the last id is in use; absent if no zombies are made
};

/// A cgroup that its CPU quota has stopped.
struct Throttled {
  std::string path;
  names::Names names;
  double percent = 0;  ///< of its periods since it was made
  nanoseconds time{};  ///< waited for quota, summed over CPUs
};

/// A cgroup in which the OOM killer has killed.
struct Killed {
  std::string path;
  names::Names names;
  std::optional<std::uint64_t> kills;       ///< since it was made; absent for one that is gone
  std::optional<std::chrono::seconds> ago;  ///< since the last kill, by the kernel's log
};

/// Cost of a read of the memory.numa_stat of the root, or of the visible root.
struct ReadCost {
  struct Measured {
    nanoseconds min{};
    nanoseconds median{};
    nanoseconds max{};
    nanoseconds cpu{};  ///< median CPU time of the reading thread
    unsigned reads = 0;
  };
  nanoseconds predicted{};  ///< upper bound, before the first read
  nanoseconds budget{};
  std::uint64_t memcgs = 0;         ///< upper bound of memory cgroups, used for the prediction
  std::optional<nanoseconds> leaf;  ///< measured cost of a cgroup without children
  std::optional<Measured> measured;
  bool asked_for = false;  ///< true if read because of --measure, although it may be expensive
  bool by_slope = false;   ///< true if predicted from the cost per cgroup of a probe
};

/// Longest wait of a thread on the reader's CPU, in windows of equal length.
struct Neighbour {
  nanoseconds idle{};      ///< while nothing happens
  nanoseconds spinning{};  ///< while a program spins in user space
  nanoseconds reading{};   ///< while memory.numa_stat is read
  nanoseconds window{};
  int cpu = 0;
  SentinelClass scheduling = SentinelClass::ordinary;
};

/// Finding on whether the cost of a read grows with the number of memory cgroups.
struct Walk {
  enum class Verdict { unknown, walks, does_not_walk };
  enum class Basis { none, root_and_leaf, subtrees, probe };

  Verdict verdict = Verdict::unknown;
  Basis basis = Basis::none;
  std::optional<double> ns_per_memcg;
  std::uint64_t memcgs = 0;  ///< lower bound of the memory cgroups below the one that was read
  std::string reason;        ///< why the verdict is unknown
};

/// Cgroups that a probe created, and zombies that it left.
struct Probe {
  unsigned children = 0;
  std::optional<std::uint64_t> zombies_left;  ///< empty if zombies cannot be counted
};

/// Amounts of memory that the verdict weighs, in bytes; 0 if not known.
struct Weights {
  std::uint64_t kernel_memory = 0;  ///< zombies' kernel objects, an estimate
  std::uint64_t page_cache = 0;     ///< page cache of the whole machine
  std::uint64_t memory = 0;         ///< memory of the machine
};

/// Commands that the advice names.
struct Commands {
  std::string cgctl = "cgctl";  ///< includes the roots that were given
  std::string config;           ///< " --config FILE" if it was given
};

struct Diagnosis {
  Machine machine;
  Known<Memory> memory = tl::make_unexpected(std::string());
  Known<Zombies> zombies = tl::make_unexpected(std::string());
  Known<ReadCost> read_cost = tl::make_unexpected(std::string());
  Known<Neighbour> neighbour = tl::make_unexpected(std::string());
  Walk walk;
  std::optional<Probe> probe;
  Known<Ids> ids = tl::make_unexpected(std::string());
  std::vector<Throttled> throttled;        ///< the five that waited longest
  std::vector<Killed> killed;              ///< five, the last first as far as the log tells
  std::uint64_t unexamined = 0;            ///< cgroups that these two do not know, for lack of time
  std::vector<std::string> endangered;     ///< cgroups that systemd may take, see systemd.hpp
  std::optional<nanoseconds> memory_stat;  ///< time of a read of the root's memory.stat
  std::optional<double> io_pressure;       ///< percent, some avg10
  std::optional<double> memory_pressure;   ///< percent, full avg10
  std::uint64_t page_size = 4096;
  Weights weights;
  Commands commands;
  mitigation::Policy policy;
  std::vector<Error> unread;  ///< why figures that the kernel has are missing
};

enum class Health {
  unknown,  ///< too little is visible
  healthy,  ///< nothing needs to be done
  costly,   ///< zombies cost memory, ids or time, but hardly disturb other work
  harmful,  ///< a read stops other work for longer than read_cost_limit, or would
};

/// The first line of the report.
struct Verdict {
  Health health = Health::unknown;
  std::string reason;  ///< includes the figures it rests on
};

std::string_view to_string(Health health) noexcept;  ///< "unknown", "healthy", ...

/// Judges the machine by the cost of a read, by whether reads walk, and by the memory of zombies.
Verdict verdict_of(const Diagnosis& found);

/// True if kernels of that release walk for v1's memory.numa_stat unless their vendor fixed it:
/// those before Linux 5.8. False for a release that is not understood.
bool walks_by_release(std::string_view kernel) noexcept;

/// Converts the findings to an observation, for the policy of mitigation.
mitigation::Observation observation(const Diagnosis& found);

/// Formats a number with separated thousands: "65,535".
std::string grouped(std::uint64_t number);

/// Returns the settings of mitigate whose guards see nothing because the kernel keeps no pressure
/// figures.
std::vector<std::string> blind_guards(const Diagnosis& found);

std::string_view to_string(Ids::Basis basis) noexcept;       ///< "none", "ledger", ...
std::string_view to_string(Walk::Verdict verdict) noexcept;  ///< "unknown", "walks", ...
std::string_view to_string(Walk::Basis basis) noexcept;      ///< "none", "root_and_leaf", ...

/// Judges whether reads walk, from the cost of a read with next to no cgroups below and of a read
/// with `memcgs` memory cgroups, including the one read. Compares the two costs with each other, so
/// that the verdict holds on slow and fast machines: in a walk each cgroup adds several percent of
/// the cost without any; without a walk, far less than one percent.
Walk judge(nanoseconds without, nanoseconds with, std::uint64_t memcgs, Walk::Basis basis);

/// Returns one to three sentences on what to do, mildest first.
std::vector<std::string> advise(const Diagnosis& found);

/// Formats a row, broken at spaces to fit the width; "..." replaces the middle of a longer word.
std::string row(std::string_view label, std::string_view text);

/// Formats the report, which fits one screen.
std::string text_of(const Diagnosis& found);
nlohmann::ordered_json json_of(const Diagnosis& found);

}  // namespace cgctl::tool::doctor_command
