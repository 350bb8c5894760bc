// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "settings/values.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <set>

#include "cgctl/parse.hpp"

namespace cgctl::detail {
namespace {

using Form = KernelFile::Form;

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

/// Returns the granularity of a file's sizes: "hugetlb.2MB.max" counts in huge pages.
std::uint64_t granularity(std::string_view name, std::uint64_t page_size) noexcept {
  if (!parse::starts_with(name, "hugetlb.")) return page_size;
  name.remove_prefix(name.find('.') + 1);
  std::uint64_t size = 0;
  if (!parse::number(name, size) || name.empty()) return page_size;
  return std::max<std::uint64_t>(size << unit_shift(name.front()), 1);
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

/// Parses a number as the kernel does: decimal, with 0x or 0 in front, or with a fraction for
/// cpu.uclamp.
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

/// Returns the line that sets a key to its value in a new cgroup.
std::string initial_line(const KernelFile& file, std::string_view line) {
  std::string_view rest = line;
  std::string text(parse::field(rest));
  if (file.form == Form::weights && text != "default") return text + " default";
  for (std::string_view word = parse::field(rest); !word.empty(); word = parse::field(rest)) {
    text += ' ';
    text += word.substr(0, word.size() - value_in(word).size());
    text += file.initial.empty() ? "0" : file.initial;
  }
  return text;
}

}  // namespace

bool is_default(const KernelFile& file, std::string_view value) {
  if (file.form == Form::unknown) {
    const auto size = size_of(value, 1);
    return value.empty() || value == "0" || value == "max" || (size && !size->bytes);
  }
  // This line repeats blkio.bfq.weight.
  if (file.name == "blkio.bfq.weight_device" && parse::starts_with(value, "default ")) return true;
  if (file.is_keyed()) return initial_line(file, value) == value;
  return same_value(file, value, file.initial, 1);
}

std::string written_form(const KernelFile& file, std::string_view text) {
  if (file.name != "memory.oom_control") return std::string(trimmed(text));
  return parse::value_of(text, "oom_kill_disable").value_or(0) == 0 ? "0" : "1";
}

std::string restoring_text(const KernelFile& file, std::string_view text,
                           std::string_view written) {
  if (file.is_keyed()) return current_line(file, text, written);
  std::string value = written_form(file, text);
  if (value.find('\n') != std::string::npos) return {};
  // An empty line restores an empty text.
  return value.empty() ? "\n" : value;
}

std::vector<settings::Setting> one_line_each(const std::vector<settings::Setting>& settings) {
  std::vector<settings::Setting> lines;
  for (const settings::Setting& setting : settings) {
    std::string_view rest = setting.value;
    if (!kernel_file(setting.file).is_keyed() || rest.find('\n') == std::string_view::npos) {
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

std::string current_line(const KernelFile& file, std::string_view text, std::string_view wanted) {
  const std::string_view key = parse::field(wanted);
  while (!text.empty()) {
    const std::string_view line = parse::line(text);
    std::string_view rest = line;
    if (parse::field(rest) == key) return std::string(line);
  }
  return initial_line(file, std::string(key) + std::string(wanted));
}

std::string switched_back(std::string_view before, std::string_view written) {
  std::string back;
  for (std::string_view word = parse::field(written); !word.empty(); word = parse::field(written)) {
    word.remove_prefix(word.front() == '+' || word.front() == '-' ? 1 : 0);
    back += back.empty() ? "" : " ";
    back += parse::has_word(before, word) ? '+' : '-';
    back += word;
  }
  return back;
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

bool same_value(const KernelFile& file, std::string_view a, std::string_view b,
                std::uint64_t page_size) {
  a = trimmed(a);
  b = trimmed(b);
  if (a == b) return true;
  const Form form = file.form;
  if (form == Form::size) {
    const std::uint64_t unit = granularity(file.name, page_size);
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

bool is_as_asked(const KernelFile& file, std::string_view asked, std::string_view kept) {
  if (file.is_device_rule()) return true;
  if (file.is_keyed()) return same_line(current_line(file, kept, asked), asked);
  const std::string value = written_form(file, kept);
  if (file.form != Form::shares) return same_value(file, asked, value, 1);
  return number_of(std::string(asked)) == number_of(value);
}

std::optional<Size> size_of(std::string_view text, std::uint64_t unit) noexcept {
  // For "no limit" v1 prints its largest number of whole pages; hugetlb uses the largest pages.
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
