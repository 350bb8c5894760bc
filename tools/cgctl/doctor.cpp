// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/numa_stat.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"
#include "command.hpp"
#include "doctor_report.hpp"

namespace cgctl::tool {
namespace {

using namespace doctor;
using Clock = std::chrono::steady_clock;

struct Options {
  bool probe = false;
  bool measure = false;
};

constexpr unsigned most_reads = 5;
constexpr unsigned probe_children = 256;
constexpr auto window_of_short_reads = std::chrono::milliseconds(50);
constexpr const char* not_live = "not measured: this is not the running kernel";

tl::unexpected<std::string> because(const Error& error) {
  return tl::unexpected<std::string>(error.message());
}

/// The ids of a list such as "0-1,3".
std::vector<std::uint32_t> ids(const std::string& path) {
  std::vector<std::uint32_t> all;
  const auto text = fs::read_trusted(path);
  if (!text) return all;
  parse::ranges(*text, [&all](std::uint64_t first, std::uint64_t last) {
    constexpr std::uint64_t most = 1U << 16U;
    for (std::uint64_t id = first; id <= last && all.size() < most; ++id) {
      all.push_back(static_cast<std::uint32_t>(id));
    }
  });
  return all;
}

Machine examine_machine(const Host& host) {
  Machine machine;
  machine.mode = host.mode();
  if (const auto version = fs::read_trusted(fs::join(host.roots().proc, "version"))) {
    std::string_view rest = *version;
    parse::field(rest);
    parse::field(rest);
    machine.kernel = parse::field(rest);
  }
  const auto cpus = ids(fs::join(host.roots().sys, "devices/system/cpu/online"));
  if (!cpus.empty()) machine.cpus = cpus.size();
  machine.nodes = ids(fs::join(host.roots().sys, "devices/system/node/online"));
  return machine;
}

Known<Memory> examine_memory(const Host& host) {
  const auto memory = host.require("memory");
  if (!memory) return because(memory.error());
  return Memory{(*memory)->version, (*memory)->mount_point, (*memory)->whole};
}

Known<Zombies> examine_zombies(const Host& host) {
  const auto count = zombies::count(host);
  if (!count) return because(count.error());
  Zombies found{*count, std::nullopt, {}};
  if (count->high == 0) return found;
  auto where = zombies::attribute(host);
  if (!where) return found;
  mitigation::Observation seen;
  seen.zombies = *count;
  seen.residual = where->residual;
  seen.page_size = host.page_size();
  found.pins = mitigation::explain_pins(seen);
  found.where = std::move(*where);
  return found;
}

/// At most how many memory cgroups a read of what is visible as root walks.
std::uint64_t memcgs_below_root(const Host& host, const Known<Zombies>& zombies) {
  if (zombies) return zombies->count.kernel;
  for (const SubsystemRow& row : host.subsystems()) {
    if (row.name == "memory" && row.num_cgroups != 0) return row.num_cgroups;
  }
  return 1;
}

Result<numa::Reader> reader_of(const Host& host, const std::string& path) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  return numa::Reader::open(*group);
}

/// A few reads, none after a slow one.
Result<ReadCost::Measured> measure(const numa::Reader& reader, nanoseconds slow, unsigned most) {
  std::vector<nanoseconds> wall;
  std::vector<nanoseconds> cpu;
  numa::NumaStat out;
  while (wall.size() < most) {
    const auto cost = numa::measured_read(reader, out);
    if (!cost) return fail(cost.error());
    wall.push_back(cost->wall);
    cpu.push_back(cost->cpu);
    if (cost->wall > slow) break;
  }
  std::sort(wall.begin(), wall.end());
  std::sort(cpu.begin(), cpu.end());
  return ReadCost::Measured{wall.front(), wall[wall.size() / 2], wall.back(), cpu[cpu.size() / 2],
                            static_cast<unsigned>(wall.size())};
}

Known<ReadCost> examine_read_cost(const Host& host, const Known<Zombies>& zombies,
                                  const Options& options) {
  if (!host.live()) return tl::unexpected<std::string>(not_live);
  const auto reader = reader_of(host, "/");
  if (!reader) return because(reader.error());
  numa::CostGuard guard;
  const nanoseconds now = Clock::now().time_since_epoch();
  ReadCost found;
  if (const auto leaf = numa::calibrate(host, guard, now)) found.leaf = leaf->wall;
  found.memcgs = memcgs_below_root(host, zombies);
  found.predicted = guard.predict(found.memcgs);
  found.budget = guard.config().budget;
  const bool admitted = guard.admit(found.memcgs, now).has_value();
  if (!admitted && !options.measure) return found;
  found.asked_for = !admitted;
  const auto measured = measure(*reader, found.budget, admitted ? most_reads : 1);
  if (!measured) return because(measured.error());
  found.measured = *measured;
  return found;
}

void spin_for(nanoseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
  }
}

