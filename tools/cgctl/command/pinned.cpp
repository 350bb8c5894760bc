// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "command/pinned.hpp"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "cgctl/pinned_files.hpp"
#include "cli/command.hpp"

namespace cgctl::tool {
namespace {

using census::FileFinder;
using census::Holding;
using census::Mapper;
using census::PinnedFile;
using census::PinnedFiles;

/// A row of the table.
struct PinnedRow {
  const PinnedFile* file;
  std::vector<Mapper> mappers;
};

std::string device_of(const PinnedFile& file) {
  return fmt::format("{}:{}", major(file.device), minor(file.device));
}

/// Returns the file's path, and what is to be said of it.
std::string where_is(const PinnedFile& file) {
  std::string path = printable(file.path);
  if (file.block_device) return path + " (metadata of the file system)";
  if (file.deleted) return path + " (deleted)";
  if (!file.overlay.empty()) return printable(file.overlay);
  if (file.proven) return path;
  const std::string system = fmt::format("{} {}", file.file_system, device_of(file));
  if (path.empty()) return fmt::format("inode {} of {} (no name is known)", file.inode, system);
  return fmt::format("{} in {} (not reachable from here)", path, system);
}

/// Joins the first of `number` texts: "a, b and 7 more".
std::string some_of(std::size_t number, const std::function<std::string(std::size_t)>& text) {
  constexpr std::size_t most = 3;
  std::string joined;
  const std::size_t shown = number <= most ? number : most - 1;
  for (std::size_t i = 0; i < shown; ++i) joined += (i == 0 ? "" : ", ") + text(i);
  if (shown < number) joined += fmt::format(" and {} more", number - shown);
  return joined;
}

std::string detail_line(const char* label, const std::string& value) {
  return fmt::format("{:16}{} {}\n", "", label, value);
}

/// Returns the lines below a file's row.
std::string details_of(const PinnedRow& row, const census::Snapshot& snapshot) {
  const PinnedFile& file = *row.file;
  std::string text;
  if (!file.overlay.empty()) text += detail_line("in the layer", printable(file.path));
  if (!row.mappers.empty()) {
    text += detail_line("mapped by", some_of(row.mappers.size(), [&](std::size_t i) {
                          const Mapper& one = row.mappers[i];
                          return fmt::format("{} ({})", printable(one.name), one.pid);
                        }));
  }
  if (file.dirty != 0) {
    text += detail_line("not yet written back:", std::to_string(file.dirty) + " pages");
  }
  return text + detail_line("holds", some_of(file.holds.size(), [&](std::size_t i) {
                              return printable(snapshot.path(file.holds[i].cgroup));
                            }));
}

std::string table_of(const std::vector<PinnedRow>& rows, const census::Snapshot& snapshot) {
  std::string text =
      paint(Color::bold, fmt::format("{:>7}  {:>5}  {}", "ZOMBIES", "PAGES", "FILE")) + "\n";
  for (const PinnedRow& row : rows) {
    text += fmt::format("{:>7}  {:>5}  {}\n", row.file->holds.size(), row.file->pages,
                        where_is(*row.file));
    text += details_of(row, snapshot);
  }
  return text;
}

/// Returns a line for each thing that keeps files, or keeps them from being found.
std::string remarks_on(const PinnedFiles& found) {
  std::size_t mapped = 0;
  std::size_t deleted = 0;
  std::size_t tmpfs = 0;
  for (const PinnedFile& file : found.files) {
    if (file.mapped) ++mapped;
    if (file.deleted) ++deleted;
    if (file.file_system == "tmpfs") ++tmpfs;
  }
  std::string text;
  const auto add = [&](std::size_t number, const char* label, const char* meaning) {
    if (number != 0) text += labelled(label, fmt::format("{} of the {}", number, meaning));
  };
  add(mapped, "mapped", "files: restart the processes that map them");
  add(deleted, "deleted", "files: restart the processes that have them open or map them");
  add(tmpfs, "tmpfs", "files: remove them; nothing else frees their pages");
  add(found.files.size() - tmpfs, "page cache",
      "files: dropping it frees what is not mapped, once it is written back");
  add(found.anonymous, "anonymous",
      "removed cgroups: they hold memory of processes, which has no file");
  add(found.unlisted, "no pages",
      "removed cgroups: locked pages or the kernel's own references hold them");
  add(found.skipped, "stopped early",
      "removed cgroups: they were not examined to the end; --time 10s searches longer");
  return text;
}

Json json_of(const Holding& one, const census::Snapshot& snapshot) {
  std::uint64_t pages = 0;
  for (const census::PageRange& range : one.pages) pages += range.count;
  Json json;
  put(json, "path", snapshot.path(one.cgroup));
  put(json, "pages", pages);
  return json;
}

Json json_of(const PinnedRow& row, const census::Snapshot& snapshot) {
  constexpr std::size_t most_cgroups = 10;
  const PinnedFile& file = *row.file;
  Json json;
  put(json, "path", file.path);
  put(json, "overlay_path", file.overlay);
  json["proven"] = file.proven;
  json["deleted"] = file.deleted;
  put(json, "file_system", file.file_system);
  put(json, "device", device_of(file));
  put(json, "inode", file.inode);
  put(json, "pages", file.pages);
  put(json, "dirty_pages", file.dirty);
  Json mappers = Json::array();
  for (const Mapper& one : row.mappers) {
    Json mapper;
    put(mapper, "pid", static_cast<std::uint64_t>(one.pid));
    put(mapper, "name", one.name);
    mappers.push_back(std::move(mapper));
  }
  json["mapped_by"] = std::move(mappers);
  put(json, "holds", file.holds.size());
  Json cgroups = Json::array();
  for (std::size_t i = 0; i < std::min(file.holds.size(), most_cgroups); ++i) {
    cgroups.push_back(json_of(file.holds[i], snapshot));
  }
  json["cgroups"] = std::move(cgroups);
  return json;
}

/// Returns the removed cgroups below `top`.
std::vector<std::size_t> dead_below(const census::Snapshot& snapshot, const std::string& top) {
  std::vector<std::size_t> removed;
  for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
    if (!snapshot.cgroups[i].live && is_below(snapshot.path(i), top)) removed.push_back(i);
  }
  return removed;
}

}  // namespace

