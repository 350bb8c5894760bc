// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/libcgroup.hpp"

#include <fcntl.h>
#include <libcgroup.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/blocked_signals.hpp"

namespace cgctl::libcgroup {
namespace {

/// Limits of libcgroup-internal.h: FILENAME_MAX and CG_CONTROL_VALUE_MAX, CONTROL_NAMELEN_MAX,
/// CG_CONTROLLER_MAX and CG_NV_MAX.
constexpr std::size_t longest_text = 4096;
constexpr std::size_t longest_controller = 32;
constexpr std::size_t most_controllers = 100;
constexpr std::size_t most_values = 100;

std::unique_lock<std::mutex> serialised() {
  static std::mutex calls;
  return std::unique_lock(calls);
}

/// Returns the error of the last call, with libcgroup's last errno for ECGOTHER.
Error failed(int code, const char* operation, std::string path) {
  return error_of(code, ::cgroup_get_last_errno(), operation, std::move(path));
}

tl::unexpected<Error> refuse(std::string path, std::string reason) {
  return fail(Error::make(errc::invalid_argument, "convert", std::move(path), std::move(reason),
                          "libcgroup would truncate it silently"));
}

// ---- rules ----

/// Ends this process when its parent ends. A parent that ended before the prctl(2) sends no signal,
/// so getppid(2) is checked too.
void end_with(pid_t parent) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
}

/// A child process that the rules engine can move; it does nothing until it is killed.
class StandIn {
 public:
  StandIn() {
    const pid_t parent = ::getpid();
    const cgctl::detail::BlockedSignals blocked;
    pid_ = ::fork();
    if (pid_ != 0) return;
    end_with(parent);
    for (;;) ::pause();
  }
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;
  ~StandIn() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
};

/// The cgroup of a process in one hierarchy of the host.
struct Membership {
  const Hierarchy* hierarchy;
  std::string path;
};

Result<std::vector<Membership>> memberships(const Host& host, pid_t process) {
  const std::string shown = fs::join(host.roots().proc, std::to_string(process) + "/cgroup");
  const auto text = fs::read_trusted(shown);
  if (!text) {
    Error error = text.error();
    if (error.os_errno == ENOENT || error.os_errno == ESRCH) {
      error.os_errno = ESRCH;
      error.reason = "there is no process " + std::to_string(process);
      error.hint.clear();
    }
    return fail(std::move(error));
  }
  if (!host.unreachable().empty()) return fail(host.unreachable().front().error);
  const auto rows = parse_membership(*text);
  std::vector<Membership> found;
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    const MembershipRow* const row = find_row(rows, hierarchy);
    if (row != nullptr) found.push_back({&hierarchy, row->path});
  }
  return found;
}

std::string name_of(const Hierarchy& hierarchy) {
  if (hierarchy.version == Version::v2) return "v2";
  if (hierarchy.controllers.empty()) return "name=" + hierarchy.name;
  std::string text;
  for (const std::string& controller : hierarchy.controllers) {
    text += (text.empty() ? "" : ",") + controller;
  }
  return text;
}

std::vector<Move> moves(const std::vector<Membership>& from, const std::vector<Membership>& to) {
  std::vector<Move> found;
  for (const Membership& before : from) {
    const auto after = std::find_if(to.begin(), to.end(), [&](const Membership& one) {
      return one.hierarchy == before.hierarchy;
    });
    if (after == to.end() || after->path == before.path) continue;
    found.push_back({name_of(*before.hierarchy), before.path, after->path});
  }
  return found;
}

/// Writes `process` to the cgroup.procs of a place.
Status put(const Membership& place, pid_t process) {
  const std::string file = fs::join(place.path.substr(1), "cgroup.procs");
  const std::string shown = fs::join(place.hierarchy->mount_point, file);
  const auto fd = fs::open_beneath(place.hierarchy->directory.get(), file, O_WRONLY, shown);
  if (!fd) return fail(fd.error());
  return fs::write_once(fd->get(), std::to_string(process), shown);
}

