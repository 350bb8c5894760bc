// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <thread>

#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/names.hpp"
#include "cli/terminal.hpp"
#include "top/screen.hpp"
#include "top/watch.hpp"

namespace cgctl::tool::top_command {
namespace {

using std::chrono::nanoseconds;

struct Options {
  std::string path = "/";
  nanoseconds interval = std::chrono::seconds(1);
  std::uint64_t count = 0;            ///< 0: until interrupted
  std::optional<std::uint64_t> rows;  ///< most cgroups of a sample, in batch mode
  bool batch = false;
  View view;
};

/// True if the order needs a figure that the sampler does not have.
bool orders_by_others(const View& view) { return view.sort && !text_of(*view.sort).sampled; }

/// Looks up the names of all cgroups if there is a filter, which may mean a name.
void name_all(Watch& watch, const View& view) {
  if (view.filter.empty()) return;
  for (const auto& row : watch.rows()) watch.find_name(*row);
}

/// Returns `shown` of the rows after `first`, sorted by address.
std::vector<const Row*> shown_of(const std::vector<Line>& lines, std::size_t first,
                                 std::size_t shown) {
  std::vector<const Row*> rows;
  for (std::size_t i = first; i < lines.size() && i - first < shown; ++i) {
    rows.push_back(lines[i].row);
  }
  std::sort(rows.begin(), rows.end(), std::less<>());
  return rows;
}

/// Reads these columns and the names of the rows in `shown`, by path: I/O of a cgroup is not read
/// if the cgroup above had none.
void complete(Watch& watch, const std::vector<const Row*>& shown,
              const std::vector<Column>& columns) {
  for (const auto& row : watch.rows()) {
    if (!std::binary_search(shown.begin(), shown.end(), row.get(), std::less<>())) continue;
    watch.read_more(*row, columns);
    watch.find_name(*row);
  }
}

/// Returns the cgroups in the order of the view, with all figures of the first `shown` ones after
/// `first`.
std::vector<Line> look(Watch& watch, const View& view, std::size_t first, std::size_t shown,
                       const std::vector<Column>& columns) {
  if (orders_by_others(view)) {
    for (const auto& row : watch.rows()) watch.read_more(*row, {*view.sort});
  }
  name_all(watch, view);
  std::vector<Line> lines = lines_of(watch.rows(), view);
  std::vector<Column> others = columns;
  if (orders_by_others(view)) {
    others.erase(std::remove(others.begin(), others.end(), *view.sort), others.end());
  }
  complete(watch, shown_of(lines, first, shown), others);
  return lines;
}

// ---- batch ----

Json json_of(const Row& row, const std::vector<Column>& columns) {
  Json json{{"path", row.path}, {"name", nullptr}};
  if (row.name != nullptr && !row.name->empty()) json["name"] = *row.name;
  for (const Column column : columns) {
    json[text_of(column).key] = json_of(column, value(row.values, column));
  }
  return json;
}

/// Prints one object piece by piece, because ten thousand cgroups in one take much memory.
void print_json(const Globals& globals, const Options& options, const std::vector<Line>& lines,
                double elapsed) {
  std::string head = json_line("top/1", Json{{"seconds", elapsed}});
  head.resize(head.rfind('}'));
  print(globals, std::string_view(head.append(",\"cgroups\":[")));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string one = json_text(json_of(*lines[i].row, options.view.columns));
    print(globals, std::string_view(i == 0 ? one : "," + one));
  }
  print(globals, std::string_view("]}\n"));
}

/// Prints a table in the form of Table, but line by line: the cells of ten thousand cgroups take
/// much memory.
class Printing {
 public:
  Printing(const Globals& globals, const std::vector<Column>& columns,
           const std::vector<Line>& lines)
      : globals_(globals), columns_(columns), lines_(lines) {
    for (const Column column : columns_) {
      std::size_t width = std::string_view(text_of(column).heading).size();
      for (const Line& line : lines_) {
        width = std::max(width, cell_of(column, value(line.row->values, column)).size());
      }
      widths_.push_back(width);
      before_ += width + 2;
    }
  }

  void print_all() const {
    std::string text;
    for (std::size_t i = 0; i < columns_.size(); ++i) add(text, i, text_of(columns_[i]).heading);
    print(globals_, paint(Color::bold, text + "CGROUP") + "\n");
    for (const Line& line : lines_) {
      text.clear();
      for (std::size_t i = 0; i < columns_.size(); ++i) {
        add(text, i, cell_of(columns_[i], value(line.row->values, columns_[i])));
      }
      print(globals_, text + path_of(*line.row) + "\n");
    }
  }

 private:
  void add(std::string& text, std::size_t column, const std::string& cell) const {
    text.append(widths_[column] - cell.size(), ' ').append(cell).append("  ");
  }

