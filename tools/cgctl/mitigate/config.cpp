// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "../../../src/detail/fnv1a.hpp"
#include "cgctl/filesystem.hpp"
#include "cli/command.hpp"
#include "cli/input.hpp"
#include "cli/setting_options.hpp"
#include "command/dead.hpp"
#include "mitigate/config_values.hpp"
#include "mitigate/listen_address.hpp"

namespace cgctl::tool {
namespace {

using mitigation::Policy;
using mitigation::Rung;

/// A key, with functions that read its value from TOML and write it. `read` throws
/// CLI::ValidationError for a bad value, as the parsers of options do.
struct Key {
  const char* table;
  const char* name;
  const char* comment;
  std::function<void(const toml::node&, Configuration&)> read;
  std::function<std::string(const Configuration&)> show;
};

std::string text_of(const toml::node& node) {
  const auto text = node.value_exact<std::string>();
  if (!text) throw CLI::ValidationError("not a string in quotes");
  return *text;
}

std::vector<std::string> texts_of(const toml::node& node) {
  const toml::array* const array = node.as_array();
  if (array == nullptr) throw CLI::ValidationError("not an array of strings: [\"...\"]");
  std::vector<std::string> texts;
  for (const toml::node& element : *array) texts.push_back(text_of(element));
  return texts;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += c;
    }
  }
  return out += '"';
}

std::string quoted(const std::vector<std::string>& texts) {
  std::vector<std::string> all;
  std::transform(texts.begin(), texts.end(), std::back_inserter(all),
                 [](const std::string& text) { return quoted(text); });
  return fmt::format("[{}]", fmt::join(all, ", "));
}

// ---- kinds of keys; `member` returns the member of a Configuration ----

template <class Member>
Key time(const char* table, const char* name, const char* comment, std::chrono::nanoseconds least,
         Member member) {
  const auto read = [member, least](const toml::node& node, Configuration& out) {
    auto& place = member(out);
    using Duration = std::decay_t<decltype(place)>;
    const auto value = parse_time(text_of(node));
    if (value < least) {
      throw CLI::ValidationError(fmt::format("less than {}", time_text(least)));
    }
    place = std::chrono::ceil<Duration>(value);
  };
  return {table, name, comment, read,
          [member](const Configuration& from) { return quoted(time_text(member(from))); }};
}

template <class Member>
Key number(const char* table, const char* name, const char* comment, double least, double most,
           Member member) {
  const auto read = [member, least, most](const toml::node& node, Configuration& out) {
    auto& place = member(out);
    using Number = std::decay_t<decltype(place)>;
    if (std::is_integral_v<Number> && !node.is_integer()) {
      throw CLI::ValidationError("not a whole number");
    }
    const auto value = node.value<double>();
    if (!value || node.is_boolean()) throw CLI::ValidationError("not a number");
    if (!(*value >= least && *value <= most)) {
      throw CLI::ValidationError(fmt::format("not between {} and {}", least, most));
    }
    place = static_cast<Number>(*value);
  };
  return {table, name, comment, read,
          [member](const Configuration& from) { return fmt::format("{}", member(from)); }};
}

template <class Member>
Key size(const char* table, const char* name, const char* comment, std::uint64_t least,
         Member member) {
  return {table, name, comment,
          [member, least](const toml::node& node, Configuration& out) {
            const std::uint64_t value = parse_size(text_of(node));
            if (value < least) {
              throw CLI::ValidationError(fmt::format("less than {}", size_text(least)));
            }
            member(out) = value;
          },
          [member](const Configuration& from) { return quoted(size_text(member(from))); }};
}

/// Describes a key with one text or several.
template <class Member>
Key text(const char* table, const char* name, const char* comment, Member member) {
  return {table, name, comment,
          [member](const toml::node& node, Configuration& out) {
            auto& place = member(out);
            if constexpr (std::is_same_v<std::decay_t<decltype(place)>, std::string>) {
              place = text_of(node);
            } else {
              place = texts_of(node);
            }
          },
          [member](const Configuration& from) { return quoted(member(from)); }};
}

