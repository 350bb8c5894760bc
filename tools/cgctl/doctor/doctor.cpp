// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/numa_stat.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"
#include "cli/command.hpp"
#include "command/dead.hpp"
#include "command/makers.hpp"
#include "doctor/doctor_report.hpp"
#include "doctor/subtrees.hpp"
#include "doctor/watch.hpp"
#include "mitigate/config.hpp"

namespace cgctl::tool::doctor_command {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  bool probe = false;
  bool measure = false;
  bool read_only = false;
  WatchOptions watch;
  Overrides overrides;  // only the file is used
};

constexpr unsigned most_reads = 5;
constexpr unsigned probe_children = 256;
constexpr unsigned quick_probe_children = 64;
constexpr auto window_of_short_reads = std::chrono::milliseconds(50);
constexpr const char* usual_watch = "30s";
constexpr const char* not_live = "this is not the running kernel";

tl::unexpected<std::string> because(const Error& error) {
  return tl::unexpected<std::string>(message_of(error));
}

using mitigation::note_missing;
using Unread = std::vector<Error>;

/// Reads the ids of a list such as "0-1,3".
std::vector<std::uint32_t> ids(const Host& host, std::string_view path, Unread& unread) {
  std::vector<std::uint32_t> all;
  const auto text = fs::read_in_root(host.roots().sys, path);
  if (!text) {
    note_missing(unread, text.error());
    return all;
  }
  parse::ranges(*text, [&all](std::uint64_t first, std::uint64_t last) {
    constexpr std::uint64_t most = 1U << 16U;
    for (std::uint64_t id = first; id <= last && all.size() < most; ++id) {
      all.push_back(static_cast<std::uint32_t>(id));
    }
  });
  return all;
}

Machine examine_machine(const Host& host, Unread& unread) {
  Machine machine;
  machine.mode = host.mode();
  const auto version = fs::read_in_root(host.roots().proc, "version");
  if (version) {
    std::string_view rest = *version;
    parse::field(rest);
    parse::field(rest);
    machine.kernel = parse::field(rest);
  } else {
    note_missing(unread, version.error());
  }
  const auto cpus = ids(host, "devices/system/cpu/online", unread);
  if (!cpus.empty()) machine.cpus = cpus.size();
  machine.nodes = ids(host, "devices/system/node/online", unread);
  return machine;
}

Known<Memory> examine_memory(const Host& host) {
  const auto memory = host.require("memory");
  if (!memory) return because(memory.error());
  return Memory{(*memory)->version, (*memory)->mount_point, (*memory)->whole};
}

Known<Zombies> examine_zombies(const Host& host, const std::string& state_dir, Unread& unread) {
  const auto count = zombies::count(host);
  if (!count) return because(count.error());
  Zombies found{*count, std::nullopt, {}, {}};
  if (count->high == 0) return found;
  const std::string offsets_file = offsets_file_in(state_dir);
  zombies::AttributionLimits limits;
  limits.offsets_file = offsets_file.c_str();
  auto where = zombies::attribute(host, limits);
  if (!where) {
    note_missing(unread, where.error());
    return found;
  }
  if (where->failure) unread.push_back(*where->failure);
  mitigation::Observation seen;
  seen.zombies = *count;
  seen.residual = where->residual;
  seen.page_size = host.page_size();
  found.pins = mitigation::explain_pins(seen);
  found.where = std::move(*where);
  return found;
}

/// True if the time of a read tells something about the kernel.
bool on_running_kernel(const Host& host) {
  const Hierarchy* const memory = host.find("memory");
  return memory != nullptr && host.live();
}

/// Bounds of the number of memory cgroups at and below the visible root, removed ones included.
struct Population {
  std::uint64_t at_least = 1;
  std::uint64_t at_most = 1;
};

