// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>

#include "cgctl/group.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"

namespace cgctl::tool::get_command {
namespace {

struct Options {
  std::string path;
  std::vector<std::string> files;
};

/// Puts the file's name before each line, as `grep -H` does.
std::string text_of(const std::string& file, std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out += fmt::format("{}: {}\n", file, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

Exit run_get(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto group = host->open(options.path);
  if (!group) return report(group.error());
  Exit exit = Exit::done;
  Json values = Json::object();
  for (const std::string& file : options.files) {
    const auto text = group->read(file);
    if (!text) {
      exit = report(text.error());
    } else if (globals.format == Format::json) {
      const bool newline = !text->empty() && text->back() == '\n';
      values[file] = text->substr(0, text->size() - (newline ? 1 : 0));
    } else {
      print(globals, options.files.size() == 1 ? *text : text_of(file, *text));
    }
  }
  if (globals.format == Format::json) {
    print(globals, "get/1", Json{{"path", group->path()}, {"values", std::move(values)}});
  }
  return exit;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "get",
      "read a cgroup's files by the kernel's names\n\n"
      "Prints the text of each FILE of PATH, from the hierarchy that has the file's controller. "
      "With several FILEs, each line begins with its file's name. Files outside the cgroup cannot "
      "be read.");
  add_path(*command, options->path, "cgroup to read from")->required();
  command->add_option("FILE", options->files, "kernel file, such as memory.stat or cgroup.procs")
      ->required()
      ->type_name("");
  command->footer(
      "Examples:\n"
      "  cgctl get /batch memory.stat\n"
      "  cgctl get /batch cpu.shares cpu.cfs_quota_us");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_get(globals, *options); };
  });
}

}  // namespace cgctl::tool::get_command
