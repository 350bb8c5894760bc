// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/trend.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "detail/fnv1a.hpp"
#include "detail/state_directory.hpp"

namespace cgctl::trend {
namespace {

using std::chrono::seconds;

constexpr std::uint32_t unknown = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t minute = 60;
constexpr auto slots = static_cast<std::uint32_t>(kept_for.count());
constexpr mode_t file_mode = 0644;

/// A point in the file, in the byte order of the machine. All zero: none was written yet.
struct Record {
  std::uint64_t checksum = 0;  ///< of the bytes that follow
  std::uint32_t minute = 0;    ///< since 1970; tells the slot too
  std::uint32_t zombies = 0;
  std::uint32_t live = 0;
  std::uint32_t read_us = 0;  ///< or `unknown`
  std::uint32_t new_per_hour = 0;
  std::uint32_t freed = 0;
  std::uint32_t maker_zombies = 0;
  std::uint16_t actions = 0;
  std::uint16_t useless = 0;
  std::array<char, 56> maker{};
};

/// The first bytes of the file, as long as a record.
struct Header {
  std::array<char, 16> magic = {'c', 'g', 'c', 't', 'l', ' ', 't', 'r', 'e', 'n', 'd', ' ', '1'};
  std::uint32_t byte_order = 0x01020304;
  std::uint32_t record = sizeof(Record);
  std::uint32_t slots = trend::slots;
  std::array<std::uint32_t, 17> unused{};
};

static_assert(sizeof(Header) == sizeof(Record) && std::is_trivially_copyable_v<Record>);
constexpr std::size_t file_size = (std::size_t{slots} + 1) * sizeof(Record);
static_assert(file_size <= std::size_t{1} << 20U);

std::string path_in(const std::string& directory) { return fs::join(directory, "trend"); }

std::uint64_t checksum_of(const Record& record) {
  std::array<char, sizeof(Record)> bytes{};
  std::memcpy(bytes.data(), &record, sizeof record);
  return detail::fnv1a(
      {bytes.data() + sizeof record.checksum, bytes.size() - sizeof record.checksum});
}

bool is_blank(const Record& record) {
  const Record blank;
  return std::memcmp(&record, &blank, sizeof record) == 0;
}

off_t place_of(std::uint32_t minutes) {
  return static_cast<off_t>((std::size_t{minutes % slots} + 1) * sizeof(Record));
}

/// Reads exactly `size` bytes; fewer are an error, EIO.
Status read_whole(int fd, void* out, std::size_t size, off_t place, const std::string& path) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = sys::pread(fd, static_cast<char*>(out) + done, size - done,
                                   place + static_cast<off_t>(done));
    if (got == -EINTR) continue;
    if (got <= 0)
      return fail(fs::system_error("read", path, got == 0 ? EIO : static_cast<int>(-got)));
    done += static_cast<std::size_t>(got);
  }
  return {};
}

Status write_whole(int fd, const void* data, std::size_t size, off_t place,
                   const std::string& path) {
  for (;;) {
    const ssize_t put = ::pwrite(fd, data, size, place);
    if (put == static_cast<ssize_t>(size)) return {};
    if (put < 0 && errno == EINTR) continue;
    return fail(fs::system_error("write", path, put < 0 ? errno : ENOSPC));
  }
}

/// Opens the file; nothing if there is something else at its path.
Result<std::optional<UniqueFd>> open_file(const std::string& path, int flags) {
  UniqueFd file(
      sys::open_at(AT_FDCWD, path.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, file_mode));
  const int status = file.get();
  if (status == -ELOOP || status == -ENXIO || status == -EISDIR) return std::nullopt;
  if (status < 0) return fail(fs::system_error("open", path, -status));
  struct ::stat about {};
  if (const int failed = sys::stat(file.get(), about); failed < 0) {
    return fail(fs::system_error("stat", path, -failed));
  }
  if (!S_ISREG(about.st_mode) || about.st_nlink > 1) return std::nullopt;
  return file;
}

/// True if the file has this program's form.
Result<bool> is_ours(int fd, const std::string& path) {
  struct ::stat about {};
  if (const int failed = sys::stat(fd, about); failed < 0) {
    return fail(fs::system_error("stat", path, -failed));
  }
  if (about.st_size != static_cast<off_t>(file_size)) return false;
  const Header expected;
  Header found;
  if (auto status = read_whole(fd, &found, sizeof found, 0, path); !status) {
    return fail(status.error());
  }
  return std::memcmp(&expected, &found, sizeof found) == 0;
}

bool is_empty(int fd) {
  struct ::stat about {};
  return sys::stat(fd, about) == 0 && about.st_size == 0;
}

/// Gives an empty file its size and header.
Status format(int fd, const std::string& path) {
  if (::ftruncate(fd, static_cast<off_t>(file_size)) != 0) {
    return fail(fs::system_error("enlarge", path, errno));
  }
  const Header header;
  return write_whole(fd, &header, sizeof header, 0, path);
}