  [[nodiscard]] std::string path_of(const Row& row) const {
    constexpr std::size_t least = 12;
    const bool named = row.name != nullptr && !row.name->empty();
    std::string text = printable(named ? fmt::format("{} ({})", row.path, *row.name) : row.path);
    if (!width_) return text;
    return shortened(text, std::max(*width_, before_ + least) - before_, Style{false, false});
  }

  const Globals& globals_;
  const std::vector<Column>& columns_;
  const std::vector<Line>& lines_;
  std::vector<std::size_t> widths_;
  std::size_t before_ = 0;
  std::optional<std::size_t> width_ = terminal_columns();
};

void print_table(const Globals& globals, const Options& options, const std::vector<Line>& lines,
                 std::size_t cgroups) {
  print(globals,
        fmt::format("{}  {}  {}\n", local_time(), host_name(), counted(cgroups, "cgroup")));
  Printing(globals, options.view.columns, lines).print_all();
}

/// Warns of files that could not be read, once as long as the message stays the same.
void warn_of_unread(const Watch& watch, std::string& said) {
  std::string message = watch.trouble();
  if (!message.empty() && message != said) warn(message);
  said = std::move(message);
}

Exit run_batch(const Globals& globals, const Options& options, Watch& watch) {
  std::string said;
  const auto most = static_cast<std::size_t>(
      std::min<std::uint64_t>(options.rows.value_or(UINT64_MAX), watch.rows().max_size()));
  auto next = Clock::now();
  auto last = next;
  // I/O is counted from here on.
  (void)look(watch, options.view, 0, most, options.view.columns);
  warn_of_unread(watch, said);
  for (std::uint64_t round = 0; options.count == 0 || round < options.count; ++round) {
    next += options.interval;
    std::this_thread::sleep_until(next);
    next = std::max(next, Clock::now() - options.interval);
    const auto sampled = Clock::now();
    if (const auto status = watch.sample(); !status) return report(status.error());
    std::vector<Line> lines = look(watch, options.view, 0, most, options.view.columns);
    warn_of_unread(watch, said);
    lines.resize(std::min(lines.size(), most));
    if (globals.format == Format::json) {
      print_json(globals, options, lines, std::chrono::duration<double>(sampled - last).count());
    } else {
      if (round > 0) print(globals, std::string_view("\n"));
      print_table(globals, options, lines, watch.rows().size());
    }
    last = sampled;
    // Readers of a pipe get each sample at once; if the reader is gone, the command ends.
    if (!flush_output()) return Exit::failed;
  }
  return Exit::done;
}

// ---- screen ----

class Session {
 public:
  Session(const Options& options, Watch& watch)
      : view_(options.view), options_(options), watch_(watch), host_(host_name()) {}

  /// Runs until the user ends it. Returns true if a signal did.
  Result<bool> run() {
    Screen screen;
    auto next = Clock::now() + first_wait(options_.interval);
    std::uint64_t samples = 0;
    collect(screen.size());
    for (;;) {
      screen.show(frame(view_, lines_, summary(), screen.size(), screen.style()));
      Key key;
      switch (screen.wait(next, key)) {
        case Screen::Event::key:
          if (press(view_, key, lines_, page_of(screen.size())) == Action::quit) return false;
          arrange(screen.size());
          break;
        case Screen::Event::time:
          next = std::max(next + options_.interval, Clock::now());
          if (view_.paused) break;
          if (auto status = watch_.sample(); !status) return fail(status.error());
          collect(screen.size());
          if (++samples == options_.count) return false;
          break;
        case Screen::Event::resized:
          arrange(screen.size());
          break;
        case Screen::Event::ended:
          return false;
        case Screen::Event::killed:
          return true;
      }
    }
  }

 private:
  /// The first figures that need two samples come early.
  static nanoseconds first_wait(nanoseconds interval) {
    return std::min<nanoseconds>(interval, std::chrono::milliseconds(300));
  }

  /// Returns the columns to read for the cgroups on the screen.
  [[nodiscard]] std::vector<Column> wanted(Size size) const {
    return view_.detail ? presets().front().columns : fitting(view_, size.columns);
  }

  void collect(Size size) {
    time_ = local_time();
    const std::size_t page = page_of(size);
    lines_ = look(watch_, view_, view_.first, page, wanted(size));
    place_cursor(view_, lines_, page);
    read_selected(size);
  }

  /// Arranges the last sample anew after a key or a resize.
  void arrange(Size size) {
    const std::size_t page = page_of(size);
    name_all(watch_, view_);
    lines_ = lines_of(watch_.rows(), view_);
    place_cursor(view_, lines_, page);
    for (std::size_t i = view_.first; i < lines_.size() && i - view_.first < page; ++i) {
      if (Row* const row = find_row(watch_.rows(), lines_[i].row->path)) watch_.find_name(*row);
    }
    if (!view_.paused) read_selected(size);
  }

