// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/io.hpp"

#include <fmt/format.h>

#include <memory>

#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/limits.hpp"

namespace cgctl::tool::io_command {
namespace {

struct Options {
  std::string path;
  std::vector<DeviceLimits> limits;
};

Json json_of(const std::optional<io::Rate>& rate) {
  return or_null(rate ? rate->per_second : std::nullopt);
}

Json json_of(const Group& group, const io::State& state) {
  Json all = Json::array();
  for (const io::Limits& one : state.limits) {
    const std::string name = io::device_name(group.host(), one.device);
    all.push_back({{"device", to_string(one.device)},
                   {"name", name.empty() ? Json(nullptr) : Json(name)},
                   {"read_bytes_per_second", json_of(one.read_bytes)},
                   {"write_bytes_per_second", json_of(one.write_bytes)},
                   {"reads_per_second", json_of(one.reads)},
                   {"writes_per_second", json_of(one.writes)}});
  }
  return {
      {"path", group.path()}, {"version", to_string(state.version)}, {"limits", std::move(all)}};
}

std::string bytes_text(const std::optional<io::Rate>& rate) {
  return rate && rate->per_second ? human_bytes(*rate->per_second) : "-";
}

std::string count_text(const std::optional<io::Rate>& rate) {
  return rate && rate->per_second ? std::to_string(*rate->per_second) : "-";
}

std::string text_of(const Group& group, const io::State& state) {
  std::string text = heading(group, "io", state.version);
  if (state.limits.empty()) return text + "no limits\n";
  constexpr auto right = Table::Align::right;
  Table table(
      {{"READ/s", right}, {"WRITE/s", right}, {"READS/s", right}, {"WRITES/s", right}, {"DEVICE"}});
  for (const io::Limits& one : state.limits) {
    const std::string name = io::device_name(group.host(), one.device);
    const std::string number = to_string(one.device);
    table.add({bytes_text(one.read_bytes), bytes_text(one.write_bytes), count_text(one.reads),
               count_text(one.writes),
               name.empty() ? number : fmt::format("{} ({})", printable(name), number)});
  }
  return text + table.text();
}

Exit show(const Globals& globals, const Group& group) {
  return show_state(
      globals, "io/1", io::state(group),
      [&group](const io::State& state) { return json_of(group, state); },
      [&group](const io::State& state) { return text_of(group, state); });
}

Written set(const Group& group, const std::vector<DeviceLimits>& wanted) {
  const auto limits = find_devices(group.host(), wanted);
  if (!limits) return fail(limits.error());
  return io::set(group, *limits);
}

Exit run_io(const Globals& globals, const Options& options) {
  std::function<Written(const Group&)> write;
  if (!options.limits.empty()) {
    write = [&options](const Group& group) { return set(group, options.limits); };
  }
  return show_or_set(
      globals, options.path, [&globals](const Group& group) { return show(globals, group); },
      write);
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "io",
      "show or set how much a cgroup may read and write\n\n"
      "Shows the limits of each disk (blkio.throttle of v1, io.max of v2), or writes the settings "
      "given, all of them or none. On v1 writes that go through the page cache are not limited.");
  add_path(*command, options->path, "cgroup to show or change")->required();
  add_io_max(*command, "--max", options->limits);
  command->footer(
      "Examples:\n"
      "  cgctl io /batch\n"
      "  cgctl io /batch --max /dev/sda,rbps=10M,wiops=200\n"
      "  cgctl io /batch --max 8:0,rbps=max");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_io(globals, *options); };
  });
}

}  // namespace cgctl::tool::io_command
