// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory.hpp"
#include "detail/page_lists.hpp"
#include "detail/tree_walk.hpp"
#include "group/detail.hpp"

namespace cgctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* deletion = "delete";

/// Reclaim stops after this many tries in a row that freed nothing.
constexpr unsigned most_useless = 3;
constexpr milliseconds longest_pause(50);

Error busy(std::string shown, std::string reason, std::string hint) {
  return {errc::system, EBUSY, deletion, std::move(shown), std::move(reason), std::move(hint)};
}

std::string counted(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

/// The memory files of one directory.
class Memory {
 public:
  explicit Memory(int directory, Version version, const std::string& shown)
      : directory_(directory), version_(version), shown_(shown) {}

  /// Returns the charged bytes that can pin the cgroup; nothing if it has no memory controller.
  /// Uses the counters of charges, because memory.stat may lag behind by as much as 64 pages for
  /// each CPU (memcg_rstat_updated() in mm/memcontrol.c) and shows 0 for a single dirty page.
  /// Kernel memory is left out if its counter does not lag.
  [[nodiscard]] Result<std::optional<std::uint64_t>> pages() const {
    const bool v1 = version_ == Version::v1;
    auto charged = number(v1 ? "memory.usage_in_bytes" : "memory.current");
    if (!charged || !*charged || !v1) return charged;
    auto kernel = number("memory.kmem.usage_in_bytes");
    if (!kernel) return kernel;
    return **charged - std::min(**charged, kernel->value_or(0));
  }

  /// Asks the kernel to free as much as it can; false if the kernel has no file for it.
  [[nodiscard]] bool reclaim(std::uint64_t bytes) const {
    // The write fails if not all could be freed; pages() shows the rest.
    if (version_ == Version::v1) return write("memory.force_empty", "0");
    const bool reclaimed = write("memory.reclaim", std::to_string(bytes));
    if (!reclaimed) detail::drain_page_lists();
    // Only setting a limit releases charges that CPUs hold in advance (drain_all_stock()).
    const auto before = fs::read_beneath(directory_, "memory.high", shown_);
    const bool limited = before && write("memory.high", "0");
    if (limited) (void)write("memory.high", *before);
    return reclaimed || limited;
  }

 private:
  /// Writes to a file, ignoring failures of the write; false if there is no such file.
  [[nodiscard]] bool write(const char* file, const std::string& text) const {
    const auto fd = fs::open_beneath(directory_, file, O_WRONLY, shown_);
    if (fd) (void)fs::write_once(fd->get(), text, shown_);
    return fd.has_value();
  }

  [[nodiscard]] Result<std::optional<std::uint64_t>> number(const char* file) const {
    const auto text = fs::read_beneath(directory_, file, fs::join(shown_, file));
    if (text) return parse::whole_number(*text);
    const bool absent = text.error().os_errno == ENOENT || text.error().kind == errc::vanished;
    return absent ? Result<std::optional<std::uint64_t>>(std::nullopt) : fail(text.error());
  }

  int directory_;
  Version version_;
  const std::string& shown_;
};

/// Removes one cgroup from one hierarchy.
class Remover {
 public:
  Remover(const Group::Place& place, const Removal& how, steady_clock::time_point end, Removed& out)
      : version_(place.hierarchy->version), how_(how), end_(end), out_(out) {}

  /// Fails if processes or cgroups prevent the removal, except those that `how_` kills or removes.
  [[nodiscard]] Status check(int directory, const std::string& shown) const {
    if (how_.below == Removal::Below::refuse) {
      const auto names = child_directories(directory, shown);
      if (!names) return fail(names.error());
      if (!names->empty()) {
        return fail(busy(
            shown,
            "there are cgroups below it (" + names->front() + (names->size() > 1 ? ", ...)" : ")"),
            "remove those first, or all of them with Removal::Below::remove"));
      }
    }
    if (auto status = check_threads(directory, shown); !status) return status;
    if (how_.tasks == Removal::Tasks::kill) return {};
    std::vector<pid_t> processes;
    if (auto status = detail::add_processes_below(directory, shown, processes); !status) {
      return status;
    }
    if (processes.empty()) return {};
    if (std::find(processes.begin(), processes.end(), 0) != processes.end()) {
      return fail(busy(shown, "processes of another PID namespace are in it",
                       "move or end them from the PID namespace that has them"));
    }
    return fail(busy(shown,
                     counted(processes.size(), "process is", "processes are") + " in it (" +
                         std::to_string(processes.front()) +
                         (processes.size() > 1 ? ", ...)" : ")"),
                     "move them with Group::attach(), or end them with Removal::Tasks::kill"));
  }

  /// Removes the cgroup `directory`, which is `name` inside `parent`.
  Status remove(int parent, const std::string& name, int directory, const std::string& shown) {
    if (how_.below == Removal::Below::remove) {
      auto status = detail::each_below_inmost_first(
          directory, shown, [&](const detail::Step& step) { return remove(step, shown); });
      if (!status) return status;
    }
    return remove_one(parent, name, directory, shown);
  }

 private:
  /// Removes a cgroup below `top`, after the cgroups below it.
  Status remove(const detail::Step& step, const std::string& top) {
    const std::string shown = fs::join(top, step.path);
    const auto child = fs::open_beneath(step.parent, step.name, O_PATH | O_DIRECTORY, shown);
    if (!child && child.error().os_errno == ENOENT) return {};
    if (!child) return fail(child.error());
    return remove_one(step.parent, step.name, child->get(), shown);
  }

  Status remove_one(int parent, const std::string& name, int directory, const std::string& shown) {
    if (how_.pages == Removal::Pages::empty) {
      if (auto status = empty(Memory(directory, version_, shown)); !status) return status;
    }
    return remove_directory(parent, name, directory, shown);
  }

  /// Fails if a threaded cgroup has threads: their processes belong to a cgroup above, which is not
  /// being removed.
  static Status check_threads(int directory, const std::string& shown) {
    const auto type = fs::read_beneath(directory, "cgroup.type", shown);
    if (!type && type.error().os_errno != ENOENT) return fail(type.error());
    if (!type || *type != "threaded\n") return {};
    const auto threads = fs::read_beneath(directory, "cgroup.threads", shown);
    if (!threads) return fail(threads.error());
    if (threads->empty()) return {};
    const std::string first = threads->substr(0, threads->find('\n'));
    return fail(busy(shown, "it is threaded, and threads are in it (" + first + ", ...)",
                     "their processes belong to the nearest cgroup above of type 'domain "
                     "threaded': move the threads into another cgroup below that, or end the "
                     "processes"));
  }

  Status empty(const Memory& memory) {
    const auto charged = memory.pages();
    if (!charged) return fail(charged.error());
    if (!*charged) return {};
    std::uint64_t left = **charged;
    bool written_back = false;
    unsigned useless = 0;
    while (left != 0 && useless < most_useless && steady_clock::now() < end_) {
      if (!memory.reclaim(left)) break;
      const auto now = memory.pages();
      if (!now) return fail(now.error());
      if (!*now) return {};
      if (**now != 0 && !written_back) {
        ::sync();
        written_back = true;
      } else if (**now >= left) {
        ++useless;
        std::this_thread::sleep_for(milliseconds(1));
      }
      left = **now;
    }
    out_.bytes_left += left;
    return {};
  }

  Status remove_directory(int parent, const std::string& name, int directory,
                          const std::string& shown) {
    struct ::stat held {};
    struct ::stat found {};
    int looked = sys::stat(directory, held);
    if (looked == 0) looked = sys::stat_at(parent, name.c_str(), found);
    if (looked < 0 && !detail::is_gone(looked)) {
      return fail(fs::system_error("stat", shown, -looked));
    }
    if (looked < 0 || held.st_ino != found.st_ino) return fail(detail::gone(deletion, shown));
    for (milliseconds pause(1);; pause = std::min(pause * 2, longest_pause)) {
      const int status = sys::remove_directory_at(parent, name.c_str());
      if (status == 0) break;
      if (status == -ENOENT) return fail(detail::gone(deletion, shown));
      if (status != -EBUSY) return fail(fs::system_error(deletion, shown, -status));
      if (steady_clock::now() >= end_) {
        return fail({errc::timed_out, EBUSY, deletion, shown,
                     "the kernel still holds it busy: a process or a cgroup came into it, its last "
                     "process has not quite ended, or one of another PID namespace is in it",
                     "try again, with Removal::Tasks::kill if there are processes"});
      }
      std::this_thread::sleep_for(pause);
    }
    ++out_.directories;
    return {};
  }

  Version version_;
  const Removal& how_;
  steady_clock::time_point end_;
  Removed& out_;
};

}  // namespace

