// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "zombies/page_frames.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kernel-page-flags.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <thread>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/page_lists.hpp"

namespace cgctl::zombies {
namespace {

using std::chrono::nanoseconds;

constexpr const char* cgroups_file = "kpagecgroup";
constexpr const char* flags_file = "kpageflags";

constexpr std::uint64_t bit(unsigned flag) noexcept { return std::uint64_t{1} << flag; }

nanoseconds cpu_time() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

Result<UniqueFd> open_frames(const Host& host, const char* name) {
  auto file = fs::open_in_root(host.roots().proc, name, O_RDONLY);
  if (file) return file;
  Error error = file.error();
  if (error.os_errno == ENOENT) {
    error.kind = errc::unsupported;
    error.hint = "the kernel has it since Linux 4.3, if built with CONFIG_PROC_PAGE_MONITOR";
  } else if (error.os_errno == EACCES || error.os_errno == EPERM) {
    error.hint = "run as root";
  }
  return fail(std::move(error));
}

/// Keeps a thread below a share of a CPU.
class Pace {
 public:
  Pace(nanoseconds start, unsigned percent) noexcept : worked_until_(start), percent_(percent) {}

  /// Sleeps after each millisecond of work, as long as the share wants; without a share it yields.
  void pause(nanoseconds now) {
    constexpr nanoseconds part = std::chrono::milliseconds(1);
    constexpr unsigned whole = 100;
    if (percent_ == 0 || percent_ >= whole) return std::this_thread::yield();
    if (now - worked_until_ < part) return std::this_thread::yield();
    std::this_thread::sleep_for((now - worked_until_) * (whole - percent_) / percent_);
    worked_until_ = cpu_time();
  }