struct Identity {
  uid_t user = 0;
  gid_t group = 0;
  std::string name;
  std::string shown;  ///< name in errors
};

std::string_view base_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

/// True if the kernel's name of a process, of which it keeps 15 characters, is that of `path`.
bool is_name_of(std::string_view path, std::string_view name) {
  constexpr std::size_t kept = 15;
  return !name.empty() && base_of(path).substr(0, kept) == name;
}

/// Returns the name that rules use for a process: the path of its program or of the script it runs,
/// or the name that it has set itself.
std::string name_of(const std::string& directory, const std::string& name) {
  std::array<char, longest_text> program{};
  const ssize_t size = ::readlink((directory + "/exe").c_str(), program.data(), program.size() - 1);
  if (size > 0 && is_name_of(program.data(), name)) return program.data();
  const auto words = fs::read_trusted(directory + "/cmdline");
  std::string_view rest = words ? std::string_view(*words) : std::string_view();
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find('\0'));
    if (is_name_of(word, name)) return std::string(word);
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
  }
  return name;
}

/// Returns the effective id, the second number, of a line of /proc/PID/status.
std::optional<std::uint32_t> effective(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = parse::line(text);
    if (parse::field(line) != key) continue;
    (void)parse::field(line);
    const auto number = parse::whole_number(parse::field(line));
    if (!number) return std::nullopt;
    return static_cast<std::uint32_t>(*number);
  }
  return std::nullopt;
}

Result<Identity> identity_of(const Host& host, pid_t process) {
  const std::string directory = fs::join(host.roots().proc, std::to_string(process));
  const auto status = fs::read_trusted(directory + "/status");
  if (!status) return fail(status.error());
  const auto user = effective(*status, "Uid:");
  const auto group = effective(*status, "Gid:");
  if (!user || !group) {
    return fail(Error::make(errc::malformed, "parse", directory + "/status", "no Uid or no Gid"));
  }
  std::string_view rest = *status;
  std::string_view first = parse::line(rest);
  first.remove_prefix(std::min(first.size(), first.find_first_not_of("\t ", first.find(':') + 1)));
  Identity identity{*user, *group, name_of(directory, std::string(first)), {}};
  identity.shown = "process " + std::to_string(process) + " (" + identity.name + ")";
  return identity;
}

/// Discards libcgroup's log, which goes to standard output by default.
void log_nothing(void* /*data*/, int /*level*/, const char* /*format*/, va_list /*arguments*/) {}

constexpr const char* rules_file = "/etc/cgrules.conf";
constexpr const char* templates_file = "/etc/cgconfig.conf";

/// The answer of libcgroup's rules engine.
struct Answer {
  bool initialised;
  int code;
  int os_errno;
};

Answer ask_engine(const Identity& identity, pid_t process) {
  ::cgroup_set_logger(log_nothing, CGROUP_LOG_ERROR, nullptr);
  if (const int code = ::cgroup_init(); code != 0) return {false, code, ::cgroup_get_last_errno()};
  const int code = ::cgroup_change_cgroup_flags(identity.user, identity.group,
                                                identity.name.c_str(), process, 0);
  return {true, code, ::cgroup_get_last_errno()};
}

/// Runs in a child: asks the engine and writes its answer to a pipe. Core dumps are off, because a
/// crash is expected.
[[noreturn]] void serve(const Identity& identity, pid_t process, pid_t parent, int pipe) {
  end_with(parent);
  const ::rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const Answer answer = ask_engine(identity, process);
  ::_exit(::write(pipe, &answer, sizeof answer) == sizeof answer ? 0 : 1);
}

/// Builds the error for a child that ended without an answer.
Error crashed(const Identity& identity, int status) {
  const std::string how = WIFSIGNALED(status) ? ::strsignal(WTERMSIG(status)) : "no answer";
  Error error = Error::make(errc::system, "classify", identity.shown,
                            "libcgroup's rules engine crashed (" + how + ")",
                            "see cgrules.conf(5) for the rule of this process");
  if (::access(templates_file, F_OK) != 0) {
    error.hint = std::string("a rule with %u, %g, %p or the like needs ") + templates_file +
                 ": libcgroup crashes without one; create it, an empty file will do";
  }
  return error;
}

