// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Parses the binary records of tracefs. Unlike the text of `trace`, they cannot be confused by the
/// name of a cgroup or of a process.
namespace cgctl::recorder {

/// One record about a memory cgroup.
struct Event {
  enum class Kind { made, removed, released };
  Kind kind = Kind::made;
  std::chrono::nanoseconds at{};  ///< CLOCK_BOOTTIME
  std::uint64_t id = 0;
  std::string_view path;  ///< raw bytes; a part of the page
};

/// The places of the fields in one event's records, from the event's `format`.
struct Format {
  std::uint16_t type = 0;
  std::size_t id_at = 0;
  std::size_t id_size = 0;  ///< 8: the cgroup's inode, 4: another number
  std::size_t path_at = 0;  ///< of the data location: 16 bits length, 16 bits place
};

/// Parses the text of a file `format`. Returns nothing if a field is missing.
std::optional<Format> parse_format(std::string_view text);

/// The place of the data in a page, from the text of `events/header_page`.
struct PageFormat {
  std::size_t commit_at = 0;
  std::size_t commit_size = 0;
  std::size_t data_at = 0;
};

std::optional<PageFormat> parse_header_page(std::string_view text);

/// The events of one page of records.
struct Page {
  std::vector<Event> events;
  std::uint64_t lost = 0;  ///< records overwritten before this page
  bool whole = true;       ///< false if the page breaks off or has another form
};

/// Parses a page read from `trace_pipe_raw`; `formats` are those of Event::Kind, in its order.
void parse_page(std::string_view bytes, const PageFormat& page,
                const std::array<Format, 3>& formats, Page& out);

}  // namespace cgctl::recorder
