// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <utility>

#include "cgctl/systemd.hpp"

namespace cgctl::systemd {
namespace {

constexpr std::uint64_t infinity = UINT64_MAX;
constexpr std::uint64_t second = 1'000'000;  // in microseconds

/// "12.5%" for 125,000 microseconds per second.
std::string percent_text(std::uint64_t per_second) {
  constexpr std::uint64_t hundredths = second / 10'000;
  const std::uint64_t value = (per_second + hundredths / 2) / hundredths;
  std::string text = std::to_string(value / 100);
  if (value % 100 != 0) {
    text += '.';
    text += static_cast<char>('0' + value % 100 / 10);
    if (value % 10 != 0) text += static_cast<char>('0' + value % 10);
  }
  return text + "%";
}

std::string number_text(std::uint64_t value) {
  return value == infinity ? "infinity" : std::to_string(value);
}

/// Translates the limits of one unit.
class Translator {
 public:
  Translator(const Host& host, const Limits& limits, Version version)
      : host_(host), limits_(limits), v1_(version == Version::v1) {}

  Result<Translation> all() {
    if (limits_.cpu.nice) {
      return fail(Error::make(errc::unsupported, "translate", "",
                              "systemd has no nice value of a unit", "give a weight instead"));
    }
    if (v1_ && !limits_.cpuset.empty()) {
      return fail(Error::make(errc::unsupported, "translate", "",
                              "systemd leaves CPUs and memory nodes alone on cgroup v1",
                              "set them in a cgroup that is not systemd's"));
    }
    quota();
    weight();
    real_time();
    memory_limits();
    if (limits_.pids_max)
      number("TasksMax", "TasksMax", limits_.pids_max->tasks.value_or(infinity));
    ids("AllowedCPUs", limits_.cpuset.cpus);
    ids("AllowedMemoryNodes", limits_.cpuset.nodes);
    rates("IOReadBandwidthMax", &io::Limits::read_bytes);
    rates("IOWriteBandwidthMax", &io::Limits::write_bytes);
    rates("IOReadIOPSMax", &io::Limits::reads);
    rates("IOWriteIOPSMax", &io::Limits::writes);
    return std::move(out_);
  }

 private:
  void add(const char* name, std::uint64_t value, std::string assignment) {
    out_.properties.push_back({name, value, {std::move(assignment)}});
  }
  void number(const char* name, const std::string& setting, std::uint64_t value) {
    add(name, value, setting + "=" + number_text(value));
  }

  void leave(const char* name) {
    out_.left_names += (out_.left_names.empty() ? "" : ", ") + std::string(name);
  }
  template <class Value>
  void leave(const char* name, const std::optional<Value>& value, std::optional<Value>& left) {
    if (!value) return;
    left = value;
    leave(name);
  }

  void quota() {
    const cpu::Change& wanted = limits_.cpu;
    constexpr std::uint64_t usual_period = 100'000;
    const std::uint64_t period =
        wanted.period ? static_cast<std::uint64_t>(wanted.period->count()) : usual_period;
    if (wanted.cpus) {
      quota(static_cast<std::uint64_t>(std::llround(*wanted.cpus * static_cast<double>(second))));
    } else if (wanted.quota) {
      quota(wanted.quota->limit ? static_cast<std::uint64_t>(wanted.quota->limit->count()) *
                                      second / std::max<std::uint64_t>(period, 1)
                                : infinity);
    }
    if (wanted.period) {
      add("CPUQuotaPeriodUSec", period, "CPUQuotaPeriodSec=" + std::to_string(period) + "us");
    }
    if (!wanted.burst) return;
    leave("burst", wanted.burst, out_.left.cpu.burst);
    out_.left.cpu.quota = wanted.quota;
    out_.left.cpu.cpus = wanted.cpus;
    out_.left.cpu.period = wanted.period;
  }
  void quota(std::uint64_t per_second) {
    add("CPUQuotaPerSecUSec", per_second,
        per_second == infinity ? "CPUQuota=" : "CPUQuota=" + percent_text(per_second));
  }

