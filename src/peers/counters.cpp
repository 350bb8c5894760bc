// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/parse.hpp"
#include "cgctl/peers.hpp"

namespace cgctl::peers {
namespace {

constexpr std::array<std::string_view, counter_count> names = {
    "OutSegs",           "RetransSegs",      "TCPTimeouts",         "TCPLossProbes",
    "TCPLostRetransmit", "TCPSpuriousRTOs",  "TCPSlowStartRetrans", "TCPFastRetrans",
    "TCPSynRetrans",     "TCPAbortOnTimeout"};

void keep(std::string_view name, std::string_view value, Counters& out) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) out[static_cast<Counter>(i)] = parse::whole_number(value);
  }
}

/// Reads a line of names and the line of values below it. Returns false if they do not match.
bool read_pair(std::string_view header, std::string_view values, Counters& out) {
  const std::string_view prefix = parse::field(header);
  if (parse::field(values) != prefix) return false;
  for (;;) {
    const std::string_view name = parse::field(header);
    const std::string_view value = parse::field(values);
    if (name.empty() != value.empty()) return false;
    if (name.empty()) return true;
    keep(name, value, out);
  }
}

/// Reads the pair of lines that begin with `prefix`.
Status read_table(std::string_view text, std::string_view prefix, Counters& out) {
  while (!text.empty()) {
    const std::string_view header = parse::line(text);
    if (!parse::starts_with(header, prefix)) continue;
    if (read_pair(header, parse::line(text), out)) return {};
    return fail(Error::make(errc::malformed, "parse", {},
                            "the values of " + std::string(prefix) + " do not fit their names"));
  }
  return fail(Error::make(errc::truncated, "parse", {}, "no line " + std::string(prefix)));
}

}  // namespace

std::string_view to_string(Counter counter) noexcept {
  return names[static_cast<std::size_t>(counter)];
}

Result<Counters> parse(std::string_view snmp, std::string_view netstat) {
  Counters counters;
  if (auto status = read_table(snmp, "Tcp: ", counters); !status) return fail(status.error());
  if (auto status = read_table(netstat, "TcpExt: ", counters); !status) return fail(status.error());
  return counters;
}

Counters growth(const Counters& before, const Counters& after) noexcept {
  Counters grown;
  for (std::size_t i = 0; i < counter_count; ++i) {
    const auto counter = static_cast<Counter>(i);
    const bool both = before[counter] && after[counter];
    if (both && *after[counter] >= *before[counter]) {
      grown[counter] = *after[counter] - *before[counter];
    }
  }
  return grown;
}

}  // namespace cgctl::peers