/// The worst wake-up beside idleness, beside a spinning program and beside the reads, each as long.
Known<Neighbour> examine_neighbour(const Host& host, const Known<ReadCost>& cost) {
  if (!cost) return tl::unexpected<std::string>(cost.error());
  if (!cost->measured) return tl::unexpected<std::string>("not measured: no read was made");
  const auto reader = reader_of(host, "/");
  if (!reader) return because(reader.error());
  const auto sentinel = Sentinel::on_this_cpu();
  if (!sentinel) return because(sentinel.error());

  const bool short_reads = cost->measured->median < std::chrono::milliseconds(1);
  numa::NumaStat out;
  const auto reading = sentinel->watch([&] {
    const auto end = Clock::now() + window_of_short_reads;
    do {
      if (!reader->read(out)) return;
    } while (short_reads && Clock::now() < end);
  });
  if (!reading) return because(reading.error());
  const nanoseconds window = std::max<nanoseconds>(reading->duration, std::chrono::milliseconds(1));
  const auto idle = sentinel->watch([window] { std::this_thread::sleep_for(window); });
  if (!idle) return because(idle.error());
  const auto spinning = sentinel->watch([window] { spin_for(window); });
  if (!spinning) return because(spinning.error());
  return Neighbour{idle->worst, spinning->worst, reading->worst,
                   window,      sentinel->cpu(), reading->scheduling};
}

/// SIGINT, SIGTERM and SIGHUP wait until the object ends.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&held, signal);
    ::pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

/// A memory cgroup with empty children that are removed with it. They never hold a page.
class ScratchGroup {
 public:
  static Result<std::unique_ptr<ScratchGroup>> make(const Hierarchy& memory) {
    const std::string name = "cgctl-doctor-" + std::to_string(::getpid());
    auto group = std::unique_ptr<ScratchGroup>(
        new ScratchGroup("/" + name, fs::join(memory.mount_point, name)));
    if (::mkdir(group->directory_.c_str(), 0755) != 0) {
      Error error = fs::system_error("make cgroup", group->directory_, errno);
      group->directory_.clear();
      return fail(std::move(error));
    }
    if (memory.version == Version::v2) {
      const std::string control = group->directory_ + "/cgroup.subtree_control";
      const auto fd = fs::open_trusted(control, O_WRONLY);
      if (!fd) return fail(fd.error());
      if (auto status = fs::write_once(fd->get(), "+memory", control); !status) {
        return fail(status.error());
      }
    }
    return group;
  }

  ScratchGroup(const ScratchGroup&) = delete;
  ScratchGroup& operator=(const ScratchGroup&) = delete;
  ~ScratchGroup() {
    for (unsigned i = 0; i < children_; ++i) ::rmdir(child(i).c_str());
    if (!directory_.empty()) ::rmdir(directory_.c_str());
  }

  Status add_children(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      if (::mkdir(child(children_).c_str(), 0755) != 0) {
        return fail(fs::system_error("make cgroup", child(children_), errno));
      }
      ++children_;
    }
    return {};
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  ScratchGroup(std::string path, std::string directory) noexcept
      : path_(std::move(path)), directory_(std::move(directory)) {}
  [[nodiscard]] std::string child(unsigned index) const {
    return directory_ + "/" + std::to_string(index);
  }

  std::string path_;
  std::string directory_;
  unsigned children_ = 0;
};

