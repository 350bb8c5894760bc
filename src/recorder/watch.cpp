// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/recorder.hpp"
#include "detail/directory.hpp"
#include "recorder/ledger.hpp"
#include "recorder/ledger_file.hpp"

namespace cgctl::recorder {
namespace {

constexpr const char* watching = "watch";
constexpr std::uint32_t comings_and_goings = IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR;
constexpr std::size_t most_noted = 16384;  // removals between two collections

Error watch_error(const std::string& path, int os_errno) {
  const bool instances = os_errno == EMFILE;
  return Error::system(
      watching, path, os_errno,
      instances ? "see fs.inotify.max_user_instances" : "see fs.inotify.max_user_watches");
}

}  // namespace

Result<Watch> Watch::start(const Host& host, std::size_t limit) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  Watch watch;
  watch.limit_ = limit;
  watch.shown_ = (*memory)->mount_point;
  watch.top_ = UniqueFd(sys::open_at((*memory)->directory.get(), ".", O_RDONLY | O_DIRECTORY));
  if (!watch.top_) return fail(fs::system_error("open", watch.shown_, -watch.top_.get()));
  watch.events_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch.events_) return fail(watch_error(watch.shown_, errno));
  watch.started_ = watch.now_ = boot_clock();
  if (auto status = watch.look_at_all(); !status) return fail(status.error());
  if (watch.directories_.empty()) return fail(watch_error(watch.shown_, ENOSPC));
  return watch;
}

/// Watches a directory. Returns false if that is not possible.
Result<bool> Watch::add(int directory, std::uint64_t inode, const std::string& path) {
  // Through the descriptor, because the path may lead to another directory by now.
  const std::string link = "/proc/self/fd/" + std::to_string(directory);
  const int watch = ::inotify_add_watch(events_.get(), link.c_str(), comings_and_goings);
  if (watch < 0 && errno != ENOSPC) {
    if (errno == ENOENT) return false;
    return fail(watch_error(fs::join(shown_, path), errno));
  }
  const auto place =
      std::lower_bound(directories_.begin(), directories_.end(), watch,
                       [](const Directory& one, int number) { return one.watch < number; });
  if (watch >= 0 && place != directories_.end() && place->watch == watch) {
    place->path = path;
    place->round = round_;
    return true;
  }
  if (watch < 0 || directories_.size() >= limit_) {
    if (watch >= 0) ::inotify_rm_watch(events_.get(), watch);
    ++unwatched_;
    return false;
  }
  directories_.insert(place, {watch, inode, round_, path});
  return true;
}

/// Watches a directory and all below it.
Status Watch::enter(std::string path) {
  std::vector<std::string> next{std::move(path)};
  const auto buffer = cgctl::detail::make_entries();
  while (!next.empty()) {
    const std::string one = std::move(next.back());
    next.pop_back();
    const auto directory =
        fs::open_beneath(top_.get(), one.empty() ? "." : std::string_view(one).substr(1),
                         O_RDONLY | O_DIRECTORY, fs::join(shown_, one));
    struct ::stat about {};
    // A directory that cannot be opened was removed meanwhile.
    if (!directory || sys::stat(directory->get(), about) < 0) continue;
    const auto added = add(directory->get(), about.st_ino, one);
    if (!added) return fail(added.error());
    if (!*added || cgctl::detail::is_leaf(about)) continue;
    cgctl::detail::each_subdirectory(
        directory->get(), *buffer,
        [&](const char* name, const struct ::stat&) { next.push_back(one + "/" + name); });
  }
  return {};
}

/// Watches all directories, and notes as removed those that are no longer found.
Status Watch::look_at_all() {
  ++round_;
  if (auto status = enter(""); !status) return status;
  for (std::size_t i = directories_.size(); i > 0; --i) {
    if (directories_[i - 1].round != round_) forget(i - 1);
  }
  return {};
}

void Watch::note_removal(std::string path, std::uint64_t inode) {
  if (gone_.size() == most_noted) {
    gone_.erase(gone_.begin());
    ++lost_;
  }
  gone_.push_back({now_, inode, std::move(path)});
}

