// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/io.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "settings/transaction.hpp"

namespace cgctl::io {
namespace {

using cgctl::detail::malformed;
using cgctl::detail::ValueFiles;

/// A rate, with its file on v1 and its key in io.max.
struct Kind {
  const char* v1;
  std::string_view key;
  std::optional<Rate> Limits::*member;
};

constexpr Kind kinds[] = {{"blkio.throttle.read_bps_device", "rbps", &Limits::read_bytes},
                          {"blkio.throttle.write_bps_device", "wbps", &Limits::write_bytes},
                          {"blkio.throttle.read_iops_device", "riops", &Limits::reads},
                          {"blkio.throttle.write_iops_device", "wiops", &Limits::writes}};

Result<const Group::Place*> place_of(const Group& group) {
  const bool v1 = group.host().find("blkio") != nullptr;
  return group.place(v1 ? "blkio" : "io");
}

std::optional<Device> parse_device(std::string_view text) {
  constexpr auto most = std::numeric_limits<std::uint32_t>::max();
  std::uint64_t first = 0;
  if (!parse::number(text, first) || text.empty() || text.front() != ':') return std::nullopt;
  text.remove_prefix(1);
  const auto second = parse::whole_number(text);
  if (!second || first > most || *second > most) return std::nullopt;
  return Device{static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(*second)};
}

Limits& limits_of(std::vector<Limits>& all, const Device& device) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Limits& one) { return one.device == device; });
  if (found != all.end()) return *found;
  return all.emplace_back(Limits{device, {}, {}, {}, {}});
}

Status read_v1(ValueFiles& files, std::vector<Limits>& out) {
  for (const Kind& kind : kinds) {
    const auto text = files.read(kind.v1);
    if (!text) return fail(text.error());
    if (!*text) {
      return fail(Error::make(errc::unsupported, "read", files.group().shown(kind.v1),
                              "this kernel does not limit I/O",
                              "it needs CONFIG_BLK_DEV_THROTTLING"));
    }
    for (std::string_view rest = **text; !rest.empty();) {
      std::string_view row = parse::line(rest);
      const auto device = parse_device(parse::field(row));
      const auto rate = parse::whole_number(parse::field(row));
      if (!device || !rate) return malformed(files.group(), kind.v1, **text);
      limits_of(out, *device).*kind.member = Rate{rate};
    }
  }
  return {};
}

/// Takes "rbps=1048576"; returns false if it is malformed. Skips keys of later kernels.
bool take_word(std::string_view word, Limits& out) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view value = word.substr(equals + 1);
  for (const Kind& kind : kinds) {
    if (word.substr(0, equals) != kind.key) continue;
    const auto rate = parse::whole_number(value);
    if (!rate && value != "max") return false;
    out.*kind.member = Rate{rate};
  }
  return true;
}

/// `whole`: the whole hierarchy is visible.
Status read_v2(ValueFiles& files, bool whole, std::vector<Limits>& out) {
  const auto text = files.read("io.max");
  if (!text) return fail(text.error());
  const bool is_root = whole && files.group().path() == "/";
  if (!*text && is_root) return {};
  // The controller may not be enabled for the cgroup.
  if (!*text) return fail(files.group().read("io.max").error());
  for (std::string_view rest = **text; !rest.empty();) {
    std::string_view row = parse::line(rest);
    const auto device = parse_device(parse::field(row));
    if (!device) return malformed(files.group(), "io.max", **text);
    Limits& limits = limits_of(out, *device);
    for (std::string_view word = parse::field(row); !word.empty(); word = parse::field(row)) {
      if (!take_word(word, limits)) return malformed(files.group(), "io.max", **text);
    }
  }
  return {};
}

/// Returns the disk of a partition, or the device itself.
Device disk_of(const Host& host, const Device& device) {
  const std::string directory = "dev/block/" + to_string(device);
  if (!fs::read_in_root(host.roots().sys, directory + "/partition")) return device;
  const auto text = fs::read_in_root(host.roots().sys, directory + "/../dev");
  const auto disk =
      text ? parse_device(std::string_view(*text).substr(0, text->find('\n'))) : std::nullopt;
  return disk.value_or(device);
}

Error no_device(const std::string& name, const char* reason) {
  return Error::make(errc::invalid_argument, "find the block device of", name, reason,
                     "block devices are listed with their numbers in /proc/partitions");
}

