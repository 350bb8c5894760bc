// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <libcgroup.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "measure.hpp"
#include "programs.hpp"

namespace cgctl::bench {
namespace {

using std::chrono::microseconds;

/// Two settings. From one to the other both figures change, so that the order of the two writes
/// matters.
struct Setting {
  std::int64_t quota;
  std::int64_t period;
};
constexpr std::array<Setting, 2> settings = {{{50'000, 100'000}, {20'000, 50'000}}};

bool on_v2(const Group& group) {
  const auto place = group.place("cpu");
  return place && (*place)->hierarchy->version == Version::v2;
}

void set_bandwidth(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    const cpu::Controller controller(group);
    std::size_t turn = 0;
    measure(state, [&] {
      const auto& [quota, period] = settings.at(turn++ % 2);
      return controller.set(cpu::Bandwidth{microseconds(quota), microseconds(period)}).has_value();
    });
  });
}

bool read_value(int fd) {
  std::array<char, 64> text{};
  const bool done = ::pread(fd, text.data(), text.size(), 0) > 0;
  benchmark::DoNotOptimize(text);
  return done;
}

bool write_value(int fd, const std::string& text) {
  return ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Makes the system calls that a correct change needs: opens, reads, writes, reads back and closes
/// each file; looks for child cgroups, whose limits bind; reads the burst, which the quota must not
/// fall below.
void raw_calls(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    const auto place = group.place("cpu");
    if (!place) return skip(state, place.error().message());
    const int directory = (*place)->directory.get();
    const bool v2 = on_v2(group);
    const std::vector<const char*> files =
        v2 ? std::vector{"cpu.max"} : std::vector{"cpu.cfs_quota_us", "cpu.cfs_period_us"};
    std::size_t turn = 0;
    measure(state, [&] {
      const auto& [quota, period] = settings.at(turn++ % 2);
      const UniqueFd burst(
          ::openat(directory, v2 ? "cpu.max.burst" : "cpu.cfs_burst_us", O_RDONLY | O_CLOEXEC));
      if (burst && !read_value(burst.get())) return false;
      struct ::stat about {};
      if (::fstatat(directory, ".", &about, 0) != 0) return false;
      std::array<UniqueFd, 2> open;
      for (std::size_t i = 0; i < files.size(); ++i) {
        open.at(i) = UniqueFd(::openat(directory, files[i], O_RDWR | O_CLOEXEC));
        if (!read_value(open.at(i).get())) return false;
      }
      if (v2) {
        return write_value(open[0].get(), std::to_string(quota) + " " + std::to_string(period)) &&
               read_value(open[0].get());
      }
      return write_value(open[0].get(), std::to_string(quota)) && read_value(open[0].get()) &&
             write_value(open[1].get(), std::to_string(period)) && read_value(open[1].get());
    });
  });
}

void libcgroup_modify(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    if (on_v2(group)) return skip(state, "the names of the files are those of v1");
    if (::cgroup_init() != 0) return skip(state, "cgroup_init");
    std::size_t turn = 0;
    measure(state, [&] {
      const auto& [quota, period] = settings.at(turn++ % 2);
      ::cgroup* const target = ::cgroup_new_cgroup(group.path().c_str() + 1);
      ::cgroup_controller* const cpu = ::cgroup_add_controller(target, "cpu");
      ::cgroup_add_value_int64(cpu, "cpu.cfs_quota_us", quota);
      ::cgroup_add_value_int64(cpu, "cpu.cfs_period_us", period);
      const int status = ::cgroup_modify_cgroup(target);
      ::cgroup_free(const_cast<::cgroup**>(&target));
      return status == 0;
    });
  });
}

/// Runs `command`, whose arguments contain the setting, with each setting in turn.
void by_command(benchmark::State& state,
                std::vector<std::string> (*command)(const Group&, Setting)) {
  with_group(state, [&](const Group& group) {
    if (on_v2(group)) return skip(state, "the names of the files are those of v1");
    std::size_t turn = 0;
    measure(state, [&] { return run(command(group, settings.at(turn++ % 2))); });
  });
}

std::vector<std::string> cgctl_command(const Group& group, Setting to) {
  return {CGCTL_TOOL, "-q",
          "cpu",      group.path(),
          "--quota",  std::to_string(to.quota) + "us",
          "--period", std::to_string(to.period) + "us"};
}

std::vector<std::string> cgset_command(const Group& group, Setting to) {
  return {"cgset",
          "-r",
          "cpu.cfs_quota_us=" + std::to_string(to.quota),
          "-r",
          "cpu.cfs_period_us=" + std::to_string(to.period),
          group.path().substr(1)};
}