/// Notes that a directory was removed, and ends its watch: the kernel keeps that.
void Watch::forget(std::size_t place) {
  const Directory one = std::move(directories_[place]);
  directories_.erase(directories_.begin() + static_cast<std::ptrdiff_t>(place));
  ::inotify_rm_watch(events_.get(), one.watch);
  note_removal(one.path, one.inode);
}

void Watch::forget(const std::string& path) {
  // Directories that were made last are removed first, as a rule.
  for (std::size_t i = directories_.size(); i > 0; --i) {
    if (directories_[i - 1].path == path) return forget(i - 1);
  }
  note_removal(path, 0);
}

/// Handles one event, about the directory `name` inside `parent`.
Status Watch::handle(const std::string& parent, const std::string& name, std::uint32_t what) {
  if ((what & IN_ISDIR) == 0) return {};
  if ((what & IN_DELETE) != 0) forget(parent + "/" + name);
  if ((what & IN_CREATE) != 0) return enter(parent + "/" + name);
  look_again_ = look_again_ || (what & IN_MOVE) != 0;
  return {};
}

Status Watch::follow() {
  constexpr int most_reads = 64;  // so that a storm of events does not hold the caller
  constexpr std::size_t size = 16384;
  alignas(inotify_event) std::array<char, size> buffer;  // NOLINT: written by the kernel
  for (int i = 0; i < most_reads; ++i) {
    const ssize_t got = sys::read(events_.get(), buffer.data(), buffer.size());
    if (got == -EINTR) continue;
    if (got == -EAGAIN || got == 0) break;
    if (got < 0) return fail(fs::system_error(watching, shown_, static_cast<int>(-got)));
    now_ = boot_clock();
    if (auto status = handle_all({buffer.data(), static_cast<std::size_t>(got)}); !status) {
      return status;
    }
  }
  if (!std::exchange(look_again_, false)) return {};
  now_ = boot_clock();
  return look_at_all();
}

/// Handles the events of one read.
Status Watch::handle_all(std::string_view events) {
  while (events.size() >= sizeof(inotify_event)) {
    inotify_event event{};
    std::memcpy(&event, events.data(), sizeof event);
    // The name ends with at least one zero byte.
    const std::string name = event.len == 0 ? "" : events.data() + sizeof event;
    events.remove_prefix(sizeof event + event.len);
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
      ++lost_;
      look_again_ = true;
    }
    const auto parent =
        std::lower_bound(directories_.begin(), directories_.end(), event.wd,
                         [](const Directory& one, int number) { return one.watch < number; });
    if (parent == directories_.end() || parent->watch != event.wd) continue;
    const std::string path = parent->path;
    if (auto status = handle(path, name, event.mask); !status) return status;
  }
  return {};
}

Result<Ledger> Watch::collect(const Host& host, const std::string& directory) {
  if (auto status = follow(); !status) return fail(status.error());
  auto file = LedgerFile::open(host, directory);
  if (!file) return fail(file.error());
  Ledger& ledger = file->ledger;
  const auto identity = static_cast<std::uint64_t>(started_.count());
  const bool fresh = ledger.instance != identity;
  if (fresh && (ledger.empty() || ledger.releases)) {
    ledger = Ledger{};
    ledger.since = std::chrono::duration_cast<std::chrono::seconds>(started_);
  }
  ledger.releases = false;
  ledger.instance = identity;
  ledger.lost += lost_;
  std::vector<Event> events;
  for (const Gone& one : gone_) {
    events.push_back({Event::Kind::removed, one.at, one.inode, one.path});
  }
  const workload::Pods pods = workload::Pods::read(host).value_or(workload::Pods());
  recorder::add(ledger, events, now_, pods);
  if (!fresh && gone_.empty() && lost_ == 0) return std::move(ledger);
  if (auto status = file->write(); !status) return fail(status.error());
  gone_.clear();
  lost_ = 0;
  return std::move(ledger);
}

}  // namespace cgctl::recorder
