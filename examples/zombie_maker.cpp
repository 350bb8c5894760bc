// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "zombie_maker.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::lab {
namespace {

constexpr std::size_t page = 4096;

Status put(const std::string& path, std::string_view value) {
  const auto fd = fs::open_trusted(path, O_WRONLY);
  if (!fd) return fail(fd.error());
  return fs::write_once(fd->get(), value, path);
}

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0)
    return fail(fs::system_error("make directory", path, errno));
  return {};
}

/// Removes a cgroup. Retries: rmdir fails with EBUSY for a moment after the last task has ended.
Status remove_group(const std::string& path) {
  for (int attempt = 0;; ++attempt) {
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != EBUSY || attempt == 200) return fail(fs::system_error("remove", path, errno));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// Moves the calling process ("0") into the cgroup. Returns an errno, 0 for success.
int enter(const std::string& group) {
  const UniqueFd procs(::open((group + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!procs || ::write(procs.get(), "0", 1) != 1) return errno;
  return 0;
}

/// Charges one page to the current cgroup in the way that `pin` names, and leaves mappings in place
/// to hold it. Returns an errno.
int charge(Pin pin, const std::string& file) {
  if (pin == Pin::mlock || pin == Pin::anonymous) {
    // mlock(2) does nothing in a program built with a sanitizer.
    const int lock = pin == Pin::mlock ? MAP_LOCKED : 0;
    void* const memory =
        ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | lock, -1, 0);
    if (memory == MAP_FAILED) return errno;
    *static_cast<char*>(memory) = 'z';
    return 0;
  }
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return errno;
  const std::array<char, page> content{'z'};
  if (::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
    return errno;
  if (pin != Pin::mapped_file) return 0;
  void* const memory = ::mmap(nullptr, page, PROT_READ, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
  return memory == MAP_FAILED ? errno : 0;
}

/// Gives the cgroup's children the memory controller. On v2 this does not happen by itself.
Status enable_memory(const Hierarchy& memory, const std::string& group) {
  if (memory.version == Version::v1) return {};
  return put(group + "/cgroup.subtree_control", "+memory");
}

}  // namespace

std::string_view to_string(Pin pin) noexcept {
  switch (pin) {
    case Pin::page_cache:
      return "page-cache";
    case Pin::tmpfs:
      return "tmpfs";
    case Pin::mapped_file:
      return "mapped-file";
    case Pin::mlock:
      return "mlock";
    case Pin::anonymous:
      return "anonymous";
  }
  return "unknown";
}

std::string_view cure(Pin pin) noexcept {
  switch (pin) {
    case Pin::page_cache:
      return "drop the page cache";
    case Pin::tmpfs:
      return "remove the files on tmpfs";
    case Pin::mapped_file:
      return "end the process that maps the files, then drop the page cache";
    case Pin::mlock:
      return "end the process that locked the memory";
    case Pin::anonymous:
      return "end the process that uses the memory";
  }
  return "";
}

ZombieMaker::ZombieMaker(Pin pin, std::string group, std::string group_directory,
                         std::string file_directory) noexcept
    : pin_(pin),
      group_(std::move(group)),
      group_directory_(std::move(group_directory)),
      file_directory_(std::move(file_directory)) {}

ZombieMaker::ZombieMaker(ZombieMaker&& other) noexcept
    : pin_(other.pin_),
      group_(std::move(other.group_)),
      group_directory_(std::move(other.group_directory_)),
      file_directory_(std::move(other.file_directory_)),
      made_(other.made_),
      holders_(std::move(other.holders_)),
      released_(std::exchange(other.released_, true)) {}

ZombieMaker::~ZombieMaker() { (void)release(); }

Result<ZombieMaker> ZombieMaker::open(const Host& host, Pin pin, const std::string& name,
                                      const std::string& files) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  struct ::statfs where {};
  if (::statfs(files.c_str(), &where) != 0) return fail(fs::system_error("look at", files, errno));
  const bool on_tmpfs = where.f_type == TMPFS_MAGIC;
  const bool needs_files = pin != Pin::mlock && pin != Pin::anonymous;
  if (needs_files && on_tmpfs != (pin == Pin::tmpfs)) {
    return fail(
        Error::make(errc::invalid_argument, "look at", files,
                    on_tmpfs ? "it is a tmpfs, whose pages no drop frees" : "it is not a tmpfs",
                    "name another folder"));
  }
  ZombieMaker maker(pin, fs::join("/", name), fs::join((*memory)->mount_point, name),
                    fs::join(files, name));
  if (auto status = make_directory(maker.group_directory_); !status) {
    maker.released_ = true;
    return fail(status.error());
  }
  if (auto status = enable_memory(**memory, maker.group_directory_); !status)
    return fail(status.error());
  if (auto status = make_directory(maker.group_directory_ + "/home"); !status)
    return fail(status.error());
  if (auto status = make_directory(maker.file_directory_); !status) return fail(status.error());
  return maker;
}

int ZombieMaker::child_main(std::uint64_t first, std::uint64_t count, int report) const {
  const std::string home = group_directory_ + "/home";
  int error = 0;
  for (std::uint64_t i = first; error == 0 && i < first + count; ++i) {
    const std::string group = group_directory_ + "/z" + std::to_string(i);
    if (::mkdir(group.c_str(), 0755) != 0) return errno;
    error = enter(group);
    if (error == 0) error = charge(pin_, file_directory_ + "/" + std::to_string(i));
    const int left = enter(home);
    if (error == 0) error = left;
    if (::rmdir(group.c_str()) != 0 && error == 0) error = errno;
  }
  if (::write(report, &error, sizeof error) != sizeof error) return 1;
  if (pin_ != Pin::page_cache && pin_ != Pin::tmpfs) ::pause();
  return 0;
}

Status ZombieMaker::make(std::uint64_t count) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return fail(fs::system_error("make zombies", group_, errno));
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return fail(fs::system_error("make zombies", group_, errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(::getppid() == parent ? child_main(made_, count, writing.get()) : ESRCH);
  }
  writing.reset();
  holders_.push_back(child);
  made_ += count;
  int error = EPIPE;
  while (::read(reading.get(), &error, sizeof error) < 0 && errno == EINTR) {
  }
  if (error != 0) return fail(fs::system_error("make zombies", group_, error));
  return {};
}

Status ZombieMaker::cure() {
  for (const pid_t holder : std::exchange(holders_, {})) {
    ::kill(holder, SIGKILL);
    while (::waitpid(holder, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  std::error_code error;
  std::filesystem::remove_all(file_directory_, error);
  if (error) return fail(fs::system_error("remove", file_directory_, error.value()));
  return {};
}

Status ZombieMaker::release() {
  if (std::exchange(released_, true)) return {};
  Status first = cure();
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(group_directory_, ignored)) {
    if (!entry.is_directory(ignored)) continue;
    if (auto status = remove_group(entry.path()); !status && first) first = status;
  }
  if (auto status = remove_group(group_directory_); !status && first) first = status;
  return first;
}

}  // namespace cgctl::lab
