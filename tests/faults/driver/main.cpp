// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// Runs each command once for each of its system calls and each error that the call may give, and
// compares the result with a run without a fault. tests/faults/injector.cpp makes the calls fail.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "run.hpp"
#include "scenarios.hpp"
#include "verdict.hpp"
#include "world.hpp"

namespace cgctl::faults {
namespace {

struct Options {
  std::string command;
  std::string captures;
  unsigned every = 1;
  unsigned from = 0;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::string> names;  ///< beginnings of scenario names; empty: all scenarios
  bool list = false;
};

/// State shared by the workers.
struct Shared {
  std::atomic<unsigned> next{0};
  std::atomic<unsigned> passed{0};
  std::atomic<unsigned> failed{0};
  std::atomic<unsigned> missed{0};  ///< faults that hit another call than in the recording
  std::atomic<bool> broken{false};
};

std::atomic<bool> interrupted{false};
void interrupt(int /*signal*/) { interrupted = true; }

/// Prints with one write(2), so that lines of different workers do not mix.
void say(const std::string& text) { (void)!::write(STDOUT_FILENO, text.data(), text.size()); }

bool may_give(const std::string& call, int error) {
  const auto errors = errors_of(call);
  return std::find(errors.begin(), errors.end(), error) != errors.end();
}

/// Tries the faults of one scenario, or a part of them.
class Trial {
 public:
  Trial(const Options& options, const Scenario& scenario, World& world, const Runner& runner,
        Shared& shared)
      : options_(options), scenario_(scenario), world_(world), runner_(runner), shared_(shared) {}

  /// Tries the faults of every `parts`th call from `part` on. If only a sample of the faults is
  /// tried, `seed` chooses it.
  void run(unsigned part, unsigned parts, unsigned seed) {
    constexpr int runs = 3;
    for (int i = 0; i < runs; ++i) learn();
    const auto calls = baseline_.calls;
    unsigned index = seed;
    for (std::size_t i = 0; i < calls.size() && !interrupted; ++i) {
      for (const int error : errors_of(calls[i].name)) {
        const bool chosen = index++ % options_.every == options_.from % options_.every;
        if (chosen && i % parts == part) strike(calls[i], error);
      }
    }
  }

 private:
  [[nodiscard]] bool on_cgroups() const { return scenario_.tree.empty(); }

  void prepare() {
    if (fresh_ && world_.state(on_cgroups()) == baseline_.before) return;
    world_.build(on_cgroups(), scenario_.files);
    if (scenario_.traces) world_.build_tracing(scenario_.recording);
    fresh_ = true;
    baseline_.before = world_.state(on_cgroups());
  }

  [[nodiscard]] Outcome run_with(const std::string& fault) {
    prepare();
    std::vector<std::string> arguments;
    std::string directory = world_.directory();
    if (!on_cgroups()) {
      directory = options_.captures + "/" + scenario_.tree;
      arguments = {"--cgroup-root", "sys/fs/cgroup", "--proc-root", "proc", "--sys-root", "sys"};
    }
    for (const std::string& one : scenario_.arguments) arguments.push_back(world_.filled_in(one));
    Outcome outcome = runner_.run(scenario_.called, arguments, directory, fault, world_);
    outcome.state = world_.state(on_cgroups());
    return outcome;
  }

  void learn() {
    const Outcome outcome = run_with({});
    if (outcome.hung || outcome.signalled) {
      throw std::runtime_error(scenario_.name + " fails without a fault: " + outcome.err);
    }
    baseline_.status = outcome.status;
    baseline_.out.add(lines_of(outcome.out));
    baseline_.err.add(lines_of(outcome.err));
    baseline_.after.add(outcome.state);
    // A command that waits makes more calls on a busy machine.
    const bool fewer = baseline_.calls.empty() || outcome.calls.size() < baseline_.calls.size();
    if (fewer) baseline_.calls = outcome.calls;
  }

  void strike(const Call& call, int error) {
    const std::string fault = std::to_string(call.strand) + ":" + std::to_string(call.number) +
                              ":" + std::to_string(error);
    // A difference may come from the host. It counts only if it appears twice, and not in another
    // run without a fault.
    std::string wrong;
    Outcome outcome;
    for (int attempt = 0; attempt < 2; ++attempt) {
      outcome = run_with(fault);
      if (scenario_.leaves_out_gone && error == ENODEV && !outcome.signalled && !outcome.hung)
        break;
      if (outcome.calls.empty() || !may_give(outcome.calls.front().name, error)) {
        ++shared_.missed;
        return;
      }
      wrong = complaint(baseline_, outcome, error, scenario_.may_stop_half_way);
      if (wrong.empty() || outcome.hung) break;
      if (attempt == 0) learn();
    }
    if (wrong.empty()) {
      ++shared_.passed;
      return;
    }
    ++shared_.failed;
    report(outcome, fault, error, wrong);
  }

