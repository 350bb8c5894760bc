// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/process.hpp"
#include "command.hpp"
#include "json.hpp"
#include "limits.hpp"
#include "supervisor.hpp"

namespace cgctl::tool::run_command {
namespace {

using Clock = Supervisor::Clock;

struct Options {
  std::string path;  ///< empty: a throw-away cgroup
  std::string below = "/";
  std::vector<std::string> controllers;
  cpu::Change cpu;
  memory::Change memory;
  std::chrono::nanoseconds grace = std::chrono::seconds(10);
  bool init = false;
  bool report = false;
  std::vector<std::string> command;
};

/// The cgroup of one run.
struct Place {
  Group group;
  bool made;  ///< by this run
  bool throw_away;
};

/// Of a name that nobody else has: the number of the process, and the time since boot.
std::string throw_away_path(const std::string& below) {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return fs::join(below,
                  fmt::format("cgctl-run-{}-{}{:09}", ::getpid(), time.tv_sec, time.tv_nsec));
}

Result<Place> find_place(const Host& host, const Options& options) {
  const bool throw_away = options.path.empty();
  if (throw_away && options.below != "/") {
    if (const auto below = host.open(options.below); !below) return fail(below.error());
  }
  const std::string path = throw_away ? throw_away_path(options.below) : options.path;
  auto there = host.open(path);
  if (there && options.controllers.empty()) return Place{std::move(*there), false, false};
  if (!there && there.error().kind != errc::vanished) return fail(there.error());
  auto group = Group::create(host, path, {options.controllers, std::nullopt});
  if (!group) return fail(group.error());
  return Place{std::move(*group), !there, throw_away};
}

Status set_limits(const Group& group, const Options& options) {
  std::vector<settings::Setting> all;
  if (!options.cpu.empty()) {
    auto settings = cpu::Controller{group}.plan(options.cpu);
    if (!settings) return fail(settings.error());
    all = std::move(*settings);
  }
  if (!options.memory.empty()) {
    auto settings = memory::Controller{group}.plan(options.memory);
    if (!settings) return fail(settings.error());
    for (auto& setting : *settings) all.push_back(std::move(setting));
  }
  auto written = settings::apply(group, all);
  if (written) return {};
  Error error = cpu::Controller{group}.explain(std::move(written.error()), options.cpu);
  return fail(memory::Controller{group}.explain(std::move(error)));
}

/// What a group has used; absent where it does not tell.
struct Usage {
  cpu::Stat cpu;
  std::optional<std::uint64_t> peak;
  std::optional<std::uint64_t> oom_kills;
};

Usage usage_of(const Group& group) {
  Usage usage;
  if (const auto stat = cpu::stat(group)) usage.cpu = *stat;
  if (const auto state = memory::Controller{group}.state()) usage.peak = state->peak;
  if (const auto events = memory::events(group)) usage.oom_kills = events->oom_kill;
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

/// Behind what the command has written, on standard error: its output stays its own.
void print_report(const Globals& globals, const Group& group, const Usage& before,
                  const Usage& after, Clock::duration elapsed, int status) {
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
    text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  } else {
    text = fmt::format("{} in {}: status {}\n", group.path(), human_time(elapsed), status);
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
  (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

/// The processes in a cgroup and all below it.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the cgroups are.
void add_processes(const Group& group, std::vector<pid_t>& out) {
  if (const auto own = group.processes()) out.insert(out.end(), own->begin(), own->end());
  const auto names = group.children();
  if (!names) return;
  for (const std::string& name : *names) {
    if (const auto child = group.host().open(fs::join(group.path(), name))) {
      add_processes(*child, out);
    }
  }
}

/// The children of this process: with --init, orphans that were left to it.
std::vector<pid_t> own_children(const Host& host) {
  const std::string file = fmt::format("self/task/{}/children", ::getpid());
  std::vector<pid_t> found;
  const auto text = fs::read_trusted(fs::join(host.roots().proc, file));
  if (!text) return found;
  std::string_view rest = *text;
  for (std::string_view field = parse::field(rest); !field.empty(); field = parse::field(rest)) {
    if (const auto number = parse::whole_number(field)) {
      found.push_back(static_cast<pid_t>(*number));
    }
  }
  return found;
}

/// Ends what the command has left behind: all in a throw-away cgroup; elsewhere, with --init, its
/// orphans.
void end_others(Supervisor& supervisor, const Place& place, bool init) {
  const auto list = [&] {
    std::vector<pid_t> left;
    if (place.throw_away) add_processes(place.group, left);
    if (init) {
      for (const pid_t child : own_children(place.group.host())) left.push_back(child);
    }
    return left;
  };
  const auto kill = [&] {
    for (const pid_t process : list()) ::kill(process, SIGKILL);
  };
  if (place.throw_away || init) supervisor.end({list, kill});
}

/// Without a zombie of the memory controller, as far as the kernel can.
void remove(const Place& place) {
  const Removal everything{Removal::Below::remove, Removal::Tasks::kill, Removal::Pages::empty};
  if (const auto removed = place.group.remove(everything); !removed) {
    warn(removed.error().message());
  }
}

int status_of(const Error& error) {
  if (std::string_view(error.operation) != "execute" || error.kind != errc::system) return -1;
  return error.os_errno == ENOENT ? 127 : 126;
}

/// `started` is set once the command runs.
Exit run_in(const Globals& globals, const Options& options, const Place& place, bool& started) {
  if (auto status = set_limits(place.group, options); !status) return report(status.error());
  if (options.init && ::getpid() != 1 && ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
    return report(Error::system("run", "subreaper", errno));
  }
  auto supervisor = Supervisor::make(options.grace);
  if (!supervisor) return report(supervisor.error());
  const Usage before = options.report ? usage_of(place.group) : Usage{};
  const auto began = Clock::now();
  const auto child = process::start(place.group, {options.command, supervisor->mask()});
  if (!child) {
    const int status = status_of(child.error());
    const Exit exit = report(child.error());
    return status < 0 ? exit : static_cast<Exit>(status);
  }
  started = true;
  const int status = supervisor->wait_for(child->pid, [&] {
    std::vector<pid_t> all;
    if (place.throw_away) add_processes(place.group, all);
    for (const pid_t process : all) ::kill(process, SIGKILL);
  });
  const auto elapsed = Clock::now() - began;
  end_others(*supervisor, place, options.init);
  if (options.report) {
    print_report(globals, place.group, before, usage_of(place.group), elapsed, status);
  }
  return static_cast<Exit>(status);
}

Exit run_run(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto place = find_place(*host, options);
  if (!place) return report(place.error());
  bool started = false;
  const Exit status = run_in(globals, options, *place, started);
  if (place->throw_away || (place->made && !started)) remove(*place);
  return status;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "run",
      "run a command inside a cgroup, with limits\n\n"
      "The command is in the cgroup before its first instruction. PATH is made if it is missing, "
      "and stays; without PATH the cgroup is a throw-away one, which is removed at the end with "
      "all processes in it, its pages freed first so that no zombie is left. The exit status is "
      "the command's, 128 + n when signal n ended it, 127 when it is not found, 126 when it cannot "
      "be executed. TERM, INT, HUP, QUIT, USR1, USR2, WINCH, TSTP and CONT are passed on to it.");
  add_path(*command, options->path, "the cgroup (default: a throw-away one)");
  add_path_option(*command, "--below", options->below, "where to make a throw-away cgroup");
  add_controllers(*command, options->controllers);
  command->add_flag("--init", options->init,
                    "adopt and reap orphans, end them with the command:\nfor PID 1 of a container");
  add_time(*command, "--grace", options->grace,
           "from SIGTERM to SIGKILL, for the command and for\nwhat it leaves behind (default 10s)");
  command->add_flag("--report", options->report, "at the end, what was used, on standard error");
  add_cpu_options(*command, options->cpu);
  add_memory_options(*command, options->memory);
  command->footer(
      "Examples:\n"
      "  cgctl run --cpus 0.5 --max 512M -- make\n"
      "  cgctl run --report /batch/job-1 -- ./job\n"
      "  cgctl run --init --below /jobs -- sh -c 'server & client'");
  command->callback([&globals, &run, options] {
    if (globals.command.empty()) {
      throw CLI::ValidationError(
          "COMMAND is required: write it behind --, such as cgctl run --cpus 0.5 -- make");
    }
    options->command = globals.command;
    run = [&globals, options] { return run_run(globals, *options); };
  });
}

}  // namespace cgctl::tool::run_command
