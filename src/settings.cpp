// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/settings.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"

namespace cgctl::settings {
namespace {

/// A setting with its file open.
struct Open {
  const Setting* setting;
  std::string shown;
  UniqueFd writing;
  std::optional<UniqueFd> reading;  ///< nothing where the file can only be written
  std::string before;
  std::string restore;
  bool restorable = false;
};

std::string without_newline(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<std::string> read_back(const Open& file) {
  auto text = fs::read_all(file.reading->get(), file.shown);
  if (!text) return text;
  return without_newline(std::move(*text));
}

Result<Open> open_file(const Group& group, const Setting& setting) {
  Open file{&setting, group.shown(setting.file), {}, {}, {}, setting.restore, false};
  auto writing = group.open_file(setting.file, O_WRONLY);
  if (!writing) return fail(writing.error());
  file.writing = std::move(*writing);
  struct ::stat found {};
  if (const int status = sys::stat(file.writing.get(), found); status < 0) {
    return fail(fs::system_error("stat", file.shown, -status));
  }
  // Root may open a file that the kernel has no read method for: its mode says so.
  if ((found.st_mode & (S_IRUSR | S_IRGRP | S_IROTH)) == 0) return file;
  auto reading = group.open_file(setting.file, O_RDONLY);
  if (!reading) return fail(reading.error());
  file.reading = std::move(*reading);
  auto before = read_back(file);
  if (!before) return fail(before.error());
  file.before = std::move(*before);
  if (file.restore.empty() && file.before.find('\n') == std::string::npos) {
    file.restore = file.before;
  }
  file.restorable = !file.restore.empty();
  return file;
}

Error not_restorable(const Open& file) {
  return Error::make(errc::invalid_argument, "set", file.shown,
                     "its old value could not be brought back if a later one failed",
                     "name it last, or alone");
}

/// Brings back the first `count`, last one first. Returns what could not be, for people.
std::string roll_back(const std::vector<Open>& files, std::size_t count) {
  std::string left;
  while (count > 0) {
    const Open& file = files[--count];
    if (const auto status = fs::write_once(file.writing.get(), file.restore, file.shown); !status) {
      left += (left.empty() ? "" : "; ") + file.shown + " is left at " + file.setting->value +
              " instead of " + file.restore + " (" + status.error().message() + ")";
    }
  }
  return left;
}

}  // namespace

Result<std::vector<Written>> apply(const Group& group, const std::vector<Setting>& settings) {
  std::vector<Open> files;
  files.reserve(settings.size());
  for (const Setting& setting : settings) {
    auto file = open_file(group, setting);
    if (!file) return fail(file.error());
    files.push_back(std::move(*file));
  }
  for (std::size_t i = 0; i + 1 < files.size(); ++i) {
    if (!files[i].restorable) return fail(not_restorable(files[i]));
  }

  std::vector<Written> written;
  written.reserve(files.size());
  const auto undo = [&](Error error, std::size_t count) {
    error.operation = "set";
    const std::string left = roll_back(files, count);
    if (!left.empty()) {
      error.hint += (error.hint.empty() ? "" : "; ") + left;
    } else if (count > 0) {
      error.hint +=
          (error.hint.empty() ? "" : "; ") + std::string("the other values are as before");
    }
    return fail(std::move(error));
  };
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Open& file = files[i];
    const std::string& value = file.setting->value;
    if (auto status = fs::write_once(file.writing.get(), value, file.shown); !status) {
      return undo(std::move(status.error()), i);
    }
    std::string kept = value;
    if (file.reading) {
      auto read = read_back(file);
      if (!read) return undo(std::move(read.error()), file.restorable ? i + 1 : i);
      kept = std::move(*read);
    }
    written.push_back({file.setting->file, file.before, value, std::move(kept)});
  }
  return written;
}

}  // namespace cgctl::settings
