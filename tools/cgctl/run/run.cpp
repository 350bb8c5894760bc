// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <functional>
#include <iterator>
#include <memory>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/process.hpp"
#include "cli/command.hpp"
#include "cli/figures.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"
#include "cli/limits.hpp"
#include "cli/systemd_note.hpp"
#include "cli/unit.hpp"
#include "run/scope.hpp"
#include "run/supervisor.hpp"

namespace cgctl::tool::run_command {
namespace {

using Clock = Supervisor::Clock;

struct Options : WantedLimits {
  std::string path;  ///< empty: throw-away cgroup
  std::string below = "/";
  std::vector<std::string> controllers;
  bool in_scope = false;
  std::string scope;                           ///< name of the scope; empty: one of its own
  std::string slice;                           ///< slice of the scope; empty: systemd's choice
  std::vector<std::pair<int, int>> rewritten;  ///< signals: the one that comes, the one to pass on
  std::vector<int> expected;                   ///< exit statuses that become 0
  std::chrono::nanoseconds grace = std::chrono::seconds(10);
  bool init = false;
  bool report = false;
  std::vector<std::string> command;
};

/// Cgroup of one run.
struct Place {
  Group group;
  std::vector<Made> made;  ///< directories and settings that this run made
  bool fresh;              ///< true if this run created the cgroup
  bool throw_away;
  Keeper keeper = {};  ///< in the scope, if there is one
};

/// Returns a path with a unique name, from the process ID and the time since boot.
std::string throw_away_path(const std::string& below) {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return fs::join(below,
                  fmt::format("cgctl-run-{}-{}{:09}", ::getpid(), time.tv_sec, time.tv_nsec));
}

/// Returns the controllers that the cgroup needs: those named, else for a new cgroup the usual
/// ones, and those of the other limits. Empty means the usual ones, or none for a cgroup that
/// exists.
std::vector<std::string> controllers_of(const Host& host, const Options& options, bool exists) {
  std::vector<std::string> others;
  if (options.pids_max) others.emplace_back("pids");
  if (!options.cpuset.empty()) others.emplace_back("cpuset");
  if (!options.io_max.empty()) others.emplace_back(host.find("blkio") != nullptr ? "blkio" : "io");
  std::vector<std::string> all = options.controllers;
  if (all.empty() && !exists && !others.empty()) {
    for (const char* const usual : {"cpu", "cpuacct", "memory"}) {
      if (host.find(usual) != nullptr) all.emplace_back(usual);
    }
  }
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

/// Gives the cgroups made in v1's cpuset hierarchy the CPUs and memory nodes of their parents,
/// without which they take no tasks.
Status fill_cpusets(const Host& host, const std::vector<Made>& made) {
  const Hierarchy* const cpusets = host.find("cpuset");
  if (cpusets == nullptr || cpusets->version != Version::v1) return {};
  for (const Made& one : made) {
    if (!one.is_directory || one.hierarchy->mount_point != cpusets->mount_point) continue;
    const auto group = Group::open(host, fs::join(one.parent, one.what), {"cpuset"});
    if (!group) return fail(group.error());
    const cpuset::Change of_parent{cpuset::Ids{}, cpuset::Ids{}};
    if (const auto set = cpuset::set(*group, of_parent); !set) return fail(set.error());
  }
  return {};
}

Result<Place> find_place(const Host& host, const Options& options) {
  const bool throw_away = options.path.empty();
  if (throw_away && options.below != "/") {
    if (const auto below = host.open(options.below); !below) return fail(below.error());
  }
  const std::string path = throw_away ? throw_away_path(options.below) : options.path;
  auto there = host.open(path);
  if (there) {
    if (auto status = there->require_all(); !status) return fail(status.error());
  }
  const auto controllers = controllers_of(host, options, there.has_value());
  if (there && controllers.empty()) return Place{std::move(*there), {}, false, false};
  if (!there && there.error().kind != errc::vanished) return fail(there.error());
  std::vector<Made> made;
  auto group = Group::create(host, path, {controllers, std::nullopt}, made);
  if (!group) return fail(group.error());
  if (auto status = fill_cpusets(host, made); !status) {
    (void)unmake(made);
    return fail(status.error());
  }
  return Place{std::move(*group), std::move(made), !there, throw_away};
}

/// Adds the settings of a plan, or returns its error.
Status add(Result<std::vector<settings::Setting>> plan, std::vector<settings::Setting>& all) {
  if (!plan) return fail(plan.error());
  std::move(plan->begin(), plan->end(), std::back_inserter(all));
  return {};
}

Status add_io(const Group& group, const Options& options, std::vector<settings::Setting>& all) {
  const auto limits = find_devices(group.host(), options.io_max);
  if (!limits) return fail(limits.error());
  return add(io::plan(group, *limits), all);
}

/// Sets the limits and then calls `start`; restores the limits if that fails.
Status with_limits(const Group& group, const Options& options,
                   const std::function<Status()>& start) {
  std::vector<settings::Setting> all;
  Status status;
  if (!options.cpu.empty()) status = add(cpu::Controller{group}.plan(options.cpu), all);
  if (status && !options.memory.empty()) {
    status = add(memory::Controller{group}.plan(options.memory), all);
  }
  if (status && options.pids_max) status = add(pids::plan(group, *options.pids_max), all);
  if (status && !options.cpuset.empty()) status = add(cpuset::plan(group, options.cpuset), all);
  if (status && !options.io_max.empty()) status = add_io(group, options, all);
  if (!status) return status;
  auto written = settings::apply(group, all, start);
  if (written) {
    const std::string note = period_note(options.cpu, *written);
    if (!note.empty()) warn(note);
    return {};
  }
  return fail(std::move(written.error()));
}

/// Usage of a cgroup; a figure that the kernel does not give is absent.
struct Usage {
  cpu::Stat cpu;
  std::optional<std::uint64_t> peak;
  std::optional<std::uint64_t> oom_kills;
};

std::optional<std::uint64_t> oom_kills_of(const Group& group) {
  if (!group.place("memory")) return std::nullopt;
  const auto events = value_or_warning(memory::events(group));
  return events ? events->oom_kill : std::nullopt;
}

Usage usage_of(const Group& group, bool whole) {
  Usage usage;
  usage.oom_kills = oom_kills_of(group);
  if (!whole) return usage;
  usage.cpu = value_or_warning(cpu::stat(group)).value_or(cpu::Stat{});
  if (const auto state = value_or_warning(memory::Controller{group}.state())) {
    usage.peak = state->peak;
  }
  return usage;
}

template <class Number>
std::optional<Number> since(const std::optional<Number>& before,
                            const std::optional<Number>& after) {
  if (!before || !after || *after < *before) return std::nullopt;
  return *after - *before;
}

std::optional<std::int64_t> count(const std::optional<std::chrono::nanoseconds>& time) {
  if (!time) return std::nullopt;
  return time->count();
}

std::string time_text(const std::optional<std::chrono::nanoseconds>& time) {
  return time ? human_time(*time) : "unknown";
}

/// Result of a command that was started.
struct Ended {
  int status;
  Clock::duration elapsed;
  Usage before;
  Usage after;
};

/// Prints the report on standard error, so that standard output is the command's alone.
void print_report(const Globals& globals, const Group& group, const Ended& ended) {
  const auto& [status, elapsed, before, after] = ended;
  const auto used = since(before.cpu.usage, after.cpu.usage);
  const auto user = since(before.cpu.user, after.cpu.user);
  const auto system = since(before.cpu.system, after.cpu.system);
  const auto periods = since(before.cpu.nr_periods, after.cpu.nr_periods);
  const auto throttled = since(before.cpu.nr_throttled, after.cpu.nr_throttled);
  const auto waited = since(before.cpu.throttled, after.cpu.throttled);
  const auto kills = since(before.oom_kills, after.oom_kills);
  std::string text;
  if (globals.format == Format::json) {
    const Json json{{"path", group.path()},
                    {"seconds", std::chrono::duration<double>(elapsed).count()},
                    {"usage_ns", or_null(count(used))},
                    {"user_ns", or_null(count(user))},
                    {"system_ns", or_null(count(system))},
                    {"memory_peak_bytes", or_null(after.peak)},
                    {"nr_periods", or_null(periods)},
                    {"nr_throttled", or_null(throttled)},
                    {"throttled_ns", or_null(count(waited))},
                    {"oom_kills", or_null(kills)},
                    {"status", status}};
    text = json_line("run/1", json);
  } else {
    text =
        fmt::format("{} in {}: status {}\n", printable(group.path()), human_time(elapsed), status);
    text += fmt::format("  CPU time    {} (user {}, system {})\n", time_text(used), time_text(user),
                        time_text(system));
    text += fmt::format("  memory      {}\n", after.peak ? "peak " + human_bytes(*after.peak)
                                                         : std::string("peak unknown"));
    if (throttled && periods) {
      text += fmt::format("  throttled   {} of {} periods, {}\n", *throttled, *periods,
                          time_text(waited));
    }
    if (kills) text += fmt::format("  OOM kills   {}\n", *kills);
  }
  write(stderr, text);
}

/// Warns that the kernel killed processes because memory ran out.
void warn_of_oom(const Group& group, const Ended& ended) {
  const auto kills = since(ended.before.oom_kills, ended.after.oom_kills);
  if (kills.value_or(0) == 0) return;
  const bool command = *kills == 1 && ended.status == 128 + SIGKILL;
  const std::string what =
      command ? "the command" : fmt::format("{} {}", *kills, *kills == 1 ? "process" : "processes");
  std::string hint = "a cgroup above it has reached its limit";
  const auto state = memory::Controller{group}.state();
  if (state && state->max && state->max->bytes) {
    constexpr std::uint64_t fewest_to_begin = 1U << 20U;
    hint = fmt::format(
        "its limit is {}{}: raise it with --max", human_bytes(*state->max->bytes),
        *state->max->bytes < fewest_to_begin ? ", too little for most programs to start" : "");
  }
  warn(fmt::format("run {}: out of memory: the kernel killed {} ({})", group.path(), what, hint));
}

/// Adds the children of this process but the keeper; with --init they include adopted orphans.
Status add_own_children(const Host& host, pid_t keeper, std::vector<pid_t>& out) {
  const std::string file = fmt::format("self/task/{}/children", ::getpid());
  const auto text = fs::read_in_root(host.roots().proc, file);
  // Some kernels are built without the file `children`.
  if (!text && text.error().os_errno == ENOENT) return {};
  if (!text) return fail(text.error());
  std::string_view rest = *text;
  for (std::string_view field = parse::field(rest); !field.empty(); field = parse::field(rest)) {
    const auto number = parse::whole_number(field);
    if (!number || static_cast<pid_t>(*number) == keeper) continue;
    out.push_back(static_cast<pid_t>(*number));
  }
  return {};
}

/// Kills all processes in a throw-away cgroup, which is thawed first: a frozen process does not
/// end.
void kill_throw_away(const Place& place) {
  constexpr std::chrono::milliseconds at_most(100);
  if (place.throw_away) (void)place.group.kill(at_most);
}

/// Ends the processes that the command has left: all in a throw-away cgroup; elsewhere, with
/// --init, its orphans.
void end_others(Supervisor& supervisor, const Place& place, bool init) {
  const auto list = [&]() -> Result<std::vector<pid_t>> {
    std::vector<pid_t> left;
    if (place.throw_away) {
      auto inside = place.group.processes_below();
      if (!inside) return inside;
      left = std::move(*inside);
    }
    if (!init) return left;
    if (auto status = add_own_children(place.group.host(), place.keeper.pid(), left); !status) {
      return fail(status.error());
    }
    return left;
  };
  const auto kill = [&] {
    kill_throw_away(place);
    const auto all = list();
    if (!all) return;
    for (const pid_t process : *all) ::kill(process, SIGKILL);
  };
  if (!place.throw_away && !init) return;
  if (const auto ended = supervisor.end({list, kill}); !ended) warn(message_of(ended.error()));
}

/// Retries `step` a few times, because whatever a clean-up leaves behind stays forever.
Status with_retries(const std::function<Status()>& step) {
  constexpr int attempts = 5;
  constexpr std::chrono::milliseconds pause(10);
  for (int i = 1;; ++i) {
    auto done = step();
    if (done || i == attempts || done.error().kind == errc::timed_out) return done;
    std::this_thread::sleep_for(pause);
  }
}

/// Removes the cgroup of a run without a zombie of the memory controller, as far as the kernel can.
void remove(const Place& place) {
  Removal how{Removal::Below::refuse, Removal::Tasks::refuse, Removal::Pages::empty};
  if (place.throw_away) {
    how.below = Removal::Below::remove;
    how.tasks = Removal::Tasks::kill;
  }
  const auto removed = with_retries([&]() -> Status {
    // The cgroup is opened again, because an earlier attempt may have removed a part.
    const auto group = place.group.host().open(place.group.path());
    if (!group && group.error().kind == errc::vanished) return {};
    if (!group) return fail(group.error());
    const auto done = group->remove(how);
    return done ? Status{} : fail(done.error());
  });
  if (!removed) warn(message_of(removed.error()));
}

/// Reports why the command was not started; returns the status that a shell gives then.
Exit report_failure(const Supervisor& supervisor, const Error& error) {
  const Exit exit = report(error);
  if (error.kind == errc::cancelled) {
    return static_cast<Exit>(128 + supervisor.stopped_by().value_or(SIGTERM));
  }
  if (std::string_view(error.operation) != "execute" || error.kind != errc::system) return exit;
  return static_cast<Exit>(error.os_errno == ENOENT ? 127 : 126);
}

/// Starts the command with the limits in place, waits for it, and ends the processes it leaves.
Result<Ended> run_in(const Place& place, const Options& options, Supervisor& supervisor) {
  if (options.init && ::getpid() != 1 && ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
    return fail(Error::system("run", "subreaper", errno));
  }
  Ended ended{};
  Clock::time_point began;
  process::Child child;
  const auto started = with_limits(place.group, options, [&]() -> Status {
    ended.before = usage_of(place.group, options.report);
    began = Clock::now();
    auto found =
        process::start(place.group, {options.command, &supervisor.mask(), supervisor.stop()});
    if (!found) return fail(std::move(found.error()));
    child = std::move(*found);
    return {};
  });
  if (!started) return fail(started.error());
  ended.status = supervisor.wait_for(child.pid, [&] {
    kill_throw_away(place);  // end_others() tries again
  });
  ended.elapsed = Clock::now() - began;
  end_others(supervisor, place, options.init);
  ended.after = usage_of(place.group, options.report);
  warn_of_oom(place.group, ended);
  return ended;
}

/// Returns the command line that does the same without a bridge to systemd.
std::string as_systemd_run(const Options& options, const systemd::Translation& limits) {
  std::string text = "systemd-run --scope -p Delegate=yes";
  if (!options.scope.empty()) text += " --unit=" + quoted(options.scope);
  if (!options.slice.empty()) text += " --slice=" + quoted(options.slice);
  text += as_options(limits.properties) + " --";
  for (const std::string& word : options.command) text += " " + quoted(word);
  return text;
}

/// Returns the controllers of v2 for the figures and limits of the command. On v1 the cgroup is in
/// all hierarchies of the scope already.
std::vector<std::string> usual_on_v2(const Host& host) {
  std::vector<std::string> found;
  for (const char* const name : {"cpu", "memory"}) {
    const Hierarchy* const hierarchy = host.find(name);
    if (hierarchy != nullptr && hierarchy->version == Version::v2) found.emplace_back(name);
  }
  return found;
}

/// Starts a scope with the limits that systemd has properties for, and finds the command's cgroup
/// there. `options` keeps the other limits.
Result<Place> find_place_in_scope(const Globals& globals, const Host& host, Options& options,
                                  const Supervisor& supervisor) {
  const auto limits = translate(host, options);
  if (!limits) return fail(limits.error());
  const std::string name = options.scope.empty() ? throw_away_path("").substr(1) : options.scope;
  const std::string unit = unit_name(name, ".scope");
  auto status = require_systemd(globals, unit, as_systemd_run(options, *limits));
  if (!status) return fail(std::move(status.error()));
  const std::string slice = options.slice.empty() ? "" : unit_name(options.slice, ".slice");
  auto scope = start_scope(
      host, {unit, slice, "cgctl run " + options.command.front(), {}, limits->properties},
      supervisor.mask(), supervisor.stop());
  if (!scope) return fail(std::move(scope.error()));
  static_cast<WantedLimits&>(options) = {limits->left.cpu, limits->left.memory, {}, {}, {}};
  options.path = scope->path;
  options.controllers = usual_on_v2(host);
  auto place = find_place(host, options);
  if (!place) return place;
  place->throw_away = true;
  place->keeper = std::move(scope->keeper);
  return place;
}

Exit run_run(const Globals& globals, const Options& asked) {
  Options options = asked;
  auto supervisor = Supervisor::make(options.grace);
  if (!supervisor) return report(supervisor.error());
  for (const auto& [from, to] : options.rewritten) supervisor->rewrite(from, to);
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  const auto place = options.in_scope ? find_place_in_scope(globals, *host, options, *supervisor)
                                      : find_place(*host, options);
  if (!place) return report_failure(*supervisor, place.error());
  if (!options.empty()) {
    warn_of_systemd(globals, *host, {place->group.path()}, Doing::runs);
  }
  const auto ended = run_in(*place, options, *supervisor);
  if (place->throw_away || (!ended && place->fresh)) remove(*place);
  if (!ended) {
    const auto undone = with_retries([&] { return unmake(place->made); });
    if (!undone) warn(message_of(undone.error()));
    return report_failure(*supervisor, ended.error());
  }
  if (options.report) print_report(globals, place->group, *ended);
  const auto& expected = options.expected;
  const bool is_expected =
      std::find(expected.begin(), expected.end(), ended->status) != expected.end();
  return is_expected ? Exit::done : static_cast<Exit>(ended->status);
}

/// Returns the number of a signal that has a name, such as TERM or SIGTERM, or a number.
std::optional<int> signal_of(std::string_view text) {
  if (const auto number = parse::whole_number(text)) {
    if (*number >= NSIG) return std::nullopt;
    return static_cast<int>(*number);
  }
  if (parse::starts_with(text, "SIG")) text.remove_prefix(3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* const name = ::sigabbrev_np(signal);
    if (name != nullptr && text == name) return signal;
  }
  return std::nullopt;
}

std::pair<int, int> parse_rewrite(const std::string& text) {
  const std::size_t equals = std::min(text.find('='), text.size());
  const auto from = signal_of(std::string_view(text).substr(0, equals));
  const auto to = signal_of(std::string_view(text).substr(std::min(equals + 1, text.size())));
  if (equals == text.size() || !from || !to) {
    throw CLI::ValidationError(fmt::format(
        "--rewrite '{}': write two signals, such as TERM=QUIT, or 0 to drop the first", text));
  }
  if (!Supervisor::passes_on(*from)) {
    throw CLI::ValidationError(
        fmt::format("--rewrite '{}': run does not pass on the first signal", text));
  }
  return {*from, *to};
}

int parse_status(const std::string& text) {
  constexpr std::uint64_t most = 255;
  const auto number = parse::whole_number(text);
  if (!number || *number > most) {
    throw CLI::ValidationError(fmt::format("--expect-exit '{}': not within 0 and 255", text));
  }
  return static_cast<int>(*number);
}

/// Adds an option that may be repeated, with one value each.
template <class T>
void add_repeated(CLI::App& command, const char* name, const char* type, const char* description,
                  std::vector<T>& out, T (*parse)(const std::string&)) {
  const auto take = [&out, parse](const CLI::results_t& texts) {
    for (const std::string& text : texts) out.push_back(parse(text));
    return true;
  };
  command.add_option(name, CLI::callback_t(take), description)
      ->type_name(type)
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->take_all()
      ->allow_extra_args(false);
}

void add_scope(CLI::App& command, Options& options) {
  const auto take = [&options](const std::string& name) {
    options.in_scope = true;
    options.scope = name;
  };
  command
      .add_option_function<std::string>(
          "--scope", take,
          "let systemd make the cgroup, a transient scope; the\nlimits become its properties")
      ->type_name("[=NAME]")
      ->expected(0, 1)
      ->excludes("PATH")
      ->excludes("--below")
      ->excludes("--controllers");
  command.add_option("--slice", options.slice, "slice of the scope, such as batch.slice")
      ->type_name("NAME")
      ->needs("--scope");
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "run",
      "run a command inside a cgroup, with limits\n\n"
      "The command is in the cgroup from its first instruction on. A missing PATH is created and "
      "kept. Without PATH the cgroup is a throw-away one: at the end all processes in it are "
      "ended, its pages are freed so that no zombie is left, and it is removed. The exit status is "
      "the command's; 128 + n if signal n ended it; 127 if it is not found or 126 if it cannot be "
      "executed, and then everything is undone. All signals are passed on to the command, except "
      "those of job control, which stop and continue it, and those of a process's own faults "
      "(SEGV, BUS, FPE, ILL, TRAP, SYS, ABRT).");
  add_path(*command, options->path, "cgroup to run in (default: a throw-away one)");
  add_path_option(*command, "--below", options->below,
                  "parent of the throw-away cgroup (default /)");
  add_controllers(*command, options->controllers);
  command->add_flag("--init", options->init,
                    "adopt and reap orphans, and end them with the\ncommand: for PID 1 of a "
                    "container");
  add_time(*command, "--grace", options->grace,
           "time from SIGTERM to SIGKILL, for the command and for\nprocesses that it leaves "
           "(default 10s)");
  add_repeated(
      *command, "--rewrite", "SIGNAL=SIGNAL",
      "pass on the second signal in place of the first,\nsuch as TERM=QUIT; 0: drop it; may "
      "be repeated",
      options->rewritten, parse_rewrite);
  add_repeated(*command, "--expect-exit", "STATUS",
               "exit with 0 if this is the status of the command,\nsuch as 143 (SIGTERM); may be "
               "repeated",
               options->expected, parse_status);
  command->add_flag("--report", options->report, "at the end, print usage on standard error");
  add_scope(*command, *options);
  add_limits(*command, *options);
  command->footer(
      "Examples:\n"
      "  cgctl run --cpus 0.5 --max 512M -- make\n"
      "  cgctl run --report /batch/job-1 -- ./job\n"
      "  cgctl run --init --below /jobs -- sh -c 'server & client'\n"
      "  cgctl run --scope=batch --max 1G -- ./job\n"
      "  cgctl run --pids-max 100 --cpus-allowed 0-3 --io-max /dev/sda,wbps=10M -- make");
  command->callback([&globals, &run, options] {
    if (globals.command.empty()) {
      throw CLI::ValidationError(
          "COMMAND is required: write it after --, such as cgctl run --cpus 0.5 -- make");
    }
    options->command = globals.command;
    run = [&globals, options] { return run_run(globals, *options); };
  });
}

}  // namespace cgctl::tool::run_command
