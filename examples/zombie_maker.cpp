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
constexpr const char* live_file = "live-";  // the beginning of the names of neighbours' files

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

/// Writes one page at a place of the file, and reads it `reads` times. Returns an errno.
int write_page(int fd, off_t place, int reads) {
  std::array<char, page> content{'z'};
  if (::pwrite(fd, content.data(), page, place) != static_cast<ssize_t>(page)) return errno;
  for (int i = 0; i < reads; ++i) {
    if (::pread(fd, content.data(), page, place) != static_cast<ssize_t>(page)) return errno;
  }
  return 0;
}

/// True if the pages go when the process that has them ends.
bool needs_holder(Pin pin) noexcept {
  return pin == Pin::mapped_file || pin == Pin::mlock || pin == Pin::anonymous;
}

/// Charges one page of memory to the current cgroup and leaves it mapped. Returns an errno.
int charge_memory(Pin pin) {
  // mlock(2) does nothing in a program built with a sanitizer.
  const int lock = pin == Pin::mlock ? MAP_LOCKED : 0;
  void* const memory =
      ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | lock, -1, 0);
  if (memory == MAP_FAILED) return errno;
  *static_cast<char*>(memory) = 'z';
  return 0;
}

/// The pages of the shared file: those of zombies and those of a live cgroup take turns.
off_t shared_page(std::uint64_t index, bool live) {
  return static_cast<off_t>((2 * index + (live ? 1 : 0)) * page);
}

/// Charges one page to the current cgroup in the way that `pin` names, and leaves mappings in place
/// to hold it. Returns an errno.
int charge(Pin pin, const std::string& directory, std::uint64_t index) {
  if (pin == Pin::mlock || pin == Pin::anonymous) return charge_memory(pin);
  const bool shared = pin == Pin::shared;
  const std::string file = directory + "/" + (shared ? "shared" : std::to_string(index));
  const int how = O_RDWR | O_CREAT | O_CLOEXEC | (shared ? 0 : O_TRUNC);
  const UniqueFd fd(::open(file.c_str(), how, 0600));
  if (!fd) return errno;
  constexpr int reads_to_activate = 3;
  const int error = write_page(fd.get(), shared ? shared_page(index, false) : 0,
                               pin == Pin::active ? reads_to_activate : 0);
  if (error != 0 || pin != Pin::mapped_file) return error;
  void* const memory = ::mmap(nullptr, page, PROT_READ, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
  return memory == MAP_FAILED ? errno : 0;
}

/// Writes the pages of the shared file that belong to the live. Returns an errno.
int write_live_pages(const std::string& file, std::uint64_t first, std::uint64_t count) {
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return errno;
  for (std::uint64_t i = first; i < first + count; ++i) {
    const int error = write_page(fd.get(), shared_page(i, true), 0);
    if (error != 0) return error;
  }
  return 0;
}

/// Writes `bytes` bytes to a file; if `bytes` is 0, reads the whole file. Returns 0 or an errno.
int fill_cache(const std::string& path, std::uint64_t bytes) {
  static std::array<char, std::size_t{64} << 10> buffer;
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return errno;
  for (std::uint64_t done = 0; done < bytes; done += buffer.size()) {
    if (::write(fd.get(), buffer.data(), buffer.size()) < 0) return errno;
  }
  ::fsync(fd.get());
  ssize_t got = 1;
  while (bytes == 0 && got > 0) got = ::read(fd.get(), buffer.data(), buffer.size());
  return got < 0 ? errno : 0;
}

void wait_for(pid_t child) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
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
    case Pin::active:
      return "active";
    case Pin::shared:
      return "shared";
    case Pin::nested:
      return "nested";
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
    case Pin::active:
    case Pin::shared:
    case Pin::nested:
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
      neighbours_(std::move(other.neighbours_)),
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

std::string ZombieMaker::directory_of(const std::string& group) const {
  // `group_directory_` is the mount point and `group_`.
  return group_directory_.substr(0, group_directory_.size() - group_.size()) + group;
}

/// Makes one zombie, or a pair of them. Returns an errno.
int ZombieMaker::make_one(std::uint64_t index) const {
  const std::string outer = group_directory_ + "/z" + std::to_string(index);
  const std::string inner = outer + "/container";
  const bool nested = pin_ == Pin::nested;
  if (::mkdir(outer.c_str(), 0755) != 0) return errno;
  // Only v2 has this file.
  const UniqueFd control(
      nested ? ::open((outer + "/cgroup.subtree_control").c_str(), O_WRONLY | O_CLOEXEC) : -1);
  if (control && ::write(control.get(), "+memory", 7) != 7) return errno;
  if (nested && ::mkdir(inner.c_str(), 0755) != 0) return errno;
  int error = enter(nested ? inner : outer);
  if (error == 0) error = charge(pin_, file_directory_, index);
  const int left = enter(group_directory_ + "/home");
  if (error == 0) error = left;
  if (nested && ::rmdir(inner.c_str()) != 0 && error == 0) error = errno;
  if (::rmdir(outer.c_str()) != 0 && error == 0) error = errno;
  return error;
}

int ZombieMaker::child_main(std::uint64_t first, std::uint64_t count, int report) const {
  int error = 0;
  for (std::uint64_t i = first; error == 0 && i < first + count; ++i) error = make_one(i);
  if (error == 0 && pin_ == Pin::shared) {
    if (!neighbours_.empty()) error = enter(directory_of(neighbours_.front()));
    if (error == 0) error = write_live_pages(file_directory_ + "/shared", first, count);
  }
  if (::write(report, &error, sizeof error) != sizeof error) return 1;
  if (needs_holder(pin_)) ::pause();
  return 0;
}

/// Runs `work`, which gets the descriptor that it reports an errno to, in a child process, until it
/// has reported. Returns the child's process id.
template <class Work>
Result<int> ZombieMaker::start(const Work& work) const {
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
    ::_exit(::getppid() == parent ? work(writing.get()) : ESRCH);
  }
  writing.reset();
  int error = EPIPE;
  while (::read(reading.get(), &error, sizeof error) < 0 && errno == EINTR) {
  }
  if (error == 0) return child;
  wait_for(child);
  return fail(fs::system_error("make zombies", group_, error));
}

