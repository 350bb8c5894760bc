// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "command/dead.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "cgctl/census.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/workload.hpp"
#include "cli/command.hpp"
#include "cli/names.hpp"

namespace cgctl::tool {
namespace {

using census::Cgroup;
using census::Memory;
using census::Snapshot;

struct Named {
  const Cgroup* cgroup = nullptr;
  std::string path;
  Memory held_by;
  std::size_t below = 0;  // removed cgroups right below, which hold this one
  std::string unit;       // systemd unit; empty: none
  names::Names names;
  std::optional<std::chrono::seconds> died;  // time since it was removed, if that was recorded
  std::optional<std::chrono::seconds> seen;  // time since a census first found it removed
};

/// Returns the time since a cgroup was removed, if the ledger has it.
std::optional<std::chrono::seconds> time_since_death(const recorder::Ledger* ledger,
                                                     const Cgroup& one, const std::string& path) {
  const recorder::Removed* const removed = ledger == nullptr ? nullptr : ledger->find(one.inode);
  // An inode number may be used again.
  if (removed == nullptr || (!removed->path.empty() && removed->path != path)) return std::nullopt;
  return std::max(mitigation::uptime() - removed->at, std::chrono::seconds(0));
}

/// Returns the time since a census first found a cgroup removed, if that is known.
std::optional<std::chrono::seconds> time_since_sighting(const std::vector<recorder::Seen>& seen,
                                                        std::uint64_t serial) {
  const auto found = std::lower_bound(
      seen.begin(), seen.end(), serial,
      [](const recorder::Seen& one, std::uint64_t number) { return one.serial < number; });
  if (found == seen.end() || found->serial != serial) return std::nullopt;
  return std::max(mitigation::uptime() - found->at, std::chrono::seconds(0));
}

/// Returns the places of the removed cgroups, those with the most references first.
std::vector<std::size_t> places_of_dead(const std::vector<Cgroup>& cgroups) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    if (!cgroups[i].live) places.push_back(i);
  }
  std::sort(places.begin(), places.end(), [&](std::size_t a, std::size_t b) {
    const std::uint64_t more = cgroups[a].references;
    const std::uint64_t fewer = cgroups[b].references;
    return more == fewer ? a < b : more > fewer;
  });
  return places;
}

/// Returns the removed cgroups, those with the most references first.
std::vector<Named> dead_of(const Snapshot& snapshot, const DeadOptions& options) {
  std::vector<std::size_t> below(snapshot.cgroups.size());
  for (const Cgroup& one : snapshot.cgroups) ++below[one.parent];
  std::vector<Named> dead;
  for (const std::size_t i : places_of_dead(snapshot.cgroups)) {
    std::string path = snapshot.path(i);
    if (!is_below(path, options.below)) continue;
    Named& one = dead.emplace_back();
    one.cgroup = &snapshot.cgroups[i];
    one.held_by = snapshot.holding(i);
    one.below = below[i];
    const workload::Workload was = workload::workload_of(path);
    one.unit = was.unit;
    one.died = time_since_death(options.ledger, *one.cgroup, path);
    one.seen = time_since_sighting(options.seen, one.cgroup->serial);
    one.path = std::move(path);
  }
  return dead;
}

/// The kinds of memory that hold a removed cgroup.
struct Kind {
  const char* name;
  std::uint64_t (*bytes)(const Memory&);
  const char* cure;
};

std::uint64_t mapped_file(const Memory& own) {
  return std::min(own.mapped > own.shmem ? own.mapped - own.shmem : 0, own.file);
}

constexpr Kind kinds[] = {
    {"file", [](const Memory& own) { return own.file - mapped_file(own); },
     "page cache; dropping it frees them, once it is written back"},
    {"mapped file", mapped_file, "restart the processes that map the files"},
    {"tmpfs", [](const Memory& own) { return own.shmem; },
     "remove the files on tmpfs, the shared memory or the memfds"},
    {"anonymous", [](const Memory& own) { return own.anon > own.shmem ? own.anon - own.shmem : 0; },
     "restart the processes, which were moved to another cgroup"},
    {"locked", [](const Memory& own) { return own.unevictable; },
     "restart the processes that locked it (mlock)"},
    {"swap", [](const Memory& own) { return own.swap; },
     "restart the processes that it belongs to"},
    {"sockets", [](const Memory& own) { return own.sockets; },
     "close the sockets, or restart their processes"},
    {"slab", [](const Memory& own) { return own.slab; },
     "dentries, inodes and other kernel objects; cgctl mitigate --level 2 drops them"},
};

