// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "command/pinned.hpp"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
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
  const std::string path = printable(file.path);
  if (file.block_device) return path + " (metadata of the file system)";
  if (file.deleted) return path + " (deleted)";
  if (!file.overlay.empty()) return printable(file.overlay);
  if (file.proven) return path;
  const std::string system = fmt::format("{} {}", file.file_system, device_of(file));
  if (path.empty()) return fmt::format("inode {} of {} (no name is known)", file.inode, system);
  return fmt::format("{} in {} (not reachable from here)", path, system);
}

/// Joins the first of some texts: "a, b and 7 more".
template <class List, class Text>
std::string some_of(const List& list, const Text& text) {
  constexpr std::size_t most = 3;
  std::string joined;
  const std::size_t shown = std::min(list.size(), list.size() <= most ? most : most - 1);
  for (std::size_t i = 0; i < shown; ++i) joined += (i == 0 ? "" : ", ") + text(list[i]);
  if (shown < list.size()) joined += fmt::format(" and {} more", list.size() - shown);
  return joined;
}

/// Returns the lines below a file's row.
std::string details_of(const PinnedRow& row, const census::Snapshot& snapshot) {
  const PinnedFile& file = *row.file;
  std::string text;
  const auto add = [&](const char* label, const std::string& value) {
    text += fmt::format("{:16}{} {}\n", "", label, value);
  };
  if (!file.overlay.empty()) add("in the layer", printable(file.path));
  if (!row.mappers.empty()) {
    add("mapped by", some_of(row.mappers, [](const Mapper& one) {
          return fmt::format("{} ({})", printable(one.name), one.pid);
        }));
  }
  if (file.dirty != 0) add("not yet written back:", fmt::format("{} pages", file.dirty));
  add("holds", some_of(file.holds,
                       [&](const Holding& one) { return printable(snapshot.path(one.cgroup)); }));
  return text;
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

std::string pinned_line(const char* label, const std::string& value) {
  return fmt::format("{:<16}{}\n", label, value);
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
    if (number != 0) text += pinned_line(label, fmt::format("{} {}", number, meaning));
  };
  add(mapped, "mapped", "files: restart the processes that map them");
  add(deleted, "deleted", "files: restart the processes that have them open or map them");
  add(tmpfs, "tmpfs", "files: remove them; nothing else frees their pages");
  add(found.files.size() - tmpfs, "page cache",
      "files: dropping it frees what is not mapped, once it is written back");
  add(found.anonymous, "anonymous", "removed cgroups hold memory of processes, which has no file");
  add(found.unlisted, "no pages",
      "removed cgroups: locked pages or the kernel's own references hold them");
  add(found.skipped, "stopped early",
      "removed cgroups were not examined to the end; --time 10s searches longer");
  return text;
}

/// Null stands for an empty text.
Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json json_of(const Mapper& one) {
  Json json;
  json["pid"] = one.pid;
  json["name"] = one.name;
  return json;
}

Json json_of(const Holding& one, const census::Snapshot& snapshot) {
  std::uint64_t pages = 0;
  for (const census::PageRange& range : one.pages) pages += range.count;
  Json json;
  json["path"] = snapshot.path(one.cgroup);
  json["pages"] = pages;
  return json;
}

Json json_of(const PinnedRow& row, const census::Snapshot& snapshot) {
  constexpr std::size_t most_cgroups = 10;
  const PinnedFile& file = *row.file;
  Json json;
  json["path"] = text_or_null(file.path);
  json["overlay_path"] = text_or_null(file.overlay);
  json["proven"] = file.proven;
  json["deleted"] = file.deleted;
  json["file_system"] = file.file_system;
  json["device"] = device_of(file);
  json["inode"] = file.inode;
  json["pages"] = file.pages;
  json["dirty_pages"] = file.dirty;
  Json& mapped_by = json["mapped_by"] = Json::array();
  for (const Mapper& one : row.mappers) mapped_by.push_back(json_of(one));
  json["holds"] = file.holds.size();
  Json& cgroups = json["cgroups"] = Json::array();
  for (std::size_t i = 0; i < std::min(file.holds.size(), most_cgroups); ++i) {
    cgroups.push_back(json_of(file.holds[i], snapshot));
  }
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
  files.json["files_left_out"] = left_out;
  files.json["files_complete"] = found.complete();
  files.json["files_skipped"] = found.skipped;
  return files;
}

}  // namespace cgctl::tool
