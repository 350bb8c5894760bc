// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cgctl/mitigation.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"

namespace cgctl::tool::drop_caches_command {
namespace {

struct Options {
  unsigned level = 0;
  std::chrono::nanoseconds deadline = mitigation::Policy{}.deadline;
};

struct Dropped {
  unsigned level = 0;
  std::chrono::nanoseconds took{};
  std::uint64_t page_cache_before = 0;
  std::optional<std::uint64_t> page_cache_after;
};

Result<Dropped> drop(const Host& host, const Options& options) {
  Dropped dropped;
  dropped.level = options.level;
  const auto before = mitigation::page_cache(host);
  if (!before) return fail(before.error());
  dropped.page_cache_before = *before;
  const auto took = mitigation::drop_caches(host, rung_of(options.level), options.deadline);
  if (!took) return fail(took.error());
  dropped.took = *took;
  const auto after = mitigation::page_cache(host);
  if (after) dropped.page_cache_after = *after;
  if (!after) warn(message_of(after.error()));
  return dropped;
}

std::string text_of(const Dropped& dropped) {
  const std::uint64_t before = dropped.page_cache_before;
  const std::uint64_t after = dropped.page_cache_after.value_or(before);
  std::string text =
      fmt::format("drop_caches={} done in {}\n", dropped.level, human_time(dropped.took));
  if (dropped.level != 2 && dropped.page_cache_after) {
    text += fmt::format("page cache {} -> {}: {} dropped, to be read from disk again when needed\n",
                        human_bytes(before), human_bytes(after),
                        human_bytes(before > after ? before - after : 0));
  }
  if (dropped.level != 1)
    text += "dentries and inodes dropped, to be looked up again when needed\n";
  return text;
}

Json json_of(const Dropped& dropped) {
  return {{"level", dropped.level},
          {"seconds", std::chrono::duration<double>(dropped.took).count()},
          {"page_cache_before_bytes", dropped.page_cache_before},
          {"page_cache_after_bytes", or_null(dropped.page_cache_after)}};
}

Exit run_drop_caches(const Globals& globals, const Options& options) {
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  const auto dropped = drop(*host, options);
  if (!dropped) return report(dropped.error());
  if (globals.format == Format::json) {
    print(globals, "drop-caches/1", json_of(*dropped));
  } else {
    print(globals, text_of(*dropped));
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "drop-caches",
      "drop the caches of the whole host, within a deadline\n\n"
      "Writes dirty pages back (sync), then writes LEVEL to /proc/sys/vm/drop_caches, in a "
      "separate process that is killed at the deadline. No guard is asked and no zombies are "
      "counted: to free zombies use mitigate. The whole host pays for it: data that was cached "
      "must be read from disk again.");
  add_level(*command, "LEVEL", options->level,
            "1: page cache, 2: dentries and inodes (no sync),\n3: both")
      ->required();
  add_time(*command, "--deadline", options->deadline, "longest wait for the kernel (default 60s)");
  command->footer(
      "Examples:\n"
      "  cgctl drop-caches 1\n"
      "  cgctl drop-caches 2 --deadline 10s");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_drop_caches(globals, *options); };
  });
}

}  // namespace cgctl::tool::drop_caches_command