  void weight() {
    const cpu::Change& wanted = limits_.cpu;
    std::optional<std::uint64_t> value;
    if (wanted.weight) value = wanted.weight->value;
    if (wanted.shares) value = cpu::to_weight(*wanted.shares, wanted.conversion).value;
    if (value) number("CPUWeight", "CPUWeight", *value);
    if (wanted.idle && *wanted.idle) add("CPUWeight", 0, "CPUWeight=idle");
  }

  void real_time() {
    leave("rt_runtime", limits_.cpu.rt_runtime, out_.left.cpu.rt_runtime);
    leave("rt_period", limits_.cpu.rt_period, out_.left.cpu.rt_period);
  }

  void memory_limits() {
    const memory::Change& wanted = limits_.memory;
    memory::Change& left = out_.left.memory;
    memory_limit("MemoryMax", wanted.max);
    if (v1_) {
      leave("high", wanted.high, left.high);
      leave("low", wanted.low, left.low);
      leave("min", wanted.min, left.min);
      leave("swap_max", wanted.swap_max, left.swap_max);
    } else {
      memory_limit("MemoryHigh", wanted.high);
      memory_limit("MemoryLow", wanted.low);
      memory_limit("MemoryMin", wanted.min);
      memory_limit("MemorySwapMax", wanted.swap_max);
    }
    leave("memsw_max", wanted.memsw_max, left.memsw_max);
    if (left.swap_max || left.memsw_max) left.max = wanted.max;
    leave("soft_limit", wanted.soft_limit, left.soft_limit);
    leave("swap_high", wanted.swap_high, left.swap_high);
    leave("swappiness", wanted.swappiness, left.swappiness);
    leave("oom_group", wanted.oom_group, left.oom_group);
    leave("oom_kill", wanted.oom_kill, left.oom_kill);
  }
  void memory_limit(const char* name, const std::optional<memory::Limit>& limit) {
    if (limit) number(name, name, limit->bytes.value_or(infinity));
  }

  void ids(const char* name, const std::optional<cpuset::Ids>& wanted) {
    if (!wanted) return;
    std::vector<std::uint8_t> mask;
    for (const std::uint32_t id : *wanted) {
      if (id / 8 >= mask.size()) mask.resize(id / 8 + 1);
      mask[id / 8] = static_cast<std::uint8_t>(mask[id / 8] | 1U << id % 8);
    }
    out_.properties.push_back(
        {name, std::move(mask), {std::string(name) + "=" + cpuset::to_string(*wanted)}});
  }

  /// Returns the path of a device's file; systemd takes no numbers.
  std::string file_of(const io::Device& device) const {
    std::string name = io::device_name(host_, device);
    std::replace(name.begin(), name.end(), '!', '/');
    return "/dev/" + (name.empty() ? "block/" + io::to_string(device) : name);
  }
  void rates(const char* name, std::optional<io::Rate> io::Limits::*member) {
    Property property{name, std::vector<DeviceRate>(), {}};
    for (const io::Limits& one : limits_.io) {
      const std::optional<io::Rate>& rate = one.*member;
      if (!rate) continue;
      const DeviceRate limit{file_of(one.device), rate->per_second.value_or(max_rate)};
      property.assignments.push_back(std::string(name) + "=" + limit.device + " " +
                                     number_text(limit.rate));
      std::get<std::vector<DeviceRate>>(property.value).push_back(limit);
    }
    if (!property.assignments.empty()) out_.properties.push_back(std::move(property));
  }

  const Host& host_;
  const Limits& limits_;
  bool v1_;
  Translation out_;
};

}  // namespace

Result<Translation> translate(const Host& host, const Limits& limits) {
  const Hierarchy* hierarchy = host.find("memory");
  if (hierarchy == nullptr) hierarchy = host.find("cpu");
  const Version version = hierarchy == nullptr ? Version::v2 : hierarchy->version;
  return Translator(host, limits, version).all();
}

}  // namespace cgctl::systemd
