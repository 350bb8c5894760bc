// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/zombies.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>

#include "cgctl/mitigation.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/names.hpp"
#include "command/dead.hpp"
#include "command/makers.hpp"
#include "command/pinned.hpp"

namespace cgctl::tool::zombies_command {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

struct Options {
  std::uint64_t top = 10;
  std::optional<nanoseconds> time;
  bool names = false;
  bool files = false;
  bool makers = false;
  std::string below;
  std::string state_dir = default_state_dir;
};

struct Findings {
  zombies::Count count;
  std::optional<zombies::Attribution>
      where;                 ///< absent if there are no zombies or --top 0 was given
  std::size_t left_out = 0;  ///< number of ancestors beyond --top
  std::string pins;
  nanoseconds limit{};  ///< longest time for finding `where`
  nanoseconds spent{};  ///< time spent on finding `where`
};

/// Returns the longest time for finding out where zombies hang. Unlike the count, that reads a file
/// of each live cgroup: the limit is a few times the time of the count, and grows with the number
/// of zombies.
nanoseconds patience(const zombies::Count& count, nanoseconds counted_in) {
  using namespace std::chrono_literals;
  constexpr int times_the_count = 4;
  constexpr std::uint64_t most = 10000;
  const nanoseconds each = 100us;
  const auto zombies = static_cast<std::int64_t>(std::min(count.high, most));
  return std::clamp<nanoseconds>(times_the_count * counted_in + zombies * each, 50ms, 1s);
}

/// Adds the cgroups that zombies hang below.
Status find_where(const Host& host, const Options& options, Findings& found) {
  zombies::AttributionLimits limits;
  limits.total = found.limit;
  const std::string offsets_file = offsets_file_in(options.state_dir);
  limits.offsets_file = offsets_file.c_str();
  if (options.time) limits.page_flags = *options.time;
  const auto start = Clock::now();
  auto where = zombies::attribute(host, limits);
  found.spent = Clock::now() - start;
  if (!where) return fail(where.error());
  if (where->failure) warn(message_of(*where->failure));
  mitigation::Observation seen;
  seen.zombies = found.count;
  seen.residual = where->residual;
  seen.page_size = host.page_size();
  found.pins = mitigation::explain_pins(seen);
  const auto shown =
      static_cast<std::size_t>(std::min<std::uint64_t>(options.top, where->ancestors.size()));
  found.left_out = where->ancestors.size() - shown;
  where->ancestors.resize(shown);
  found.where = std::move(*where);
  return {};
}

std::string headline(const zombies::Count& count) {
  std::string text = paint(Color::bold, in_words(count));
  text += fmt::format(": removed memory cgroups that the kernel still holds (cgroup {})\n",
                      to_string(count.hierarchy));
  text +=
      fmt::format("{} memory cgroups in the kernel, {} of them live\n", count.kernel, count.live);
  if (!count.exact()) text += "the count is a range: cgroups came and went meanwhile\n";
  if (!count.memory_only && count.high != 0) {
    text +=
        "the count includes cgroups of all controllers: before Linux 6.12 cgroup v2 does not tell "
        "them apart\n";
  }
  return text;
}

std::string or_unknown(const std::optional<std::uint64_t>& value,
                       std::string (*format)(std::uint64_t)) {
  return value ? format(*value) : "unknown";
}

std::string digits(std::uint64_t number) { return std::to_string(number); }

/// Returns the table of ancestors: the number of zombies below each, which v1 tells only in a
/// census, and their memory, which v2 tells only in a census; otherwise an upper bound.
std::string table_of(const zombies::Attribution& where, Version version, names::Resolver& names) {
  constexpr auto right = Table::Align::right;
  const bool exact = where.source == zombies::Source::census;
  const bool v2 = version == Version::v2;
  const char* const memory = v2 && !exact ? "MEMORY UP TO" : "MEMORY";
  const bool counted = v2 || exact;
  Table table = counted ? Table({{"ZOMBIES", right}, {memory, right}, {"BELOW"}})
                        : Table({{memory, right}, {"BELOW"}});
  for (const zombies::Ancestor& ancestor : where.ancestors) {
    std::vector<std::string> cells;
    if (counted) cells.push_back(or_unknown(ancestor.count, digits));
    cells.push_back(or_unknown(ancestor.bytes, human_bytes));
    cells.push_back(with_name(ancestor.path, &names));
    table.add(std::move(cells));
  }
  return table.text();
}

/// Returns notes on what the table does not show.
std::string remarks_on(const Findings& found) {
  const zombies::Attribution& where = *found.where;
  std::string text;
  if (found.left_out != 0) {
    text += fmt::format("and {} more (--top {} shows all)\n", found.left_out,
                        found.left_out + where.ancestors.size());
  }
  if (!where.complete) {
    const bool slow_read = found.spent < found.limit;
    text += fmt::format("stopped early, {}: {} cgroups were not examined{}\n",
                        slow_read ? "because a read was slow" : "after " + human_time(found.spent),
                        where.skipped, slow_read ? "" : "; --time 10s searches longer");
  } else if (where.skipped != 0) {
    text += fmt::format("{} files could not be read\n", where.skipped);
  } else if (where.ancestors.empty()) {
    text +=
        "no live cgroup above the zombies shows their memory (before Linux 5.13, small amounts "
        "are not shown)\n";
  }
  return text;
}

std::vector<std::string_view> parts(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> all;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    all.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + separator.size());
  }
  return all;
}