template <class Member>
Key flag(const char* table, const char* name, const char* comment, Member member) {
  return {table, name, comment,
          [member](const toml::node& node, Configuration& out) {
            if (!node.is_boolean()) throw CLI::ValidationError("neither true nor false");
            member(out) = node.value<bool>().value_or(false);
          },
          [member](const Configuration& from) { return member(from) ? "true" : "false"; }};
}

/// Describes a key with a list; `parse` converts a text to an element, `show` an element to a text.
template <class Member, class Parse, class Show>
Key list(const char* table, const char* name, const char* comment, Member member, Parse parse,
         Show show) {
  return {table, name, comment,
          [member, parse](const toml::node& node, Configuration& out) {
            auto& place = member(out);
            place.clear();
            for (const std::string& one : texts_of(node)) place.push_back(parse(one));
          },
          [member, show](const Configuration& from) {
            std::vector<std::string> texts;
            for (const auto& one : member(from)) texts.emplace_back(show(one));
            return quoted(texts);
          }};
}

Rung parse_rung(const std::string& name) {
  const auto rung = mitigation::rung_named(name);
  if (!rung) throw CLI::ValidationError(fmt::format("'{}' is not a rung", name));
  return *rung;
}

std::string parse_mount(const std::string& path) {
  struct ::stat about {};
  if (path.empty() || path.front() != '/' || ::stat(path.c_str(), &about) != 0 ||
      !S_ISDIR(about.st_mode)) {
    throw CLI::ValidationError(fmt::format("'{}' is not the absolute path of a directory", path));
  }
  return path;
}

/// Return functions that select a member of a Configuration.
template <class T>
auto in_policy(T Policy::*member) {
  return [member](auto& from) -> auto& { return from.policy.*member; };
}
template <class T>
auto in(T Configuration::*member) {
  return [member](auto& from) -> auto& { return from.*member; };
}