 private:
  nanoseconds worked_until_;
  unsigned percent_;
};

Error too_long(std::uint64_t frames, nanoseconds predicted, nanoseconds limit) {
  using seconds = std::chrono::duration<double>;
  return Error::make(errc::over_budget, "read", "/proc/kpagecgroup",
                     fmt::format("{} pages take about {:.1f} s, longer than the limit of {:.1f} s",
                                 frames, seconds(predicted).count(), seconds(limit).count()));
}

/// Adds a page on an LRU list to the kinds that it is of.
void add_page(std::uint64_t flags, std::uint64_t size, Residual& bytes) noexcept {
  const bool swap_backed = (flags & bit(KPF_SWAPBACKED)) != 0;
  const bool anonymous = (flags & bit(KPF_ANON)) != 0;
  if ((flags & bit(KPF_UNEVICTABLE)) != 0) {
    bytes.unevictable += size;
  } else if (swap_backed) {
    bytes.anon += size;
  } else {
    bytes.file += size;
  }
  if (swap_backed && !anonymous) bytes.shmem += size;
  if ((flags & bit(KPF_MMAP)) != 0 && !anonymous) bytes.mapped += size;
}

}  // namespace

Charges::Charges(std::vector<std::uint64_t> inodes) : inodes_(std::move(inodes)) {
  std::sort(inodes_.begin(), inodes_.end());
  bytes_.resize(inodes_.size());
}

Residual* Charges::find(std::uint64_t inode) noexcept {
  if (last_ < inodes_.size() && inodes_[last_] == inode) return &bytes_[last_];
  const auto found = std::lower_bound(inodes_.begin(), inodes_.end(), inode);
  if (found == inodes_.end() || *found != inode) return nullptr;
  last_ = static_cast<std::size_t>(found - inodes_.begin());
  return &bytes_[last_];
}

Result<PageFrames> PageFrames::open(const Host& host) {
  auto cgroups = open_frames(host, cgroups_file);
  if (!cgroups) return fail(cgroups.error());
  auto flags = open_frames(host, flags_file);
  if (!flags) return fail(flags.error());
  const auto zones = fs::read_in_root(host.roots().proc, "zoneinfo");
  if (!zones) return fail(zones.error());
  PageFrames frames;
  frames.cgroups_ = std::move(*cgroups);
  frames.flags_ = std::move(*flags);
  frames.memory_ = ranges_of(*zones);
  frames.page_size_ = host.page_size();
  return frames;
}

/// Returns the page frames that the zones span, without those between them. Zones of different
/// nodes may overlap.
std::vector<PageFrames::Range> PageFrames::ranges_of(std::string_view zoneinfo) {
  std::vector<Range> zones;
  std::uint64_t spanned = 0;
  while (!zoneinfo.empty()) {
    std::string_view row = parse::line(zoneinfo);
    const std::string_view name = parse::field(row);
    if (name == "spanned") spanned = parse::whole_number(parse::field(row)).value_or(0);
    if (name != "start_pfn:") continue;
    const auto first = parse::whole_number(parse::field(row));
    if (first && spanned != 0) zones.push_back({*first, *first + spanned});
    spanned = 0;
  }
  std::sort(zones.begin(), zones.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> all;
  for (const Range& zone : zones) {
    if (all.empty() || zone.first > all.back().end) {
      all.push_back(zone);
    } else {
      all.back().end = std::max(all.back().end, zone.end);
    }
  }
  return all;
}

/// Returns the number of entries read; 0 behind the last page frame.
Result<std::size_t> PageFrames::read(const UniqueFd& file, const char* name, Chunk& values,
                                     std::uint64_t frame, std::size_t number) const {
  constexpr std::size_t size = sizeof values[0];
  ssize_t got = 0;
  do {
    got = sys::pread(file.get(), values.data(), number * size, static_cast<off_t>(frame * size));
  } while (got == -EINTR);
  if (got < 0)
    return fail(fs::system_error("read", fs::join("/proc", name), static_cast<int>(-got)));
  return static_cast<std::size_t>(got) / size;
}

void PageFrames::add_pages(std::size_t number, Charges& charges) noexcept {
  // The tails of a compound page are on the LRU list of its head. Old kernels show neither their
  // cgroup nor most of their flags.
  constexpr std::uint64_t own = bit(KPF_MMAP);
  std::uint64_t flags = 0;
  for (std::size_t i = 0; i < number; ++i) {
    flags = flag_[i];
    if ((flags & bit(KPF_COMPOUND_TAIL)) == 0) {
      head_flags_ = flags;
      head_inode_ = inode_[i];
    }
    if ((head_flags_ & bit(KPF_LRU)) == 0) continue;
    Residual* const bytes = charges.find(head_inode_);
    if (bytes != nullptr) add_page((head_flags_ & ~own) | (flags & own), page_size_, *bytes);
  }
  inside_ = (flags & (bit(KPF_COMPOUND_HEAD) | bit(KPF_COMPOUND_TAIL))) != 0 &&
            (head_flags_ & bit(KPF_LRU)) != 0;
}

/// Returns the number of pages read. The flags are read only if a page is charged to a cgroup, or
/// if pages of no cgroup (inode 0) are wanted.
Result<std::size_t> PageFrames::add_chunk(std::uint64_t frame, std::size_t number,
                                          Charges& charges) {
  auto got = read(cgroups_, cgroups_file, inode_, frame, number);
  if (!got || *got == 0) return got;
  if (frame != next_) head_flags_ = head_inode_ = 0;
  const auto end = inode_.begin() + static_cast<std::ptrdiff_t>(*got);
  const bool charged = std::any_of(inode_.begin(), end, [](std::uint64_t one) { return one != 0; });
  if (charged || charges.find(0) != nullptr || (inside_ && frame == next_)) {
    got = read(flags_, flags_file, flag_, frame, *got);
    if (!got) return got;
    add_pages(*got, charges);
  } else {
    head_flags_ = head_inode_ = 0;
    inside_ = false;
  }
  next_ = frame + *got;
  return got;
}

/// Returns the CPU time of reading all pages, predicted from a few chunks at equal distances.
nanoseconds PageFrames::predict() {
  constexpr std::uint64_t samples = 32;
  Charges nobody({});
  std::uint64_t all = 0;
  for (const Range& range : memory_) all += range.end - range.first;
  std::uint64_t skipped = 0;
  std::uint64_t sampled = 0;
  const nanoseconds start = cpu_time();
  for (const Range& range : memory_) {
    const std::uint64_t step = std::max<std::uint64_t>(all / samples, chunk);
    std::uint64_t frame = range.first + skipped;
    for (; frame < range.end; frame += step) {
      const auto number = std::min<std::uint64_t>(chunk, range.end - frame);
      const auto got = add_chunk(frame, static_cast<std::size_t>(number), nobody);
      if (!got) return nanoseconds::zero();  // the scan finds out as well
      sampled += number;
    }
    skipped = frame - range.end;
  }
  if (sampled == 0) return nanoseconds::zero();
  const double times = static_cast<double>(all) / static_cast<double>(sampled);
  return nanoseconds(
      static_cast<nanoseconds::rep>(times * static_cast<double>((cpu_time() - start).count())));
}

Status PageFrames::add_to(Charges& charges, nanoseconds limit, unsigned percent) {
  constexpr int patience = 2;
  std::uint64_t all = 0;
  for (const Range& range : memory_) all += range.end - range.first;
  const nanoseconds predicted = predict();
  if (predicted > limit) return fail(too_long(all, predicted, limit));
  detail::drain_page_lists();
  const nanoseconds start = cpu_time();
  Pace pace(start, percent);
  for (const Range& range : memory_) {
    for (std::uint64_t frame = range.first; frame < range.end;) {
      const auto number = std::min<std::uint64_t>(chunk, range.end - frame);
      const auto got = add_chunk(frame, static_cast<std::size_t>(number), charges);
      if (!got) return fail(got.error());
      if (*got == 0) break;
      frame += *got;
      const nanoseconds now = cpu_time();
      if (now - start > patience * limit) return fail(too_long(all, patience * limit, limit));
      pace.pause(now);
    }
  }
  return {};
}

}  // namespace cgctl::zombies
