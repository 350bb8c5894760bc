// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "cgctl/recorder.hpp"
#include "cgctl/unique_fd.hpp"
#include "recorder/ledger.hpp"

namespace cgctl::recorder {

/// Returns the time of CLOCK_BOOTTIME.
std::chrono::nanoseconds boot_clock();

/// Returns the running boot and its present time.
Result<Present> present(const Host& host);

/// The ledger of a state directory, locked for this process.
class LedgerFile {
 public:
  /// Reads the ledger; renames a file that is something else.
  static Result<LedgerFile> open(const Host& host, const std::string& directory);
  /// Replaces the file.
  Status write();

  Ledger ledger;

 private:
  LedgerFile() = default;

  std::string path_;
  UniqueFd lock_;
  Present now_;
};

/// Reads the ledger of a state directory without locking it; nothing if the file is something else.
Result<std::optional<Ledger>> read_ledger(const std::string& directory, const Present& now);

}  // namespace cgctl::recorder