const std::vector<Key>& keys() {
  using namespace std::chrono_literals;
  static const std::vector<Key> all = {
      number("trigger", "zombies_high", "act at this many zombies or more", 1, 1e12,
             in_policy(&Policy::zombies_high)),
      number(
          "trigger", "zombies_low",
          "once started, continue until this many zombies are left (default: half of zombies_high)",
          0, 1e12, in_policy(&Policy::zombies_low)),
      time("trigger", "read_cost_limit",
           "act when a read of the root's memory.numa_stat takes longer than this, or soon will,\n"
           "and zombies are to blame",
           1us, in_policy(&Policy::read_cost_limit)),
      number(
          "trigger", "min_gain",
          "while reads are cheap (at most a tenth of read_cost_limit), zombies_high alone does "
          "not\n"
          "drop caches: the zombies must also hold at least this share of the page cache that the\n"
          "host would lose, or exceed dead_memory, or reach memcgs_high; 0: no such condition.\n"
          "Default 0 if zombies_high is given",
          0, 1000, in_policy(&Policy::min_gain)),
      number("trigger", "dead_memory",
             "drop caches whatever min_gain says when zombies hold more than this percentage of\n"
             "the machine's memory",
             0, 100, in_policy(&Policy::dead_memory)),
      number("trigger", "memcgs_high",
             "drop caches whatever min_gain says at this many memory cgroups or more, dead ones\n"
             "included; the kernel has 65535 ids for memory cgroups",
             1, 1e12, in_policy(&Policy::memcgs_high)),
      time("trigger", "probe_interval",
           "least time between two measured reads of the root's memory.numa_stat", 1s,
           in_policy(&Policy::probe_interval)),
      list("action", "ladder",
           "rungs (means of freeing zombies), tried in this order until enough zombies are gone.\n"
           "A rung that this kernel lacks or that did not help lately is skipped. memcg_reaper: "
           "the\n"
           "kernel's own reaper of zombies (/sys/kernel/mm/memcg_reaper or\n"
           "vm.clean_dying_memcg_async); fadvise: drops the page cache of action.files; evict: "
           "drops\n"
           "only the pages that hold zombies (where BPF programs run); squeeze: cgroup v1, writes\n"
           "memory.force_empty of the cgroups above the zombies, stopped after a few bytes;\n"
           "node_reclaim: Linux 6.17, a few bytes of each NUMA node; memory.reclaim: cgroup v2,\n"
           "Linux 5.19; drop_caches=2: only after drop_caches=1 freed next to nothing",
           in_policy(&Policy::ladder), parse_rung, [](Rung rung) { return to_string(rung); }),
      text("action", "files",
           "glob(7) patterns of files that nobody reads any more, such as rotated logs; rung\n"
           "fadvise drops their page cache",
           in_policy(&Policy::files)),
      list("action", "sync",
           "mount points to write back (sync) before squeeze, node_reclaim, memory.reclaim and\n"
           "drop_caches=1, and by evict on cgroup v2 if there are zombies without a page; empty:\n"
           "all file systems",
           in_policy(&Policy::sync), parse_mount, [](const std::string& path) { return path; }),
      time("action", "deadline", "longest time that one rung of the ladder may take", 1ms,
           in_policy(&Policy::deadline)),
      number("action", "evict_files", "most files that evict opens in one action", 0, 1e6,
             in_policy(&Policy::evict_files)),
      flag("action", "evict_mapped",
           "true: evict also drops pages that one running process maps, and no other; the process\n"
           "reads them again when it needs them (Linux 5.10). false: they stay",
           in_policy(&Policy::evict_mapped)),
      time("action", "evict_time",
           "longest time in which evict searches for files, and in which it evicts them", 10ms,
           in_policy(&Policy::evict_time)),
      size("action", "reclaim_chunk",
           "most bytes requested by one write to memory.reclaim, or to `reclaim` of a NUMA node",
           4096, in_policy(&Policy::reclaim_chunk)),
      number("action", "cache_loss",
             "most that squeeze, node_reclaim and memory.reclaim may take from live cgroups:\n"
             "percent of the page cache that they reclaim from; memory.reclaim at least four\n"
             "steps; 0: these three are not used",
             0, 100, in_policy(&Policy::cache_loss)),
      size(
          "action", "first_step",
          "bytes of the first step of these rungs, all of which live cgroups may lose; at least a\n"
          "sixteenth of what cache_loss allows",
          4096, in_policy(&Policy::first_step)),
      size("action", "least_cache",
           "squeeze only cgroups with at least this much clean page cache in them and below", 0,
           in_policy(&Policy::least_cache)),
      time("action", "round_time",
           "longest CPU time of one write of squeeze; with waiting, ten times this", 1ms,
           in_policy(&Policy::round_time)),
      time("action", "longest_delay",
           "a step of squeeze ends when another task of its CPU had to wait longer than this; "
           "after\n"
           "two such steps the rung ends",
           100us, in_policy(&Policy::longest_delay)),
      number("action", "min_effect",
             "an action counts as effective if it frees at least this share of the zombies", 0.001,
             1, in_policy(&Policy::min_effect)),
      number("action", "useless_limit",
             "a rung that did not help this often in a row is skipped for guard.max_interval", 1,
             1e6, in_policy(&Policy::useless_limit)),
      time("action", "refaults_after",
           "this long after an action, report how much had to be read from disk again; 0s: never",
           0s, in(&Configuration::refaults_after)),
      time("guard", "min_interval", "shortest time between two actions", 0s,
           in_policy(&Policy::min_interval)),
      time("guard", "max_interval",
           "upper limit of min_interval, which doubles after each action without effect", 0s,
           in_policy(&Policy::max_interval)),
      number("guard", "actions_a_day", "most actions in 24 hours", 0, 10000,
             in_policy(&Policy::actions_a_day)),
      number("guard", "io_pressure",
             "refuse to act above this I/O pressure (percent, the kernel's \"some avg10\")", 0, 100,
             in_policy(&Policy::io_pressure_limit)),
      number("guard", "memory_pressure",
             "refuse to act above this memory pressure (percent, the kernel's \"full avg10\")", 0,
             100, in_policy(&Policy::memory_pressure_limit)),
      number("guard", "disk_busy",
             "refuse to act while the busiest disk works more than this percentage of the time", 0,
             100, in_policy(&Policy::disk_busy_limit)),
      size("guard", "dirty",
           "refuse to act while more than this many bytes wait to be written back", 0,
           in_policy(&Policy::dirty_limit)),
      list("guard", "windows",
           "act only at these local times, such as \"Mon-Fri 02:00-05:00\", \"Sat,Sun "
           "00:00-24:00\";\n"
           "empty: at any time",
           in_policy(&Policy::windows), parse_window, window_text),
      time("daemon", "interval", "time between two looks of the daemon", 1s,
           in(&Configuration::interval)),
      time("daemon", "jitter",
           "up to this much is added to daemon.interval at random, so that nodes do not act "
           "together",
           0s, in(&Configuration::jitter)),
      text("daemon", "state_dir",
           "directory of the lock and the history; mitigate --once uses it too",
           in(&Configuration::state_dir)),
      flag("daemon", "record",
           "true: the daemon makes the kernel record which memory cgroups are removed, and "
           "collects\n"
           "the records after each look (see cgctl record); without tracefs it watches directories",
           in(&Configuration::record)),
      flag("daemon", "watch_cpus",
           "true: the daemon samples each CPU 100 times a second, and its metrics tell for how "
           "long\n"
           "tasks held a CPU in the kernel and packets waited (see cgctl doctor --watch)",
           in(&Configuration::watch_cpus)),
      number("daemon", "cgroup_series",
             "most cgroups whose memory and CPU time are metrics too, those that use most memory "
             "first;\n0: none",
             0, 10000, in(&Configuration::cgroup_series)),
      text("daemon", "metrics_file",
           "file that the daemon replaces with its metrics after each look, for node_exporter's\n"
           "textfile collector; empty: none",
           in(&Configuration::metrics_file)),
      text("daemon", "listen",
           "where the daemon serves its metrics by HTTP, at the path /metrics: unix:/PATH or\n"
           "ADDRESS:PORT, such as localhost:9101; empty: nowhere",
           in(&Configuration::listen)),
  };
  return all;
}

