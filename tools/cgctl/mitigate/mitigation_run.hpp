// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "cgctl/mitigator.hpp"
#include "cgctl/names.hpp"
#include "mitigate/config.hpp"

namespace cgctl::tool {

using mitigation::boottime;
using mitigation::Mitigator;
using mitigation::Report;
using mitigation::Urgency;

/// Note for kernels that keep no pressure figures (PSI).
inline constexpr const char* blind_guards =
    "this kernel keeps no pressure figures (PSI is off: boot with psi=1): the guards io_pressure "
    "and memory_pressure have no effect";

/// Prints the errors of a look that did not stop it.
void warn_of(const Report& report);

/// Adds the amount that was read again since the action ended.
void add_refaults(const Host& host, Report& report);

/// Returns "idle", "act", "refused", or "dry-run" for an action that was only rehearsed.
std::string_view decision_of(const Report& report);
/// Returns the report as text, with the names of the cgroups in it.
std::string text_of(const Report& report, names::Resolver& names);
/// Returns the line of JSON, with its newline.
std::string json_line_of(const Report& report, names::Resolver& names);
/// Returns in one line why an action was refused or had no effect.
std::string complaint_of(const Report& report);

}  // namespace cgctl::tool
