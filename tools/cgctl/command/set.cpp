// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <memory>

#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/limits.hpp"

namespace cgctl::tool::set_command {
namespace {

struct Options {
  std::string path;
  std::vector<std::string> assignments;
};

/// Parses FILE=VALUE. Throws CLI::ValidationError.
settings::Setting setting_of(const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == 0 || equals == std::string::npos) {
    throw CLI::ValidationError("'" + assignment +
                               "': write FILE=VALUE, such as memory.limit_in_bytes=1G");
  }
  const std::string file = assignment.substr(0, equals);
  if (file == "cgroup.procs" || file == "cgroup.threads" || file == "tasks") {
    throw CLI::ValidationError("'" + assignment +
                               "': not a setting; to move processes use cgctl move");
  }
  if (equals + 1 == assignment.size()) {
    throw CLI::ValidationError("'" + assignment + "': the value is missing");
  }
  return {file, assignment.substr(equals + 1)};
}

Exit run_set(const Globals& globals, const std::string& path,
             const std::vector<settings::Setting>& wanted) {
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  const auto group = host->open(path);
  if (!group) return report(group.error());
  const auto written = write_whole([&] { return settings::apply(*group, wanted); });
  if (!written) return report(written.error());
  print_written(globals, group->path(), *written);
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "set",
      "write a cgroup's files by the kernel's names, all or none\n\n"
      "Writes the values in the order given and reads each back. If a write fails, the values "
      "written before it are restored. SIGINT, SIGTERM and SIGHUP take effect only after all "
      "values are written. A value that the kernel clamps or rounds is printed.");
  add_path(*command, options->path, "cgroup to change")->required();
  command->add_option("FILE=VALUE", options->assignments, "value to write, such as cpu.shares=512")
      ->required()
      ->type_name("");
  command->footer(
      "Examples:\n"
      "  cgctl set /batch cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000\n"
      "  cgctl set /batch memory.limit_in_bytes=1G");
  command->callback([&globals, &run, options] {
    std::vector<settings::Setting> wanted;
    for (const std::string& assignment : options->assignments) {
      wanted.push_back(setting_of(assignment));
    }
    run = [&globals, options, wanted] { return run_set(globals, options->path, wanted); };
  });
}

}  // namespace cgctl::tool::set_command