/// Asks the rules engine in a child process, because libcgroup 2.0.2 crashes on some legal rules.
Result<Answer> ask_engine_apart(const Identity& identity, pid_t process) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(Error::system("pipe", {}, errno));
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t parent = ::getpid();
  const cgctl::detail::BlockedSignals blocked;
  const pid_t child = ::fork();
  if (child < 0) return fail(Error::system("fork", {}, errno));
  if (child == 0) serve(identity, process, parent, writing.get());
  writing.reset();
  Answer answer{};
  ssize_t got = 0;
  do {
    got = ::read(reading.get(), &answer, sizeof answer);
  } while (got < 0 && errno == EINTR);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (got != sizeof answer) return fail(crashed(identity, status));
  return answer;
}

/// Lets the engine apply the rule. The caller must hold the lock.
Status apply_rule(const Identity& identity, pid_t process) {
  const auto answer = ask_engine_apart(identity, process);
  if (!answer) return fail(answer.error());
  if (answer->code == 0) return {};
  Error error = error_of(answer->code, answer->os_errno, "classify",
                         answer->initialised ? identity.shown : std::string());
  if (!answer->initialised) return fail(std::move(error));
  if (answer->code == ECGROUPPARSEFAIL) {
    error.path = rules_file;
    error.hint = "see cgrules.conf(5)";
    if (::access(rules_file, F_OK) != 0) {
      return fail(Error::system("read", rules_file, errno, error.hint));
    }
  } else if (answer->code == ECGROUPNOTALLOWED || answer->code == ECGROUPNOTOWNER) {
    error.hint = "run as root: the rule's destination is another user's";
  } else if (error.hint.empty()) {
    error.hint = "check that the rule's destination exists, with its controllers";
  }
  return fail(std::move(error));
}

/// The paths of all directories, by hierarchy.
using Existing = std::map<const Hierarchy*, std::set<std::string>>;

Result<Existing> what_exists(const Host& host) {
  if (!host.unreachable().empty()) return fail(host.unreachable().front().error);
  Existing all;
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    std::vector<std::string> paths;
    auto status = add_paths_below(hierarchy.directory.get(), hierarchy.mount_point, paths);
    if (!status) return fail(status.error());
    all[&hierarchy].insert(paths.begin(), paths.end());
  }
  return all;
}

/// Removes a cgroup if it is empty; true on success.
bool remove_directory(const Hierarchy& hierarchy, const std::string& path) {
  const std::string above = fs::parent(path);
  const auto directory = fs::open_beneath(
      hierarchy.directory.get(), above == "/" ? "." : above.substr(1), O_PATH | O_DIRECTORY, above);
  if (!directory) return false;
  const std::string name = path.substr(path.rfind('/') + 1);
  return sys::remove_directory_at(directory->get(), name.c_str()) == 0;
}

/// Removes the cgroups that the engine made from templates.
void remove_made(const std::vector<Membership>& places, const Existing& existing) {
  for (const Membership& place : places) {
    const auto& known = existing.at(place.hierarchy);
    for (std::string path = place.path; path != "/" && known.count(path) == 0;
         path = fs::parent(path)) {
      if (!remove_directory(*place.hierarchy, path)) break;
    }
  }
}

/// Returns the time from the clock that the kernel uses for file times.
std::int64_t kernel_time() {
  ::timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec * 1000000000 + now.tv_nsec;
}

/// Returns the time when the kernel first looked up a directory; for a new one, when it was made.
std::int64_t first_seen(const Hierarchy& hierarchy, const std::string& path) {
  struct ::stat found {};
  const auto directory =
      fs::open_beneath(hierarchy.directory.get(), path.substr(1), O_PATH | O_DIRECTORY, path);
  if (!directory || sys::stat(directory->get(), found) < 0) return 0;
  return found.st_ctim.tv_sec * 1000000000 + found.st_ctim.tv_nsec;
}

