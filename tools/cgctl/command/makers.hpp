// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/recorder.hpp"
#include "cli/command.hpp"

/// The makers of zombies: the workloads whose cgroups were removed and not let go.
namespace cgctl::tool {

struct MakersOptions {
  std::uint64_t top = 10;
  std::string below;      ///< only zombies that were below this cgroup, by a census; empty: all
  std::string state_dir;  ///< directory of the ledger
};

/// Prints the makers of zombies, for `cgctl zombies`.
Exit print_makers(const Globals& globals, const Host& host, const zombies::Count& count,
                  const MakersOptions& options);

/// Collects the kernel's records if something records and this process may; else returns the ledger
/// of the last collection. Empty if nothing was recorded in this boot.
Result<recorder::Ledger> newest_ledger(const Host& host, const std::string& state_dir);

/// Names the maker with the most zombies: "812 of 1204: CronJob batch/backup, one a minute". Empty
/// if no maker of a zombie is recorded.
std::string leading_maker(const recorder::Ledger& ledger, std::uint64_t zombies);

/// Returns the makers with zombies, those with the most first. Valid as long as `all`.
std::vector<const recorder::Maker*> most_zombies(const std::vector<recorder::Maker>& all);

/// "one a minute", "12 a second", "one every 3.5 h".
std::string frequency(std::chrono::milliseconds interval);

/// The name of a maker for display; "others" for the one without a pattern.
std::string maker_name(const std::string& pattern);

}  // namespace cgctl::tool
