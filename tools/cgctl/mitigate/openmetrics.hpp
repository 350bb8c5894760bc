// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace cgctl::tool {

/// True if the client that sent this HTTP request prefers OpenMetrics to Prometheus' text format,
/// by the qualities of the two in its header Accept (RFC 9110, 12.5.1).
bool prefers_openmetrics(std::string_view request);

/// Converts metrics in Prometheus' text format to OpenMetrics 1.0: names of families without the
/// endings "_total" and "_info", units of seconds and bytes, and the line that ends the text.
std::string openmetrics(std::string_view text);

}  // namespace cgctl::tool
