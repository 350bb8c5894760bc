// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/recorder.hpp"
#include "cgctl/workload.hpp"
#include "recorder/pages.hpp"

namespace cgctl::recorder {

inline constexpr std::size_t most_makers = 129;  // the first one stands for the others
inline constexpr std::size_t most_dead = 4096;
inline constexpr std::size_t longest_pattern = 96;
inline constexpr std::size_t longest_example = 200;

/// Adds the records of a batch, which come in the order of their times. All records older than
/// `begun` are in it or in an earlier one. The removal of a cgroup released later may follow in the
/// next batch.
void add(Ledger& ledger, const std::vector<Event>& batch, std::chrono::nanoseconds begun,
         const workload::Pods& pods);

/// The boot and the time at which a ledger is written or read.
struct Present {
  std::string boot_id;
  std::chrono::seconds uptime{};  ///< CLOCK_BOOTTIME
};

/// Formats a ledger in at most 256 KiB; paths without room, of the oldest removals, are left out.
std::string to_text(const Ledger& ledger, const Present& written);

/// Parses the text of to_text(). Returns nothing if the text has another form, is not complete, or
/// lies in the future. A ledger of another boot counts as empty, because its zombies are gone.
std::optional<Ledger> ledger_from_text(std::string_view text, const Present& now);

}  // namespace cgctl::recorder