constexpr const char* removed_below = "removed below";
constexpr const char* kernel_objects = "kernel objects";

bool has_pages(const Named& one) {
  return std::any_of(std::begin(kinds), std::end(kinds),
                     [&](const Kind& kind) { return kind.bytes(one.held_by) != 0; });
}

/// "file 64 KiB, tmpfs 8 KiB, 2 removed below"
std::string held_by(const Named& one) {
  std::string text;
  const auto add = [&](const std::string& holder) { text += (text.empty() ? "" : ", ") + holder; };
  for (const Kind& kind : kinds) {
    const std::uint64_t bytes = kind.bytes(one.held_by);
    if (bytes != 0) add(fmt::format("{} {}", kind.name, human_bytes(bytes)));
  }
  if (one.held_by.dirty != 0) text += fmt::format(" ({} dirty)", human_bytes(one.held_by.dirty));
  if (one.below != 0) add(fmt::format("{} {}", one.below, removed_below));
  return text.empty() ? kernel_objects : text;
}

std::string time_text(const std::optional<std::chrono::seconds>& time) {
  return time ? human_time(*time) : "unknown";
}

/// Returns the path that a cgroup had, and the names of its pod or container.
std::string was(const Named& one) {
  std::string text = printable(one.path);
  const std::string pod = pod_of(one.names);
  if (pod.empty() && one.names.container.empty()) return text;
  text += " (";
  if (!pod.empty()) text += "pod " + printable(pod);
  if (!pod.empty() && !one.names.container.empty()) text += ", ";
  if (!one.names.container.empty()) text += "container " + printable(one.names.container);
  return text + ")";
}

/// "2.0 min ago", or the least that is known: "at least 10 s ago".
std::string removed_text(const Named& one) {
  if (one.died) return human_time(*one.died) + " ago";
  if (one.seen && one.seen->count() != 0) return "at least " + human_time(*one.seen) + " ago";
  return "unknown";
}

/// True if the time of a removal is known, at least in part.
bool has_removal(const Named& one) { return one.died || (one.seen && one.seen->count() != 0); }

/// `recorded`: removals are recorded.
std::string table_of(const std::vector<Named>& dead, std::size_t rows, bool recorded) {
  constexpr auto right = Table::Align::right;
  std::vector<Table::Column> columns{{"REFERENCES", right}, {"AGE", right}};
  if (recorded) columns.push_back({"REMOVED", right});
  columns.push_back({"HELD BY"});
  columns.push_back({"WAS"});
  Table table(std::move(columns));
  for (std::size_t i = 0; i < rows; ++i) {
    const Named& one = dead[i];
    std::vector<std::string> cells{std::to_string(one.cgroup->references),
                                   time_text(one.cgroup->age)};
    if (recorded) cells.push_back(removed_text(one));
    cells.push_back(held_by(one));
    cells.push_back(was(one));
    table.add(std::move(cells));
  }
  return table.text();
}

/// Returns one line for each kind of memory that holds any of them.
std::string cures_of(const std::vector<Named>& dead) {
  std::string text;
  for (const Kind& kind : kinds) {
    std::uint64_t bytes = 0;
    std::size_t holds = 0;
    for (const Named& one : dead) {
      const std::uint64_t mine = kind.bytes(one.held_by);
      bytes += mine;
      holds += mine != 0 ? 1 : 0;
    }
    if (holds == 0) continue;
    text += labelled(kind.name,
                     fmt::format("{} in {} of them: {}", human_bytes(bytes), holds, kind.cure));
  }
  std::size_t parents = 0;
  std::size_t bare = 0;
  for (const Named& one : dead) {
    if (one.below != 0) ++parents;
    if (one.below == 0 && !has_pages(one)) ++bare;
  }
  if (parents != 0) {
    text +=
        labelled(removed_below,
                 fmt::format("{} of them: removed cgroups below hold them, and go first", parents));
  }
  if (bare != 0) {
    text += labelled(
        kernel_objects,
        fmt::format("{} of them have no pages: the kernel's own references hold them", bare));
  }
  return text;
}