/// Returns the number of memory cgroups. If zombies cannot be counted, v2 still gives the number
/// for each cgroup; on v1 the machine's number is the upper bound, that of live cgroups the lower
/// one.
Population population(const Host& host, const Known<Zombies>& zombies, Unread& unread) {
  if (zombies) return {zombies->count.kernel, zombies->count.kernel};
  Population found;
  const Hierarchy* const memory = host.find("memory");
  if (memory == nullptr) return found;
  if (memory->version == Version::v2) {
    const auto root = host.open("/");
    const auto stat = root ? root->read("cgroup.stat") : Result<std::string>(fail(root.error()));
    if (!stat) {
      note_missing(unread, stat.error());
      return found;
    }
    found.at_most = 1 + parse::value_of(*stat, "nr_descendants").value_or(0) +
                    parse::value_of(*stat, "nr_dying_descendants").value_or(0);
    found.at_least = found.at_most;
    return found;
  }
  const auto live = zombies::count_directories(memory->directory.get(), memory->mount_point);
  if (live) found = {*live, *live};
  if (!live) unread.push_back(live.error());
  for (const SubsystemRow& row : host.subsystems()) {
    if (row.name == "memory") found.at_most = std::max(found.at_most, row.num_cgroups);
  }
  return found;
}

Result<numa::Reader> reader_of(const Host& host, const std::string& path) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  return numa::Reader::open(*group);
}

/// Measures at most `most` reads, none after a slow one.
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

void spin_for(nanoseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
  }
}

/// Compares `reading` with an idle CPU and with a spinning program, for the same time each.
Known<Neighbour> compare(const Sentinel& sentinel, const WakeUpDelay& reading) {
  const nanoseconds window = std::max<nanoseconds>(reading.duration, std::chrono::milliseconds(1));
  const auto idle = sentinel.watch([window] { std::this_thread::sleep_for(window); });
  if (!idle) return because(idle.error());
  const auto spinning = sentinel.watch([window] { spin_for(window); });
  if (!spinning) return because(spinning.error());
  return Neighbour{idle->worst, spinning->worst, reading.worst,
                   window,      sentinel.cpu(),  reading.scheduling};
}

/// Makes one expensive read, to measure both its cost and the delay of other work on the CPU.
void examine_dear_read(const numa::Reader& reader, ReadCost& cost, Known<Neighbour>& neighbour) {
  Result<ReadCost::Measured> measured = fail(Error{});
  const auto read = [&] { measured = measure(reader, cost.budget, 1); };
  const auto sentinel = Sentinel::on_this_cpu();
  const auto reading = sentinel ? sentinel->watch(read) : fail(sentinel.error());
  if (!reading) read();
  if (measured) cost.measured = *measured;
  if (!measured) {
    neighbour = because(measured.error());
  } else {
    neighbour = reading ? compare(*sentinel, *reading) : because(reading.error());
  }
}

void examine_cheap_reads(const numa::Reader& reader, ReadCost& cost, Known<Neighbour>& neighbour) {
  const auto measured = measure(reader, cost.budget, most_reads);
  if (!measured) {
    neighbour = because(measured.error());
    return;
  }
  cost.measured = *measured;
  if (measured->max > cost.budget) {
    neighbour = tl::unexpected<std::string>("the first read was slow, it was not repeated");
    return;
  }
  const auto sentinel = Sentinel::on_this_cpu();
  if (!sentinel) {
    neighbour = because(sentinel.error());
    return;
  }
  const bool short_reads = measured->median < std::chrono::milliseconds(1);
  numa::NumaStat out;
  const auto reading = sentinel->watch([&] {
    const auto end = Clock::now() + window_of_short_reads;
    while (reader.read(out) && short_reads && Clock::now() < end) {
    }
  });
  neighbour = reading ? compare(*sentinel, *reading) : because(reading.error());
}

void examine_read(const Host& host, numa::CostGuard& guard, const Population& memcgs,
                  const Options& options, Diagnosis& found) {
  const auto reader = reader_of(host, "/");
  if (!reader) {
    found.read_cost = because(reader.error());
    found.neighbour = because(reader.error());
    return;
  }
  const nanoseconds now = Clock::now().time_since_epoch();
  ReadCost cost;
  const auto leaf = numa::calibrate(host, guard, now);
  if (leaf) cost.leaf = leaf->wall;
  if (!leaf) note_missing(found.unread, leaf.error());
  cost.memcgs = memcgs.at_most;
  cost.predicted = guard.predict(memcgs.at_most);
  cost.budget = guard.config().budget;
  // Predictions are upper bounds: a read up to probe_factor above the budget is made once.
  const bool bearable = cost.predicted <= guard.config().budget * guard.config().probe_factor;
  if (guard.admit(memcgs.at_most, now)) {
    examine_cheap_reads(*reader, cost, found.neighbour);
  } else if (bearable || options.measure) {
    cost.asked_for = !bearable;
    examine_dear_read(*reader, cost, found.neighbour);
    const bool cheap = cost.measured && cost.measured->max <= cost.budget;
    if (cheap) examine_cheap_reads(*reader, cost, found.neighbour);
  } else {
    found.neighbour = tl::unexpected<std::string>("the root was not read");
  }
  found.read_cost = cost;
}