Record record_of(const Point& point) {
  Record record;
  record.minute = static_cast<std::uint32_t>(std::max<std::int64_t>(point.at.count(), 0) / minute);
  record.zombies = point.zombies;
  record.live = point.live;
  record.read_us = unknown;
  if (point.read_cost) {
    record.read_us = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(point.read_cost->count(), 0, unknown - 1));
  }
  record.new_per_hour = point.new_per_hour;
  record.freed = point.freed;
  record.maker_zombies = point.maker_zombies;
  record.actions = point.actions;
  record.useless = point.useless;
  // The end of a name tells more than its beginning.
  const std::size_t size = std::min(point.maker.size(), record.maker.size());
  std::copy_n(point.maker.data() + point.maker.size() - size, size, record.maker.data());
  return record;
}

Point point_of(const Record& record) {
  Point point;
  point.at = seconds(record.minute * minute);
  point.zombies = record.zombies;
  point.live = record.live;
  if (record.read_us != unknown) point.read_cost = std::chrono::microseconds(record.read_us);
  point.new_per_hour = record.new_per_hour;
  point.freed = record.freed;
  point.actions = record.actions;
  point.useless = record.useless;
  point.maker_zombies = record.maker_zombies;
  const auto end = std::find(record.maker.begin(), record.maker.end(), '\0');
  point.maker.assign(record.maker.begin(), end);
  return point;
}

/// Adds the earlier point of the same minute.
void merge(const Record& earlier, Record& record) {
  const auto sum = [](std::uint16_t a, std::uint16_t b) {
    constexpr unsigned most = std::numeric_limits<std::uint16_t>::max();
    return static_cast<std::uint16_t>(std::min(unsigned{a} + b, most));
  };
  record.actions = sum(record.actions, earlier.actions);
  record.useless = sum(record.useless, earlier.useless);
  record.freed += std::min(earlier.freed, unknown - record.freed);
  if (earlier.read_us == unknown) return;
  record.read_us =
      record.read_us == unknown ? earlier.read_us : std::max(record.read_us, earlier.read_us);
}

Error foreign(const std::string& path) {
  return Error::make(errc::malformed, "read", path, "it is no history of cgctl, or damaged",
                     "the daemon renames it when it starts, and begins a new one");
}

}  // namespace

Ring::Ring(UniqueFd file, std::string path, std::string warning) noexcept
    : file_(std::move(file)), path_(std::move(path)), warning_(std::move(warning)) {}

Result<Ring> Ring::open(const std::string& directory) {
  const std::string path = path_in(directory);
  std::string warning;
  for (bool again = true;; again = false) {
    auto file = open_file(path, O_RDWR | O_CREAT);
    if (!file) return fail(file.error());
    if (*file) {
      const int fd = (**file).get();
      if (is_empty(fd)) {
        if (auto status = format(fd, path); !status) return fail(status.error());
      }
      const auto ours = is_ours(fd, path);
      if (!ours) return fail(ours.error());
      if (*ours) return Ring(std::move(**file), path, warning);
    }
    if (!again) return fail(foreign(path));
    const auto aside = detail::set_aside(path);
    if (!aside) return fail(aside.error());
    warning = path + " could not be understood and is kept as " + *aside;
  }
}

Status Ring::add(const Point& point) const {
  Record record = record_of(point);
  const off_t place = place_of(record.minute);
  Record earlier;
  if (auto status = read_whole(file_.get(), &earlier, sizeof earlier, place, path_); !status) {
    return status;
  }
  if (earlier.minute == record.minute && earlier.checksum == checksum_of(earlier)) {
    merge(earlier, record);
  }
  record.checksum = checksum_of(record);
  return write_whole(file_.get(), &record, sizeof record, place, path_);
}

Result<Kept> read(const std::string& directory, seconds now, seconds since) {
  const std::string path = path_in(directory);
  const auto file = open_file(path, O_RDONLY);
  if (!file) return fail(file.error());
  if (!*file) return fail(foreign(path));
  const int fd = (**file).get();
  const auto ours = is_ours(fd, path);
  if (!ours) return fail(ours.error());
  if (!*ours) return fail(foreign(path));
  std::vector<Record> records(slots);
  if (auto status = read_whole(fd, records.data(), slots * sizeof(Record), sizeof(Header), path);
      !status) {
    return fail(status.error());
  }
  Kept kept;
  const seconds oldest = now - std::min<seconds>(since, kept_for);
  for (std::uint32_t i = 0; i < slots; ++i) {
    const Record& record = records[i];
    if (is_blank(record)) continue;
    if (record.checksum != checksum_of(record) || record.minute % slots != i) {
      ++kept.damaged;
      continue;
    }
    const seconds at(record.minute * minute);
    if (at > now) ++kept.future;
    if (at > oldest && at <= now) kept.points.push_back(point_of(record));
  }
  std::sort(kept.points.begin(), kept.points.end(),
            [](const Point& a, const Point& b) { return a.at < b.at; });
  return kept;
}

}  // namespace cgctl::trend