Error at(const std::string& path, const toml::source_position& where, std::string reason) {
  return Error::make(errc::malformed, "configure",
                     fmt::format("{}:{}:{}", path, where.line, where.column), std::move(reason),
                     "`cgctl mitigate --print-config` prints a file with every key");
}

const Key* find(std::string_view table, std::string_view name) {
  const auto found = std::find_if(keys().begin(), keys().end(), [&](const Key& key) {
    return key.table == table && key.name == name;
  });
  return found == keys().end() ? nullptr : &*found;
}

bool is_table(std::string_view name) {
  return std::any_of(keys().begin(), keys().end(),
                     [name](const Key& key) { return key.table == name; });
}

/// Limits of a configuration file. A daemon reads it again while it works: a pipe must not block
/// it.
constexpr InputLimits limits_of_input{std::size_t{1} << 20, std::chrono::seconds(2)};

/// Returns the reason why a text would nest too deep for the parser, which calls itself for each
/// part of a dotted key and each bracket; else empty.
std::string too_deep(std::string_view text) {
  constexpr std::int64_t most = 100;
  std::int64_t open = 0;
  std::int64_t dots = 0;
  std::size_t line = 1;
  for (const char c : text) {
    if (c == '[' || c == '{') ++open;
    if (c == ']' || c == '}') open = std::max(open - 1, std::int64_t{0});
    if (c == '.') ++dots;
    if (open > most) return fmt::format("line {}: more than {} open brackets", line, most);
    if (dots > most) return fmt::format("line {}: more than {} dots", line, most);
    if (c != '\n') continue;
    dots = 0;
    ++line;
  }
  return {};
}