Result<Removed> Group::remove(const Removal& how) const {
  if (path_ == "/") {
    return fail(Error::make(errc::invalid_argument, deletion, "/", "the root cannot be removed",
                            "name a cgroup below it"));
  }
  if (auto status = require_all(); !status) return fail(status.error());
  const auto end = steady_clock::now() + how.deadline;
  Removed out;
  const auto shown_in = [this](const Place& place) {
    return fs::join(place.hierarchy->mount_point, path_);
  };
  for (const Place& place : places_) {
    const int directory = place.directory.get();
    if (auto status = detail::require_cgroupfs(directory, deletion, shown_in(place)); !status) {
      return fail(status.error());
    }
    const Remover remover(place, how, end, out);
    if (auto status = remover.check(directory, shown_in(place)); !status) {
      return fail(status.error());
    }
  }
  if (how.tasks == Removal::Tasks::kill) {
    if (auto status = kill(how.deadline); !status) return fail(status.error());
  }
  const std::size_t slash = path_.rfind('/');
  for (const Place& place : places_) {
    const std::string shown = shown_in(place);
    const auto parent = fs::open_beneath(place.hierarchy->directory.get(), path_.substr(0, slash),
                                         O_PATH | O_DIRECTORY, shown);
    if (!parent) return fail(parent.error());
    Remover remover(place, how, end, out);
    auto status =
        remover.remove(parent->get(), path_.substr(slash + 1), place.directory.get(), shown);
    if (!status) {
      if (out.directories != 0) {
        status.error().hint += (status.error().hint.empty() ? "" : "; ") +
                               counted(static_cast<std::size_t>(out.directories), "directory was",
                                       "directories were") +
                               " removed before";
      }
      return fail(std::move(status.error()));
    }
  }
  return out;
}

}  // namespace cgctl