/// Removes the cgroups that a failed engine made between two times. Cgroups from other times belong
/// to other programs.
void remove_made(const Host& host, const Existing& existing, std::int64_t from, std::int64_t to) {
  const auto now = what_exists(host);
  if (!now) return;
  for (const auto& [hierarchy, there] : *now) {
    const auto& known = existing.at(hierarchy);
    // The deepest first.
    for (auto path = there.rbegin(); path != there.rend(); ++path) {
      if (known.count(*path) != 0) continue;
      const std::int64_t seen = first_seen(*hierarchy, *path);
      if (seen >= from && seen <= to) (void)remove_directory(*hierarchy, *path);
    }
  }
}

/// Replaces the number of process `from` in a path like "/a/123" (from a %P template) by that of
/// `to`.
std::string renumbered(const std::string& path, pid_t from, pid_t to) {
  const std::string number = std::to_string(from);
  std::string text = path;
  const auto is_digit = [&](std::size_t at) {
    return at < text.size() && text[at] >= '0' && text[at] <= '9';
  };
  for (std::size_t at = text.find(number); at != std::string::npos;
       at = text.find(number, at + 1)) {
    if ((at > 0 && is_digit(at - 1)) || is_digit(at + number.size())) continue;
    text.replace(at, number.size(), std::to_string(to));
  }
  return text;
}

Result<std::vector<Move>> ask(const Host& host, pid_t process, const Existing& existing) {
  const auto before = memberships(host, process);
  if (!before) return fail(before.error());
  const auto lock = serialised();
  const auto identity = identity_of(host, process);
  if (!identity) return fail(identity.error());
  const StandIn stand_in;
  if (stand_in.pid() < 0) return fail(Error::system("fork", {}, errno));
  const auto own = memberships(host, stand_in.pid());
  if (!own) return fail(own.error());
  const std::int64_t begin = kernel_time();
  const auto applied = apply_rule(*identity, stand_in.pid());
  const std::int64_t end = kernel_time();
  const auto after = memberships(host, stand_in.pid());
  for (const Membership& place : *own) (void)put(place, stand_in.pid());
  if (!after) return fail(after.error());
  remove_made(*after, existing);
  if (!applied) {
    remove_made(host, existing, begin, end);
    return fail(applied.error());
  }
  // In a hierarchy where the stand-in was not moved there is no rule.
  std::vector<Membership> destination = *before;
  for (Membership& place : destination) {
    for (std::size_t i = 0; i < own->size(); ++i) {
      const bool moved = (*own)[i].path != (*after)[i].path;
      if ((*own)[i].hierarchy == place.hierarchy && moved) {
        place.path = renumbered((*after)[i].path, stand_in.pid(), process);
      }
    }
  }
  return moves(*before, destination);
}

/// Moves a process by the rules for `name`; if that is empty, by the rules for its own name.
Result<std::vector<Move>> move(const Host& host, pid_t process, const std::string& name) {
  const auto before = memberships(host, process);
  if (!before) return fail(before.error());
  const auto lock = serialised();
  auto identity = identity_of(host, process);
  if (!identity) return fail(identity.error());
  if (!name.empty()) identity->name = name;
  auto status = apply_rule(*identity, process);
  const auto after = memberships(host, process);
  if (!after) return fail(after.error());
  const auto moved = moves(*before, *after);
  const auto put_all = [&](const std::vector<Membership>& places) {
    Status first;
    for (const Membership& place : places) {
      const auto changed = [&](const Move& one) {
        return one.hierarchy == name_of(*place.hierarchy);
      };
      if (std::none_of(moved.begin(), moved.end(), changed)) continue;
      auto one = put(place, process);
      if (!one && first) first = std::move(one);
    }
    return first;
  };
  // On v1 the engine moves only one thread of the process.
  if (status) status = put_all(*after);
  if (status) return moved;
  const auto undone = put_all(*before);
  if (!undone) {
    status.error().hint += (status.error().hint.empty() ? "" : "; ") +
                           ("it could not be moved back: " + undone.error().message());
  }
  return fail(std::move(status.error()));
}

