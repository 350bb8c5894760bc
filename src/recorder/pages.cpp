// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "recorder/pages.hpp"

#include <algorithm>
#include <cstring>

#include "cgctl/parse.hpp"

namespace cgctl::recorder {
namespace {

// The forms of records: include/linux/ring_buffer.h, kernel/trace/ring_buffer.c.
constexpr unsigned padding_type = 29;
constexpr unsigned time_extend_type = 30;
constexpr unsigned time_stamp_type = 31;
constexpr unsigned type_bits = 5;
constexpr unsigned delta_bits = 27;
constexpr std::uint64_t missed = std::uint64_t{1} << 31U;
constexpr std::uint64_t missed_stored = std::uint64_t{1} << 30U;
constexpr std::uint64_t size_mask = (std::uint64_t{1} << 20U) - 1;

/// Copies a number out of `bytes`; false if it does not fit in.
template <class T>
bool get(std::string_view bytes, std::size_t at, T& out) {
  if (at > bytes.size() || bytes.size() - at < sizeof out) return false;
  std::memcpy(&out, bytes.data() + at, sizeof out);
  return true;
}

/// Copies a number of 4 or 8 bytes.
bool get_sized(std::string_view bytes, std::size_t at, std::size_t size, std::uint64_t& out) {
  if (size == sizeof out) return get(bytes, at, out);
  std::uint32_t half = 0;
  const bool got = size == sizeof half && get(bytes, at, half);
  out = half;
  return got;
}

struct Head {
  unsigned type = 0;
  std::uint64_t delta = 0;
};

Head head_of(std::uint32_t word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return {word >> delta_bits, word & ((1U << delta_bits) - 1)};
#else
  return {word & ((1U << type_bits) - 1), word >> type_bits};
#endif
}

/// Returns the number behind "NAME:" in a line such as "field:u64 id; offset:16; size:8;".
std::optional<std::size_t> number_after(std::string_view line, std::string_view name) {
  const std::size_t at = line.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  line.remove_prefix(at + name.size());
  std::uint64_t value = 0;
  if (!parse::number(line, value)) return std::nullopt;
  return value;
}

struct Field {
  std::size_t at = 0;
  std::size_t size = 0;
};

/// Returns the place of the field whose declaration ends with `name`.
std::optional<Field> field_named(std::string_view text, std::string_view name) {
  constexpr std::size_t longest_record = 4096;
  while (!text.empty()) {
    const std::string_view line = parse::line(text);
    const std::size_t end = line.find(';');
    const std::string_view declared = line.substr(0, end);
    if (end == std::string_view::npos || declared.find("field:") == std::string_view::npos ||
        declared.substr(declared.find_last_of(' ') + 1) != name) {
      continue;
    }
    const auto at = number_after(line, "offset:");
    const auto size = number_after(line, "size:");
    if (!at || !size || *at > longest_record) return std::nullopt;
    return Field{*at, *size};
  }
  return std::nullopt;
}

/// Reads one record of an event; leaves it out if it is another event's or too short.
void add_record(std::string_view record, std::chrono::nanoseconds at,
                const std::array<Format, 3>& formats, Page& out) {
  std::uint16_t type = 0;
  if (!get(record, 0, type)) return;
  for (std::size_t kind = 0; kind < formats.size(); ++kind) {
    const Format& format = formats[kind];
    if (format.type != type) continue;
    Event event;
    event.kind = static_cast<Event::Kind>(kind);
    event.at = at;
    std::uint32_t place = 0;
    if (!get_sized(record, format.id_at, format.id_size, event.id) ||
        !get(record, format.path_at, place) || (place & 0xffff) > record.size()) {
      out.whole = false;
      return;
    }
    constexpr unsigned length_shift = 16;
    event.path = record.substr(place & 0xffff, place >> length_shift);
    event.path = event.path.substr(0, event.path.find('\0'));
    out.events.push_back(event);
    return;
  }
}

/// Reads the records of a page one by one.
class Reader {
 public:
  Reader(std::string_view data, std::uint64_t time) : data_(data), time_(time) {}