struct Contradiction {
  std::vector<const char*> keys;  ///< keys that contradict each other; at least one was given
  std::string reason;
};

bool slab_is_dropped_first(const std::vector<Rung>& ladder) {
  const auto page_cache = std::find(ladder.begin(), ladder.end(), Rung::drop_page_cache);
  return std::any_of(ladder.begin(), page_cache,
                     [](Rung rung) { return rung == Rung::drop_slab || rung == Rung::drop_all; });
}

/// Checks rules between values, and rules for values that the command line can change too.
std::optional<Contradiction> contradiction(const Configuration& all) {
  const mitigation::Policy& policy = all.policy;
  if (policy.zombies_low > policy.zombies_high) {
    return Contradiction{{"zombies_low", "zombies_high"},
                         fmt::format("zombies_low {} is above zombies_high {}", policy.zombies_low,
                                     policy.zombies_high)};
  }
  if (policy.min_interval > policy.max_interval) {
    return Contradiction{
        {"min_interval", "max_interval"},
        fmt::format("min_interval {} is longer than max_interval {}",
                    time_text(policy.min_interval), time_text(policy.max_interval))};
  }
  if (policy.ladder.empty()) return Contradiction{{"ladder"}, "ladder: name at least one rung"};
  if (slab_is_dropped_first(policy.ladder)) {
    return Contradiction{{"ladder"},
                         "ladder: drop_caches=2 and drop_caches=3 must come after drop_caches=1"};
  }
  if (all.state_dir.empty()) return Contradiction{{"state_dir"}, "state_dir: name a directory"};
  if (!all.listen.empty() && !listen_address(all.listen)) {
    return Contradiction{{"listen"}, fmt::format("'{}' is not {}", all.listen, listen_forms)};
  }
  return std::nullopt;
}

/// Sets `place` to the value from the command line, if one was given.
template <class Place, class Value>
void override(Place& place, const std::optional<Value>& value) {
  if (!value) return;
  if constexpr (std::is_same_v<Place, std::chrono::seconds>) {
    place = std::chrono::ceil<std::chrono::seconds>(*value);
  } else {
    place = *value;
  }
}

/// Returns the position of the first of the keys that exists in the file.
toml::source_position place_of(const toml::table& file, const std::vector<const char*>& keys) {
  for (const char* const key : keys) {
    for (const auto& [table_name, node] : file) {
      const auto* const value = node.as_table()->get(key);
      if (value != nullptr) return value->source().begin;
    }
  }
  return {1, 1};
}

Result<Configuration> configuration_of(const toml::table& file, const std::string& path) {
  Configuration out;
  bool has_high = false;
  bool has_low = false;
  bool has_gain = false;
  for (const auto& [table_name, node] : file) {
    const toml::table* const table = node.as_table();
    if (table == nullptr || !is_table(table_name.str())) {
      return fail(
          at(path, table_name.source().begin, fmt::format("unknown key '{}'", table_name.str())));
    }
    for (const auto& [name, value] : *table) {
      const Key* const key = find(table_name.str(), name.str());
      if (key == nullptr) {
        return fail(at(path, name.source().begin,
                       fmt::format("unknown key '{}' in [{}]", name.str(), table_name.str())));
      }
      try {
        key->read(value, out);
      } catch (const CLI::ValidationError& error) {
        return fail(at(path, value.source().begin, fmt::format("{}: {}", key->name, error.what())));
      }
      has_high = has_high || key->name == std::string_view("zombies_high");
      has_low = has_low || key->name == std::string_view("zombies_low");
      has_gain = has_gain || key->name == std::string_view("min_gain");
    }
  }
  if (!has_low) out.policy.zombies_low = out.policy.zombies_high / 2;
  if (has_high && !has_gain) out.policy.min_gain = 0;
  if (const auto wrong = contradiction(out)) {
    return fail(at(path, place_of(file, wrong->keys), wrong->reason));
  }
  return out;
}

}  // namespace

