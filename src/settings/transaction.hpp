// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"
#include "settings/device_rules.hpp"

/// What the controllers share: files of one value, and saying which rule a refused value has
/// broken.
namespace cgctl::detail {

/// A cgroup's files of one value. Each is opened once: what is read to make a plan is then written
/// and read back through the same descriptor. `group` must outlive it.
class ValueFiles {
 public:
  enum class For { reading, writing };
  ValueFiles(const Group& group, For purpose) noexcept : group_(&group), purpose_(purpose) {}

  [[nodiscard]] const Group& group() const noexcept { return *group_; }
  /// The text of a file, read at the first call; nothing where the cgroup has no such file.
  Result<std::optional<std::string_view>> read(std::string_view file);
  /// settings::apply(). What was read before is what a value is brought back to.
  Result<std::vector<settings::Written>> apply(const std::vector<settings::Setting>& settings,
                                               const std::function<Status()>& then = {});
  /// settings::can_be_restored().
  bool can_be_restored(const settings::Setting& setting);

 private:
  struct File {
    std::string name;
    UniqueFd reading;                 ///< invalid: one descriptor does both, or it cannot be read
    UniqueFd writing;                 ///< invalid: only read so far
    std::optional<std::string> text;  ///< before anything was written; nothing: it cannot be read

    [[nodiscard]] int readable() const noexcept { return reading ? reading.get() : writing.get(); }
  };
  struct Write;
  struct Step;

  [[nodiscard]] File* known(std::string_view name);
  Result<File*> open(std::string_view name);
  Status open_for_writing(File& file) const;
  Status read_first(File& file) const;
  [[nodiscard]] Result<std::string> read_text(const File& file) const;
  [[nodiscard]] Status write(const File& file, const std::string& value) const;
  Result<Step> prepare(const settings::Setting& setting);
  Status add_undo(Step& step);
  Status add_share(Step& step);
  [[nodiscard]] std::string undo(const std::vector<Step>& steps, std::size_t count) const;

  const Group* group_;
  For purpose_;
  std::deque<File> files_;           // which others point to
  std::vector<DeviceList> devices_;  // before the first rule of them is written
};

/// errc::malformed: `text` is not what the kernel writes to `file`.
tl::unexpected<Error> malformed(const Group& group, std::string_view file, std::string_view text);

/// Of the path in an error, the file's name.
std::string file_of(const Error& error);

/// A rule of the kernel, and what to do; without a reason none that is known.
struct Rule {
  std::string reason;
  std::string hint;
};

/// The error with the rule in place of the bare errno.
Error explained(Error error, Rule rule);

}  // namespace cgctl::detail
