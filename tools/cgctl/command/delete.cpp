// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>

#include "cgctl/group.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"

namespace cgctl::tool::delete_command {
namespace {

struct Options {
  std::vector<std::string> paths;
  std::chrono::nanoseconds deadline = std::chrono::seconds(5);
  Removal how;
};

Exit run_delete(const Globals& globals, const Options& options) {
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  Removal how = options.how;
  how.deadline = std::chrono::ceil<std::chrono::milliseconds>(options.deadline);
  Exit exit = Exit::done;
  for (const std::string& path : options.paths) {
    const auto group = host->open(path);
    const auto removed = group ? group->remove(how) : fail(group.error());
    if (!removed) {
      exit = report(removed.error());
      continue;
    }
    const bool emptied = how.pages == Removal::Pages::empty;
    if (globals.format == Format::json) {
      Json one{{"path", group->path()}, {"directories", removed->directories}};
      one["left_bytes"] = emptied ? Json(removed->bytes_left) : Json(nullptr);
      print(globals, "delete/1", std::move(one));
    } else if (removed->bytes_left != 0) {
      print(globals, fmt::format("{}: {} could not be freed and may keep a zombie alive\n",
                                 printable(group->path()), human_bytes(removed->bytes_left)));
    }
  }
  return exit;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "delete",
      "remove cgroups (--empty-first: leaving no zombies)\n\n"
      "Removes each PATH from every hierarchy that has it. A cgroup with processes in it or "
      "cgroups below it is not removed, unless an option says what to do with them. A memory "
      "cgroup that is removed while pages are charged to it stays in the kernel as a zombie; "
      "--empty-first frees those pages first.");
  add_paths(*command, options->paths, "cgroups to remove");
  command->add_flag_callback(
      "-r,--recursive", [options] { options->how.below = Removal::Below::remove; },
      "also remove the cgroups below");
  command->add_flag_callback(
      "--kill", [options] { options->how.tasks = Removal::Tasks::kill; },
      "kill the processes in PATH and below (SIGKILL)");
  command->add_flag_callback(
      "--empty-first", [options] { options->how.pages = Removal::Pages::empty; },
      "write dirty pages back (sync) and reclaim the\ncharged memory first, so that no zombie "
      "stays");
  add_time(*command, "--deadline", options->deadline,
           "how long to retry while the kernel says busy\n(default 5s)");
  command->footer(
      "Examples:\n"
      "  cgctl delete --empty-first /batch/job-1\n"
      "  cgctl delete -r --kill /batch");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_delete(globals, *options); };
  });
}

}  // namespace cgctl::tool::delete_command