  void read_selected(Size size) {
    notes_.clear();
    if (!view_.detail) return;
    note_names();
    if (Row* const row = find_row(watch_.rows(), view_.selected)) {
      watch_.read_more(*row, wanted(size));
    }
  }

  void note_names() {
    const names::Names names = watch_.names_of(view_.selected);
    const std::pair<const char*, std::string> known[] = {{"pod", pod_of(names)},
                                                         {"container", names.container},
                                                         {"image", names.image},
                                                         {"unit", names.description}};
    for (const auto& [label, name] : known) {
      if (!name.empty()) notes_.push_back(fmt::format("{:<12}{}", label, name));
    }
  }

  [[nodiscard]] Summary summary() const {
    Summary summary;
    summary.host = host_;
    summary.time = time_;
    summary.interval = human_time(options_.interval);
    summary.cgroups = watch_.rows().size();
    summary.unread = watch_.unread();
    summary.notes = notes_;
    return summary;
  }

  View view_;
  const Options& options_;
  Watch& watch_;
  std::string host_;
  std::string time_;
  std::vector<Line> lines_;
  std::vector<std::string> notes_;  // names of the selected cgroup
};

/// Lets freed buffers of the size of the tree go back to the kernel: by default the heap keeps them
/// once the first one was freed.
void keep_the_heap_small() {
#ifdef __GLIBC__
  constexpr int large = 64 << 10;
  (void)::mallopt(M_MMAP_THRESHOLD, large);
  (void)::mallopt(M_TRIM_THRESHOLD, large);
#endif
}

Exit run_top(const Globals& globals, const Options& options) {
  keep_the_heap_small();
  const auto host = globals.host();
  if (!host) return report(host.error());
  const bool screen = !options.batch && globals.format == Format::text && Screen::is_possible();
  auto watch = Watch::open(*host, options.path, resolver_for(globals), screen);
  if (!watch) return report(watch.error());
  if (!screen) return run_batch(globals, options, *watch);
  const auto killed = Session(options, *watch).run();
  if (!killed) return report(killed.error());
  if (*killed) Screen::die();
  return Exit::done;
}

void take_columns(Options& options, const std::string& text) {
  std::string wrong;
  options.view.columns = columns_named(text, wrong);
  if (options.view.columns.empty()) {
    throw CLI::ValidationError("--columns '" + wrong + "': no column and no set of columns");
  }
}

void take_sort(Options& options, const std::string& text) {
  options.view.sort = column_named(text);
  if (!options.view.sort && text != "path") {
    throw CLI::ValidationError("--sort '" + text + "': no column");
  }
}

void take_interval(Options& options, const std::string& text) {
  const auto bare = text.find_first_not_of("0123456789.") == std::string::npos;
  options.interval = parse_time(bare ? text + "s" : text, "--interval");
  if (options.interval < std::chrono::milliseconds(10)) {
    throw CLI::ValidationError("--interval '" + text + "': at least 10ms");
  }
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  options->view.columns = presets().front().columns;
  CLI::App* const command = app.add_subcommand(
      "top",
      "show the busiest cgroups, live\n\n"
      "Shows all cgroups at and below PATH, on cgroup v1, v2 and hybrid hosts alike, the busiest "
      "first, and changes none. The key ? lists the keys. Prints tables instead with -b, or where "
      "there is no terminal to draw on.");
  add_path(*command, options->path, "cgroup to begin at (default /)");
  const auto option = [&](const char* name, void (*take)(Options&, const std::string&),
                          const char* type, const std::string& description) {
    command
        ->add_option_function<std::string>(
            name, [options, take](const std::string& text) { take(*options, text); }, description)
        ->type_name(type);
  };
  option("-i,--interval", take_interval, "TIME",
         "time between samples: 5 (seconds), 500ms (default 1s)");
  option("-o,--columns", take_columns, "COLUMN,...",
         "these columns, or a set: all, cpu, memory, io, pressure");
  option("-s,--sort", take_sort, "COLUMN", "sort by this column, or by path (default cpu)");
  command->add_flag("-r,--reverse", options->view.reverse, "smallest first");
  command->add_flag("-t,--tree", options->view.tree, "show the tree");
  command->add_option("-f,--filter", options->view.filter, "only cgroups with this in their path")
      ->type_name("TEXT");
  command->add_flag("-b,--batch", options->batch, "print a table for each sample");
  add_number(*command, "-n,--count", options->count, "end after N samples");
  add_number(*command, "--rows", options->rows, "print at most N cgroups of each sample");
  command->footer("Columns: " + names_in_lines(presets().front().columns) +
                  "\n\n"
                  "Examples:\n"
                  "  cgctl top /kubepods\n"
                  "  cgctl top -b -n 1 --rows 10 --sort memory   the ten largest\n"
                  "  cgctl --json top -n 1 | jq '.cgroups[0]'");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_top(globals, *options); };
  });
}

}  // namespace cgctl::tool::top_command
