// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "value_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"

namespace cgctl::detail {

using settings::Setting;
using settings::Written;

/// A setting with its file open.
struct ValueFiles::Step {
  const Setting* setting;
  const File* file;
  std::string before;
  std::string restore;
  bool restorable;
};

namespace {

std::string without_newline(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool not_allowed(const Error& error) { return error.os_errno == EACCES || error.os_errno == EPERM; }

}  // namespace

ValueFiles::File* ValueFiles::known(std::string_view name) {
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const File& file) { return file.name == name; });
  return found == files_.end() ? nullptr : &*found;
}

Result<std::string> ValueFiles::read_text(const File& file) const {
  std::array<char, 4096> text;
  ssize_t got = -EINTR;
  while (got == -EINTR) got = sys::pread(file.readable(), text.data(), text.size(), 0);
  if (got < 0) {
    return fail(fs::system_error("read", group_->shown(file.name), static_cast<int>(-got)));
  }
  // The kernel ends a piece where the next line would not fit into a page: what is less than half
  // of one is all.
  const auto size = static_cast<std::size_t>(got);
  if (size < text.size() / 2) return std::string(text.data(), size);
  return fs::read_all(file.readable(), group_->shown(file.name));
}

Status ValueFiles::write(const File& file, const std::string& value) const {
  auto status = fs::write_once(file.writing.get(), value, {});
  if (!status) status.error().path = group_->shown(file.name);
  return status;
}

Status ValueFiles::read_first(File& file) const {
  auto text = read_text(file);
  if (text) {
    file.text = std::move(*text);
    return {};
  }
  // Root may open a file that the kernel has no read method for (kernfs says EINVAL): its mode says
  // so.
  struct ::stat found {};
  const bool write_only = text.error().os_errno == EINVAL &&
                          sys::stat(file.readable(), found) == 0 &&
                          (found.st_mode & (S_IRUSR | S_IRGRP | S_IROTH)) == 0;
  if (!write_only) return fail(text.error());
  return {};
}

/// Opens for both where both are wanted and allowed, else for reading, else for writing.
Result<ValueFiles::File*> ValueFiles::open(std::string_view name) {
  if (File* const file = known(name)) return file;
  File file{std::string(name), {}, {}, {}};
  auto fd = group_->open_file(name, purpose_ == For::writing ? O_RDWR : O_RDONLY);
  if (fd) {
    (purpose_ == For::writing ? file.writing : file.reading) = std::move(*fd);
  } else if (purpose_ == For::writing && not_allowed(fd.error())) {
    fd = group_->open_file(name, O_RDONLY);
    if (fd) file.reading = std::move(*fd);
    if (!fd && not_allowed(fd.error())) {
      fd = group_->open_file(name, O_WRONLY);
      if (!fd) return fail(fd.error());
      file.writing = std::move(*fd);
      return &files_.emplace_back(std::move(file));
    }
  }
  if (!fd) return fail(fd.error());
  if (auto status = read_first(file); !status) return fail(status.error());
  return &files_.emplace_back(std::move(file));
}

Status ValueFiles::open_for_writing(File& file) const {
  if (file.writing) return {};
  auto fd = group_->open_file(file.name, O_WRONLY);
  if (!fd) return fail(fd.error());
  file.writing = std::move(*fd);
  return {};
}

Result<std::optional<std::string_view>> ValueFiles::read(std::string_view file) {
  const auto opened = open(file);
  if (!opened) {
    if (opened.error().kind == errc::unsupported) return std::nullopt;
    return fail(opened.error());
  }
  if (!(*opened)->text) {
    return fail(
        Error::make(errc::unsupported, "read", group_->shown(file), "it can only be written"));
  }
  return std::optional<std::string_view>(*(*opened)->text);
}

Result<ValueFiles::Step> ValueFiles::prepare(const Setting& setting) {
  const auto file = open(setting.file);
  if (!file) return fail(file.error());
  if (auto status = open_for_writing(**file); !status) return fail(status.error());
  Step step{&setting, *file, {}, {}, false};
  if (!(*file)->text) return step;
  step.before = without_newline(*(*file)->text);
  step.restore = setting.restore;
  if (step.restore.empty() && step.before.find('\n') == std::string::npos) {
    step.restore = step.before;
  }
  step.restorable = !step.restore.empty();
  return step;
}

Result<std::vector<Written>> ValueFiles::apply(const std::vector<Setting>& settings) {
  std::vector<Step> steps;
  steps.reserve(settings.size());
  for (const Setting& setting : settings) {
    auto step = prepare(setting);
    if (!step) return fail(step.error());
    steps.push_back(std::move(*step));
  }
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    if (steps[i].restorable) continue;
    return fail(Error::make(errc::invalid_argument, "set", group_->shown(steps[i].file->name),
                            "its old value could not be brought back if a later one failed",
                            "name it last, or alone"));
  }

  std::vector<Written> written;
  written.reserve(steps.size());
  // Brings back the first `count`, last one first.
  const auto undo = [&](Error error, std::size_t count) {
    error.operation = "set";
    std::string left = count > 0 ? "the other values are as before" : "";
    bool all = true;
    while (count > 0) {
      const Step& step = steps[--count];
      const auto status = write(*step.file, step.restore);
      if (status) continue;
      if (all) left.clear();
      left += (all ? "" : "; ") + group_->shown(step.file->name) + " is left at ";
      left += step.setting->value + " instead of " + step.restore;
      left += " (" + status.error().message() + ")";
      all = false;
    }
    if (!left.empty()) error.hint += (error.hint.empty() ? "" : "; ") + left;
    return fail(std::move(error));
  };
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& [setting, file, before, restore, restorable] = steps[i];
    if (auto status = write(*file, setting->value); !status) {
      return undo(std::move(status.error()), i);
    }
    std::string kept = setting->value;
    if (file->text) {
      auto read = read_text(*file);
      if (!read) return undo(std::move(read.error()), restorable ? i + 1 : i);
      kept = without_newline(std::move(*read));
    }
    written.push_back({setting->file, before, setting->value, std::move(kept)});
  }
  return written;
}

tl::unexpected<Error> malformed(const Group& group, std::string_view file, std::string_view text) {
  return fail(Error::make(errc::malformed, "parse", group.shown(file),
                          "not what the kernel writes there: '" + std::string(text) + "'"));
}

std::string file_of(const Error& error) {
  const std::size_t slash = error.path.rfind('/');
  return slash == std::string::npos ? error.path : error.path.substr(slash + 1);
}

Error explained(Error error, Rule rule) {
  if (rule.reason.empty()) return error;
  error.reason = std::move(rule.reason);
  if (!rule.hint.empty() && !error.hint.empty()) rule.hint += "; ";
  error.hint = rule.hint + error.hint;
  return error;
}

}  // namespace cgctl::detail