  void report(const Outcome& outcome, const std::string& fault, int error,
              const std::string& wrong) const {
    const Call& met = outcome.calls.front();
    std::string text = "FAILED " + scenario_.name + ": " + met.name + " " + met.where + " gives " +
                       name_of(error) + " (CGCTL_FAULT=" + fault + "): the command " + wrong;
    const auto lines = lines_of(outcome.err);
    for (std::size_t i = 0; i < std::min<std::size_t>(lines.size(), 3); ++i) {
      text += "    said: " + lines[i] + "\n";
    }
    say(text);
  }

  const Options& options_;
  const Scenario& scenario_;
  World& world_;
  const Runner& runner_;
  Shared& shared_;
  Baseline baseline_;
  bool fresh_ = false;
};

bool wanted(const Options& options, const Scenario& scenario) {
  if (options.names.empty()) return true;
  return std::any_of(options.names.begin(), options.names.end(),
                     [&](const std::string& name) { return scenario.name.rfind(name, 0) == 0; });
}

void work(const Options& options, const std::vector<Scenario>& scenarios, unsigned parts,
          unsigned worker, Shared& shared) {
  World world("cgctl-faults-" + std::to_string(::getppid()) + "-" + std::to_string(worker));
  const Runner runner(options.command, std::chrono::seconds(10));
  for (;;) {
    const unsigned task = shared.next++;
    const unsigned index = task / parts;
    if (index >= scenarios.size() || interrupted) return;
    const Scenario& scenario = scenarios[index];
    if (scenario.tree.empty() && !world.has_cgroups()) {
      if (task % parts == 0) say("SKIPPED " + scenario.name + ": needs cgroups of its own\n");
      continue;
    }
    if (scenario.traces && !world.has_tracing()) {
      if (task % parts == 0) say("SKIPPED " + scenario.name + ": needs tracefs\n");
      continue;
    }
    Trial(options, scenario, world, runner, shared).run(task % parts, parts, index);
  }
}

int run_all(const Options& options, const std::vector<Scenario>& scenarios) {
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap");
  Shared& shared = *new (memory) Shared;
  const unsigned parts = options.every == 1 ? 4 : 1;
  for (unsigned worker = 0; worker < options.jobs; ++worker) {
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("fork");
    if (child != 0) continue;
    try {
      work(options, scenarios, parts, worker, shared);
    } catch (const std::exception& error) {
      shared.broken = true;
      say(std::string("cgctl_faults: ") + error.what() + "\n");
    }
    ::_exit(0);
  }
  while (::wait(nullptr) > 0 || errno == EINTR) {
  }
  if (shared.missed != 0) {
    say(std::to_string(shared.missed) + " faults met no call: the command made others that time\n");
  }
  say(std::to_string(shared.passed) + " passed, " + std::to_string(shared.failed) + " failed\n");
  return shared.failed == 0 && shared.passed != 0 && !shared.broken && !interrupted ? 0 : 1;
}

[[noreturn]] void usage() {
  std::cerr << "usage: cgctl_faults [--every N [--from K]] [--jobs N] [--list] COMMAND CAPTURES "
               "[NAME...]\n";
  std::exit(2);
}

unsigned number(const char* text) {
  if (text == nullptr) usage();
  return static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

Options parsed(char** argument) {
  Options options;
  for (; *argument != nullptr && std::strncmp(*argument, "--", 2) == 0; ++argument) {
    const std::string name = *argument;
    if (name == "--list") {
      options.list = true;
      continue;
    }
    const unsigned value = number(*++argument);
    if (name == "--every" && value != 0) {
      options.every = value;
    } else if (name == "--from") {
      options.from = value;
    } else if (name == "--jobs" && value != 0) {
      options.jobs = value;
    } else {
      usage();
    }
  }
  if (argument[0] == nullptr || argument[1] == nullptr) usage();
  options.command = std::filesystem::canonical(*argument++).string();
  options.captures = std::filesystem::canonical(*argument++).string();
  for (; *argument != nullptr; ++argument) options.names.emplace_back(*argument);
  return options;
}

}  // namespace
}  // namespace cgctl::faults

int main(int /*argc*/, char** argv) {
  using namespace cgctl::faults;
  const Options options = parsed(argv + 1);
  std::vector<Scenario> scenarios = all_scenarios();
  scenarios.erase(std::remove_if(scenarios.begin(), scenarios.end(),
                                 [&](const Scenario& one) { return !wanted(options, one); }),
                  scenarios.end());
  if (options.list) {
    for (const Scenario& one : scenarios) std::cout << one.name << "\n";
    return 0;
  }
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, interrupt);
  try {
    return run_all(options, scenarios);
  } catch (const std::exception& error) {
    std::cerr << "cgctl_faults: " << error.what() << "\n";
    return 1;
  }
}
