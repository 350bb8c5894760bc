// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "cgctl/cpu.hpp"
#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"

namespace cgctl::cpu {
namespace {

/// A cpu.stat is at most a quarter of this size.
using Buffer = std::array<char, 4096>;

Result<std::string_view> read_text(int fd, Buffer& buffer) {
  ssize_t got = 0;
  do {
    got = sys::pread(fd, buffer.data(), buffer.size(), 0);
  } while (got == -EINTR);
  if (got < 0) return fail(fs::system_error("read", "cpu.stat", static_cast<int>(-got)));
  return std::string_view(buffer.data(), static_cast<std::size_t>(got));
}

struct Key {
  std::string_view name;
  std::optional<std::uint64_t> Stat::*count;
  std::optional<nanoseconds> Stat::*time;
};

constexpr std::array<Key, 5> v1_keys = {{
    {"nr_periods", &Stat::nr_periods, nullptr},
    {"nr_throttled", &Stat::nr_throttled, nullptr},
    {"throttled_time", nullptr, &Stat::throttled},
    {"nr_bursts", &Stat::nr_bursts, nullptr},
    {"burst_time", nullptr, &Stat::burst},
}};

constexpr std::array<Key, 8> v2_keys = {{
    {"usage_usec", nullptr, &Stat::usage},
    {"user_usec", nullptr, &Stat::user},
    {"system_usec", nullptr, &Stat::system},
    {"nr_periods", &Stat::nr_periods, nullptr},
    {"nr_throttled", &Stat::nr_throttled, nullptr},
    {"throttled_usec", nullptr, &Stat::throttled},
    {"nr_bursts", &Stat::nr_bursts, nullptr},
    {"burst_usec", nullptr, &Stat::burst},
}};

/// Returns a number times `unit`. No number, or one beyond 64 bits, is counted as skipped.
std::optional<std::int64_t> times(std::optional<std::uint64_t> number, std::int64_t unit,
                                  Stat& out) {
  std::int64_t product = 0;
  if (number && !__builtin_mul_overflow(*number, unit, &product)) return product;
  ++out.skipped_lines;
  return std::nullopt;
}

/// True if a line is "NAME ..." with the name of `key`.
bool has_name(std::string_view row, const Key& key) {
  const std::size_t size = key.name.size();
  return row.size() > size && row[size] == ' ' && parse::starts_with(row, key.name);
}

/// Cuts the name off a line and returns its key: most likely the one at `expected`, since the
/// kernel's order stays.
template <std::size_t N>
const Key* take_key(std::string_view& row, const std::array<Key, N>& keys, std::size_t expected) {
  if (expected < N && has_name(row, keys[expected])) {
    row.remove_prefix(keys[expected].name.size() + 1);
    return &keys[expected];
  }
  const std::string_view name = parse::field(row);
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return name == key.name; });
  return found == keys.end() ? nullptr : &*found;
}

/// Parses a line. Returns false if its key is one of `keys` but has no number.
template <std::size_t N>
bool parse_row(std::string_view row, const std::array<Key, N>& keys, std::size_t& expected,
               std::int64_t unit, Stat& out) {
  const Key* const key = take_key(row, keys, expected);
  if (key == nullptr) return true;
  expected = static_cast<std::size_t>(key - keys.data()) + 1;
  auto text = parse::whole_number(row);
  if (!text) text = parse::whole_number(parse::field(row));
  const auto number = times(text, key->time == nullptr ? 1 : unit, out);
  if (!number) return false;
  if (key->count != nullptr) {
    out.*key->count = static_cast<std::uint64_t>(*number);
  } else {
    out.*key->time = nanoseconds(*number);
  }
  return true;
}

template <std::size_t N>
Status parse_rows(std::string_view text, const std::array<Key, N>& keys, std::int64_t unit,
                  Stat& out) {
  bool any = false;
  std::size_t expected = 0;
  while (!text.empty()) any = parse_row(parse::line(text), keys, expected, unit, out) || any;
  if (any) return {};
  return fail(Error::make(errc::malformed, "parse", "cpu.stat", "no key has a number"));
}

Status read_time(int fd, std::optional<nanoseconds>& time, Stat& out) {
  Buffer buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): written by the kernel
  const auto text = read_text(fd, buffer);
  if (!text) return fail(text.error());
  if (const auto number = times(parse::whole_number(*text), 1, out)) time = nanoseconds(*number);
  return {};
}

/// Returns the length of a tick, the unit of /proc and cpuacct.stat; 100 ticks per second on every
/// Linux machine of the last twenty years.
nanoseconds tick() {
  const long per_second = ::sysconf(_SC_CLK_TCK);
  return nanoseconds(std::chrono::seconds(1)) / (per_second > 0 ? per_second : 100);
}

/// Opens a file; returns an empty descriptor if the kernel has no such file.
Result<UniqueFd> open_if_there(const Group& group, std::string_view file) {
  auto fd = group.open_file(file, O_RDONLY);
  if (!fd && fd.error().kind == errc::unsupported) return UniqueFd();
  return fd;
}

