// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/memory_stat.hpp"

namespace cgctl::memory {
namespace {

struct Known {
  std::string_view name;
  Unit unit;
};

#define CGCTL_BYTES(name) Known{#name, Unit::bytes},
#define CGCTL_EVENTS(name) Known{#name, Unit::events},
constexpr std::array<Known, key_count> known = {{CGCTL_MEMORY_KEYS(CGCTL_BYTES, CGCTL_EVENTS)}};
#undef CGCTL_BYTES
#undef CGCTL_EVENTS

constexpr std::size_t first_text = 4096;
constexpr std::size_t largest_text = std::size_t{1} << 20;
constexpr std::string_view total = "total_";

Error refused(errc kind, std::string_view shown, const char* reason) {
  return Error::make(kind, "parse", std::string(shown), reason);
}

/// Reads the number of the line at `line`, after a name of `name_size` bytes. Returns false if the
/// line is not "NAME NUMBER".
inline bool read_value(const char* line, std::size_t name_size, parse::Number& out) noexcept {
  const char* const digits = line + name_size + 1;
  out = parse::number(digits);
  return digits[-1] == ' ' && out.end != digits && *out.end == '\n' && name_size != 0;
}

}  // namespace

std::string_view to_string(Key key) noexcept { return known[static_cast<std::size_t>(key)].name; }
Unit unit_of(Key key) noexcept { return known[static_cast<std::size_t>(key)].unit; }

std::optional<Key> key_named(std::string_view name) noexcept {
  for (std::size_t i = 0; i < key_count; ++i) {
    if (known[i].name == name) return static_cast<Key>(i);
  }
  return std::nullopt;
}

/// Returns the slot of a line's value; `unknown_slot` for an unknown or repeated name.
std::size_t Stat::slot_of(std::string_view name, Version version) const {
  const bool is_total = version == Version::v1 && parse::starts_with(name, total);
  const bool whole =
      version == Version::v2 || is_total || parse::starts_with(name, "hierarchical_");
  const auto key = key_named(is_total ? name.substr(total.size()) : name);
  if (!key) return unknown_slot;
  const std::size_t slot = static_cast<std::size_t>(*key) + (whole ? 0 : key_count);
  return present_[slot] ? unknown_slot : slot;
}

/// Learns the layout of `text`: the name and slot of each line.
void Stat::learn(std::string_view text, Version version) {
  version_ = version;
  rows_.clear();
  unknown_.clear();
  names_.clear();
  present_.fill(false);
  skipped_ = 0;
  while (!text.empty()) {
    const std::string_view row = parse::line(text);
    const std::string_view name = row.substr(0, row.find(' '));
    parse::Number number{};
    const std::size_t slot =
        read_value(row.data(), name.size(), number) ? slot_of(name, version) : skipped_slot;
    if (slot == unknown_slot) unknown_.push_back(rows_.size());
    if (slot == skipped_slot) ++skipped_;
    if (slot < slots) present_[slot] = true;
    rows_.push_back({static_cast<std::uint16_t>(slot), static_cast<std::uint16_t>(name.size()),
                     static_cast<std::uint32_t>(names_.size())});
    names_.append(name);
  }
  unknown_values_.resize(unknown_.size());
  names_.append(parse::padding, '\0');
}

void Stat::assign(Version version, const Figure* first, std::size_t count) {
  learn({}, version);
  names_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view name = to_string(first[i].key);
    const auto slot = static_cast<std::size_t>(first[i].key);
    present_[slot] = true;
    values_[slot] = first[i].value;
    rows_.push_back(
        {static_cast<std::uint16_t>(slot), 0, static_cast<std::uint32_t>(names_.size())});
    if (version == Version::v1) names_.append(total);
    names_.append(name);
    rows_.back().name_size = static_cast<std::uint16_t>(names_.size() - rows_.back().name);
  }
  names_.append(parse::padding, '\0');
}