struct Member {
  const char* key;
  std::uint64_t Memory::*bytes;
};

constexpr Member members[] = {
    {"file", &Memory::file},
    {"anon", &Memory::anon},
    {"unevictable", &Memory::unevictable},
    {"shmem", &Memory::shmem},
    {"mapped", &Memory::mapped},
    {"dirty", &Memory::dirty},
    {"writeback", &Memory::writeback},
    {"swap", &Memory::swap},
    {"sockets", &Memory::sockets},
    {"slab", &Memory::slab},
};

void put_time(Json& json, const char* key, const std::optional<std::chrono::seconds>& time) {
  json[key] = nullptr;
  if (time) put(json, key, static_cast<std::uint64_t>(time->count()));
}

Json json_of(const Named& one) {
  Json json;
  put(json, "path", one.path);
  put(json, "unit", one.unit);
  put(json, "pod", pod_of(one.names));
  put(json, "container", one.names.container);
  put(json, "image", one.names.image);
  put(json, "inode", one.cgroup->inode);
  put(json, "references", one.cgroup->references);
  put_time(json, "age_s", one.cgroup->age);
  put_time(json, "removed_s", one.died);
  put_time(json, "first_seen_s", one.seen);
  put(json, "usage_bytes", one.cgroup->usage);
  Json held_by;
  for (const Member& member : members) put(held_by, member.key, one.held_by.*member.bytes);
  json["held_by_bytes"] = std::move(held_by);
  put(json, "removed_below", one.below);
  return json;
}

}  // namespace

std::string offsets_file_in(const std::string& state_dir) { return fs::join(state_dir, "offsets"); }

__attribute__((noinline)) void put(Json& json, const char* key, std::uint64_t value) {
  json[key] = value;
}

__attribute__((noinline)) void put(Json& json, const char* key, const std::string& value) {
  json[key] = value.empty() ? Json(nullptr) : Json(value);
}

bool is_below(const std::string& path, const std::string& top) {
  if (top.empty() || top == "/") return true;
  return parse::starts_with(path, top) && path.size() > top.size() && path[top.size()] == '/';
}

Result<Snapshot> take_census(const Host& host, const std::string& state_dir) {
  census::Options known;
  known.offsets_file = offsets_file_in(state_dir);
  auto census = census::Census::open(host, known);
  if (!census) return fail(census.error());
  Snapshot snapshot;
  if (auto status = census->take(snapshot); !status) return fail(status.error());
  return snapshot;
}

Result<std::vector<recorder::Seen>> note_dead(const Host& host, const Snapshot& snapshot,
                                              const std::string& state_dir) {
  std::vector<std::uint64_t> serials;
  for (const Cgroup& one : snapshot.cgroups) {
    if (!one.live) serials.push_back(one.serial);
  }
  std::sort(serials.begin(), serials.end());
  return recorder::note_dead(host, state_dir, serials);
}

Dead describe_dead(const Snapshot& snapshot, const DeadOptions& options) {
  std::vector<Named> dead = dead_of(snapshot, options);
  const auto rows = static_cast<std::size_t>(std::min<std::uint64_t>(options.top, dead.size()));
  for (std::size_t i = 0; i < rows && options.names != nullptr; ++i) {
    dead[i].names = options.names->names_of(dead[i].path);
  }
  Dead found;
  found.left_out = dead.size() - rows;
  found.text = "\n";
  const bool recorded =
      (options.ledger != nullptr && !options.ledger->empty()) ||
      std::any_of(dead.begin(), dead.begin() + static_cast<std::ptrdiff_t>(rows), has_removal);
  if (rows != 0) found.text += table_of(dead, rows, recorded);
  if (found.left_out != 0) {
    found.text += fmt::format("and {} more (--top {} shows all)\n", found.left_out, dead.size());
  }
  found.text += "\n" + cures_of(dead);
  if (snapshot.coarse_counters && !dead.empty()) {
    found.text += labelled("note",
                           "before Linux 5.13 the kernel counts in steps of 128 KiB for each CPU: "
                           "less than that of mapped files or tmpfs is shown as file or anonymous, "
                           "and of swap, sockets or slab not at all");
  }
  for (std::size_t i = 0; i < rows; ++i) found.json.push_back(json_of(dead[i]));
  return found;
}

}  // namespace cgctl::tool