Status check(const Group& group, const Limits& change) {
  bool any = false;
  for (const Kind& kind : kinds) {
    const auto& rate = change.*kind.member;
    any = any || rate;
    if (!rate || rate->per_second != 0U) continue;
    return fail(
        Error::make(errc::invalid_argument, "set", group.path(),
                    std::string(kind.key) + " of " + to_string(change.device) + " cannot be 0",
                    "give 1 or more, or no limit"));
  }
  if (any) return {};
  return fail(Error::make(errc::invalid_argument, "set", group.path(),
                          "no rate is given for " + to_string(change.device)));
}

void add_v1(const Limits& change, std::vector<settings::Setting>& out) {
  for (const Kind& kind : kinds) {
    const auto& rate = change.*kind.member;
    if (!rate) continue;
    out.push_back(
        {kind.v1, to_string(change.device) + " " + std::to_string(rate->per_second.value_or(0))});
  }
}

void add_v2(const Limits& change, std::vector<settings::Setting>& out) {
  std::string line = to_string(change.device);
  for (const Kind& kind : kinds) {
    const auto& rate = change.*kind.member;
    if (!rate) continue;
    line.append(" ").append(kind.key).append("=");
    line += rate->per_second ? std::to_string(*rate->per_second) : "max";
  }
  out.push_back({"io.max", std::move(line)});
}

}  // namespace

std::string to_string(const Device& device) {
  return std::to_string(device.major_number) + ":" + std::to_string(device.minor_number);
}

Result<Device> find_device(const Host& host, const std::string& name) {
  if (const auto device = parse_device(name)) return disk_of(host, *device);
  if (name.empty() || name.front() != '/') {
    return fail(no_device(name, "it is neither a number such as 8:0 nor an absolute path"));
  }
  const int fd = sys::open_at(AT_FDCWD, name.c_str(), O_PATH);
  if (fd < 0) return fail(fs::system_error("open", name, -fd));
  const UniqueFd opened(fd);
  struct ::stat found {};
  if (const int status = sys::stat(fd, found); status < 0) {
    return fail(fs::system_error("stat", name, -status));
  }
  const dev_t number = S_ISBLK(found.st_mode) ? found.st_rdev : found.st_dev;
  if (major(number) == 0) {
    return fail(no_device(name, "its file system is on no block device that the kernel names"));
  }
  return disk_of(host, {major(number), minor(number)});
}

std::string device_name(const Host& host, const Device& device) {
  constexpr std::string_view key = "DEVNAME=";
  const auto text =
      fs::read_in_root(host.roots().sys, "dev/block/" + to_string(device) + "/uevent");
  if (!text) return {};
  for (std::string_view rest = *text; !rest.empty();) {
    const std::string_view row = parse::line(rest);
    if (parse::starts_with(row, key)) return std::string(row.substr(key.size()));
  }
  return {};
}

Result<State> state(const Group& group) {
  const auto place = place_of(group);
  if (!place) return fail(place.error());
  ValueFiles files(group, ValueFiles::For::reading);
  State state;
  state.version = (*place)->hierarchy->version;
  const auto status = state.version == Version::v1
                          ? read_v1(files, state.limits)
                          : read_v2(files, (*place)->hierarchy->whole, state.limits);
  if (!status) return fail(status.error());
  return state;
}

Result<std::vector<settings::Setting>> plan(const Group& group,
                                            const std::vector<Limits>& changes) {
  const auto place = place_of(group);
  if (!place) return fail(place.error());
  const bool v1 = (*place)->hierarchy->version == Version::v1;
  if (!v1 && (*place)->hierarchy->whole && group.path() == "/") {
    return fail(Error::make(errc::invalid_argument, "set", group.shown("io.max"),
                            "the root of cgroup v2 has no limit of I/O",
                            "limit the cgroups below it"));
  }
  std::vector<settings::Setting> settings;
  for (const Limits& change : changes) {
    if (auto status = check(group, change); !status) return fail(status.error());
    v1 ? add_v1(change, settings) : add_v2(change, settings);
  }
  return settings;
}

Result<std::vector<settings::Written>> set(const Group& group, const std::vector<Limits>& changes) {
  const auto settings = plan(group, changes);
  if (!settings) return fail(settings.error());
  return settings::apply(group, *settings);
}

}  // namespace cgctl::io
