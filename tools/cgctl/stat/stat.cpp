// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "cli/command.hpp"
#include "cli/names.hpp"
#include "cli/terminal.hpp"
#include "stat/targets.hpp"
#include "top/screen.hpp"

namespace cgctl::tool::stat_command {
namespace {

using std::chrono::nanoseconds;
using top_command::Column;
using top_command::Line;
using top_command::Screen;

struct Options {
  std::vector<std::string> paths;
  bool recursive = false;
  std::optional<std::uint64_t> most;
  bool in_order = false;  ///< sort as View says; else in the order of the command line
  std::optional<nanoseconds> watch;
  std::uint64_t count = 0;  ///< 0: until interrupted
  top_command::View view;
};

/// The columns to sort by and to draw, in the order of the table.
const std::vector<Column>& columns() {
  static const std::vector<Column> all = {
      Column::cpu,         Column::limit,    Column::throttled,   Column::memory, Column::max,
      Column::working_set, Column::cpu_some, Column::memory_some, Column::io_some};
  return all;
}

/// The figures of one round, in the order of the options.
struct Round {
  std::vector<Pair> pairs;
  top_command::Rows rows;
  std::vector<Line> lines;           ///< of `rows`, the most at most
  std::vector<std::size_t> indexes;  ///< of `pairs`, for each line
};

void put_in_order(Round& round, const Options& options) {
  using top_command::Row;
  std::vector<std::pair<const Row*, std::size_t>> places;
  for (std::size_t i = 0; i < round.pairs.size(); ++i) {
    const Pair& pair = round.pairs[i];
    auto row = std::make_unique<Row>();
    row->path = pair.target->path;
    row->values = values_between(pair.before, pair.now);
    row->name = std::make_unique<std::string>(names::text_of(pair.target->names));
    places.emplace_back(row.get(), i);
    round.rows.push_back(std::move(row));
  }
  if (options.in_order) {
    round.lines = lines_of(round.rows, options.view);
  } else {
    for (const auto& row : round.rows) round.lines.push_back({row.get(), 0, false, false});
    if (options.view.reverse) std::reverse(round.lines.begin(), round.lines.end());
  }
  const std::uint64_t most = options.most.value_or(round.lines.size());
  if (most < round.lines.size()) round.lines.resize(static_cast<std::size_t>(most));
  std::sort(places.begin(), places.end());
  for (const Line& line : round.lines) {
    const auto place =
        std::lower_bound(places.begin(), places.end(), std::pair(line.row, std::size_t{0}));
    round.indexes.push_back(place->second);
  }
}

Round take(Targets& targets, const Options& options) {
  Round round;
  round.pairs = targets.round();
  put_in_order(round, options);
  return round;
}

std::string table_of(const Round& round) {
  const bool named = std::any_of(round.pairs.begin(), round.pairs.end(),
                                 [](const Pair& pair) { return !pair.target->names.empty(); });
  Table table = empty_table(named);
  for (const std::size_t index : round.indexes) {
    const Pair& pair = round.pairs[index];
    table.add(cells_of(pair.target->path, names::text_of(pair.target->names), pair.before, pair.now,
                       named));
  }
  return table.text();
}

void show(const Globals& globals, const Round& round, bool with_time, bool is_next) {
  if (round.pairs.empty()) return;
  if (globals.format == Format::json) {
    for (const std::size_t index : round.indexes) {
      const Pair& pair = round.pairs[index];
      print(globals, "stat/1",
            json_of(pair.target->path, pair.target->names, pair.before, pair.now));
    }
    return;
  }
  std::string text = is_next ? "\n" : "";
  if (with_time) text += local_time() + "\n";
  print(globals, text + table_of(round));
}

Exit print_rounds(const Globals& globals, const Options& options, Targets& targets) {
  const nanoseconds interval = options.watch.value_or(std::chrono::seconds(1));
  const std::uint64_t rounds = options.watch ? options.count : 1;
  bool any = true;
  auto next = Clock::now();
  for (std::uint64_t i = 0; rounds == 0 || i < rounds; ++i) {
    next = std::max(next + interval, Clock::now());
    std::this_thread::sleep_until(next);
    const Round round = take(targets, options);
    any = !round.pairs.empty();
    show(globals, round, options.watch.has_value(), i > 0);
    // Readers of a pipe get each round at once; if the reader is gone, the command ends.
    if (!flush_output()) return Exit::failed;
  }
  return any ? Exit::done : Exit::failed;
}

// ---- a terminal ----

/// Draws the rounds in place until the user ends it, or a signal does.
class Drawing {
 public:
  Drawing(const Options& options, Targets& targets) : options_(options), targets_(targets) {
    targets_.set_say([this](const std::string& message) { notice_ = message; });
  }

