// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/evict_search.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <string_view>
#include <thread>
#include <utility>

#include "kernel/file_paths.hpp"

namespace cgctl::detail {
namespace {

using census::PinnedFile;
using census::PinnedFiles;
using mitigation::Left;
using mitigation::Obstacle;

bool is_in_memory(std::string_view file_system) {
  constexpr std::string_view types[] = {"tmpfs", "devtmpfs", "ramfs", "rootfs", "hugetlbfs"};
  return std::find(std::begin(types), std::end(types), file_system) != std::end(types);
}

/// True for blocks of a disk, and for the nameless inode 1 in which ext4 and btrfs keep metadata.
bool is_metadata(const PinnedFile& file) {
  return file.block_device ||
         (file.inode == 1 && file.path.empty() && !is_in_memory(file.file_system));
}

std::string name_of(const PinnedFile& file) {
  if (!file.overlay.empty()) return file.overlay;
  if (!file.path.empty()) return file.path;
  return "inode " + std::to_string(file.inode) + " on " + file.file_system;
}

/// Counts the removed cgroups that have one reason, each once.
class Tally {
 public:
  explicit Tally(std::size_t cgroups) : seen_(cgroups) {}

  void add(const PinnedFile& file) {
    if (left_.files == 0) first_ = &file;
    ++left_.files;
    left_.pages += file.pages;
    for (const census::Holding& one : file.holds) {
      if (!seen_[one.cgroup]) ++left_.zombies;
      seen_[one.cgroup] = true;
    }
  }
  void add(std::size_t zombies) { left_.zombies += zombies; }

  [[nodiscard]] Left& left() noexcept { return left_; }
  [[nodiscard]] const PinnedFile* first() const noexcept { return first_; }

