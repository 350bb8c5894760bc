// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/freezer.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "cgctl/parse.hpp"

namespace cgctl::freezer {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

struct Files {
  Version version;
  const char* file;
  const char* freeze;
  const char* thaw;
};

constexpr Files v1_files = {Version::v1, "freezer.state", "FROZEN", "THAWED"};
constexpr Files v2_files = {Version::v2, "cgroup.freeze", "1", "0"};

/// Returns the files of the freezer of v1 if it has the cgroup, else those of v2.
const Files& files_of(const Group& group) {
  const auto v1 = group.place("freezer");
  return v1 && (*v1)->hierarchy->version == Version::v1 ? v1_files : v2_files;
}

Error without_file(Error error, const Group& group) {
  if (error.kind != errc::unsupported) return error;
  error.reason = group.path() == "/" ? "the root cannot be frozen" : "this cgroup has no freezer";
  error.hint = group.path() == "/" ? "freeze the cgroups below it"
                                   : "create it in the v1 freezer hierarchy, or on v2 (Linux 5.2)";
  return error;
}

Result<bool> is_one(const Group& group, const char* file) {
  const auto text = group.read(file);
  if (!text) return fail(without_file(text.error(), group));
  return parse::whole_number(*text) == 1U;
}

Result<State> state_v1(const Group& group) {
  const auto asked = is_one(group, "freezer.self_freezing");
  if (!asked) return fail(asked.error());
  const auto above = is_one(group, "freezer.parent_freezing");
  if (!above) return fail(above.error());
  const auto text = group.read(v1_files.file);
  if (!text) return fail(without_file(text.error(), group));
  return State{Version::v1, *asked, *above, *text == "FROZEN\n"};
}

Result<State> state_v2(const Group& group) {
  const auto asked = is_one(group, v2_files.file);
  if (!asked) return fail(asked.error());
  const auto events = group.read("cgroup.events");
  if (!events) return fail(events.error());
  const bool frozen = events->find("frozen 1") != std::string::npos;
  return State{Version::v2, *asked, frozen && !*asked, frozen};
}

Status refuse_own(const Group& group) {
  const auto processes = group.processes_below();
  if (!processes) return fail(processes.error());
  if (std::find(processes->begin(), processes->end(), ::getpid()) == processes->end()) return {};
  return fail({errc::system, EBUSY, "freeze", group.path(), "the calling process is in it",
               "move it elsewhere first"});
}

/// Waits until all processes have stopped; false at the deadline.
Result<bool> stops(const Group& group, Clock::time_point end) {
  constexpr milliseconds longest(50);
  for (milliseconds pause(1);; pause = std::min(pause * 2, longest)) {
    const auto now = state(group);
    if (!now) return fail(now.error());
    if (now->frozen) return true;
    if (Clock::now() >= end) return false;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

Result<State> state(const Group& group) {
  return files_of(group).version == Version::v1 ? state_v1(group) : state_v2(group);
}

Status freeze(const Group& group, milliseconds deadline) {
  const auto end = Clock::now() + deadline;
  const auto before = state(group);
  if (!before) return fail(before.error());
  if (auto status = refuse_own(group); !status) return status;
  const Files& files = files_of(group);
  if (auto status = group.write(files.file, files.freeze); !status) return status;
  const auto stopped = stops(group, end);
  if (stopped && *stopped) return {};
  if (!before->asked) (void)group.write(files.file, files.thaw);
  if (!stopped) return fail(stopped.error());
  return fail(Error::make(errc::timed_out, "freeze", group.path(),
                          "not all processes have stopped in time; the cgroup is as before",
                          "a process may wait for a device (state D in ps)"));
}

Result<State> thaw(const Group& group) {
  if (const auto before = state(group); !before) return fail(before.error());
  const Files& files = files_of(group);
  if (auto status = group.write(files.file, files.thaw); !status) return fail(status.error());
  return state(group);
}

}  // namespace cgctl::freezer