std::optional<double> difference(const std::optional<nanoseconds>& before,
                                 const std::optional<nanoseconds>& after) noexcept {
  if (!before || !after || *after < *before) return std::nullopt;
  return static_cast<double>((*after - *before).count());
}

}  // namespace

Status parse(std::string_view text, Version version, Stat& out) {
  if (text.empty() || text.back() != '\n') {
    return fail(Error::make(errc::truncated, "parse", "cpu.stat", "the text ends too early"));
  }
  return version == Version::v1 ? parse_rows(text, v1_keys, 1, out)
                                : parse_rows(text, v2_keys, 1000, out);
}

Result<StatReader> StatReader::open(const Group& group) {
  const auto place = group.place("cpu");
  if (!place) return fail(place.error());
  StatReader reader;
  reader.version_ = (*place)->hierarchy->version;
  struct File {
    UniqueFd* fd;
    const char* name;
  };
  std::array<File, 4> files = {{{&reader.stat_, "cpu.stat"},
                                {&reader.usage_, "cpuacct.usage"},
                                {&reader.user_, "cpuacct.usage_user"},
                                {&reader.system_, "cpuacct.usage_sys"}}};
  const bool accounted = reader.version_ == Version::v1 && group.place("cpuacct");
  for (const File& file : files) {
    if (file.fd != &reader.stat_ && !accounted) continue;
    auto fd = open_if_there(group, file.name);
    if (!fd) return fail(fd.error());
    *file.fd = std::move(*fd);
  }
  if (accounted && !reader.user_) {
    auto fd = open_if_there(group, "cpuacct.stat");
    if (!fd) return fail(fd.error());
    reader.ticks_ = std::move(*fd);
  }
  return reader;
}

Status StatReader::read(Stat& out) const {
  out = Stat{};
  if (stat_) {
    Buffer buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): written by the kernel
    const auto text = read_text(stat_.get(), buffer);
    if (!text) return fail(text.error());
    if (auto status = parse(*text, version_, out); !status) return status;
  }
  return read_cpuacct(out);
}

Status StatReader::read_cpuacct(Stat& out) const {
  const auto read_if_open = [&out](const UniqueFd& fd, std::optional<nanoseconds>& time) {
    return fd ? read_time(fd.get(), time, out) : Status{};
  };
  if (auto status = read_if_open(user_, out.user); !status) return status;
  if (auto status = read_if_open(system_, out.system); !status) return status;
  // The total is read after its parts: read first, it could be smaller than their sum.
  if (auto status = read_if_open(usage_, out.usage); !status) return status;
  if (!ticks_) return {};
  Buffer buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): written by the kernel
  const auto text = read_text(ticks_.get(), buffer);
  if (!text) return fail(text.error());
  const auto user = parse::value_of(*text, "user");
  const auto system = parse::value_of(*text, "system");
  if (user) out.user = tick() * *user;
  if (system) out.system = tick() * *system;
  out.skipped_lines += (user ? 0U : 1U) + (system ? 0U : 1U);
  return {};
}

Result<Stat> stat(const Group& group) {
  const auto reader = StatReader::open(group);
  if (!reader) return fail(reader.error());
  Stat stat;
  if (auto status = reader->read(stat); !status) {
    status.error().path = group.shown("cpu.stat");
    return fail(status.error());
  }
  return stat;
}

Result<Stat> Controller::stat() const { return cpu::stat(*group_); }

Result<std::vector<nanoseconds>> usage_per_cpu(const Group& group) {
  const auto place = group.place("cpu");
  if (place && (*place)->hierarchy->version == Version::v2) {
    return fail(Error::make(errc::unsupported, "read", group.path(),
                            "cgroup v2 keeps no usage of single CPUs"));
  }
  const auto text = group.read("cpuacct.usage_percpu");
  if (!text) return fail(text.error());
  std::vector<nanoseconds> usage;
  std::string_view rest = *text;
  for (std::string_view row = parse::line(rest);;) {
    const std::string_view field = parse::field(row);
    if (field.empty()) return usage;
    const auto number = parse::whole_number(field);
    if (!number) {
      return fail(Error::make(errc::malformed, "parse", group.shown("cpuacct.usage_percpu"),
                              "not a list of numbers"));
    }
    usage.emplace_back(*number);
  }
}

Rates rates(const Stat& before, const Stat& after, nanoseconds elapsed,
            const std::optional<Bandwidth>& limit) noexcept {
  Rates rates;
  if (elapsed > nanoseconds(0)) {
    if (const auto used = difference(before.usage, after.usage)) {
      rates.cpus = *used / static_cast<double>(elapsed.count());
      const auto allowed = limit ? limit->cpus() : std::nullopt;
      if (allowed && *allowed > 0) rates.percent_of_limit = *rates.cpus / *allowed * 100;
    }
  }
  const bool both = before.nr_periods && after.nr_periods && before.nr_throttled &&
                    after.nr_throttled && *after.nr_periods > *before.nr_periods &&
                    *after.nr_throttled >= *before.nr_throttled;
  if (both) {
    rates.percent_throttled = static_cast<double>(*after.nr_throttled - *before.nr_throttled) *
                              100 / static_cast<double>(*after.nr_periods - *before.nr_periods);
  }
  return rates;
}

}  // namespace cgctl::cpu
