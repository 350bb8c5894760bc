// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "zombie_statistics.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "cgctl/filesystem.hpp"

namespace cgctl::lab {
namespace {

constexpr std::size_t page = 4096;
constexpr const char* operation = "make removed cgroups";

/// Moves the calling process into a cgroup, charges a page of the file to it, and removes the
/// cgroup that the process was in before. Returns an errno, 0 for success.
int charge_page(const std::string& group, const std::string& before, int pages, off_t place) {
  if (::mkdir(group.c_str(), 0755) != 0) return errno;
  const UniqueFd procs(::open((group + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  if (!procs || ::write(procs.get(), "0", 1) != 1) return errno;
  if (::pwrite(pages, "z", 1, place) != 1) return errno;
  return before.empty() || ::rmdir(before.c_str()) == 0 ? 0 : errno;
}

/// Makes the cgroups, in a process of its own, which is in the last of them when it ends. Returns
/// an errno.
int make_all(const std::string& parent, int pages, std::size_t count) {
  std::string before;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string group = parent + "/" + std::to_string(i);
    const int error = charge_page(group, before, pages, static_cast<off_t>(i * page));
    if (error != 0) return error;
    before = group;
  }
  return 0;
}

/// Removes a cgroup. Retries: that fails for a moment after the last task has ended.
int remove(const std::string& group) {
  constexpr int most = 200;
  for (int tries = 0;; ++tries) {
    if (::rmdir(group.c_str()) == 0 || errno == ENOENT) return 0;
    if (errno != EBUSY || tries == most) return errno;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// Runs make_all() in a child process. Returns its errno.
int make_in_child(const std::string& parent, int pages, std::size_t count) {
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(::getppid() == self ? make_all(parent, pages, count) : ESRCH);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/// Makes the cgroups below `parent`, which is removed with them. Returns an errno.
int make_below(const Hierarchy& memory, const std::string& parent, int pages, std::size_t count) {
  if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) return errno;
  int error = 0;
  if (memory.version == Version::v2) {
    for (const std::string& group : {memory.mount_point, parent}) {
      const UniqueFd control(
          ::open((group + "/cgroup.subtree_control").c_str(), O_WRONLY | O_CLOEXEC));
      if (!control || ::write(control.get(), "+memory", 7) != 7) error = errno;
    }
  }
  if (error == 0) error = make_in_child(parent, pages, count);
  for (std::size_t i = error == 0 ? count - 1 : 0; i < count; ++i) {
    const int failed = remove(parent + "/" + std::to_string(i));
    if (error == 0) error = failed;
  }
  const int failed = remove(parent);
  return error != 0 ? error : failed;
}

}  // namespace

ZombieStatistics::ZombieStatistics(std::size_t count, UniqueFd pages, UniqueFd file,
                                   std::string path) noexcept
    : count_(count), pages_(std::move(pages)), file_(std::move(file)), path_(std::move(path)) {}

ZombieStatistics::ZombieStatistics(ZombieStatistics&& other) noexcept
    : count_(other.count_),
      pages_(std::move(other.pages_)),
      file_(std::move(other.file_)),
      path_(std::move(other.path_)),
      mapping_(std::exchange(other.mapping_, nullptr)) {}

ZombieStatistics& ZombieStatistics::operator=(ZombieStatistics&& other) noexcept {
  std::swap(count_, other.count_);
  std::swap(pages_, other.pages_);
  std::swap(file_, other.file_);
  std::swap(path_, other.path_);
  std::swap(mapping_, other.mapping_);
  return *this;
}

ZombieStatistics::~ZombieStatistics() {
  if (mapping_ != nullptr) ::munmap(mapping_, count_ * page);
}

Result<ZombieStatistics> ZombieStatistics::make(const Host& host, std::size_t count) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  const std::string path = (*memory)->mount_point + "/memory.stat";
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail(fs::system_error("open", path, errno));
  UniqueFd pages(::memfd_create("network_lab", MFD_CLOEXEC));
  const std::size_t size = count * page;
  if (!pages || ::ftruncate(pages.get(), static_cast<off_t>(size)) != 0) {
    return fail(fs::system_error(operation, "memfd", errno));
  }
  const std::string parent =
      (*memory)->mount_point + "/cgctl-network-lab-" + std::to_string(::getpid());
  const int error = make_below(**memory, parent, pages.get(), count);
  if (error != 0) return fail(fs::system_error(operation, parent, error));
  ZombieStatistics made(count, std::move(pages), std::move(file), path);
  void* const mapping = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, made.pages_.get(), 0);
  if (mapping == MAP_FAILED) return fail(fs::system_error(operation, "memfd", errno));
  made.mapping_ = mapping;
  return made;
}

Status ZombieStatistics::change() const {
  // The kernel counts the mapped pages of each cgroup.
  constexpr std::size_t at_once = 32;
  auto* const first = static_cast<char*>(mapping_);
  for (std::size_t i = 0; i < count_; ++i) {
    (void)*static_cast<volatile const char*>(first + i * page);
  }
  for (std::size_t i = 0; i < count_; i += at_once) {
    const std::size_t size = std::min(at_once, count_ - i) * page;
    if (::madvise(first + i * page, size, MADV_DONTNEED) != 0) {
      return fail(fs::system_error("unmap pages", "memfd", errno));
    }
  }
  return {};
}

Status ZombieStatistics::read() const {
  std::array<char, 16 * page> text{};
  if (::pread(file_.get(), text.data(), text.size(), 0) > 0) return {};
  return fail(fs::system_error("read", path_, errno));
}

}  // namespace cgctl::lab