Result<Configuration> read_config(const std::string& path) {
  const auto text = read_input(path, limits_of_input);
  if (!text) return fail(text.error());
  if (const auto reason = too_deep(*text); !reason.empty()) {
    return fail(Error::make(errc::malformed, "configure", path, reason,
                            "`cgctl mitigate --print-config` prints a file with every key"));
  }
  const toml::parse_result parsed = toml::parse(*text, path);
  if (!parsed) {
    return fail(at(path, parsed.error().source().begin, std::string(parsed.error().description())));
  }
  return configuration_of(parsed.table(), path);
}

Result<Configuration> find_config() {
  struct ::stat about {};
  if (::stat(default_config, &about) != 0) return Configuration{};
  return read_config(default_config);
}

Result<Configuration> configure(const Overrides& overrides, Use use) {
  auto found = overrides.file.empty() ? find_config() : read_config(overrides.file);
  if (!found) return found;
  found->hash = fmt::format("{:016x}", cgctl::detail::fnv1a(to_toml(*found)));
  mitigation::Policy& policy = found->policy;
  override(policy.zombies_high, overrides.high);
  if (overrides.high) {
    policy.zombies_low = *overrides.high / 2;
    policy.min_gain = 0;
  }
  override(policy.zombies_low, overrides.low);
  override(policy.read_cost_limit, overrides.read_cost_limit);
  override(policy.min_interval, overrides.min_interval);
  policy.max_interval = std::max(policy.max_interval, policy.min_interval);
  override(policy.deadline, overrides.deadline);
  override(found->interval, overrides.interval);
  found->interval = std::max(found->interval, std::chrono::seconds(1));
  if (use == Use::once) found->refaults_after = std::chrono::seconds(0);
  override(found->refaults_after, overrides.refaults_after);
  override(found->state_dir, overrides.state_dir);
  found->policy.offsets_file = offsets_file_in(found->state_dir);
  override(found->metrics_file, overrides.metrics_file);
  override(found->listen, overrides.listen);
  if (overrides.level != 0) policy.only = rung_of(overrides.level);
  if (overrides.force) policy.guards = mitigation::Guards::override_all;
  if (const auto wrong = contradiction(*found)) {
    return fail(Error::make(errc::invalid_argument, "configure",
                            overrides.file.empty() ? "" : overrides.file, wrong->reason));
  }
  return found;
}

void check(const Overrides& overrides) {
  if (overrides.high && overrides.low && *overrides.low > *overrides.high) {
    throw CLI::ValidationError(
        fmt::format("--low {}: above --high {}", *overrides.low, *overrides.high));
  }
  if (overrides.listen && !listen_address(*overrides.listen)) {
    throw CLI::ValidationError(
        fmt::format("--listen '{}': not {}", *overrides.listen, listen_forms));
  }
}

std::string to_toml(const Configuration& configuration) {
  std::string text = "# cgctl mitigate: when and how to free zombies. See cgctl(8).\n";
  std::string_view table;
  for (const Key& key : keys()) {
    if (table != key.table) text += fmt::format("\n[{}]\n", key.table);
    table = key.table;
    std::string comment = key.comment;
    for (std::size_t end = 0; (end = comment.find('\n', end)) != std::string::npos;) {
      comment.replace(end, 1, "\n# ");
      end += 3;
    }
    text += fmt::format("# {}\n{} = {}\n", comment, key.name, key.show(configuration));
  }
  return text;
}

}  // namespace cgctl::tool