  /// Returns true if a signal ended it.
  bool run() {
    Screen screen;
    auto next = Clock::now() + *options_.watch;
    std::uint64_t samples = 0;
    for (;;) {
      screen.show(frame(screen));
      top_command::Key key;
      switch (screen.wait(next, key)) {
        case Screen::Event::key:
          if (key.code == top_command::Key::character && key.byte == 'q') return false;
          break;
        case Screen::Event::time:
          next = std::max(next + *options_.watch, Clock::now());
          take_round();
          if (++samples == options_.count) return false;
          break;
        case Screen::Event::resized:
          break;
        case Screen::Event::ended:
          return false;
        case Screen::Event::killed:
          return true;
      }
    }
  }

  [[nodiscard]] const Round& last() const { return round_; }

 private:
  void take_round() {
    notice_.clear();
    round_ = take(targets_, options_);
    time_ = local_time();
  }

  [[nodiscard]] std::string frame(const Screen& screen) const {
    top_command::View view = options_.view;
    view.columns = columns();
    if (!options_.in_order) view.sort.reset();
    const std::string every = "every " + human_time(*options_.watch);
    const std::string title = time_.empty()
                                  ? every
                                  : fmt::format("{}  {} of {}  {}", time_, round_.lines.size(),
                                                counted(round_.pairs.size(), "cgroup"), every);
    return table_frame(view, round_.lines, {title, notice_.empty() ? "q quit" : notice_},
                       screen.size(), screen.style());
  }

  const Options& options_;
  Targets& targets_;
  Round round_;
  std::string time_;
  std::string notice_;
};

Exit draw_rounds(const Globals& globals, const Options& options, Targets& targets) {
  Drawing drawing(options, targets);
  if (drawing.run()) Screen::die();
  // The last figures stay when the terminal shows its first screen again.
  show(globals, drawing.last(), true, false);
  return drawing.last().pairs.empty() ? Exit::failed : Exit::done;
}

Exit run_stat(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const std::vector<std::string> root = {"/"};
  auto targets =
      Targets::open(*host, resolver_for(globals), options.paths.empty() ? root : options.paths,
                    options.recursive, [](const std::string& message) { warn(message); });
  if (!targets) return report(targets.error());
  const bool screen =
      options.watch && globals.format == Format::text && !globals.quiet && Screen::is_possible();
  return screen ? draw_rounds(globals, options, *targets)
                : print_rounds(globals, options, *targets);
}

void take_watch(Options& options, const std::string& text) {
  const auto bare = text.find_first_not_of("0123456789.") == std::string::npos;
  options.watch = parse_time(bare ? text + "s" : text, "--watch");
  if (*options.watch < std::chrono::milliseconds(10)) {
    throw CLI::ValidationError("--watch '" + text + "': at least 10ms");
  }
}

void take_sort(Options& options, const std::string& text) {
  options.in_order = true;
  options.view.sort = top_command::column_named(text);
  if (text == "path") return;
  const bool known = options.view.sort && std::find(columns().begin(), columns().end(),
                                                    *options.view.sort) != columns().end();
  if (!known) {
    throw CLI::ValidationError("--sort '" + text + "': no column of stat");
  }
}

void add_order(CLI::App& command, const std::shared_ptr<Options>& options) {
  command
      .add_option_function<std::string>(
          "-s,--sort", [options](const std::string& text) { take_sort(*options, text); },
          "largest figure of this column first, or by path")
      ->type_name("COLUMN");
  command.add_flag("-r,--reverse", options->view.reverse, "reverse the order");
  add_number(command, "--top", options->most,
             "show the first N; sorts by cpu if there is no --sort");
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "stat",
      "show what cgroups use now: CPUs, throttling, memory, stalls\n\n"
      "Samples each PATH twice, a second apart, and shows CPUs used (also in percent of the "
      "limit), the share of periods in which the quota ran out, memory in use, and the share of "
      "the last 10 s in which tasks waited for CPU, memory and I/O (PSI; cgroup v2 only). A dash "
      "stands for a figure that the cgroup does not have. With --watch, a removed cgroup is looked "
      "up again in each round and shown once it is back; on a terminal each round replaces the "
      "last one, and q ends it.");
  add_paths(*command, options->paths, "cgroups to sample (default /)")->required(false);
  command->add_flag("-R,--recursive", options->recursive, "also sample all cgroups below PATH");
  add_order(*command, options);
  CLI::Option* const watch = command->add_option_function<std::string>(
      "-w,--watch", [options](const std::string& text) { take_watch(*options, text); },
      "repeat at this interval: 5 (seconds), 500ms, ...");
  watch->type_name("TIME");
  add_number(*command, "--count", options->count, "stop after N samples")->needs(watch);
  command->footer("Columns for --sort:\n  " + top_command::names_in_lines(columns()) +
                  "\n\n"
                  "Examples:\n"
                  "  cgctl stat /batch /web\n"
                  "  cgctl stat -R --top 10 --sort memory\n"
                  "  cgctl --json stat --watch 5 /batch");
  command->callback([&globals, &run, options] {
    options->in_order = options->in_order || options->most.has_value();
    run = [&globals, options] { return run_stat(globals, *options); };
  });
}

}  // namespace cgctl::tool::stat_command