/// Blocks the signals that end the program during its lifetime.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&held, signal);
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
    if (auto status = group->include_children(memory.version); !status) {
      return fail(status.error());
    }
    return group;
  }

  ScratchGroup(const ScratchGroup&) = delete;
  ScratchGroup& operator=(const ScratchGroup&) = delete;
  ~ScratchGroup() {
    for (unsigned i = 0; i < children_; ++i) remove(child(i));
    if (!directory_.empty()) remove(directory_);
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

  /// Makes reads of this cgroup include its children: v2 needs the controller enabled for them, v1
  /// before Linux 5.11 needs memory.use_hierarchy to be 1.
  Status include_children(Version version) const {
    const bool v2 = version == Version::v2;
    const std::string control =
        directory_ + (v2 ? "/cgroup.subtree_control" : "/memory.use_hierarchy");
    if (!v2) {
      const auto now = fs::read_trusted(control);
      if (!now || *now != "0\n") return {};
    }
    const auto fd = fs::open_trusted(control, O_WRONLY);
    if (!fd) return fail(fd.error());
    return fs::write_once(fd->get(), v2 ? "+memory" : "1", control);
  }

  /// Removes a cgroup; retries, because rmdir can fail with EBUSY for a moment.
  static void remove(const std::string& directory) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      if (::rmdir(directory.c_str()) == 0 || errno != EBUSY) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  [[nodiscard]] std::string child(unsigned index) const {
    return directory_ + "/" + std::to_string(index);
  }

  std::string path_;
  std::string directory_;
  unsigned children_ = 0;
};

/// Returns how many more memory cgroups the kernel holds than before, after at most a second in
/// which it may free them.
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

/// Measures a cgroup without and with children: the only way to tell on a machine with few cgroups.
Result<Walk> probe_walk(const Host& host, numa::CostGuard& guard, unsigned children) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  const auto scratch = ScratchGroup::make(**memory);
  if (!scratch) return fail(scratch.error());
  const auto reader = reader_of(host, (*scratch)->path());
  if (!reader) return fail(reader.error());
  constexpr unsigned reads = 16;
  const nanoseconds slow = numa::CostGuard::Config{}.budget;
  const auto without = measure(*reader, slow, reads);
  if (!without) return fail(without.error());
  if (auto status = (*scratch)->add_children(children); !status) return fail(status.error());
  const auto with = measure(*reader, slow, reads);
  if (!with) return fail(with.error());
  guard.record({with->min, with->cpu}, children + 1, Clock::now().time_since_epoch());
  return judge(without->min, with->min, children + 1, Walk::Basis::probe);
}

Result<Walk> probe(const Host& host, numa::CostGuard& guard, unsigned children,
                   std::optional<Probe>& left) {
  const auto before = zombies::count(host);
  auto walk = [&host, &guard, children] {
    const HeldSignals held;
    return probe_walk(host, guard, children);
  }();
  if (walk) left = Probe{children, left_since(host, before)};
  return walk;
}

/// Predicts the cost of a read of the root from the cost per cgroup that a probe measured.
void predict_by_slope(const Walk& walk, ReadCost& cost) {
  const bool probed = walk.verdict == Walk::Verdict::walks && walk.basis == Walk::Basis::probe;
  if (!probed || !walk.ns_per_memcg || cost.measured) return;
  const double walked = *walk.ns_per_memcg * static_cast<double>(cost.memcgs);
  cost.predicted = cost.leaf.value_or(nanoseconds(0)) + nanoseconds(std::llround(walked));
  cost.by_slope = true;
}

/// Finds out with a few empty cgroups whether the kernel walks, if the root is too expensive to
/// read. Reads the root after all if the kernel does not walk.
void probe_instead(const Host& host, numa::CostGuard& guard, const Population& memcgs,
                   const Options& options, Diagnosis& found) {
  const auto walk = probe(host, guard, quick_probe_children, found.probe);
  if (!walk) {
    found.walk.reason = message_of(walk.error());
    return;
  }
  found.walk = *walk;
  if (walk->verdict == Walk::Verdict::does_not_walk) {
    examine_read(host, guard, memcgs, options, found);
  }
}