std::vector<std::string> echo_command(const Group& group, Setting to) {
  return {"sh", "-c",
          "echo " + std::to_string(to.quota) + " >" + group.shown("cpu.cfs_quota_us") + "; echo " +
              std::to_string(to.period) + " >" + group.shown("cpu.cfs_period_us")};
}

/// A process that waits until the object is destroyed.
class Waiting {
 public:
  Waiting() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) return;
    process_ = ::fork();
    if (process_ != 0) return;
    ::close(ends_[1]);
    char byte = 0;
    (void)!::read(ends_[0], &byte, 1);
    ::_exit(0);
  }
  ~Waiting() {
    ::close(ends_[0]);
    ::close(ends_[1]);
    if (process_ > 0) ::waitpid(process_, nullptr, 0);
  }
  [[nodiscard]] pid_t process() const noexcept { return process_; }

 private:
  std::array<int, 2> ends_{-1, -1};
  pid_t process_ = -1;
};

constexpr const char* made = "/cgctl-bench/made";

void create_move_delete(benchmark::State& state) {
  with_arena(state, [&](const Arena& arena) {
    const Waiting waiting;
    const auto home = arena.host().open("/cgctl-bench");
    if (!home) return skip(state, home.error().message());
    measure(state, [&] {
      const auto group = Group::create(arena.host(), made);
      return group && group->attach(waiting.process()) && home->attach(waiting.process()) &&
             group->remove();
    });
  });
}

void create_move_delete_raw(benchmark::State& state) {
  with_arena(state, [&](const Arena& arena) {
    const Waiting waiting;
    std::vector<int> hierarchies;
    for (const char* controller : {"cpu", "cpuacct", "memory"}) {
      const Hierarchy* const hierarchy = arena.host().find(controller);
      if (hierarchy != nullptr && std::find(hierarchies.begin(), hierarchies.end(),
                                            hierarchy->directory.get()) == hierarchies.end()) {
        hierarchies.push_back(hierarchy->directory.get());
      }
    }
    const std::string process = std::to_string(waiting.process());
    const auto move = [&](int hierarchy, const char* group) {
      const UniqueFd procs(::openat(hierarchy, (std::string(group + 1) + "/cgroup.procs").c_str(),
                                    O_WRONLY | O_CLOEXEC));
      return write_value(procs.get(), process);
    };
    measure(state, [&] {
      for (const int hierarchy : hierarchies) {
        if (::mkdirat(hierarchy, made + 1, 0755) != 0) return false;
      }
      for (const int hierarchy : hierarchies) {
        if (!move(hierarchy, made)) return false;
      }
      for (const int hierarchy : hierarchies) {
        if (!move(hierarchy, "/cgctl-bench")) return false;
      }
      for (const int hierarchy : hierarchies) {
        if (::unlinkat(hierarchy, made + 1, AT_REMOVEDIR) != 0) return false;
      }
      return true;
    });
  });
}

void create_move_delete_libcgroup(benchmark::State& state) {
  with_arena(state, [&](const Arena& arena) {
    const Waiting waiting;
    if (::cgroup_init() != 0) return skip(state, "cgroup_init");
    const auto with_controllers = [&](const char* path) {
      ::cgroup* const group = ::cgroup_new_cgroup(path + 1);
      for (const char* controller : {"cpu", "cpuacct", "memory"}) {
        if (arena.host().find(controller) != nullptr) ::cgroup_add_controller(group, controller);
      }
      return group;
    };
    measure(state, [&] {
      ::cgroup* group = with_controllers(made);
      ::cgroup* home = with_controllers("/cgctl-bench");
      const bool done = ::cgroup_create_cgroup(group, 0) == 0 &&
                        ::cgroup_attach_task_pid(group, waiting.process()) == 0 &&
                        ::cgroup_attach_task_pid(home, waiting.process()) == 0 &&
                        ::cgroup_delete_cgroup_ext(group, CGFLAG_DELETE_IGNORE_MIGRATION) == 0;
      ::cgroup_free(&group);
      ::cgroup_free(&home);
      return done;
    });
  });
}

const bool settings_registered = [] {
  constexpr int often = 45;  // the goal is near, and the kernel's time for these calls varies
  add("set_bandwidth/cgctl", set_bandwidth)->Repetitions(often);
  add("set_bandwidth/raw_calls", raw_calls)->Repetitions(often);
  add("set_bandwidth/libcgroup", libcgroup_modify);
  add("set_bandwidth_command/cgctl", [](auto& state) { by_command(state, cgctl_command); });
  add("set_bandwidth_command/cgset", [](auto& state) { by_command(state, cgset_command); });
  add("set_bandwidth_command/echo", [](auto& state) { by_command(state, echo_command); });
  add("create_move_delete/cgctl", create_move_delete);
  add("create_move_delete/raw_calls", create_move_delete_raw);
  add("create_move_delete/libcgroup", create_move_delete_libcgroup);
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
