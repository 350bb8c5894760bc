// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/parse.hpp"

namespace cgctl::memory {
namespace {

Result<Version> version_of(const Group& group) {
  const auto place = group.place("memory");
  if (!place) return fail(place.error());
  return (*place)->hierarchy->version;
}

Result<Events> read_v2(const Group& group, const char* file) {
  const auto text = group.read(file);
  if (!text) return fail(text.error());
  const auto value = [&text](std::string_view key) { return parse::value_of(*text, key); };
  const Events events{value("low"),
                      value("high"),
                      value("max"),
                      value("oom"),
                      value("oom_kill"),
                      value("oom_group_kill"),
                      parse::lines_without_number(*text)};
  const bool all = events.low && events.high && events.max;
  const bool any = events.low || events.high || events.max;
  if (all || (any && events.skipped_lines != 0)) return events;
  return fail(
      Error::make(errc::malformed, "parse", group.shown(file), "lacks one of low, high and max"));
}

Result<Events> read_v1(const Group& group) {
  Events events;
  const auto failcnt = group.read("memory.failcnt");
  if (!failcnt) return fail(failcnt.error());
  events.max = parse::whole_number(*failcnt);
  if (!events.max) ++events.skipped_lines;
  const auto control = group.read("memory.oom_control");
  if (control) {
    events.oom_kill = parse::value_of(*control, "oom_kill");
    events.skipped_lines += parse::lines_without_number(*control);
  }
  if (!control && control.error().kind != errc::unsupported) return fail(control.error());
  return events;
}

Error v1_only(const Group& group, const char* hint) {
  return Error::make(errc::unsupported, "watch", group.path(), "cgroup v2 has no such notification",
                     hint);
}

/// Checks by a read that the cgroup still exists.
Status check_there(int fd, const std::string& path) {
  std::array<char, 1> byte{};
  const ssize_t got = sys::pread(fd, byte.data(), byte.size(), 0);
  if (got == -ENODEV) return fail(fs::system_error("watch", path, ENODEV));
  return {};
}

}  // namespace

Result<Events> events(const Group& group) {
  const auto version = version_of(group);
  if (!version) return fail(version.error());
  return *version == Version::v2 ? read_v2(group, "memory.events") : read_v1(group);
}

Result<Events> local_events(const Group& group) {
  const auto version = version_of(group);
  if (!version) return fail(version.error());
  return *version == Version::v2 ? read_v2(group, "memory.events.local") : read_v1(group);
}

Peak::Peak(UniqueFd fd, std::string path, bool writable) noexcept
    : fd_(std::move(fd)), path_(std::move(path)), writable_(writable) {}

Result<Peak> Peak::open(const Group& group) {
  const auto version = version_of(group);
  if (!version) return fail(version.error());
  const char* const file = *version == Version::v1 ? "memory.max_usage_in_bytes" : "memory.peak";
  auto fd = group.open_file(file, O_RDWR);
  const bool writable = fd.has_value();
  if (!fd && fd.error().kind == errc::system) fd = group.open_file(file, O_RDONLY);
  if (!fd) return fail(fd.error());
  return Peak(std::move(*fd), group.shown(file), writable);
}

Result<std::uint64_t> Peak::read() const {
  const auto text = fs::read_all(fd_.get(), path_);
  if (!text) return fail(text.error());
  const auto bytes = parse::whole_number(*text);
  if (bytes) return *bytes;
  return fail(Error::make(errc::malformed, "parse", path_, "not a number"));
}

Status Peak::reset() const {
  // Root may open a file that has no write method: writing then fails with EINVAL.
  auto status = writable_ ? fs::write_once(fd_.get(), "0", path_)
                          : Status(fail(Error::system("write", path_, EACCES)));
  if (status || status.error().kind != errc::system) return status;
  if (status.error().os_errno != EACCES && status.error().os_errno != EINVAL) return status;
  return fail(Error::make(errc::unsupported, "reset", path_, "this kernel cannot reset the peak",
                          "it needs Linux 6.12; compare memory.current yourself"));
}

Result<Watch> Watch::register_v1(const Group& group, const char* file,
                                 const std::string& argument) {
  const std::string shown = group.shown(file);
  auto watched = group.open_file(file, O_RDONLY);
  if (!watched) return fail(watched.error());
  UniqueFd notices(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!notices) return fail(Error::system("watch", shown, errno));
  const auto place = group.place("memory");
  if (!place) return fail(place.error());
  const auto control = open_file_in(**place, group.path(), "cgroup.event_control", O_WRONLY);
  if (!control) return fail(control.error());
  std::string line = std::to_string(notices.get()) + " " + std::to_string(watched->get());
  if (!argument.empty()) line += " " + argument;
  if (auto status = fs::write_once(control->get(), line, shown); !status) {
    Error error = std::move(status.error());
    error.operation = "watch";
    return fail(std::move(error));
  }
  return Watch(std::move(notices), std::move(*watched), shown, Version::v1);
}

Watch::Watch(UniqueFd fd, UniqueFd file, std::string path, Version version) noexcept
    : fd_(std::move(fd)), file_(std::move(file)), path_(std::move(path)), version_(version) {}

Result<Watch> Watch::oom(const Group& group) {
  const auto version = version_of(group);
  if (!version) return fail(version.error());
  if (*version == Version::v1) return register_v1(group, "memory.oom_control", {});
  const std::string shown = group.shown("memory.events");
  auto watched = group.open_file("memory.events", O_RDONLY);
  if (!watched) return fail(watched.error());
  UniqueFd notices(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!notices) {
    return fail(Error::system("watch", shown, errno, "see fs.inotify.max_user_instances"));
  }
  // Watched through the descriptor, because the path may by now lead to another cgroup of that
  // name.
  const std::string link = "/proc/self/fd/" + std::to_string(watched->get());
  if (::inotify_add_watch(notices.get(), link.c_str(), IN_MODIFY) < 0) {
    return fail(Error::system("watch", shown, errno, "see fs.inotify.max_user_watches"));
  }
  return Watch(std::move(notices), std::move(*watched), shown, Version::v2);
}

Result<Watch> Watch::threshold(const Group& group, std::uint64_t bytes) {
  const auto version = version_of(group);
  if (!version) return fail(version.error());
  if (*version == Version::v2) {
    return fail(v1_only(group, "set memory.high and watch memory.events instead"));
  }
  return register_v1(group, "memory.usage_in_bytes", std::to_string(bytes));
}

Result<Watch> Watch::pressure(const Group& group, Level level) {
  const auto version = version_of(group);
  if (!version) return fail(version.error());
  if (*version == Version::v2) return fail(v1_only(group, "use memory.pressure"));
  const char* const names[] = {"low", "medium", "critical"};
  return register_v1(group, "memory.pressure_level", names[static_cast<std::size_t>(level)]);
}

Result<std::uint64_t> Watch::take() const {
  std::uint64_t notices = 0;
  if (version_ == Version::v1) {
    ssize_t got = 0;
    do {
      got = ::read(fd_.get(), &notices, sizeof notices);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno != EAGAIN) return fail(Error::system("watch", path_, errno));
  } else {
    // Events of a watch on one file have no name and all the same size.
    std::array<inotify_event, 16> events;  // NOLINT: written by the kernel
    for (;;) {
      const ssize_t got = ::read(fd_.get(), events.data(), sizeof events);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno != EAGAIN) return fail(Error::system("watch", path_, errno));
      if (got <= 0) break;
      notices += static_cast<std::size_t>(got) / sizeof(inotify_event);
    }
  }
  if (auto status = check_there(file_.get(), path_); !status) return fail(status.error());
  return notices;
}

}  // namespace cgctl::memory
