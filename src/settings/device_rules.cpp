// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "settings/device_rules.hpp"

#include <cerrno>
#include <map>
#include <optional>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/tree_walk.hpp"

namespace cgctl::detail {
namespace {

using settings::Setting;

constexpr const char* allow_file = "devices.allow";
constexpr const char* deny_file = "devices.deny";
constexpr const char* list_file = "devices.list";
constexpr std::string_view all_access = "rwm";

/// Access bits (see all_access) by device, such as "c 1:3".
using Access = std::map<std::string, unsigned>;

/// The content of a devices.list.
struct Devices {
  bool all = false;
  Access allowed;

  bool operator==(const Devices& other) const {
    return all == other.all && allowed == other.allowed;
  }
};

struct DeviceRule {
  bool all = false;
  std::string devices;
  unsigned access = 0;
};

/// Parses a rule; nothing if the text is no rule.
std::optional<DeviceRule> rule_of(std::string_view text) {
  const std::string_view type = parse::field(text);
  if (parse::starts_with(type, "a")) return DeviceRule{true, {}, 0};
  const std::string_view numbers = parse::field(text);
  DeviceRule rule{false, std::string(type) + " " + std::string(numbers), 0};
  for (const char letter : parse::field(text)) {
    const std::size_t bit = all_access.find(letter);
    if (bit == std::string_view::npos) return std::nullopt;
    rule.access |= 1U << bit;
  }
  if (rule.access == 0) return std::nullopt;
  return rule;
}

std::string rule_text(const std::string& devices, unsigned access) {
  std::string text = devices + " ";
  for (std::size_t bit = 0; bit < all_access.size(); ++bit) {
    if ((access & (1U << bit)) != 0) text += all_access[bit];
  }
  return text;
}

Devices devices_of(std::string_view list) {
  Devices devices;
  while (!list.empty()) {
    const auto rule = rule_of(parse::line(list));
    if (!rule) continue;
    if (rule->all) return {true, {}};
    devices.allowed[rule->devices] |= rule->access;
  }
  return devices;
}

/// Returns rules for the access that `from` has and `other` lacks.
std::vector<std::string> missing_in(const Access& other, const Access& from) {
  std::vector<std::string> rules;
  for (const auto& [devices, access] : from) {
    const auto found = other.find(devices);
    const unsigned missing = access & ~(found == other.end() ? 0U : found->second);
    if (missing != 0) rules.push_back(rule_text(devices, missing));
  }
  return rules;
}

/// Returns the rules that change `now` into `wanted`.
std::vector<Setting> rules_between(const Devices& now, const Devices& wanted) {
  if (now == wanted) return {};
  if (wanted.all) return {{allow_file, "a *:* rwm"}};
  std::vector<Setting> rules;
  if (now.all) rules.push_back({deny_file, "a *:* rwm"});
  for (std::string& rule : missing_in(wanted.allowed, now.allowed)) {
    rules.push_back({deny_file, std::move(rule)});
  }
  for (std::string& rule : missing_in(now.allowed, wanted.allowed)) {
    rules.push_back({allow_file, std::move(rule)});
  }
  return rules;
}

Status passed_by_if_gone(const Error& error) {
  const bool gone = error.kind == errc::vanished || error.os_errno == ENOENT;
  return gone ? Status{} : fail(error);
}

/// Adds the lists of a cgroup and of all below, parents first.
Status add_lists(const Group& group, std::vector<DeviceList>& out) {
  const auto place = group.place("devices");
  if (!place) return passed_by_if_gone(place.error());
  auto own = group.read(list_file);
  if (!own) return passed_by_if_gone(own.error());
  out.push_back({group.path(), std::move(*own)});
  const std::string shown = fs::join((*place)->hierarchy->mount_point, group.path());
  auto walked = each_below((*place)->directory.get(), shown, [&](const Step& step) -> Status {
    auto text = fs::read_beneath(step.parent, fs::join(step.name, list_file), list_file,
                                 (*place)->hierarchy->open_flags);
    if (text) {
      out.push_back({fs::join(group.path(), step.path), std::move(*text)});
      return {};
    }
    text.error().path = fs::join(fs::join(shown, step.path), list_file);
    return passed_by_if_gone(text.error());
  });
  return walked ? walked : passed_by_if_gone(walked.error());
}

}  // namespace

bool rules_change_nothing(std::string_view list, const std::vector<Setting>& rules) {
  const Devices before = devices_of(list);
  Devices after = before;
  bool known = true;
  for (const Setting& setting : rules) {
    const bool allow = setting.file == allow_file;
    const auto rule = rule_of(setting.value);
    if (!rule) return false;
    if (rule->all) {
      after = {allow, {}};
      known = true;
    } else if (after.all) {
      known = false;
    } else if (allow) {
      after.allowed[rule->devices] |= rule->access;
    } else if (const auto found = after.allowed.find(rule->devices); found != after.allowed.end()) {
      found->second &= ~rule->access;
      if (found->second == 0) after.allowed.erase(found);
    }
  }
  return known && after == before;
}

Result<std::vector<DeviceList>> device_lists(const Group& group) {
  std::vector<DeviceList> lists;
  if (auto status = add_lists(group, lists); !status) return fail(status.error());
  return lists;
}

Status restore_devices(const Host& host, const std::vector<DeviceList>& before) {
  Status first;
  const auto note = [&first](Status status) {
    if (!status && first) first = std::move(status);
  };
  for (const DeviceList& list : before) {
    const auto group = Group::open(host, list.path, {"devices"});
    const auto now = group ? group->read(list_file) : Result<std::string>(fail(group.error()));
    if (!now) {
      note(fail(now.error()));
      continue;
    }
    for (const Setting& rule : rules_between(devices_of(*now), devices_of(list.text))) {
      note(group->write(rule.file, rule.value));
    }
  }
  return first;
}

}  // namespace cgctl::detail
