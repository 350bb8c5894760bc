// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/page_out.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

namespace cgctl::detail {
namespace {

using census::PageRange;

/// One line of /proc/PID/maps.
struct Mapping {
  std::uint64_t start = 0, end = 0;  // addresses
  std::uint64_t offset = 0;          // in the file, in bytes
  FileId file;
};

bool hexadecimal(std::string_view& text, std::uint64_t& out, char after) noexcept {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out, 16);
  const auto size = static_cast<std::size_t>(read.ptr - text.data());
  if (read.ec != std::errc() || size == text.size() || text[size] != after) return false;
  text.remove_prefix(size + 1);
  return true;
}

/// Returns false for a mapping without a file.
bool parse_mapping(std::string_view line, Mapping& out) noexcept {
  constexpr std::string_view permissions = "r--p ";
  if (!hexadecimal(line, out.start, '-') || !hexadecimal(line, out.end, ' ')) return false;
  line.remove_prefix(std::min(line.size(), permissions.size()));
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  if (!hexadecimal(line, out.offset, ' ') || !hexadecimal(line, major, ':') ||
      !hexadecimal(line, minor, ' ') || !parse::number(line, out.file.second)) {
    return false;
  }
  out.file.first = makedev(static_cast<unsigned>(major), static_cast<unsigned>(minor));
  return out.file.second != 0;
}

/// Calls `visit` for each line of a file; of a very long one, for its first bytes only.
template <class Visit>
void each_line(int fd, const Visit& visit) noexcept {
  std::array<char, std::size_t{8} << 10> buffer;
  std::size_t held = 0;
  bool visited = false;  // the beginning of the line at hand
  for (;;) {
    const ssize_t got = sys::read(fd, buffer.data() + held, buffer.size() - held);
    if (got <= 0) return;
    std::string_view rest(buffer.data(), held + static_cast<std::size_t>(got));
    for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      if (!visited) visit(rest.substr(0, end));
      visited = false;
      rest.remove_prefix(end + 1);
    }
    if (rest.size() == buffer.size()) {
      if (!visited) visit(rest);
      visited = true;
      rest = {};
    }
    held = rest.size();
    std::memmove(buffer.data(), rest.data(), held);
  }
}

/// True for the entry of a page in /proc/PID/pagemap that is present, a file's, and mapped once
/// (Documentation/admin-guide/mm/pagemap.rst).
constexpr bool is_mapped_once(std::uint64_t entry) noexcept {
  constexpr std::uint64_t wanted =
      std::uint64_t{1} << 63 | std::uint64_t{1} << 61 | std::uint64_t{1} << 56;
  return (entry & wanted) == wanted;
}

/// True if procfs shows processes by the numbers that this process knows them by.
bool shows_own_namespace(const std::string& proc) {
  std::array<char, 32> text{};
  const ssize_t size = sys::read_link(fs::join(proc, "self").c_str(), text.data(), text.size());
  if (size <= 0) return false;
  const auto number = parse::whole_number({text.data(), static_cast<std::size_t>(size)});
  return number && *number == static_cast<std::uint64_t>(::getpid());
}

}  // namespace

/// Descriptors of one process. The pidfd was opened before the maps were read, so that it is the
/// process of these maps, or of one that has ended.
struct PageOut::Handles {
  int process, page_map;
};

PageOut::PageOut(const Host& host, std::vector<pid_t> processes)
    : page_size_(static_cast<std::uint64_t>(host.page_size())) {
  const std::string& proc = host.roots().proc;
  if (!shows_own_namespace(proc)) return;
  for (const pid_t one : processes) {
    const std::string folder = fs::join(proc, std::to_string(one));
    processes_.push_back({one, folder + "/maps", folder + "/pagemap"});
  }
}

void PageOut::add(FileId file, const std::vector<PageRange>& pages, const bool& written) {
  const auto place = std::lower_bound(files_.begin(), files_.end(), file, comes_before);
  files_.insert(place, {file, &pages, &written});
}

// ---- in the child

void PageOut::run(Clock::time_point end) const noexcept {
  if (files_.empty()) return;
  for (const Process& one : processes_) {
    if (Clock::now() >= end) return;
    run(one);
  }
}

void PageOut::run(const Process& process) const noexcept {
  const UniqueFd running(static_cast<int>(::syscall(SYS_pidfd_open, process.number, 0)));
  const UniqueFd maps(sys::open_at(AT_FDCWD, process.maps.c_str(), O_RDONLY));
  const UniqueFd page_map(sys::open_at(AT_FDCWD, process.page_map.c_str(), O_RDONLY));
  if (!running || !maps || !page_map) return;
  const Handles handles{running.get(), page_map.get()};
  each_line(maps.get(), [&](std::string_view line) { run(handles, line); });
}

void PageOut::run(const Handles& handles, std::string_view line) const noexcept {
  Mapping mapping;
  if (!parse_mapping(line, mapping)) return;
  const auto file = std::lower_bound(files_.begin(), files_.end(), mapping.file, comes_before);
  if (file == files_.end() || file->id != mapping.file || !*file->written) return;
  const std::uint64_t first = mapping.offset / page_size_;
  const std::uint64_t last = first + (mapping.end - mapping.start) / page_size_;
  for (const PageRange& one : *file->pages) {
    const std::uint64_t from = std::max(one.first, first);
    const std::uint64_t to = std::min(one.first + one.count, last);
    if (from < to) drop(handles, mapping.start + (from - first) * page_size_, to - from);
  }
}

void PageOut::drop(const Handles& handles, std::uint64_t address,
                   std::uint64_t pages) const noexcept {
  std::array<std::uint64_t, 256> entries{};
  const auto advise = [&](std::uint64_t from, std::uint64_t count) {
    // An iovec of another process's memory.
    const std::array<std::uintptr_t, 2> part{static_cast<std::uintptr_t>(from),
                                             static_cast<std::uintptr_t>(count * page_size_)};
    (void)::syscall(SYS_process_madvise, handles.process, part.data(), 1, MADV_PAGEOUT, 0);
  };
  while (pages != 0) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(pages, entries.size()));
    const ssize_t got =
        sys::pread(handles.page_map, entries.data(), wanted * sizeof(std::uint64_t),
                   static_cast<off_t>(address / page_size_ * sizeof(std::uint64_t)));
    const std::uint64_t read = got <= 0 ? 0 : static_cast<std::uint64_t>(got) / sizeof entries[0];
    if (read == 0) return;
    const std::uint64_t* const begin = entries.data();
    const std::uint64_t* const end = begin + read;
    for (const auto* at = std::find_if(begin, end, is_mapped_once); at != end;
         at = std::find_if(at, end, is_mapped_once)) {
      const auto* const after = std::find_if_not(at, end, is_mapped_once);
      advise(address + static_cast<std::uint64_t>(at - begin) * page_size_,
             static_cast<std::uint64_t>(after - at));
      at = after;
    }
    address += read * page_size_;
    pages -= read;
  }
}

}  // namespace cgctl::detail
