// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "settings/transaction.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "group/kernel_files.hpp"
#include "settings/device_rules.hpp"
#include "settings/values.hpp"

namespace cgctl::detail {

using settings::Setting;
using settings::Written;
using Undo = KernelFile::Undo;

struct ValueFiles::Write {
  const File* file;
  std::string text;
};

/// A setting with its file open.
struct ValueFiles::Step {
  const Setting* setting;
  const File* file;
  std::string_view before;  ///< the text before any write, without a newline at its end
  std::vector<Write> undo;  ///< writes that restore the old value, in order; empty: impossible
  bool is_device_rule = false;
};

namespace {

std::string_view without_newline(std::string_view text) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
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
  // The kernel delivers whole lines, up to a page at a time: less than half a page is the whole
  // file.
  const auto size = static_cast<std::size_t>(got);
  if (size < text.size() / 2) return std::string(text.data(), size);
  return fs::read_all(file.readable(), group_->shown(file.name));
}

Status ValueFiles::write(const File& file, const std::string& value) const {
  // Below the directories of a live host there are no files of other file systems.
  auto status = group_->host().live() ? fs::write_once(file.writing.get(), value, {}, {})
                                      : fs::write_once(file.writing.get(), value, {});
  if (!status) status.error().path = group_->shown(file.name);
  return status;
}

Status ValueFiles::read_first(File& file) const {
  auto text = read_text(file);
  if (text) {
    file.text = std::move(*text);
    return {};
  }
  // Root may open a file that has no read method: reading it then fails with EINVAL (kernfs), and
  // its mode has no read bits.
  struct ::stat found {};
  const bool write_only = text.error().os_errno == EINVAL &&
                          sys::stat(file.readable(), found) == 0 &&
                          (found.st_mode & (S_IRUSR | S_IRGRP | S_IROTH)) == 0;
  if (!write_only) return fail(text.error());
  return {};
}

/// Opens a file for reading and writing if both are wanted and allowed, else for reading, else for
/// writing.
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

/// Adds to the undo of a step the present share, in the version that the cgroup has.
Status ValueFiles::add_share(Step& step) {
  for (const std::string_view name : {"cpu.shares", "cpu.weight"}) {
    const auto file = open(name);
    if (!file && file.error().kind == errc::unsupported) continue;
    if (!file) return fail(file.error());
    if (auto status = open_for_writing(**file); !status) return status;
    if ((*file)->text) step.undo.push_back({*file, std::string(without_newline(*(*file)->text))});
    return {};
  }
  return {};
}

Status ValueFiles::add_undo(Step& step) {
  const KernelFile file = kernel_file(step.file->name);
  step.is_device_rule = file.is_device_rule();
  if (!step.setting->restore.empty()) {
    step.undo.push_back({step.file, step.setting->restore});
    return {};
  }
  if (step.is_device_rule) {
    step.undo.push_back({step.file, {}});
    return {};
  }
  if (!step.file->text) return {};
  std::string text;
  switch (file.undo) {
    case Undo::none:
      return {};
    case Undo::share:
      return add_share(step);
    case Undo::switches:
      text = switched_back(step.before, step.setting->value);
      break;
    case Undo::word:
      text = step.before.substr(0, step.before.find(' '));
      break;
    case Undo::rewrite:
      text = restoring_text(file, step.before, step.setting->value);
      break;
    case Undo::share_too:
    case Undo::rules:
      text = step.before;
      break;
  }
  const bool takes_it_back =
      text == "\n" || (!text.empty() && text.find('\n') == std::string::npos);
  if (takes_it_back) step.undo.push_back({step.file, std::move(text)});
  // The share of an idle cgroup cannot be written.
  if (file.undo == Undo::share_too && step.before == "0") return add_share(step);
  return {};
}

Result<ValueFiles::Step> ValueFiles::prepare(const Setting& setting) {
  if (setting.value.empty()) {
    return fail(Error::make(errc::invalid_argument, "set", group_->shown(setting.file),
                            "no value is given", "the kernel ignores an empty write"));
  }
  const auto file = open(setting.file);
  if (!file) return fail(file.error());
  if (auto status = open_for_writing(**file); !status) return fail(status.error());
  Step step{&setting, *file, {}, {}};
  if ((*file)->text) step.before = without_newline(*(*file)->text);
  if (auto status = add_undo(step); !status) return fail(status.error());
  return step;
}

bool ValueFiles::can_be_restored(const Setting& setting) {
  const auto step = prepare(setting);
  // apply() reports the error.
  return !step || !step->undo.empty();
}

/// Undoes the first `count` steps, the last one first. Returns a text about the values that could
/// not be restored.
std::string ValueFiles::undo(const std::vector<Step>& steps, std::size_t count) const {
  std::string left;
  while (count > 0) {
    const Step& step = steps[--count];
    for (const Write& one : step.undo) {
      const auto status = step.is_device_rule ? restore_devices(group_->host(), devices_)
                                              : write(*one.file, one.text);
      if (status) continue;
      left += (left.empty() ? "" : "; ") + group_->shown(step.file->name) + " is left at ";
      left += step.setting->value + " instead of ";
      left += step.before;
      left += " (" + status.error().message() + ")";
      break;
    }
  }
  return left;
}

Result<std::vector<Written>> ValueFiles::apply(const std::vector<Setting>& settings,
                                               const std::function<Status()>& then) {
  std::vector<Step> steps;
  steps.reserve(settings.size());
  for (const Setting& setting : settings) {
    auto step = prepare(setting);
    if (!step) return fail(step.error());
    steps.push_back(std::move(*step));
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const bool last = i + 1 == steps.size() && !then;
    if (last || !steps[i].undo.empty()) continue;
    return fail(Error::make(errc::invalid_argument, "set", group_->shown(steps[i].file->name),
                            "its old value could not be restored if a later setting failed",
                            "name it last, or alone"));
  }
  if (std::any_of(steps.begin(), steps.end(), [](const Step& one) { return one.is_device_rule; })) {
    auto lists = device_lists(*group_);
    if (!lists) return fail(lists.error());
    devices_ = std::move(*lists);
  }

  std::vector<Written> written;
  written.reserve(steps.size());
  const auto add_hint = [](Error& error, const std::string& hint) {
    if (!hint.empty()) error.hint += (error.hint.empty() ? "" : "; ") + hint;
  };
  const auto taken_back = [&](Error error, std::size_t count) {
    error.operation = "set";
    const std::string left = undo(steps, count);
    const bool others = left.empty() && count > 0;
    add_hint(error, others ? "the other values are as before" : left);
    return fail(std::move(error));
  };
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    if (auto status = write(*step.file, step.setting->value); !status) {
      refused_ = i;
      return taken_back(std::move(status.error()), i);
    }
    Written& one = written.emplace_back();
    one.file = step.setting->file;
    one.before = step.before;
    one.asked = step.setting->value;
    one.kept = step.setting->value;
    if (step.file->text) {
      const auto read = read_text(*step.file);
      if (!read) return taken_back(read.error(), i + 1);
      one.kept = without_newline(*read);
    }
  }
  if (!then) return written;
  if (auto status = then(); !status) {
    add_hint(status.error(), undo(steps, steps.size()));
    return fail(std::move(status.error()));
  }
  return written;
}

tl::unexpected<Error> malformed(const Group& group, std::string_view file, std::string_view text) {
  return fail(Error::make(errc::malformed, "parse", group.shown(file),
                          "not in the documented form: '" + std::string(text) + "'"));
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
