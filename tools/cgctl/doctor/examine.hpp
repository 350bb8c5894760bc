// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cgctl/host.hpp"
#include "cgctl/names.hpp"
#include "doctor/doctor_report.hpp"
#include "mitigate/config.hpp"

namespace cgctl::tool::doctor_command {

struct ExamineOptions {
  bool probe = false;      ///< create cgroups to find out whether reads walk
  bool measure = false;    ///< read the root's memory.numa_stat although it may be expensive
  bool read_only = false;  ///< create no cgroups
  std::string machine_root = "/";
};

using Clock = std::chrono::steady_clock;
using Unread = std::vector<Error>;

/// Returns an error as the reason why something is not known.
tl::unexpected<std::string> because(const Error& error);

/// Makes all findings. The advice names `config`, the configuration file that was given, if any.
Diagnosis examine(const Host& host, const ExamineOptions& options,
                  const Configuration& configuration, const std::string& config,
                  names::Resolver& names);

/// Makes all findings that are timed. The probe comes first: its result may let the guard admit the
/// root's read.
void examine_kernel(const Host& host, const ExamineOptions& options, Diagnosis& found);

}  // namespace cgctl::tool::doctor_command
