// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <array>
#include <cerrno>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/memory_snapshot.hpp"
#include "memory/limit_text.hpp"

namespace cgctl::memory {
namespace {

enum class Figure { usage, peak, failcnt, max, use_hierarchy };

struct File {
  const char* name;
  Counter Snapshot::*counter;
  Figure figure;
};

constexpr std::array<File, 17> v1_files = {{
    {"memory.usage_in_bytes", &Snapshot::memory, Figure::usage},
    {"memory.max_usage_in_bytes", &Snapshot::memory, Figure::peak},
    {"memory.failcnt", &Snapshot::memory, Figure::failcnt},
    {"memory.limit_in_bytes", &Snapshot::memory, Figure::max},
    {"memory.memsw.usage_in_bytes", &Snapshot::memsw, Figure::usage},
    {"memory.memsw.max_usage_in_bytes", &Snapshot::memsw, Figure::peak},
    {"memory.memsw.failcnt", &Snapshot::memsw, Figure::failcnt},
    {"memory.memsw.limit_in_bytes", &Snapshot::memsw, Figure::max},
    {"memory.kmem.usage_in_bytes", &Snapshot::kernel, Figure::usage},
    {"memory.kmem.max_usage_in_bytes", &Snapshot::kernel, Figure::peak},
    {"memory.kmem.failcnt", &Snapshot::kernel, Figure::failcnt},
    {"memory.kmem.limit_in_bytes", &Snapshot::kernel, Figure::max},
    {"memory.kmem.tcp.usage_in_bytes", &Snapshot::kernel_tcp, Figure::usage},
    {"memory.kmem.tcp.max_usage_in_bytes", &Snapshot::kernel_tcp, Figure::peak},
    {"memory.kmem.tcp.failcnt", &Snapshot::kernel_tcp, Figure::failcnt},
    {"memory.kmem.tcp.limit_in_bytes", &Snapshot::kernel_tcp, Figure::max},
    {"memory.use_hierarchy", nullptr, Figure::use_hierarchy},
}};
constexpr std::array<File, 6> v2_files = {{
    {"memory.current", &Snapshot::memory, Figure::usage},
    {"memory.peak", &Snapshot::memory, Figure::peak},
    {"memory.max", &Snapshot::memory, Figure::max},
    {"memory.swap.current", &Snapshot::swap, Figure::usage},
    {"memory.swap.peak", &Snapshot::swap, Figure::peak},
    {"memory.swap.max", &Snapshot::swap, Figure::max},
}};

const File& file_at(Version version, std::size_t place) {
  return version == Version::v1 ? v1_files.at(place) : v2_files.at(place);
}

std::size_t file_count(Version version) {
  return version == Version::v1 ? v1_files.size() : v2_files.size();
}

/// Takes the text of a file, which is padded, see parse::padded_number().
bool take(std::string_view text, const File& file, Snapshot& out) {
  const auto number = parse::padded_number(text);
  if (file.figure == Figure::max) {
    auto& max = (out.*file.counter).max;
    max = number ? detail::limit_of(*number) : detail::limit(text);
    return max.has_value();
  }
  if (!number) return false;
  switch (file.figure) {
    case Figure::usage:
      (out.*file.counter).usage = number;
      break;
    case Figure::peak:
      (out.*file.counter).peak = number;
      break;
    case Figure::failcnt:
      (out.*file.counter).failcnt = number;
      break;
    default:
      out.use_hierarchy = *number != 0;
      break;
  }
  return true;
}

}  // namespace

SnapshotReader::SnapshotReader(StatReader stat, std::vector<Number> numbers,
                               std::string path) noexcept
    : stat_(std::move(stat)), numbers_(std::move(numbers)), path_(std::move(path)) {}

Result<SnapshotReader> SnapshotReader::open(const Group& group) {
  auto stat = StatReader::open(group);
  if (!stat) return fail(stat.error());
  std::vector<Number> numbers;
  numbers.reserve(file_count(stat->version()));
  for (std::size_t place = 0; place < file_count(stat->version()); ++place) {
    const char* const name = file_at(stat->version(), place).name;
    auto fd = group.open_file(name, O_RDONLY);
    if (fd) {
      numbers.push_back({std::move(*fd), name, place});
    } else if (fd.error().kind != errc::unsupported) {
      return fail(fd.error());
    }
  }
  return SnapshotReader(std::move(*stat), std::move(numbers), group.path());
}

Status SnapshotReader::read(Snapshot& out) const {
  for (const auto counter : {&Snapshot::memory, &Snapshot::swap, &Snapshot::memsw,
                             &Snapshot::kernel, &Snapshot::kernel_tcp}) {
    out.*counter = {};
  }
  out.use_hierarchy.reset();
  for (const Number& number : numbers_) {
    constexpr std::size_t longest = 32;
    std::array<char, longest + parse::padding> text;  // NOLINT: the kernel's
    ssize_t got = -EINTR;
    while (got == -EINTR) got = sys::pread(number.fd.get(), text.data(), longest, 0);
    if (got < 0) {
      return fail(fs::system_error("read", fs::join(path_, number.file), static_cast<int>(-got)));
    }
    const std::string_view read(text.data(), static_cast<std::size_t>(got));
    text.at(read.size()) = '\n';
    if (!take(read, file_at(stat_.version(), number.place), out)) {
      return fail(Error::make(errc::malformed, "parse", fs::join(path_, number.file),
                              "not in the documented form: '" + std::string(read) + "'"));
    }
  }
  return stat_.read(out.stat);
}

}  // namespace cgctl::memory
