// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "cgctl/group.hpp"
#include "cli/globals.hpp"
#include "cli/limits.hpp"
#include "cli/setting_options.hpp"

namespace cgctl::tool {
namespace {

constexpr const char* other_limits = "Tasks, CPUs and I/O";

struct RateKey {
  std::string_view name;
  std::optional<io::Rate> io::Limits::*member;
};

constexpr RateKey rate_keys[] = {{"rbps", &io::Limits::read_bytes},
                                 {"wbps", &io::Limits::write_bytes},
                                 {"riops", &io::Limits::reads},
                                 {"wiops", &io::Limits::writes}};

/// Takes "rbps=10M" or "wiops=max".
void take_rate(const std::string& word, io::Limits& out) {
  const std::size_t equals = word.find('=');
  for (const RateKey& key : rate_keys) {
    if (equals == std::string::npos || word.substr(0, equals) != key.name) continue;
    const std::string value = word.substr(equals + 1);
    io::Rate rate;
    if (!means_none(value)) rate.per_second = parse_size(value);
    out.*key.member = rate;
    return;
  }
  throw CLI::ValidationError(
      fmt::format("'{}': write rbps, wbps, riops or wiops, = and a number or max", word));
}

/// Parses "/dev/vda,rbps=10M,wbps=max".
DeviceLimits parse_device_limits(const std::string& text) {
  std::size_t end = text.find(',');
  if (end == std::string::npos || end == 0) {
    throw CLI::ValidationError(
        fmt::format("'{}': write a device and its limits, such as /dev/sda,rbps=10M", text));
  }
  DeviceLimits out{text.substr(0, end), {}};
  while (end < text.size()) {
    const std::size_t begin = end + 1;
    end = std::min(text.find(',', begin), text.size());
    take_rate(text.substr(begin, end - begin), out.limits);
  }
  return out;
}

}  // namespace

CLI::Option* add_pids_max(CLI::App& command, const char* name, std::optional<pids::Max>& max) {
  return add_setting(command, other_limits, name, "N|max",
                     "most processes and threads, those below included;\nmax: no limit",
                     [&max](const std::string& text) {
                       max = pids::Max{};
                       if (!means_none(text)) max->tasks = parse_count(text);
                     });
}

CLI::Option* add_ids(CLI::App& command, const char* name, const char* description,
                     std::optional<cpuset::Ids>& ids) {
  return add_setting(command, other_limits, name, "LIST", description,
                     [&ids](const std::string& text) {
                       ids = text == "parent" ? cpuset::Ids{} : cpuset::parse_ids(text);
                       if (ids && (!ids->empty() || text == "parent")) return;
                       throw CLI::ValidationError(
                           fmt::format("'{}': write a list such as 0-3,8, or parent", text));
                     });
}

CLI::Option* add_io_max(CLI::App& command, const char* name, std::vector<DeviceLimits>& limits) {
  const std::string option = name;
  const auto take = [&limits, option](const CLI::results_t& texts) {
    for (const std::string& text : texts) {
      try {
        limits.push_back(parse_device_limits(text));
      } catch (const CLI::ValidationError& error) {
        throw CLI::ValidationError(fmt::format("{} {}", option, error.what()));
      }
    }
    return true;
  };
  return command
      .add_option(
          option, CLI::callback_t(take),
          "I/O per second to the disk of DEVICE, a path or a\nnumber: rbps=SIZE, wbps=SIZE, "
          "riops=N, wiops=N, each\nalso max; repeat the option for more disks")
      ->type_name("DEVICE,KEY=VALUE,...")
      ->group(other_limits)
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->take_all()
      ->allow_extra_args(false);
}

Result<std::vector<io::Limits>> find_devices(const Host& host,
                                             const std::vector<DeviceLimits>& wanted) {
  std::vector<io::Limits> found;
  for (const DeviceLimits& one : wanted) {
    const auto device = io::find_device(host, one.device);
    if (!device) return fail(device.error());
    found.push_back(one.limits);
    found.back().device = *device;
  }
  return found;
}

Exit show_or_set(const Globals& globals, const std::string& path,
                 const std::function<Exit(const Group&)>& show,
                 const std::function<Written(const Group&)>& set) {
  const auto host = set ? host_to_change(globals) : globals.host();
  if (!host) return report(host.error());
  const auto opened = host->open(path);
  if (!opened) return report(opened.error());
  if (!set) return show(*opened);
  const auto written = write_whole([&] { return set(*opened); });
  if (!written) return report(written.error());
  print_written(globals, opened->path(), *written);
  return Exit::done;
}

std::string heading(const Group& opened, const char* controller, Version version) {
  return fmt::format("{}, {} on {}\n", paint(Color::bold, printable(opened.path())), controller,
                     to_string(version));
}

}  // namespace cgctl::tool