/// Names the source of the figures and why no better one was used; empty for a captured tree.
std::string lines_of_source(const zombies::Attribution& where) {
  const bool by_files = where.source == zombies::Source::memory_stat;
  if (by_files && where.why_not.empty()) return {};
  std::string text = labelled("source", describe(where.source));
  for (const Error& why : where.why_not) text += labelled("note", message_of(why));
  return text;
}

std::string advice() {
  return labelled("what to do", "cgctl mitigate --once --dry-run (shows what it would do)");
}

/// Returns the text below the headline.
std::string text_of(const Findings& found, names::Resolver& names) {
  const zombies::Attribution& where = *found.where;
  std::string text = "\n";
  if (!where.ancestors.empty()) text += table_of(where, found.count.hierarchy, names);
  text += remarks_on(found) + "\n";
  if (where.slab == zombies::SlabPins::yes) {
    text += labelled("why",
                     "dentries and inodes, which this kernel charges to cgroups, keep them "
                     "alive too");
  }
  for (const std::string_view pin : parts(found.pins, "; ")) text += labelled("why", pin);
  text += lines_of_source(where);
  if (where.source == zombies::Source::census && where.residual && where.residual->mapped != 0) {
    text +=
        labelled("what to do", "cgctl zombies --files (names mapped files and their processes)");
  }
  return text + advice();
}

const char* name_of(zombies::SlabPins slab) {
  switch (slab) {
    case zombies::SlabPins::yes:
      return "yes";
    case zombies::SlabPins::no:
      return "no";
    case zombies::SlabPins::unknown:
      break;
  }
  return "unknown";
}

Json json_of(const Findings& found, names::Resolver& names) {
  Json one = zombies_json(found.count, found.where, std::numeric_limits<std::size_t>::max());
  name_ancestors(one, names);
  if (!found.where) return one;
  const zombies::Attribution& where = *found.where;
  one["left_out"] = found.left_out;
  one["complete"] = where.complete;
  one["skipped"] = where.skipped;
  one["slab_pins"] = name_of(where.slab);
  one["residual_bytes"] = nullptr;
  if (where.residual) one["residual_bytes"] = tool::json_of(*where.residual);
  one["explanation"] = found.pins;
  return one;
}

/// The removed cgroups and the files that hold them, as far as they were asked for.
struct Inside {
  std::string text;
  Json json = Json::object();
  bool answered = false;
};

/// Notes, with a warning, that the kernel cannot be asked.
void refuse(const Error& error, const char* key, Inside& inside) {
  inside.json[key] = nullptr;
  inside.json[fmt::format("{}_unknown", key)] = message_of(error);
}

void add_names(const Host& host, const census::Snapshot& snapshot, DeadOptions wanted,
               const std::string& state_dir, Inside& inside) {
  const auto ledger = newest_ledger(host, state_dir);
  if (!ledger) warn(message_of(ledger.error()));
  if (ledger) wanted.ledger = &*ledger;
  auto seen = note_dead(host, snapshot, state_dir);
  if (!seen) warn(message_of(seen.error()));
  if (seen) wanted.seen = std::move(*seen);
  const Dead dead = describe_dead(snapshot, wanted);
  inside.text += dead.text;
  inside.json["dead"] = dead.json;
  inside.json["dead_left_out"] = dead.left_out;
  inside.answered = true;
}

void add_files(const Host& host, const census::Snapshot& snapshot, const PinnedOptions& wanted,
               Inside& inside) {
  const auto files = describe_files(host, snapshot, wanted);
  if (!files) {
    warn(message_of(files.error()));
    return refuse(files.error(), "files", inside);
  }
  inside.text += files->text;
  inside.json.update(files->json);
  inside.answered = true;
}

