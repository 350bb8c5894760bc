// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "cgctl/mitigator.hpp"
#include "mitigate/config.hpp"

namespace cgctl::tool {

using mitigation::boottime;
using mitigation::Mitigator;
using mitigation::Report;
using mitigation::Urgency;

/// Said where the kernel keeps no pressure figures (PSI).
inline constexpr const char* blind_guards =
    "this kernel keeps no pressure figures (PSI is off: boot with psi=1): the guards io_pressure "
    "and memory_pressure have no effect";

/// Says what went wrong in a look and stopped nothing.
void warn_of(const Report& report);

/// Adds what was read again since the action ended.
void add_refaults(const Host& host, Report& report);

/// "idle", "act", "refused", or "dry-run" for an action that was only rehearsed.
std::string_view decision_of(const Report& report);
std::string text_of(const Report& report);
nlohmann::ordered_json json_of(const Report& report);
/// For a run that neither did its work nor had none, in one line.
std::string complaint_of(const Report& report);

}  // namespace cgctl::tool