Status ZombieMaker::make(std::uint64_t count) {
  const std::uint64_t each = pin_ == Pin::nested ? 2 : 1;
  count = (count + each - 1) / each;
  const auto child = start([this, count](int report) { return child_main(made_, count, report); });
  if (!child) return fail(child.error());
  if (needs_holder(pin_)) {
    holders_.push_back(*child);
  } else {
    wait_for(*child);
  }
  made_ += count;
  return {};
}

/// Reads the neighbours' files, each in its own cgroup; writes them first if `bytes_to_write` is
/// not 0. Returns an errno.
int ZombieMaker::read_neighbours(std::uint64_t bytes_to_write) const {
  int error = 0;
  for (std::size_t i = 0; error == 0 && i < neighbours_.size(); ++i) {
    const std::string file = file_directory_ + "/" + live_file + std::to_string(i);
    error = enter(directory_of(neighbours_[i]));
    if (error == 0 && bytes_to_write != 0) error = fill_cache(file, bytes_to_write);
    if (error == 0) error = fill_cache(file, 0);
  }
  return error;
}

Status ZombieMaker::refill_neighbours() { return make_neighbours(0, 0); }

Status ZombieMaker::make_neighbours(std::uint64_t count, std::uint64_t bytes) {
  for (std::uint64_t i = 0; i < count; ++i) {
    neighbours_.push_back(group_ + "/live-" + std::to_string(i));
  }
  if (count != 0) neighbours_.push_back(group_ + "-outside");
  for (std::size_t i = 0; count != 0 && i < neighbours_.size(); ++i) {
    if (auto status = make_directory(directory_of(neighbours_[i])); !status) return status;
  }
  const auto child = start([this, bytes](int report) {
    const int error = read_neighbours(bytes);
    return ::write(report, &error, sizeof error) == sizeof error ? 0 : 1;
  });
  if (!child) return fail(child.error());
  wait_for(*child);
  return {};
}

void ZombieMaker::end_holders() {
  for (const pid_t holder : std::exchange(holders_, {})) {
    ::kill(holder, SIGKILL);
    wait_for(holder);
  }
}

Status ZombieMaker::discard() {
  end_holders();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(file_directory_, error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(live_file, 0) != 0 && ::unlink(entry.path().c_str()) != 0)
      return fail(fs::system_error("remove", entry.path().string(), errno));
  }
  if (error) return fail(fs::system_error("read directory", file_directory_, error.value()));
  return {};
}

Status ZombieMaker::cure() {
  end_holders();
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
    // Only a maker that failed leaves this one.
    (void)remove_group(entry.path().string() + "/container");
    if (auto status = remove_group(entry.path()); !status && first) first = status;
  }
  if (auto status = remove_group(group_directory_ + "-outside"); !status && first) first = status;
  if (auto status = remove_group(group_directory_); !status && first) first = status;
  return first;
}

}  // namespace cgctl::lab