/// Parses a text that has the same lines as the last one. Returns false if a line differs, also if
/// it has gained or lost its number.
bool Stat::parse_as_learnt(std::string_view text) {
  const char* const end = text.data() + text.size();
  const char* at = text.data();
  std::size_t next_unknown = 0;
  for (const Row& row : rows_) {
    // The name and the byte after it must fit into the rest of the text.
    if (at >= end || std::size_t{row.name_size} >= static_cast<std::size_t>(end - at)) return false;
    if (!parse::same_bytes(at, names_.data() + row.name, row.name_size)) return false;
    parse::Number number{};
    const bool has_value = read_value(at, row.name_size, number);
    if (has_value == (row.slot == skipped_slot)) return false;
    if (!has_value) {
      if (at[row.name_size] != ' ' && at[row.name_size] != '\n') return false;
      at = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at))) + 1;
      continue;
    }
    if (row.slot == unknown_slot) {
      unknown_values_[next_unknown++] = number.value;
    } else {
      values_[row.slot] = number.value;
    }
    at = number.end + 1;
  }
  return at == end;
}

/// Parses `text`, which lies inside text_ with parse::padding bytes after its end.
Status Stat::parse_rows(std::string_view text, Version version, std::string_view shown) {
  if (text.empty() || text.back() != '\n') {
    learn({}, version);
    return fail(refused(errc::truncated, shown, "the text ends too early"));
  }
  if (version != version_) learn(text, version);
  bool done = parse_as_learnt(text);
  if (!done) {
    learn(text, version);
    done = parse_as_learnt(text);
  }
  if (done && skipped_ < rows_.size()) return {};
  learn({}, version);
  return fail(refused(errc::malformed, shown, "no line is of the form NAME NUMBER"));
}

Status parse(std::string_view text, Version version, Stat& out) {
  if (out.text_.size() < text.size() + parse::padding) {
    out.text_.resize(text.size() + parse::padding);
  }
  std::copy(text.begin(), text.end(), out.text_.begin());
  return out.parse_rows(std::string_view(out.text_.data(), text.size()), version, "memory.stat");
}

StatReader::StatReader(UniqueFd fd, Version version, std::string path) noexcept
    : fd_(std::move(fd)), version_(version), path_(std::move(path)) {}

Result<StatReader> StatReader::open(const Group& group) {
  const auto place = group.place("memory");
  if (!place) return fail(place.error());
  auto fd = group.open_file("memory.stat", O_RDONLY);
  if (!fd) return fail(fd.error());
  return StatReader(std::move(*fd), (*place)->hierarchy->version, group.shown("memory.stat"));
}

Status read_stat(int fd, Version version, std::string_view shown, Stat& out) {
  for (;;) {
    if (out.text_.size() < first_text) out.text_.resize(first_text);
    const std::size_t room = out.text_.size() - parse::padding;
    const ssize_t got = sys::pread(fd, out.text_.data(), room, 0);
    if (got >= 0 && static_cast<std::size_t>(got) < room) {
      const std::string_view text(out.text_.data(), static_cast<std::size_t>(got));
      return out.parse_rows(text, version, shown);
    }
    if (got == -EINTR) continue;
    if (got < 0) return fail(fs::system_error("read", shown, static_cast<int>(-got)));
    if (out.text_.size() >= largest_text) {
      return fail(Error::make(errc::malformed, "read", std::string(shown), "larger than 1 MiB"));
    }
    out.text_.resize(out.text_.size() * 4);
  }
}

Result<Stat> stat(const Group& group) {
  const auto reader = StatReader::open(group);
  if (!reader) return fail(reader.error());
  Stat stat;
  if (auto status = reader->read(stat); !status) return fail(status.error());
  return stat;
}

std::uint64_t working_set(std::uint64_t usage, const Stat& stat) noexcept {
  const std::uint64_t inactive = stat[Key::inactive_file].value_or(0);
  return usage > inactive ? usage - inactive : 0;
}

}  // namespace cgctl::memory