Result<Inside> look_inside(const Globals& globals, const Host& host, const Options& options) {
  Inside inside;
  names::Resolver resolver = resolver_for(globals);
  PinnedOptions wanted;
  wanted.names = &resolver;
  wanted.top = options.top;
  wanted.time = options.time.value_or(std::chrono::seconds(1));
  if (!options.below.empty()) {
    const auto below = host.relative_path(options.below);
    if (!below) return fail(below.error());
    if (*below != ".") wanted.below = "/" + *below;
  }
  const auto snapshot = take_census(host, options.state_dir);
  if (!snapshot) {
    warn(message_of(snapshot.error()));
    if (options.names) refuse(snapshot.error(), "dead", inside);
    if (options.files) refuse(snapshot.error(), "files", inside);
    return inside;
  }
  if (options.names) add_names(host, *snapshot, wanted, options.state_dir, inside);
  if (options.files) add_files(host, *snapshot, wanted, inside);
  return inside;
}

Exit show_makers(const Globals& globals, const Host& host, const zombies::Count& count,
                 const Options& options) {
  MakersOptions wanted{options.top, {}, options.state_dir};
  if (!options.below.empty()) {
    const auto below = host.relative_path(options.below);
    if (!below) return report(below.error());
    if (*below != ".") wanted.below = "/" + *below;
  }
  return print_makers(globals, host, count, wanted);
}

Exit run_zombies(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto start = Clock::now();
  const auto count = zombies::count(*host);
  if (!count) return report(count.error());
  Findings found;
  found.count = *count;
  found.limit = options.time.value_or(patience(*count, Clock::now() - start));
  if (globals.format == Format::text) {
    print(globals, headline(*count));
    // The number appears at once; finding out where zombies hang may take longer.
    flush_output();
  }
  if (options.makers) return show_makers(globals, *host, *count, options);
  Inside inside;
  if (options.names || options.files) {
    auto looked = look_inside(globals, *host, options);
    if (!looked) return report(looked.error());
    inside = std::move(*looked);
  }
  if (!inside.answered && count->high != 0 && options.top != 0) {
    if (const auto status = find_where(*host, options, found); !status) {
      return report(status.error());
    }
  }
  names::Resolver resolver = resolver_for(globals);
  if (globals.format == Format::json) {
    Json one = json_of(found, resolver);
    one.update(inside.json);
    print(globals, "zombies/1", std::move(one));
  }
  if (globals.format == Format::text) {
    if (inside.answered && count->high != 0) inside.text += advice();
    print(globals, found.where ? text_of(found, resolver) : inside.text);
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "zombies",
      "count the removed memory cgroups that the kernel still holds\n\n"
      "A memory cgroup that is removed while pages are charged to it stays in the kernel, without "
      "a directory, until the last page is gone: a zombie. This command counts zombies, names "
      "their "
      "nearest live ancestors, and says what keeps them alive. The count costs next to "
      "nothing and is printed first. The search for the ancestors is made only if there are "
      "zombies; it takes at most a few times as long as the count and 0.1 ms per zombie, and ends "
      "as soon as one read is slow.");
  add_number(*command, "--top", options->top,
             "how many cgroups to name, those with the most first;\n0: only count (default 10)");
  command->add_flag("--names", options->names,
                    "name the removed cgroups themselves, with what holds\neach, most "
                    "references first (root, Linux 4.17)");
  command->add_flag(
      "--files", options->files,
      "name the files whose pages hold removed cgroups,\nthose that hold the most first (root, "
      "Linux\n5.10, BTF)");
  command
      ->add_flag("--makers", options->makers,
                 "name the workloads that made the zombies, those with\nthe most first (root, or a "
                 "ledger of cgctl record)")
      ->excludes("--names")
      ->excludes("--files");
  command
      ->add_option("--state-dir", options->state_dir,
                   "directory of the ledger, of the offsets that `cgctl\ncensus --discover` found, "
                   "and of the times at which\n--names first saw each removed cgroup\n"
                   "(default /var/lib/cgctl)")
      ->type_name("DIR");
  add_path_option(*command, "--below", options->below,
                  "with --names, --files or --makers: only those that\nwere below this cgroup");
  add_time(*command, "--time", options->time,
           "longest search for the cgroups that zombies hang\nbelow, such as 10s (default: between "
           "50ms and 1s),\nor for files (default 1s)");
  command->footer(
      "Examples:\n"
      "  cgctl zombies\n"
      "  cgctl --json zombies --top 0 | jq .zombies");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_zombies(globals, *options); };
  });
}

}  // namespace cgctl::tool::zombies_command
