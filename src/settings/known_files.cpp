// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "settings/known_files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <set>

#include "cgctl/parse.hpp"
#include "settings/device_rules.hpp"

namespace cgctl::detail {
namespace {

enum class Form {
  text,
  size,    ///< bytes, "max" or v1's -1 for no limit
  list,    ///< of CPUs or nodes
  quota,   ///< microseconds, any negative number for no limit
  shares,  ///< clamped to 2..262144
  rate,    ///< "QUOTA PERIOD" or "QUOTA"
  keyed,   ///< a line for each device or resource
};

enum class In { v1, v2, both };

struct Known {
  std::string_view file;
  In versions;
  std::string_view initial;  ///< of a keyed file: of each value in a line
  Form form = Form::text;
  bool inherited = false;
};

constexpr std::array known_files = {
    Known{"cpu.shares", In::v1, "1024", Form::shares},
    Known{"cpu.cfs_quota_us", In::v1, "-1", Form::quota},
    Known{"cpu.cfs_period_us", In::v1, "100000"},
    Known{"cpu.cfs_burst_us", In::v1, "0"},
    Known{"cpu.rt_runtime_us", In::v1, "0"},
    Known{"cpu.rt_period_us", In::v1, "1000000"},
    Known{"cpu.idle", In::both, "0"},
    Known{"cpu.weight", In::v2, "100"},
    Known{"cpu.max", In::v2, "max 100000", Form::rate},
    Known{"cpu.max.burst", In::v2, "0"},
    Known{"cpu.uclamp.min", In::both, "0.00"},
    Known{"cpu.uclamp.max", In::both, "max"},
    Known{"cpuset.cpus", In::both, "", Form::list},
    Known{"cpuset.mems", In::both, "", Form::list},
    Known{"cpuset.cpus.exclusive", In::v2, "", Form::list},
    Known{"cpuset.cpus.partition", In::v2, "member"},
    Known{"cpuset.cpu_exclusive", In::v1, "0"},
    Known{"cpuset.mem_exclusive", In::v1, "0"},
    Known{"cpuset.mem_hardwall", In::v1, "0"},
    Known{"cpuset.memory_migrate", In::v1, "0"},
    Known{"cpuset.memory_spread_page", In::v1, "0", Form::text, true},
    Known{"cpuset.memory_spread_slab", In::v1, "0", Form::text, true},
    Known{"cpuset.sched_load_balance", In::v1, "1"},
    Known{"cpuset.sched_relax_domain_level", In::v1, "-1"},
    Known{"memory.limit_in_bytes", In::v1, "-1", Form::size},
    Known{"memory.soft_limit_in_bytes", In::v1, "-1", Form::size},
    Known{"memory.memsw.limit_in_bytes", In::v1, "-1", Form::size},
    Known{"memory.kmem.limit_in_bytes", In::v1, "-1", Form::size},
    Known{"memory.kmem.tcp.limit_in_bytes", In::v1, "-1", Form::size},
    Known{"memory.swappiness", In::v1, "60", Form::text, true},
    Known{"memory.oom_control", In::v1, "0", Form::text, true},
    Known{"memory.use_hierarchy", In::v1, "1", Form::text, true},
    Known{"memory.move_charge_at_immigrate", In::v1, "0"},
    Known{"memory.min", In::v2, "0", Form::size},
    Known{"memory.low", In::v2, "0", Form::size},
    Known{"memory.high", In::v2, "max", Form::size},
    Known{"memory.max", In::v2, "max", Form::size},
    Known{"memory.swap.max", In::v2, "max", Form::size},
    Known{"memory.swap.high", In::v2, "max", Form::size},
    Known{"memory.zswap.max", In::v2, "max", Form::size},
    Known{"memory.zswap.writeback", In::v2, "1"},
    Known{"memory.oom.group", In::v2, "0"},
    Known{"pids.max", In::both, "max"},
    Known{"blkio.weight", In::v1, "500"},
    Known{"blkio.leaf_weight", In::v1, "500"},
    Known{"blkio.bfq.weight", In::v1, "100"},
    Known{"blkio.weight_device", In::v1, "", Form::keyed},
    Known{"blkio.leaf_weight_device", In::v1, "", Form::keyed},
    Known{"blkio.bfq.weight_device", In::v1, "", Form::keyed},
    Known{"blkio.throttle.read_bps_device", In::v1, "0", Form::keyed},
    Known{"blkio.throttle.write_bps_device", In::v1, "0", Form::keyed},
    Known{"blkio.throttle.read_iops_device", In::v1, "0", Form::keyed},
    Known{"blkio.throttle.write_iops_device", In::v1, "0", Form::keyed},
    Known{"blkio.prio.class", In::v1, "no-change"},
    Known{"io.weight", In::v2, "100", Form::keyed},
    Known{"io.bfq.weight", In::v2, "100", Form::keyed},
    Known{"io.max", In::v2, "max", Form::keyed},
    Known{"io.latency", In::v2, "0", Form::keyed},
    Known{"io.prio.class", In::v2, "no-change"},
    Known{"rdma.max", In::both, "max", Form::keyed},
    Known{"misc.max", In::both, "max", Form::keyed},
    Known{"dmem.max", In::v2, "max", Form::keyed},
    Known{"dmem.low", In::v2, "0", Form::keyed},
    Known{"dmem.min", In::v2, "0", Form::keyed},
    Known{"net_cls.classid", In::v1, "0"},
    Known{"net_prio.ifpriomap", In::v1, "0", Form::keyed},
    Known{"cgroup.max.depth", In::v2, "max"},
    Known{"cgroup.max.descendants", In::v2, "max"},
};

constexpr Known hugetlb_limit{"", In::both, "max", Form::size};

constexpr std::array<std::string_view, 6> no_settings_at_the_end = {
    "failcnt", ".max_usage_in_bytes", ".peak", ".pressure", ".pressure_level", ".weight.nice"};
constexpr std::array<std::string_view, 4> no_settings_at_the_beginning = {"devices.", "freezer.",
                                                                          "cpuacct.", "cgroup."};

bool ends_with(std::string_view text, std::string_view end) noexcept {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_hugetlb_limit(std::string_view file) noexcept {
  return parse::starts_with(file, "hugetlb.") &&
         (ends_with(file, ".max") || ends_with(file, ".limit_in_bytes"));
}

const Known* known(std::string_view file) noexcept {
  const auto* const found = std::find_if(known_files.begin(), known_files.end(),
                                         [&](const Known& one) { return one.file == file; });
  if (found != known_files.end()) return found;
  return is_hugetlb_limit(file) ? &hugetlb_limit : nullptr;
}

Form form_of(std::string_view file) noexcept {
  const Known* const found = known(file);
  return found != nullptr ? found->form : Form::text;
}

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view blank = " \t\n";
  const std::size_t first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::uint64_t unit_shift(char unit) noexcept {
  switch (unit) {
    case 'k':
    case 'K':
      return 10;
    case 'm':
    case 'M':
      return 20;
    case 'g':
    case 'G':
      return 30;
    case 't':
    case 'T':
      return 40;
    case 'p':
    case 'P':
      return 50;
    case 'e':
    case 'E':
      return 60;
    default:
      return 0;
  }
}

/// The granularity of a file's sizes: "hugetlb.2MB.max" counts in huge pages.
std::uint64_t granularity(std::string_view file, std::uint64_t page_size) noexcept {
  if (!is_hugetlb_limit(file)) return page_size;
  file.remove_prefix(file.find('.') + 1);
  std::uint64_t size = 0;
  if (!parse::number(file, size) || file.empty()) return page_size;
  return std::max<std::uint64_t>(size << unit_shift(file.front()), 1);
}

std::optional<std::set<std::uint64_t>> members(std::string_view list) {
  std::set<std::uint64_t> found;
  constexpr std::uint64_t most = 65536;
  bool sane = true;
  const bool valid = parse::ranges(list, [&](std::uint64_t first, std::uint64_t last) {
    sane = sane && last < most;
    for (std::uint64_t at = first; sane && at <= last; ++at) found.insert(at);
  });
  return valid && sane ? std::optional(found) : std::nullopt;
}

/// As the kernel takes numbers: decimal, 0x, 0, with a fraction for cpu.uclamp.
std::optional<double> number_of(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const auto whole = static_cast<double>(std::strtoll(text.c_str(), &end, 0));
  if (!text.empty() && *end == '\0' && errno == 0) return whole;
  const double fraction = std::strtod(text.c_str(), &end);
  if (!text.empty() && *end == '\0') return fraction;
  return std::nullopt;
}

bool same_rate(std::string_view a, std::string_view b) {
  const std::string_view quota_a = parse::field(a);
  const std::string_view quota_b = parse::field(b);
  const std::string_view period_a = parse::field(a);
  const std::string_view period_b = parse::field(b);
  return quota_a == quota_b && (period_a == period_b || period_a.empty() || period_b.empty());
}

bool is_negative(std::string_view text) { return parse::starts_with(text, "-"); }

std::uint64_t clamped_shares(double value) {
  return static_cast<std::uint64_t>(std::clamp(value, 2.0, 262144.0));
}

std::string_view value_in(std::string_view word) {
  const std::size_t equals = word.find('=');
  return equals == std::string_view::npos ? word : word.substr(equals + 1);
}

/// The line that brings a key back to what it has in a new cgroup.
std::string initial_line(std::string_view file, std::string_view line) {
  std::string_view rest = line;
  std::string text(parse::field(rest));
  if (parse::starts_with(file, "io.") && ends_with(file, ".weight") && text != "default") {
    return text + " default";
  }
  const Known* const found = known(file);
  for (std::string_view word = parse::field(rest); !word.empty(); word = parse::field(rest)) {
    text += ' ';
    text += word.substr(0, word.size() - value_in(word).size());
    text += found->initial.empty() ? "0" : found->initial;
  }
  return text;
}

}  // namespace

bool is_setting(std::string_view file) noexcept {
  if (known(file) != nullptr) return true;
  const auto ends = [&](std::string_view end) { return ends_with(file, end); };
  const auto begins = [&](std::string_view begin) { return parse::starts_with(file, begin); };
  return file.find('.') != std::string_view::npos && !is_reading(file) &&
         std::none_of(no_settings_at_the_end.begin(), no_settings_at_the_end.end(), ends) &&
         std::none_of(no_settings_at_the_beginning.begin(), no_settings_at_the_beginning.end(),
                      begins);
}

bool is_reading(std::string_view file) noexcept {
  constexpr std::array<std::string_view, 13> ends = {
      "failcnt",  "usage_in_bytes", ".current",     ".events",       ".peak",
      "stat",     ".force_empty",   ".reset_stats", "self_freezing", "parent_freezing",
      ".reclaim", ".list",          ".local"};
  return parse::starts_with(file, "cpuacct.") ||
         std::any_of(ends.begin(), ends.end(),
                     [&](std::string_view end) { return ends_with(file, end); });
}

bool is_of(std::string_view file, Version version) noexcept {
  if (is_hugetlb_limit(file)) return ends_with(file, ".max") == (version == Version::v2);
  const Known* const found = known(file);
  if (found == nullptr || found->versions == In::both) return true;
  return (found->versions == In::v2) == (version == Version::v2);
}

bool has_line_per_key(std::string_view file) noexcept {
  return form_of(file) == Form::keyed || is_device_rule(file);
}

bool is_inherited(std::string_view file) noexcept {
  const Known* const found = known(file);
  return found != nullptr && found->inherited;
}

bool is_default(std::string_view file, std::string_view value) {
  const Known* const found = known(file);
  if (found == nullptr) {
    const auto size = size_of(value, 1);
    return value.empty() || value == "0" || value == "max" || (size && !size->bytes);
  }
  // Repeats blkio.bfq.weight.
  if (file == "blkio.bfq.weight_device" && parse::starts_with(value, "default ")) return true;
  if (found->form == Form::keyed) return initial_line(file, value) == value;
  return same_value(file, value, found->initial, 1);
}

std::string written_form(std::string_view file, std::string_view text) {
  if (file != "memory.oom_control") return std::string(trimmed(text));
  return parse::value_of(text, "oom_kill_disable").value_or(0) == 0 ? "0" : "1";
}

std::string restoring_text(std::string_view file, std::string_view text, std::string_view written) {
  if (has_line_per_key(file)) return current_line(file, text, written);
  std::string value = written_form(file, text);
  if (value.find('\n') != std::string::npos) return {};
  // An empty text is brought back by an empty line.
  return value.empty() ? "\n" : value;
}

std::vector<settings::Setting> one_line_each(const std::vector<settings::Setting>& settings) {
  std::vector<settings::Setting> lines;
  for (const settings::Setting& setting : settings) {
    std::string_view rest = setting.value;
    if (!has_line_per_key(setting.file) || rest.find('\n') == std::string_view::npos) {
      lines.push_back(setting);
      continue;
    }
    while (!rest.empty()) {
      const std::string_view line = trimmed(parse::line(rest));
      if (!line.empty()) lines.push_back({setting.file, std::string(line)});
    }
  }
  return lines;
}

std::string current_line(std::string_view file, std::string_view text, std::string_view wanted) {
  const std::string_view key = parse::field(wanted);
  while (!text.empty()) {
    const std::string_view line = parse::line(text);
    std::string_view rest = line;
    if (parse::field(rest) == key) return std::string(line);
  }
  return initial_line(file, std::string(key) + std::string(wanted));
}

bool same_line(std::string_view current, std::string_view wanted) {
  (void)parse::field(wanted);
  for (std::string_view word = parse::field(wanted); !word.empty(); word = parse::field(wanted)) {
    std::string_view rest = current;
    (void)parse::field(rest);
    bool found = false;
    for (std::string_view other = parse::field(rest); !other.empty(); other = parse::field(rest)) {
      found = found || other == word;
    }
    if (!found) return false;
  }
  return true;
}

bool same_value(std::string_view file, std::string_view a, std::string_view b,
                std::uint64_t page_size) {
  a = trimmed(a);
  b = trimmed(b);
  if (a == b) return true;
  const Form form = form_of(file);
  if (form == Form::size) {
    const std::uint64_t unit = granularity(file, page_size);
    const auto size_a = size_of(a, unit);
    const auto size_b = size_of(b, unit);
    return size_a && size_b && size_a->bytes == size_b->bytes;
  }
  if (form == Form::list) {
    const auto members_a = members(a);
    return members_a && members_a == members(b);
  }
  if (form == Form::rate) return same_rate(a, b);
  if (form == Form::quota && is_negative(a) && is_negative(b)) return true;
  const auto number_a = number_of(std::string(a));
  const auto number_b = number_of(std::string(b));
  if (!number_a || !number_b) return false;
  if (form == Form::shares) return clamped_shares(*number_a) == clamped_shares(*number_b);
  return *number_a == *number_b;
}

bool is_as_asked(std::string_view file, std::string_view asked, std::string_view kept) {
  if (is_device_rule(file)) return true;
  if (has_line_per_key(file)) return same_line(current_line(file, kept, asked), asked);
  const std::string value = written_form(file, kept);
  if (form_of(file) != Form::shares) return same_value(file, asked, value, 1);
  return number_of(std::string(asked)) == number_of(value);
}

std::optional<Size> size_of(std::string_view text, std::uint64_t unit) noexcept {
  // v1 writes its largest number of whole pages for "no limit", of the largest of pages for
  // hugetlb.
  constexpr std::uint64_t beyond_any_memory = (std::uint64_t{1} << 63) - (std::uint64_t{1} << 34);
  if (text == "max" || text == "-1") return Size{};
  const int base = !parse::starts_with(text, "0")               ? 10
                   : text.substr(1, 1).find_first_of("xX") == 0 ? 16
                                                                : 8;
  if (base == 16) text.remove_prefix(2);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error == std::errc::result_out_of_range) return Size{};
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.empty()) {
    const std::uint64_t shift = unit_shift(text.front());
    if (shift == 0 || text.size() > 1) return std::nullopt;
    if (number > (std::numeric_limits<std::uint64_t>::max() >> shift)) return Size{};
    number <<= shift;
  }
  if (number >= beyond_any_memory) return Size{};
  return Size{number - number % unit};
}

}  // namespace cgctl::detail
