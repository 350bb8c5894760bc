// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/evict.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory.hpp"
#include "detail/open_beneath.hpp"
#include "detail/page_lists.hpp"
#include "detail/shared_memory.hpp"

namespace cgctl::detail {
namespace {

using census::PageRange;
using census::PinnedFile;
using census::PinnedFiles;
using mitigation::Obstacle;

/// Number of files that are open at a time: all are being written before the first is waited for.
constexpr std::size_t batch_size = 32;

/// The cgroup that nudge() creates and removes.
constexpr const char* nudge_name = "cgctl-nudge";

bool begins_before(const PageRange& a, const PageRange& b) { return a.first < b.first; }

/// Returns the pages of a file that hold removed cgroups, in order; only neighbours are joined.
std::vector<PageRange> pages_of(const PinnedFile& file) {
  std::vector<PageRange> all;
  for (const census::Holding& one : file.holds)
    all.insert(all.end(), one.pages.begin(), one.pages.end());
  std::sort(all.begin(), all.end(), begins_before);
  std::vector<PageRange> joined;
  for (const PageRange& one : all) {
    if (joined.empty() || joined.back().first + joined.back().count < one.first) {
      joined.push_back(one);
      continue;
    }
    PageRange& last = joined.back();
    last.count = std::max(last.first + last.count, one.first + one.count) - last.first;
  }
  return joined;
}

/// Returns false if the file system knows the file's generation, and it is another one: a new file
/// has taken the inode number.
bool is_generation(int fd, std::uint32_t generation) noexcept {
  std::array<std::uint32_t, 2> found{};
  return ::ioctl(fd, FS_IOC_GETVERSION, found.data()) != 0 || found[0] == generation;
}

/// Opens a file by its inode number and generation, on the file system of the directory `mount`.
/// Returns a negated errno, -ESTALE if there is no such file.
int open_by_number(int mount, std::uint64_t inode, std::uint32_t generation) noexcept {
  struct {
    std::uint32_t bytes = 2 * sizeof(std::uint32_t);
    std::int32_t type = 1;  // FILEID_INO32_GEN in include/linux/exportfs.h
    std::uint32_t inode = 0;
    std::uint32_t generation = 0;
  } handle;
  handle.inode = static_cast<std::uint32_t>(inode);
  handle.generation = generation;
  const UniqueFd directory(sys::open_at(mount, ".", O_RDONLY | O_DIRECTORY));
  if (!directory) return directory.get();
  const auto fd = ::syscall(SYS_open_by_handle_at, directory.get(), &handle, O_PATH | O_CLOEXEC);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

/// Calls `visit` for each entry of a directory, until it returns a negative value.
template <class Visit>
void each_name(int directory, const char* path, Entries& buffer, const Visit& visit) {
  const int fd = sys::open_at(directory, path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  const UniqueFd listed(fd);
  (void)each_entry(fd, buffer,
                   [&](const char* name, unsigned char) { return visit(listed.get(), name); });
}

/// True if a link in /proc/PID/fd leads to a deleted file; does not ask its file system.
bool leads_to_deleted(int directory, const char* name) {
  constexpr std::string_view mark = " (deleted)";
  std::array<char, 4096> text{};
  const ssize_t size = ::readlinkat(directory, name, text.data(), text.size());
  if (size <= 0) return false;
  const std::string_view target(text.data(), static_cast<std::size_t>(size));
  return target.size() > mark.size() && target.substr(target.size() - mark.size()) == mark;
}

}  // namespace

Eviction::Eviction(const Host& host, const PinnedFiles& found, std::size_t most,
                   Clock::time_point end)
    : descriptors_(fs::join(host.roots().proc, "self/fd/")),
      first_root_(fs::join(host.roots().proc, "1/root")),
      page_size_(static_cast<off_t>(host.page_size())),
      v2_root_(-1) {
  const Hierarchy* const memory = host.find("memory");
  if (memory != nullptr && memory->version == Version::v2) v2_root_ = memory->directory.get();
  std::vector<const PinnedFile*> deleted;
  for (const PinnedFile& file : found.files) {
    const Obstacle why = obstacle_to(file);
    if (why == Obstacle::deleted) deleted.push_back(&file);
    if (why != Obstacle::busy && why != Obstacle::mapped) continue;
    cut_ = targets_.size() >= most;
    if (cut_) break;
    if (!file.deleted) add(file);
  }
  if (!deleted.empty() && !cut_) add_deleted(host, deleted, end);
  std::vector<std::uint64_t> devices;
  for (Target& one : targets_) {
    one.first_on_device = std::find(devices.begin(), devices.end(), one.device) == devices.end();
    if (one.first_on_device) devices.push_back(one.device);
  }
}

Eviction::Target Eviction::target_of(const PinnedFile& file) const {
  Target target;
  target.device = file.device;
  target.inode = file.inode;
  target.generation = file.generation;
  target.mapped = file.mapped;
  struct ::stat about {};
  if (file.mapped && !file.overlay.empty() && ::stat(file.overlay.c_str(), &about) == 0) {
    target.shown_as = {about.st_dev, about.st_ino};
  }
  target.pages = pages_of(file);
  return target;
}

int Eviction::mount_descriptor(const std::string& mount) {
  for (const auto& [known, directory] : mounts_) {
    if (known == mount) return directory.get();
  }
  const bool of_another = mount.compare(0, first_root_.size(), first_root_) == 0;
  const std::string root = of_another ? first_root_ : "/";
  auto opened = fs::open_mount_point(root, mount.substr(of_another ? first_root_.size() : 0));
  mounts_.emplace_back(mount, opened ? std::move(*opened) : UniqueFd());
  return mounts_.back().second.get();
}

/// Adds a file that is not deleted. A mount that shows only one file is left out.
void Eviction::add(const PinnedFile& file) {
  if (file.mount.empty()) return;
  const std::size_t skip = file.mount.size() + (file.mount.back() == '/' ? 0 : 1);
  const bool reachable = file.path.size() > skip || has_handle(file);
  const int mount = reachable ? mount_descriptor(file.mount) : -1;
  if (mount < 0) return;
  Target target = target_of(file);
  target.mount = mount;
  if (!file.path.empty()) target.path = file.path.substr(skip);
  targets_.push_back(std::move(target));
}

/// Adds the deleted files that a process has open or maps, by the process's link to them.
void Eviction::add_deleted(const Host& host, const std::vector<const PinnedFile*>& files,
                           Clock::time_point end) {
  std::vector<bool> added(files.size());
  const auto note = [&](int directory, const char* name, const std::string& folder) {
    if (!leads_to_deleted(directory, name)) return;
    struct ::statx about {};
    if (::statx(directory, name, AT_STATX_DONT_SYNC, STATX_INO, &about) != 0) return;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (added[i] || files[i]->inode != about.stx_ino) continue;
      Target target = target_of(*files[i]);
      target.path = folder + "/" + name;
      targets_.push_back(std::move(target));
      added[i] = true;
    }
  };
  const auto processes = make_entries();
  const auto buffer = make_entries();
  each_name(AT_FDCWD, host.roots().proc.c_str(), *processes, [&](int, const char* process) {
    if (Clock::now() >= end) return -1;
    if (!parse::whole_number(process)) return 0;
    for (const char* const links : {"/fd", "/map_files"}) {
      const std::string folder = fs::join(host.roots().proc, process) + links;
      each_name(AT_FDCWD, folder.c_str(), *buffer, [&](int directory, const char* name) {
        note(directory, name, folder);
        return 0;
      });
    }
    return 0;
  });
}

void Eviction::page_out(const Host& host, std::vector<pid_t> processes) {
  page_out_.emplace(host, std::move(processes));
  for (const Target& one : targets_) {
    if (!one.mapped) continue;
    const FileId id(one.device, one.inode);
    page_out_->add(id, one.pages, one.written);
    // Since Linux 6.8, /proc/PID/maps shows the overlay's own device and inode.
    if (one.shown_as != FileId() && one.shown_as != id) {
      page_out_->add(one.shown_as, one.pages, one.written);
    }
  }
}

// ---- in the child

/// Returns a descriptor that only names the file, or a negated errno.
int Eviction::open_place(const Target& target) const noexcept {
  if (target.path.empty()) return open_by_number(target.mount, target.inode, target.generation);
  return target.mount < 0 ? sys::open_at(AT_FDCWD, target.path.c_str(), O_PATH)
                          : open_beneath(target.mount, target.path.c_str(), O_PATH | O_NOFOLLOW);
}

/// Opens the file if it is the one that was found. A FIFO, a device or a link at its path is not
/// opened. Returns a negated errno, -ESTALE for another file.
int Eviction::open(const Target& target) const noexcept {
  const int place = open_place(target);
  if (place < 0) return place;
  const UniqueFd held(place);
  struct ::stat about {};
  if (const int status = sys::stat(place, about); status < 0) return status;
  if (!S_ISREG(about.st_mode) || about.st_dev != target.device || about.st_ino != target.inode) {
    return -ESTALE;
  }
  std::array<char, 256> link{};
  const int size = std::snprintf(link.data(), link.size(), "%s%d", descriptors_.c_str(), place);
  if (size < 0 || static_cast<std::size_t>(size) >= link.size()) return -ENAMETOOLONG;
  UniqueFd file(sys::open_at(AT_FDCWD, link.data(), O_RDONLY | O_NONBLOCK | O_NOCTTY));
  if (!file) return file.get();
  return is_generation(file.get(), target.generation) ? file.release() : -ESTALE;
}

int Eviction::open_noted(const Target& target, Evicted& figures) const noexcept {
  const int fd = open(target);
  if (fd >= 0) {
    ++figures.opened;
  } else if (fd == -ESTALE || fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV) {
    ++figures.changed;
  } else {
    ++figures.refused;
    if (figures.error == 0) figures.error = -fd;
  }
  return fd;
}

void Eviction::start_writing(int fd, const Target& target) const noexcept {
  for (const PageRange& one : target.pages) {
    ::sync_file_range(fd, static_cast<off_t>(one.first) * page_size_,
                      static_cast<off_t>(one.count) * page_size_, SYNC_FILE_RANGE_WRITE);
  }
}

void Eviction::give_up(int fd, Target& target) const noexcept {
  constexpr unsigned until_written =
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  bool written = true;
  for (const PageRange& one : target.pages) {
    const off_t from = static_cast<off_t>(one.first) * page_size_;
    const off_t size = static_cast<off_t>(one.count) * page_size_;
    // A page that the disk failed to write is the only copy, although the kernel calls it clean.
    if (::sync_file_range(fd, from, size, until_written) != 0) {
      written = false;
      continue;
    }
    ::posix_fadvise(fd, from, size, POSIX_FADV_DONTNEED);
  }
  target.written = written;
}

/// Makes v2 release removed cgroups that only writeback still refers to. The kernel moves their
/// inodes to the parent, if these are written, when the next cgroup goes offline
/// (cleanup_offline_cgwbs_workfn in mm/backing-dev.c).
void Eviction::nudge() const noexcept {
  if (v2_root_ < 0) return;
  if (unknown_) unknown_->run();
  for (const Target& one : targets_) {
    if (!one.first_on_device) continue;
    const UniqueFd file(open(one));
    if (file) sys::sync_file_system(file.get());
  }
  clean_up();
  // This process has to outlive its parent for a moment, to remove the cgroup.
  ::prctl(PR_SET_PDEATHSIG, 0);
  constexpr mode_t mode = 0755;
  sys::make_directory_at(v2_root_, nudge_name, mode);
  clean_up();
}

std::vector<FileId> Eviction::tried(const Evicted& figures) const {
  const std::size_t number = figures.opened + figures.changed + figures.refused;
  std::vector<FileId> files;
  for (const Target& one : targets_) {
    if (files.size() == number) break;
    files.emplace_back(one.device, one.inode);
  }
  std::sort(files.begin(), files.end());
  return files;
}

void Eviction::clean_up() const noexcept {
  if (v2_root_ >= 0) sys::remove_directory_at(v2_root_, nudge_name);
}

int Eviction::run(Clock::time_point end, Evicted& figures) noexcept {
  for (std::size_t first = 0; first < targets_.size(); first += batch_size) {
    figures.stopped = Clock::now() >= end;
    if (figures.stopped) break;
    std::array<UniqueFd, batch_size> files;
    const std::size_t number = std::min(batch_size, targets_.size() - first);
    for (std::size_t i = 0; i < number; ++i) {
      files[i].reset(open_noted(targets_[first + i], figures));
      if (files[i]) start_writing(files[i].get(), targets_[first + i]);
    }
    for (std::size_t i = 0; i < number; ++i) {
      if (files[i]) give_up(files[i].get(), targets_[first + i]);
    }
  }
  if (page_out_) page_out_->run(end);
  nudge();
  drain_page_lists();
  return figures.opened != 0 ? 0 : figures.error;
}

Result<std::chrono::nanoseconds> evict(const Host& host, const mitigation::Policy& policy,
                                       Isolation how, std::vector<mitigation::Left>& left) {
  how.operation = "evict";
  how.path = "pages of removed cgroups";
  const auto start = Eviction::Clock::now();
  auto search = EvictionSearch::open(host, policy);
  if (!search) return fail(search.error());
  PinnedFiles found;
  if (auto status = search->find(found); !status) return fail(status.error());
  const auto end = start + how.deadline;
  Eviction eviction(host, found, policy.evict_files,
                    Eviction::Clock::now() + policy.evict_time / 4);
  if (policy.evict_mapped) {
    eviction.page_out(host, search->mapping_processes(found, start + policy.evict_time));
  }
  const bool pageless = search->nudge_helps(found);
  if (pageless) {
    auto dirty = WriteBack::open(policy.sync);
    if (!dirty) return fail(dirty.error());
    eviction.write_back_before_nudge(std::move(*dirty));
  }
  const bool idle = eviction.empty() && !pageless;
  const SharedMemory<Evicted> figures;
  if (figures.get() == nullptr) return fail(fs::system_error(how.operation, how.path, errno));
  how.deadline = end - Eviction::Clock::now();
  const auto took =
      idle ? Result<std::chrono::nanoseconds>(std::chrono::nanoseconds(0))
           : run_isolated(
                 [&]() noexcept {
                   return eviction.run(Eviction::Clock::now() + policy.evict_time, *figures.get());
                 },
                 how);
  if (!took) {
    eviction.clean_up();
    return fail(took.error());
  }
  const auto all = Eviction::Clock::now() - start;
  if (auto status = search->find_left(found); !status) return fail(status.error());
  const bool all_tried = !eviction.cut() && !figures.get()->stopped;
  left = search->explain(found, all_tried, eviction.tried(*figures.get()));
  if (!idle) return all;
  return fail(Error::make(errc::unsupported, how.operation, how.path,
                          "there is no file whose pages can be evicted"));
}

Result<mitigation::Evictable> evictable(const Host& host, const mitigation::Policy& policy) {
  constexpr std::size_t most_named = 5;
  auto search = EvictionSearch::open(host, policy);
  if (!search) return fail(search.error());
  PinnedFiles found;
  if (auto status = search->find(found); !status) return fail(status.error());
  const auto end = Eviction::Clock::now() + policy.evict_time;
  const auto first_left =
      std::stable_partition(found.files.begin(), found.files.end(), [&](const PinnedFile& file) {
        const Obstacle why = obstacle_to(file);
        return why == Obstacle::busy ||
               (why == Obstacle::mapped && policy.evict_mapped && Eviction::Clock::now() < end &&
                search->has_one_mapper(file));
      });
  mitigation::Evictable all;
  for (auto at = found.files.begin(); at != first_left; ++at) {
    const PinnedFile& file = *at;
    ++all.files;
    all.pages += file.pages;
    if (all.first.size() < most_named) {
      all.first.push_back({file.path, file.pages, file.holds.size()});
    }
  }
  found.files.erase(found.files.begin(), first_left);
  all.left = search->explain(found, true, {});
  return all;
}

}  // namespace cgctl::detail