  /// Returns the next record's data, which is empty for a record without; nothing at the end.
  std::optional<std::string_view> next() {
    std::uint32_t word = 0;
    if (!get(data_, 0, word)) return std::nullopt;
    const Head head = head_of(word);
    std::uint32_t first = 0;
    const bool has_first = get(data_, sizeof word, first);
    if (head.type == padding_type && head.delta == 0) return std::nullopt;
    const bool needs_first = head.type == 0 || head.type >= padding_type;
    if (needs_first && !has_first) return broken();
    pass(head, first);
    std::size_t start = sizeof word;
    std::size_t size = std::size_t{head.type} * sizeof word;
    if (head.type == 0) {
      // The first word is the size, itself included.
      if (first < sizeof first) return broken();
      start += sizeof first;
      size = first - sizeof first;
    } else if (head.type == padding_type) {
      size = first;
    } else if (head.type >= time_extend_type) {
      size = sizeof first;
    }
    if (size > data_.size() - start) return broken();
    const std::string_view record = data_.substr(start, size);
    const std::size_t aligned = (start + size + sizeof word - 1) / sizeof word * sizeof word;
    data_.remove_prefix(std::min(aligned, data_.size()));
    return head.type >= padding_type ? std::string_view() : record;
  }
  [[nodiscard]] std::chrono::nanoseconds time() const {
    return std::chrono::nanoseconds(static_cast<std::int64_t>(time_));
  }
  [[nodiscard]] bool whole() const { return whole_; }

 private:
  std::optional<std::string_view> broken() {
    whole_ = false;
    return std::nullopt;
  }
  void pass(const Head& head, std::uint32_t first) {
    const std::uint64_t far = (std::uint64_t{first} << delta_bits) + head.delta;
    if (head.type == time_stamp_type) {
      // The record has 59 bits of the time.
      constexpr std::uint64_t high = ~((std::uint64_t{1} << 59U) - 1);
      time_ = (time_ & high) | far;
    } else {
      time_ += head.type == time_extend_type ? far : head.delta;
    }
  }

  std::string_view data_;
  std::uint64_t time_;
  bool whole_ = true;
};

}  // namespace

std::optional<Format> parse_format(std::string_view text) {
  const auto type = number_after(text, "ID: ");
  const auto id = field_named(text, "id");
  const auto path = field_named(text, "path");
  constexpr std::size_t most = 0xffff;
  if (!type || *type > most || !id || !path || path->size != sizeof(std::uint32_t)) {
    return std::nullopt;
  }
  if (id->size != sizeof(std::uint32_t) && id->size != sizeof(std::uint64_t)) return std::nullopt;
  return Format{static_cast<std::uint16_t>(*type), id->at, id->size, path->at};
}

std::optional<PageFormat> parse_header_page(std::string_view text) {
  const auto commit = field_named(text, "commit");
  const auto data = field_named(text, "data");
  if (!commit || !data) return std::nullopt;
  return PageFormat{commit->at, commit->size, data->at};
}

void parse_page(std::string_view bytes, const PageFormat& page,
                const std::array<Format, 3>& formats, Page& out) {
  std::uint64_t time = 0;
  std::uint64_t commit = 0;
  if (!get(bytes, 0, time) || !get_sized(bytes, page.commit_at, page.commit_size, commit) ||
      page.data_at > bytes.size()) {
    out.whole = false;
    return;
  }
  const std::string_view data = bytes.substr(page.data_at);
  const std::size_t size = commit & size_mask;
  if ((commit & missed) != 0) {
    std::uint64_t count = 1;
    if ((commit & missed_stored) != 0) get_sized(data, size, page.commit_size, count);
    out.lost += count;
  }
  if (size > data.size()) out.whole = false;
  Reader reader(data.substr(0, size), time);
  while (const auto record = reader.next()) add_record(*record, reader.time(), formats, out);
  out.whole = out.whole && reader.whole();
}

}  // namespace cgctl::recorder
