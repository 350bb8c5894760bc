// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/pressure.hpp"

#include <cerrno>
#include <cstdint>
#include <string>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"

namespace cgctl::pressure {
namespace {

/// Parses a percentage as the kernel prints it, "12.34": two decimals, no locale.
bool percentage(std::string_view text, double& out) {
  std::uint64_t whole = 0;
  std::uint64_t hundredths = 0;
  if (!parse::number(text, whole) || text.size() != 3 || text.front() != '.') return false;
  text.remove_prefix(1);
  if (!parse::number(text, hundredths) || !text.empty()) return false;
  out = static_cast<double>(whole) + static_cast<double>(hundredths) / 100;
  return true;
}

/// Reads the next field of `rest`, "key=value"; false if it has another key.
bool keyed(std::string_view& rest, std::string_view key, std::string_view& value) {
  const std::string_view field = parse::field(rest);
  if (!parse::starts_with(field, key)) return false;
  value = field.substr(key.size());
  return true;
}

std::optional<Line> parse_line(std::string_view rest) {
  Line line;
  std::string_view value;
  if (!keyed(rest, "avg10=", value) || !percentage(value, line.avg10)) return std::nullopt;
  if (!keyed(rest, "avg60=", value) || !percentage(value, line.avg60)) return std::nullopt;
  if (!keyed(rest, "avg300=", value) || !percentage(value, line.avg300)) return std::nullopt;
  if (!keyed(rest, "total=", value)) return std::nullopt;
  const auto total = parse::whole_number(value);
  using std::chrono::microseconds;
  constexpr auto most = std::chrono::duration_cast<microseconds>(std::chrono::nanoseconds::max());
  if (!total || *total > static_cast<std::uint64_t>(most.count())) return std::nullopt;
  line.total = microseconds(*total);
  return line;
}

}  // namespace

std::string_view to_string(Resource resource) noexcept {
  switch (resource) {
    case Resource::cpu:
      return "cpu";
    case Resource::io:
      return "io";
    case Resource::memory:
      return "memory";
  }
  return "unknown";
}

Result<Pressure> parse(std::string_view text) {
  Pressure pressure;
  bool some = false;
  while (!text.empty()) {
    std::string_view rest = parse::line(text);
    const std::string_view kind = parse::field(rest);
    const auto line = parse_line(rest);
    if (!line) {
      ++pressure.skipped_lines;
    } else if (kind == "some") {
      pressure.some = *line;
      some = true;
    } else if (kind == "full") {
      pressure.full = *line;
    }
  }
  if (some) return pressure;
  if (pressure.skipped_lines == 0) {
    return fail(Error::make(errc::truncated, "parse", {}, "no pressure figures"));
  }
  return fail(Error::make(errc::malformed, "parse", {}, "not a line of pressure figures"));
}

namespace {

Result<Pressure> parse_file(const Result<std::string>& text, const std::string& shown) {
  if (!text) {
    Error error = text.error();
    if (error.os_errno == ENOENT || error.os_errno == EOPNOTSUPP) {
      error.kind = errc::unsupported;
      error.reason = "this kernel keeps no pressure figures";
      error.hint =
          "they need Linux 4.20 and, where disabled by default, psi=1 on the kernel's command line";
    }
    return fail(std::move(error));
  }
  auto parsed = parse(*text);
  if (!parsed) {
    Error error = parsed.error();
    error.path = shown;
    return fail(std::move(error));
  }
  return parsed;
}

}  // namespace

namespace {

/// True if the cgroup's own switch is off (cgroup.pressure, Linux 6.1), which hides the figures.
bool switched_off(const Group& group) {
  const auto text = group.read("cgroup.pressure");
  return text && parse::whole_number(*text) == 0U;
}

}  // namespace

Result<Pressure> read(const Host& host, Resource resource) {
  const std::string file = "pressure/" + std::string(to_string(resource));
  const std::string& proc = host.roots().proc;
  return parse_file(fs::read_in_root(proc, file), fs::join(proc, file));
}

Result<Pressure> read(const Group& group, Resource resource) {
  const std::string file = std::string(to_string(resource)) + ".pressure";
  const auto text = group.read(file);
  if (!text && text.error().kind == errc::vanished) return fail(text.error());
  if (!text && switched_off(group)) {
    return fail(Error::make(errc::unsupported, "read", group.shown(file),
                            "pressure figures are switched off for this cgroup",
                            "write 1 to its cgroup.pressure"));
  }
  return parse_file(text, group.shown(file));
}

}  // namespace cgctl::pressure
