// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "tree/conversion.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "cgctl/parse.hpp"
#include "settings/values.hpp"

namespace cgctl::detail {
namespace {

using settings::Setting;
using InTree = KernelFile::InTree;

tl::unexpected<Error> refuse(errc kind, std::string reason, std::string hint) {
  return fail(Error::make(kind, "plan", {}, std::move(reason), std::move(hint)));
}

tl::unexpected<Error> no_value(const Setting& setting, const char* expected) {
  return refuse(errc::invalid_argument, setting.file + " cannot be '" + setting.value + "'",
                expected);
}

std::string in_words(const Setting& setting) { return setting.file + " " + setting.value; }

/// Parses a number like the kernel's kstrtoll(): decimal, hexadecimal with 0x or octal with 0 in
/// front.
std::optional<std::int64_t> whole(std::string_view text) {
  const bool negative = parse::starts_with(text, "-");
  if (negative) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text.front() == '0') {
    base = text[1] == 'x' || text[1] == 'X' ? 16 : 8;
    text.remove_prefix(base == 16 ? 2 : 1);
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || parse::starts_with(text, "-")) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

/// Stores a value. Fails if another setting, of this or the other version, has already set it.
template <class T>
Status say(std::optional<T>& out, T value, const Setting& setting) {
  if (out) {
    return refuse(errc::invalid_argument,
                  setting.file + " conflicts with another setting of this cgroup",
                  "give one of them");
  }
  out = std::move(value);
  return {};
}

// ---- cpu ----

Status take_cpu_max(const Setting& setting, cpu::Change& out) {
  std::string_view rest = setting.value;
  const std::string_view quota = parse::field(rest);
  const std::string_view period = parse::field(rest);
  // The kernel reads it with sscanf("%llu"): decimal.
  const auto number = parse::whole_number(quota);
  const auto length = parse::whole_number(period);
  if ((quota != "max" && !number) || (!period.empty() && !length) || !parse::field(rest).empty()) {
    return no_value(setting, "QUOTA PERIOD in microseconds, or max for no quota");
  }
  cpu::Quota wanted;
  if (number) wanted.limit = cpu::microseconds(static_cast<std::int64_t>(*number));
  auto status = say(out.quota, wanted, setting);
  if (!status || !length) return status;
  return say(out.period, cpu::microseconds(static_cast<std::int64_t>(*length)), setting);
}

Status take_number(const Setting& setting, std::int64_t number, cpu::Change& out) {
  const auto time = cpu::microseconds(number);
  const auto count = static_cast<std::uint64_t>(number);
  const std::string& file = setting.file;
  if (file == "cpu.cfs_quota_us") {
    cpu::Quota quota;
    if (number >= 0) quota.limit = time;
    return say(out.quota, quota, setting);
  }
  if (file == "cpu.weight.nice") {
    out.nice = static_cast<int>(std::clamp<std::int64_t>(number, -1000, 1000));
    return {};
  }
  if (number < 0) return no_value(setting, "0 or more");
  if (file == "cpu.cfs_period_us") return say(out.period, time, setting);
  if (file == "cpu.cfs_burst_us" || file == "cpu.max.burst") return say(out.burst, time, setting);
  if (file == "cpu.idle" && number > 1) return no_value(setting, "0 or 1");
  if (file == "cpu.rt_runtime_us") out.rt_runtime = time;
  if (file == "cpu.rt_period_us") out.rt_period = time;
  if (file == "cpu.idle") out.idle = number != 0;
  if (file == "cpu.shares" || file == "cpu.weight") {
    if (out.shares || out.weight) {
      return refuse(errc::invalid_argument, "cpu.shares and cpu.weight are the same setting",
                    "give one of them");
    }
    if (file == "cpu.shares") out.shares = cpu::Shares{count};
    if (file == "cpu.weight") out.weight = cpu::Weight{count};
  }
  return {};
}

Status take(const Setting& setting, cpu::Change& out) {
  if (setting.file == "cpu.max") return take_cpu_max(setting, out);
  const auto number = whole(setting.value);
  if (!number) return no_value(setting, "a whole number");
  return take_number(setting, *number, out);
}

// ---- memory ----

struct LimitFile {
  std::string_view file;
  std::optional<memory::Limit> memory::Change::*member;
};

constexpr std::array limit_files = {
    LimitFile{"memory.limit_in_bytes", &memory::Change::max},
    LimitFile{"memory.max", &memory::Change::max},
    LimitFile{"memory.memsw.limit_in_bytes", &memory::Change::memsw_max},
    LimitFile{"memory.soft_limit_in_bytes", &memory::Change::soft_limit},
    LimitFile{"memory.high", &memory::Change::high},
    LimitFile{"memory.low", &memory::Change::low},
    LimitFile{"memory.min", &memory::Change::min},
    LimitFile{"memory.swap.max", &memory::Change::swap_max},
    LimitFile{"memory.swap.high", &memory::Change::swap_high}};

Status take(const Setting& setting, memory::Change& out) {
  const auto* const limit =
      std::find_if(limit_files.begin(), limit_files.end(),
                   [&](const LimitFile& one) { return one.file == setting.file; });
  if (limit != limit_files.end()) {
    const auto size = size_of(setting.value, 1);
    if (!size) return no_value(setting, "a number of bytes such as 1073741824 or 1G, or no limit");
    return say(out.*(limit->member), memory::Limit{size->bytes}, setting);
  }
  // cgsnapshot(1) writes all lines of memory.oom_control.
  const bool as_read = parse::starts_with(setting.value, "oom_kill_disable");
  const auto number =
      whole(as_read ? written_form(kernel_file(setting.file), setting.value) : setting.value);
  const bool is_switch = number && (*number == 0 || *number == 1);
  const bool on = is_switch && *number == 1;
  if (setting.file == "memory.swappiness") {
    if (!number || *number < 0) return no_value(setting, "0 to 100, to 200 since Linux 5.8");
    out.swappiness = static_cast<std::uint64_t>(*number);
  } else if (setting.file == "memory.oom_control") {
    if (!is_switch) return no_value(setting, "1: tasks wait at the limit, 0: they are killed");
    out.oom_kill = !on;
  } else if (setting.file == "memory.oom.group") {
    if (!is_switch) return no_value(setting, "0 or 1");
    out.oom_group = on;
  }
  return {};
}

// ---- files with another name or form ----

struct Throttle {
  std::string_view v1;
  std::string_view key;  ///< key in io.max
};

constexpr std::array throttles = {Throttle{"blkio.throttle.read_bps_device", "rbps"},
                                  Throttle{"blkio.throttle.write_bps_device", "wbps"},
                                  Throttle{"blkio.throttle.read_iops_device", "riops"},
                                  Throttle{"blkio.throttle.write_iops_device", "wiops"}};

using Counterparts = std::vector<Setting>;

Counterparts to_io_max(const Setting& setting, std::string_view key) {
  std::string_view rest = setting.value;
  const std::string device(parse::field(rest));
  const std::string_view limit = parse::field(rest);
  const std::string value(limit == "0" ? "max" : limit);
  return {{"io.max", device + " " + std::string(key) + "=" + value}};
}

Counterparts from_io_max(const Setting& setting) {
  Counterparts found;
  std::string_view rest = setting.value;
  const std::string device(parse::field(rest));
  for (std::string_view word = parse::field(rest); !word.empty(); word = parse::field(rest)) {
    const auto* const throttle = std::find_if(
        throttles.begin(), throttles.end(),
        [&](const Throttle& one) { return parse::starts_with(word, std::string(one.key) + "="); });
    if (throttle == throttles.end()) return {};
    const std::string_view value = word.substr(throttle->key.size() + 1);
    found.push_back(
        {std::string(throttle->v1), device + " " + std::string(value == "max" ? "0" : value)});
  }
  return found;
}

bool replace_end(std::string& text, std::string_view end, std::string_view with) {
  if (text.size() < end.size() || text.compare(text.size() - end.size(), end.size(), end) != 0) {
    return false;
  }
  text.replace(text.size() - end.size(), end.size(), with);
  return true;
}

/// Returns the counterparts of a setting; nothing if it has none.
Counterparts counterparts(const Setting& setting, Version version) {
  const bool to_v2 = version == Version::v2;
  Setting other = setting;
  if (parse::starts_with(setting.file, "hugetlb.")) {
    if (!replace_end(other.file, to_v2 ? ".limit_in_bytes" : ".max",
                     to_v2 ? ".max" : ".limit_in_bytes")) {
      return {};
    }
    const auto size = size_of(setting.value, 1);
    if (!size) return {};
    other.value = size->bytes ? std::to_string(*size->bytes) : to_v2 ? "max" : "-1";
    return {other};
  }
  for (const Throttle& throttle : throttles) {
    if (setting.file == throttle.v1) return to_io_max(setting, throttle.key);
  }
  if (setting.file == "io.max") return from_io_max(setting);
  if (setting.file == "blkio.bfq.weight") return {{"io.bfq.weight", "default " + setting.value}};
  if (setting.file == "blkio.bfq.weight_device") return {{"io.bfq.weight", setting.value}};
  if (setting.file == "blkio.prio.class") return {{"io.prio.class", setting.value}};
  if (setting.file == "io.prio.class") return {{"blkio.prio.class", setting.value}};
  if (setting.file == "io.bfq.weight") {
    std::string_view rest = setting.value;
    const bool all = parse::field(rest) == "default";
    rest.remove_prefix(std::min<std::size_t>(rest.size(), 1));
    if (all) return {{"blkio.bfq.weight", std::string(rest)}};
    return {{"blkio.bfq.weight_device", setting.value}};
  }
  return {};
}

/// Converts a cfq weight (10..1000) to io.weight like OCI runtimes do: linear over the ranges.
Counterparts io_weight(const Setting& setting) {
  const auto weight = whole(setting.value);
  if (!weight || *weight < 10 || *weight > 1000) return {};
  return {{"io.weight", "default " + std::to_string(1 + (*weight - 10) * 9999 / 990)}};
}

Status take(const Setting& setting, Wanted& out) {
  return parse::starts_with(setting.file, "cpu.") ? take(setting, out.cpu)
                                                  : take(setting, out.memory);
}

Status take_foreign(const Setting& setting, const KernelFile& file, Version version, Wanted& out) {
  if (file.in_tree == InTree::converted) {
    out.converted.push_back(in_words(setting));
    return take(setting, out);
  }
  const std::string name(to_string(version));
  const Counterparts others =
      setting.file == "blkio.weight" ? io_weight(setting) : counterparts(setting, version);
  if (!others.empty()) {
    std::string note = in_words(setting) + " ->";
    for (const Setting& other : others) {
      note += (&other == &others.front() ? " " : ", ") + in_words(other);
      out.files.push_back(other);
    }
    out.notes.push_back(std::move(note));
    return {};
  }
  if (is_default(file, setting.value)) {
    out.notes.push_back(in_words(setting) + ": left out, it is the default of cgroup " + name);
    return {};
  }
  // The controller's planner suggests an alternative.
  if (file.in_tree == InTree::planned) return take(setting, out);
  return refuse(errc::unsupported, "cgroup " + name + " has no counterpart of " + in_words(setting),
                "leave it out, or use a host with the other version of its controller");
}

}  // namespace

Result<Wanted> wanted_of(const std::vector<Setting>& settings, Version version) {
  Wanted out;
  for (const Setting& setting : settings) {
    const KernelFile file = kernel_file(setting.file);
    Status status;
    if (file.is_setting() && !file.is_of(version)) {
      status = take_foreign(setting, file, version, out);
    } else if (file.in_tree == InTree::given) {
      out.files.push_back(setting);
    } else {
      status = take(setting, out);
    }
    if (!status) return fail(status.error());
  }
  return out;
}

std::string controller_name(const std::string& controller, Version version) {
  if (version == Version::v2 && controller == "blkio") return "io";
  if (version == Version::v1 && controller == "io") return "blkio";
  return controller;
}

}  // namespace cgctl::detail