errc kind_of(int code) {
  switch (code) {
    case ECGROUPNOTCOMPILED:
    case ECGROUPNOTMOUNTED:
    case ECGROUPSUBSYSNOTMOUNTED:
    case ECGROUPUNSUPP:
      return errc::unsupported;
    case ECGROUPNOTEXIST:
      return errc::vanished;
    case ECGINVAL:
    case ECGMAXVALUESEXCEEDED:
    case ECGCONTROLLEREXISTS:
    case ECGVALUEEXISTS:
    case ECGROUPVALUENOTEXIST:
      return errc::invalid_argument;
    case ECGROUPPARSEFAIL:
    case ECGCONFIGPARSEFAIL:
      return errc::malformed;
    default:
      return errc::system;
  }
}

/// Returns an errno for a code that libcgroup returns without one.
int errno_of(int code) {
  switch (code) {
    case ECGROUPNOTEXIST:
      return ENOENT;
    case ECGROUPNOTOWNER:
      return EPERM;
    case ECGROUPNOTALLOWED:
      return EACCES;
    case ECGNONEMPTY:
      return EBUSY;
    case ECGINVAL:
      return EINVAL;
    default:
      return 0;
  }
}

std::string reason_of(int code) {
  // cgroup_strerror() reads beyond its table for the last code (libcgroup 2.0.2).
  if (code == ECGNONEMPTY) return "Cgroup is not empty";
  if (code < ECGROUPNOTCOMPILED || code > ECGNONEMPTY) {
    return "libcgroup's error " + std::to_string(code);
  }
  const char* const text = ::cgroup_strerror(code);
  return text != nullptr ? text : "libcgroup's error " + std::to_string(code);
}

Status check_length(std::string_view text, const std::string& path, const char* what) {
  if (text.size() < longest_text) return {};
  return refuse(path, std::string(what) + " has 4,096 bytes or more");
}

/// Refuses a name that is not a plain file name: libcgroup inserts names into paths unchecked and
/// reads texts only up to the first NUL.
Status check_name(const std::string& name, const std::string& path, const char* what) {
  if (auto status = check_length(name, path, what); !status) return status;
  const bool bad = name.empty() || name == "." || name == ".." ||
                   name.find_first_of(std::string_view("/\0", 2)) != std::string::npos;
  if (!bad) return {};
  return fail(Error::make(errc::invalid_argument, "convert", path,
                          std::string(what) + " is '" + name + "'",
                          "give the kernel's name, without a path"));
}

Status check_controller(const std::string& name, const std::string& path) {
  if (auto status = check_name(name, path, "the name of a controller"); !status) return status;
  if (name.size() < longest_controller) return {};
  return refuse(path, "the name of a controller has 32 bytes or more");
}

Status add_settings(::cgroup_controller* controller, const tree::Section& section,
                    const std::string& path) {
  for (const settings::Setting& setting : section.settings) {
    const std::string shown = fs::join(path, setting.file);
    if (auto status = check_name(setting.file, path, "the name of a file"); !status) return status;
    if (auto status = check_length(setting.value, shown, "its value"); !status) return status;
    if (setting.value.find('\0') != std::string::npos) {
      return refuse(shown, "its value has a NUL byte in it");
    }
    const int code =
        ::cgroup_add_value_string(controller, setting.file.c_str(), setting.value.c_str());
    if (code != 0) return fail(failed(code, "convert", shown));
  }
  return {};
}

}  // namespace

bool is_available() noexcept { return true; }

void Free::operator()(::cgroup* group) const noexcept { ::cgroup_free(&group); }

Error error_of(int code, int os_errno, const char* operation, std::string path) {
  if (code == ECGOTHER && os_errno != 0) return Error::system(operation, std::move(path), os_errno);
  Error error = Error::make(kind_of(code), operation, std::move(path), reason_of(code));
  error.os_errno = errno_of(code);
  return error;
}

