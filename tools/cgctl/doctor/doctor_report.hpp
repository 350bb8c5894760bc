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

#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cgctl/zombies.hpp"
#include "doctor/wake_up_delay.hpp"

/// What `cgctl doctor` found out about a machine, and how it tells it.
namespace cgctl::tool::doctor_command {

using std::chrono::nanoseconds;

/// A finding, or in a few words why there is none.
template <class T>
using Known = tl::expected<T, std::string>;

struct Machine {
  Mode mode = Mode::v1;
  std::string kernel;                 ///< its release
  std::optional<std::uint64_t> cpus;  ///< online
  std::vector<std::uint32_t> nodes;   ///< online; empty where the kernel shows none
};

/// Where the memory controller is.
struct Memory {
  Version version = Version::v1;
  std::string mount_point;
  bool whole = false;
};

struct Zombies {
  zombies::Count count;
  /// Absent when there are none.
  std::optional<zombies::Attribution> where;
  std::string pins;  ///< mitigation::explain_pins()
};

/// What a read of the memory.numa_stat of the root, or of what is visible as root, costs.
struct ReadCost {
  struct Measured {
    nanoseconds min{};
    nanoseconds median{};
    nanoseconds max{};
    nanoseconds cpu{};  ///< median CPU time of the reading thread
    unsigned reads = 0;
  };
  nanoseconds predicted{};  ///< an upper bound, before the first read
  nanoseconds budget{};
  std::uint64_t memcgs = 0;         ///< the prediction is for: at most so many
  std::optional<nanoseconds> leaf;  ///< measured cost of a cgroup without children
  std::optional<Measured> measured;
  bool asked_for = false;  ///< read although it may be far above the budget
  bool by_slope = false;   ///< predicted is what a probe's cost for each cgroup amounts to
};

/// How long a thread on the reader's CPU waits at worst, in windows of the same length.
struct Neighbour {
  nanoseconds idle{};      ///< while nothing happens
  nanoseconds spinning{};  ///< while a program spins in user space
  nanoseconds reading{};   ///< while memory.numa_stat is read
  nanoseconds window{};
  int cpu = 0;
  SentinelClass scheduling = SentinelClass::ordinary;
};

/// Whether the cost of a read grows with the number of memory cgroups.
struct Walk {
  enum class Verdict { unknown, walks, does_not_walk };
  enum class Basis { none, root_and_leaf, subtrees, probe };

  Verdict verdict = Verdict::unknown;
  Basis basis = Basis::none;
  std::optional<double> ns_per_memcg;
  std::uint64_t memcgs = 0;  ///< at least so many were below what was read
  std::string reason;        ///< when unknown
};

/// What `--probe` left behind.
struct Probe {
  unsigned children = 0;
  std::optional<std::uint64_t> zombies_left;  ///< unknown where zombies cannot be counted
};

/// The memory that the verdict weighs, in bytes; 0 where not known.
struct Weights {
  std::uint64_t kernel_memory = 0;  ///< of the zombies' kernel objects, an estimate
  std::uint64_t page_cache = 0;     ///< of the whole machine
  std::uint64_t memory = 0;         ///< that the machine has
};

/// The commands that the advice names.
struct Commands {
  std::string cgctl = "cgctl";  ///< with the roots that were given
  std::string config;           ///< " --config FILE" where it was given
};

struct Diagnosis {
  Machine machine;
  Known<Memory> memory = tl::make_unexpected(std::string());
  Known<Zombies> zombies = tl::make_unexpected(std::string());
  Known<ReadCost> read_cost = tl::make_unexpected(std::string());
  Known<Neighbour> neighbour = tl::make_unexpected(std::string());
  Walk walk;
  std::optional<Probe> probe;
  std::optional<double> io_pressure;      ///< percent, some avg10
  std::optional<double> memory_pressure;  ///< percent, full avg10
  std::uint64_t page_size = 4096;
  Weights weights;
  Commands commands;
  mitigation::Policy policy;
  std::vector<Error> unread;  ///< why figures that the kernel has are missing
};

enum class Health {
  unknown,  ///< too little is visible
  healthy,  ///< nothing needs to be done
  costly,   ///< zombies cost memory, ids or time, and others hardly notice
  harmful,  ///< a read stops the work of others for longer than read_cost_limit, or would
};

/// The first line of the report.
struct Verdict {
  Health health = Health::unknown;
  std::string reason;  ///< with the figures it rests on
};

std::string_view to_string(Health health) noexcept;  ///< "unknown", "healthy", ...

/// Says how well the machine is, from what a read costs, whether it walks, and what zombies hold.
Verdict verdict_of(const Diagnosis& found);

/// True if Linux kernels of that release walk for v1's memory.numa_stat unless their vendor fixed
/// it: those before 5.8. False also for a release that is not understood.
bool walks_by_release(std::string_view kernel) noexcept;

/// Returns the findings as the policy of mitigation looks at them.
mitigation::Observation observation(const Diagnosis& found);

/// The figures with thousands separated: "65,535".
std::string grouped(std::uint64_t number);

std::string_view to_string(Walk::Verdict verdict) noexcept;  ///< "unknown", "walks", ...
std::string_view to_string(Walk::Basis basis) noexcept;      ///< "none", "root_and_leaf", ...

/// The verdict on what a read costs with next to nothing below and with `memcgs` memory cgroups
/// below and including the one read. Relative to each other, so that it holds on slow machines and
/// fast ones: each cgroup of a walk costs several percent of a read without any, and on a kernel
/// that does not walk it costs far less than one percent.
Walk judge(nanoseconds without, nanoseconds with, std::uint64_t memcgs, Walk::Basis basis);

/// What to do, mildest first: one to three sentences.
std::vector<std::string> advise(const Diagnosis& found);

/// One screen.
std::string text_of(const Diagnosis& found);
nlohmann::ordered_json json_of(const Diagnosis& found);

}  // namespace cgctl::tool::doctor_command