Result<Pinned> describe_files(const Host& host, const census::Snapshot& snapshot,
                              const PinnedOptions& options) {
  auto finder = FileFinder::open(host);
  if (!finder) return fail(finder.error());
  FileFinder::Limits limits;
  limits.time = options.time;
  limits.cgroups = dead_below(snapshot, options.below);
  PinnedFiles found;
  if (!limits.cgroups.empty()) {
    if (auto status = finder->take(snapshot, limits, found); !status) return fail(status.error());
  }
  const std::size_t rows =
      static_cast<std::size_t>(std::min<std::uint64_t>(options.top, found.files.size()));
  std::vector<PinnedRow> table;
  for (std::size_t i = 0; i < rows; ++i) {
    PinnedRow row{&found.files[i], {}};
    if (row.file->mapped) {
      if (auto mappers = finder->mappers(*row.file)) row.mappers = std::move(*mappers);
    }
    table.push_back(std::move(row));
  }
  const std::size_t left_out = found.files.size() - rows;
  Pinned files;
  files.text = "\n";
  if (rows != 0) files.text += table_of(table, snapshot);
  if (left_out != 0) {
    files.text += fmt::format("and {} more (--top {} shows all)\n", left_out, found.files.size());
  }
  files.text += "\n" + remarks_on(found);
  Json& all = files.json["files"] = Json::array();
  for (const PinnedRow& row : table) all.push_back(json_of(row, snapshot));
  put(files.json, "files_left_out", left_out);
  files.json["files_complete"] = found.complete();
  put(files.json, "files_skipped", found.skipped);
  return files;
}

}  // namespace cgctl::tool