 private:
  std::vector<bool> seen_;
  Left left_;
  const PinnedFile* first_ = nullptr;
};

/// Returns the remedy, as the end of a sentence that begins with the file.
const char* remedy_of(Obstacle why) {
  switch (why) {
    case Obstacle::mapped:
      return " is mapped by a process: restart it";
    case Obstacle::deleted:
      return " is deleted, but still open or mapped: restart the process that has it";
    case Obstacle::memory_file:
      return " is on a file system in memory: remove the file";
    case Obstacle::metadata:
      return " has metadata of its file system in memory: only dropping caches or unmounting frees "
             "it";
    case Obstacle::unreachable:
      return " is on a network or in no mount of this process: drop its cache where it is mounted";
    case Obstacle::limit:
      return " was not reached within the limits: the next action goes on";
    case Obstacle::busy:
      return " was in use or not written back yet: the next action tries again";
    case Obstacle::process_memory:
      return "memory of running processes has no file: restart the processes that left the cgroup";
    case Obstacle::no_page:
      return "no page was found: locked memory or the kernel's own references keep them";
  }
  return "";
}

}  // namespace

std::string in_words(std::vector<census::Mapper> mappers) {
  if (mappers.empty()) return {};
  const auto own = std::partition(mappers.begin(), mappers.end(),
                                  [](const census::Mapper& one) { return one.pid != ::getpid(); });
  if (own == mappers.begin()) return "this process, until it ends";
  mappers.erase(own, mappers.end());
  const std::string text = mappers.front().name + " (" + std::to_string(mappers.front().pid) + ")";
  if (mappers.size() == 1) return text + ": restart it";
  return text + " and " + std::to_string(mappers.size() - 1) + " more: restart them";
}

bool has_handle(const PinnedFile& file) {
  constexpr std::string_view types[] = {"ext2", "ext3", "ext4", "f2fs", "xfs"};
  const bool known =
      std::find(std::begin(types), std::end(types), file.file_system) != std::end(types);
  return known && file.path.empty() && !file.mount.empty() && !file.deleted &&
         file.inode <= std::numeric_limits<std::uint32_t>::max();
}

Obstacle obstacle_to(const PinnedFile& file) {
  if (is_metadata(file)) return Obstacle::metadata;
  if (is_in_memory(file.file_system)) return Obstacle::memory_file;
  if (file.deleted) return Obstacle::deleted;
  if (!file.proven && !has_handle(file)) return Obstacle::unreachable;
  return file.mapped ? Obstacle::mapped : Obstacle::busy;
}

EvictionSearch::EvictionSearch(const Host& host, census::FileFinder finder,
                               std::chrono::nanoseconds time)
    : roots_(host.roots()), finder_(std::move(finder)) {
  const Hierarchy* const memory = host.find("memory");
  v2_ = memory != nullptr && memory->version == Version::v2;
  limits_.time = time;
}

Result<EvictionSearch> EvictionSearch::open(const Host& host, const mitigation::Policy& policy) {
  auto finder = census::FileFinder::open(host);
  if (!finder) return fail(finder.error());
  census::Options options;
  options.offsets_file = policy.offsets_file;
  auto census = census::Census::open(host, options);
  if (!census) return fail(census.error());
  EvictionSearch search(host, std::move(*finder), policy.evict_time);
  census::Wanted wanted;
  wanted.pages = wanted.counters = wanted.names = false;
  if (auto status = census->take(search.snapshot_, wanted); !status) return fail(status.error());
  return search;
}

Status EvictionSearch::find(PinnedFiles& found) {
  const auto end = std::chrono::steady_clock::now() + limits_.time;
  if (auto status = finder_.take(snapshot_, limits_, found); !status) return status;
  // A service or a container with mounts of its own sees few of the host's files.
  const kernel::FilePaths paths(roots_, "1");
  for (PinnedFile& file : found.files) {
    if (std::chrono::steady_clock::now() >= end) break;
    if (obstacle_to(file) == Obstacle::unreachable) paths.resolve(file);
  }
  return {};
}

Status EvictionSearch::find_left(PinnedFiles& found) {
  constexpr std::chrono::milliseconds pause(50);
  constexpr unsigned still_for = 3;
  const auto end = std::chrono::steady_clock::now() + limits_.time;
  auto status = find(found);
  for (unsigned still = 0; status && found.unlisted != 0 && still < still_for;) {
    const std::size_t before = found.unlisted;
    if (std::chrono::steady_clock::now() + pause >= end) break;
    std::this_thread::sleep_for(pause);
    status = find(found);
    still = found.unlisted < before ? 0 : still + 1;
  }
  return status;
}

std::vector<pid_t> EvictionSearch::mapping_processes(const PinnedFiles& found,
                                                     std::chrono::steady_clock::time_point end) {
  std::vector<pid_t> processes;
  for (const PinnedFile& file : found.files) {
    if (!file.mapped) continue;
    if (std::chrono::steady_clock::now() >= end) break;
    const auto mappers = finder_.mappers(file);
    if (!mappers) continue;
    for (const census::Mapper& one : *mappers) processes.push_back(one.pid);
  }
  std::sort(processes.begin(), processes.end());
  processes.erase(std::unique(processes.begin(), processes.end()), processes.end());
  processes.erase(std::remove(processes.begin(), processes.end(), ::getpid()), processes.end());
  return processes;
}

bool EvictionSearch::has_one_mapper(const PinnedFile& file) {
  const auto mappers = finder_.mappers(file);
  return mappers && mappers->size() == 1;
}

std::string EvictionSearch::remedy_for(Obstacle why, const PinnedFile* file) {
  if (file == nullptr) {
    const std::string_view text = remedy_of(why);
    return why == Obstacle::limit ? "some removed cgroups" + std::string(text) : std::string(text);
  }
  std::string by;
  if (file->mapped) {
    if (auto mappers = finder_.mappers(*file)) by = in_words(std::move(*mappers));
  }
  if (by.empty()) return name_of(*file) + remedy_of(why);
  return name_of(*file) + (file->deleted ? " (deleted)" : "") + " is mapped by " + by;
}

std::vector<Left> EvictionSearch::explain(const PinnedFiles& found, bool all_tried,
                                          const std::vector<FileId>& tried) {
  std::vector<Tally> tallies(mitigation::obstacle_count, Tally(snapshot_.cgroups.size()));
  const auto of = [&](Obstacle why) -> Tally& { return tallies[static_cast<std::size_t>(why)]; };
  for (const PinnedFile& file : found.files) {
    Obstacle why = obstacle_to(file);
    const bool reached = all_tried || std::binary_search(tried.begin(), tried.end(),
                                                         FileId(file.device, file.inode));
    if ((why == Obstacle::busy || why == Obstacle::mapped) && !reached) why = Obstacle::limit;
    of(why).add(file);
  }
  of(Obstacle::limit).add(found.skipped);
  of(Obstacle::process_memory).add(found.anonymous);
  of(Obstacle::no_page).add(found.unlisted);
  std::vector<Left> left;
  for (std::size_t i = 0; i < tallies.size(); ++i) {
    Left& one = tallies[i].left();
    if (one.zombies == 0) continue;
    one.why = static_cast<Obstacle>(i);
    one.remedy = remedy_for(one.why, tallies[i].first());
    left.push_back(std::move(one));
  }
  std::sort(left.begin(), left.end(),
            [](const Left& a, const Left& b) { return a.zombies > b.zombies; });
  return left;
}

}  // namespace cgctl::detail