Result<Handle> to_libcgroup(const tree::Cgroup& cgroup) {
  const auto clean = fs::clean_relative_path(cgroup.path);
  if (!clean) return fail(clean.error());
  if (cgroup.sections.size() > most_controllers) {
    return refuse(cgroup.path, "it has more than 100 controllers");
  }
  if (clean->size() >= FILENAME_MAX) return refuse(cgroup.path, "its path is above 4,095 bytes");
  const auto lock = serialised();
  Handle group(::cgroup_new_cgroup(clean->c_str()));
  if (!group) return fail(Error::system("convert", cgroup.path, ENOMEM));
  for (const tree::Section& section : cgroup.sections) {
    if (section.settings.size() > most_values) {
      return refuse(cgroup.path, section.controller + " has more than 100 values");
    }
    if (auto status = check_controller(section.controller, cgroup.path); !status) {
      return fail(status.error());
    }
    ::cgroup_controller* const controller =
        ::cgroup_add_controller(group.get(), section.controller.c_str());
    if (controller == nullptr) {
      return refuse(cgroup.path, section.controller + " is there twice");
    }
    if (auto status = add_settings(controller, section, cgroup.path); !status) {
      return fail(status.error());
    }
  }
  return group;
}

Result<tree::Cgroup> from_libcgroup(::cgroup* group, std::string_view path,
                                    const std::vector<std::string>& names) {
  const auto clean = fs::clean_relative_path(path);
  if (!clean) return fail(clean.error());
  tree::Cgroup found{*clean == "." ? "/" : "/" + *clean, {}};
  const auto lock = serialised();
  for (const std::string& name : names) {
    ::cgroup_controller* const controller = ::cgroup_get_controller(group, name.c_str());
    if (controller == nullptr) continue;
    tree::Section& section = found.sections.emplace_back(tree::Section{name, {}});
    const int count = ::cgroup_get_value_name_count(controller);
    for (int i = 0; i < count; ++i) {
      const char* const file = ::cgroup_get_value_name(controller, i);
      char* text = nullptr;
      const int code = ::cgroup_get_value_string(controller, file, &text);
      if (code != 0) return fail(failed(code, "convert", fs::join(found.path, file)));
      std::string value = text;
      std::free(text);  // NOLINT(cppcoreguidelines-no-malloc): libcgroup's
      if (!value.empty() && value.back() == '\n') value.pop_back();
      section.settings.push_back({file, std::move(value)});
    }
  }
  return found;
}

std::vector<Result<std::vector<Move>>> classify(const Host& host,
                                                const std::vector<pid_t>& processes,
                                                Purpose purpose) {
  std::vector<Result<std::vector<Move>>> results;
  // A cgroup missing from this list would be mistaken for one that the engine made, and removed.
  const auto existing = purpose == Purpose::ask ? what_exists(host) : Result<Existing>(Existing{});
  results.reserve(processes.size());
  for (const pid_t process : processes) {
    if (!existing) {
      results.emplace_back(fail(existing.error()));
      continue;
    }
    results.push_back(purpose == Purpose::ask ? ask(host, process, *existing)
                                              : move(host, process, {}));
  }
  return results;
}

Result<std::vector<Move>> classify_as(const Host& host, pid_t process, const std::string& program) {
  return move(host, process, program);
}

Status register_with_daemon(pid_t process, Daemon what) {
  const auto lock = serialised();
  const int flag = what == Daemon::leave_alone ? CGROUP_DAEMON_UNCHANGE_CHILDREN
                                               : CGROUP_DAEMON_CANCEL_UNCHANGE_PROCESS;
  if (::cgroup_register_unchanged_process(process, flag) == 0) return {};
  return fail(Error::make(errc::system, "register", "process " + std::to_string(process),
                          "cgrulesengd does not answer", "check that it runs"));
}

}  // namespace cgctl::libcgroup