/// How many memory cgroups the kernel holds more than before, once it had a second to let go.
std::optional<std::uint64_t> left_since(const Host& host, const Result<zombies::Count>& before) {
  if (!before) return std::nullopt;
  std::optional<std::uint64_t> left;
  for (int poll = 0; poll < 20 && left != 0; ++poll) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto now = zombies::count(host);
    if (!now) return std::nullopt;
    left = now->low > before->low ? now->low - before->low : 0;
  }
  return left;
}

/// Measures a cgroup without and with children: the one way to know on a machine with few cgroups.
Result<Walk> probe_walk(const Host& host) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  const auto scratch = ScratchGroup::make(**memory);
  if (!scratch) return fail(scratch.error());
  const auto reader = reader_of(host, (*scratch)->path());
  if (!reader) return fail(reader.error());
  const numa::CostGuard guard;
  constexpr unsigned reads = 16;
  const auto without = measure(*reader, guard.config().budget, reads);
  if (!without) return fail(without.error());
  if (auto status = (*scratch)->add_children(probe_children); !status) return fail(status.error());
  const auto with = measure(*reader, guard.config().budget, reads);
  if (!with) return fail(with.error());
  return judge(without->min, with->min, probe_children + 1, Walk::Basis::probe);
}

Result<Walk> probe(const Host& host, Probe& left) {
  const auto before = zombies::count(host);
  left.children = probe_children;
  Result<Walk> walk = [&host] {
    const HeldSignals held;
    return probe_walk(host);
  }();
  left.zombies_left = left_since(host, before);
  return walk;
}

Walk compare_root_with_leaf(const Known<ReadCost>& cost) {
  Walk walk;
  if (!cost) {
    walk.reason = cost.error();
  } else if (!cost->measured || !cost->leaf) {
    walk.reason = "no two reads to compare";
  } else {
    return judge(*cost->leaf, cost->measured->min, cost->memcgs, Walk::Basis::root_and_leaf);
  }
  return walk;
}

Result<Diagnosis> examine(const Host& host, const Options& options) {
  Diagnosis found;
  found.machine = examine_machine(host);
  found.memory = examine_memory(host);
  found.zombies = examine_zombies(host);
  found.page_size = host.page_size();
  if (const auto io = pressure::read(host, pressure::Resource::io)) {
    found.io_pressure = io->some.avg10;
  }
  if (const auto memory = pressure::read(host, pressure::Resource::memory);
      memory && memory->full) {
    found.memory_pressure = memory->full->avg10;
  }
  found.read_cost = examine_read_cost(host, found.zombies, options);
  found.neighbour = examine_neighbour(host, found.read_cost);
  if (!options.probe) {
    found.walk = compare_root_with_leaf(found.read_cost);
    return found;
  }
  if (!host.live()) {
    return fail(Error::make(errc::unsupported, "probe", host.roots().cgroup,
                            "this is not the running kernel", "leave --probe out"));
  }
  found.probe.emplace();
  auto walk = probe(host, *found.probe);
  if (!walk) return fail(walk.error());
  found.walk = std::move(*walk);
  return found;
}

Exit run_doctor(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto found = examine(*host, options);
  if (!found) return report(found.error());
  if (globals.format == Format::json) {
    print(globals, json_of(*found));
  } else {
    print(globals, text_of(*found));
  }
  return Exit::done;
}

}  // namespace

void add_doctor(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "doctor",
      "examine this host in one screen, and say what to do\n\n"
      "How many zombies there are and what pins them, what a read of memory.numa_stat costs here, "
      "how long it keeps a neighbour on the same CPU waiting, whether this kernel walks all memory "
      "cgroups for it, and what to do. Reads only, and stops reading as soon as one read is slow. "
      "Exit status 0 whatever is found.");
  command->add_flag(
      "--probe", options->probe,
      "make 256 empty memory cgroups for a moment (below\ncgctl-doctor-PID, removed at "
      "once) to measure\nwhether the kernel walks; needs root");
  command->add_flag("--measure", options->measure,
                    "read the root's memory.numa_stat once even when it\nis predicted to take more "
                    "than 10 ms; the kubelet does\nso every few seconds anyway");
  command->footer(
      "Examples:\n"
      "  cgctl doctor\n"
      "  cgctl --json doctor | jq .walk.verdict");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_doctor(globals, *options); };
  });
}

}  // namespace cgctl::tool