/// Looks for a walk in cheap reads of small subtrees, if no cgroup may be created.
void compare_subtrees_instead(const Host& host, numa::CostGuard& guard, Diagnosis& found) {
  ReadCost& cost = *found.read_cost;
  if (!cost.leaf) return;
  const auto walk = compare_subtrees(host, guard, found.zombies, *cost.leaf);
  if (!walk) note_missing(found.unread, walk.error());
  if (walk && *walk) found.walk = **walk;
  cost.predicted = guard.predict(cost.memcgs);
}

Walk compare_root_with_leaf(const Known<ReadCost>& cost, std::uint64_t memcgs) {
  Walk walk;
  if (!cost) {
    walk.reason = cost.error();
  } else if (!cost->leaf) {
    walk.reason =
        "the root is the only memory cgroup; cgctl doctor --probe creates 256 briefly and measures";
  } else if (!cost->measured) {
    walk.reason =
        "the root was not read, because that may be slow; cgctl doctor as root finds out without "
        "a slow read, in about 0.2 s";
  } else {
    return judge(*cost->leaf, cost->measured->min, memcgs, Walk::Basis::root_and_leaf);
  }
  return walk;
}

void examine_pressure(const Host& host, Diagnosis& found) {
  const auto io = pressure::read(host, pressure::Resource::io);
  if (io) found.io_pressure = io->some.avg10;
  if (!io) note_missing(found.unread, io.error());
  const auto memory = pressure::read(host, pressure::Resource::memory);
  if (memory && memory->full) found.memory_pressure = memory->full->avg10;
  if (!memory) note_missing(found.unread, memory.error());
}

/// Returns the bytes; 0, with a note, if they could not be read.
std::uint64_t bytes_of(const Result<std::uint64_t>& bytes, Unread& unread) {
  if (!bytes) note_missing(unread, bytes.error());
  return bytes.value_or(0);
}

/// Makes all findings that are timed. The probe comes first: its result may let the guard admit the
/// root's read.
void examine_kernel(const Host& host, const Options& options, Diagnosis& found) {
  if (!found.memory || !on_running_kernel(host)) {
    const std::string reason = found.memory ? not_live : found.memory.error();
    found.read_cost = tl::unexpected<std::string>(reason);
    found.neighbour = tl::unexpected<std::string>(reason);
    found.walk.reason = reason;
    return;
  }
  numa::CostGuard::Config limits;
  limits.budget = found.policy.read_cost_limit;
  numa::CostGuard guard(limits);
  Result<Walk> probed = fail(Error{});
  if (options.probe) probed = probe(host, guard, probe_children, found.probe);
  const Population memcgs = population(host, found.zombies, found.unread);
  examine_read(host, guard, memcgs, options, found);
  const bool unread = found.read_cost && !found.read_cost->measured;
  if (!options.probe) {
    found.walk = compare_root_with_leaf(found.read_cost, memcgs.at_least);
    if (unread && !options.read_only && ::geteuid() == 0) {
      probe_instead(host, guard, memcgs, options, found);
    }
    if (unread && !found.probe) compare_subtrees_instead(host, guard, found);
  } else if (probed) {
    found.walk = *probed;
  } else {
    found.walk.reason = message_of(probed.error());
  }
  if (found.read_cost) predict_by_slope(found.walk, *found.read_cost);
}

/// Quotes a word for a shell.
std::string quoted(const std::string& word) {
  constexpr const char* plain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+,:@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out += "'";
}

/// Returns the commands to advise, with the roots and the configuration that were given to doctor.
Commands commands_of(const Roots& roots, const std::string& config) {
  const Roots usual;
  Commands commands;
  if (roots.cgroup != usual.cgroup) commands.cgctl += " --cgroup-root " + quoted(roots.cgroup);
  if (roots.proc != usual.proc) commands.cgctl += " --proc-root " + quoted(roots.proc);
  if (roots.sys != usual.sys) commands.cgctl += " --sys-root " + quoted(roots.sys);
  if (!config.empty()) commands.config = " --config " + quoted(config);
  return commands;
}

Diagnosis examine(const Host& host, const Options& options, const Configuration& configuration) {
  Diagnosis found;
  found.policy = configuration.policy;
  found.commands = commands_of(host.roots(), options.overrides.file);
  Unread& unread = found.unread;
  for (const Unreachable& one : host.unreachable()) unread.push_back(one.error);
  found.machine = examine_machine(host, unread);
  found.memory = examine_memory(host);
  found.zombies = examine_zombies(host, configuration.state_dir, unread);
  found.page_size = host.page_size();
  found.weights.page_cache = bytes_of(mitigation::page_cache(host), unread);
  found.weights.memory = bytes_of(mitigation::total_memory(host), unread);
  if (found.zombies) {
    const std::uint64_t zombies = found.zombies->count.low;
    const auto ledger = options.read_only ? recorder::peek(host, configuration.state_dir)
                                          : newest_ledger(host, configuration.state_dir);
    if (!ledger) note_missing(unread, ledger.error());
    if (ledger && zombies != 0) found.zombies->makers = leading_maker(*ledger, zombies);
    found.weights.kernel_memory = bytes_of(mitigation::kernel_memory(host, zombies), unread);
  }
  examine_pressure(host, found);
  examine_kernel(host, options, found);
  return found;
}

Exit run_doctor(const Globals& globals, const Options& options) {
  const auto configuration = configure(options.overrides, Use::once);
  if (!configuration) return report(configuration.error());
  const auto host = globals.host();
  if (!host) return report(host.error());
  if (options.watch.time) return run_watch(globals, *host, options.watch);
  const Diagnosis found = examine(*host, options, *configuration);
  warn_of(found.unread);
  if (globals.format == Format::json) {
    print(globals, json_of(found));
  } else {
    print(globals, text_of(found));
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "doctor",
      "examine this host in one screen, and say what to do\n\n"
      "The first line is the verdict: healthy, costly (zombies cost memory, ids or time), harmful "
      "(reads of memory.numa_stat stall a CPU) or unknown. The lines below give the number of "
      "zombies and what keeps them alive, the cost of a read of the root's memory.numa_stat, "
      "whether the read delays other work on its CPU, whether this kernel walks all memory cgroups "
      "for it, and what to do. Doctor stops reading as soon as one read is slow. If reading the "
      "root is predicted to be too expensive, doctor run as root creates 64 empty cgroups briefly "
      "instead (see --read-only). The exit status is 0 whatever is found.");
  command->add_flag("--probe", options->probe,
                    "create 256 empty memory cgroups briefly (below\ncgctl-doctor-PID, removed at "
                    "once) to measure\nwhether the kernel walks all cgroups; needs root");
  command->add_flag(
      "--measure", options->measure,
      "read the root's memory.numa_stat once even if that\nmay take more than 100 ms; the kubelet "
      "does so every\nfew seconds anyway");
  command
      ->add_flag("--read-only", options->read_only,
                 "create no cgroups; compare small subtrees instead,\nwhich proves a walk or "
                 "proves nothing")
      ->excludes("--probe");
  command
      ->add_option("--config", options->overrides.file,
                   fmt::format("configuration file of mitigate (default, if it\nexists: {})",
                               default_config))
      ->type_name("FILE");
  const auto take_watch = [options](const std::string& text) {
    options->watch.time = parse_time(text.empty() ? usual_watch : text, "--watch");
  };
  command
      ->add_option_function<std::string>(
          "--watch", take_watch,
          "watch the CPUs for TIME (default 30s) instead: who\nholds one in the kernel, and what "
          "waits meanwhile;\nneeds root")
      ->type_name("[=TIME]")
      ->expected(0, 1)
      ->excludes("--probe")
      ->excludes("--measure");
  command
      ->add_option("--netns", options->watch.netns,
                   "also count the segments sent again in the\nnetwork namespace of this process")
      ->type_name("PID")
      ->needs("--watch");
  command
      ->add_option("--svg", options->watch.svg,
                   "write a picture of the watch: holds, waits and\nsegments sent again over time")
      ->type_name("FILE")
      ->needs("--watch");
  command->footer(
      "Examples:\n"
      "  cgctl doctor\n"
      "  cgctl doctor --watch=1m\n"
      "  cgctl --json doctor | jq .verdict.state");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_doctor(globals, *options); };
  });
}

}  // namespace cgctl::tool::doctor_command
