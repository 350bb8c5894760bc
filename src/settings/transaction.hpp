// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
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

/// Opens, writes, reads back and rolls back a cgroup's value files, and explains refused values;
/// shared by the controllers.
namespace cgctl::detail {

/// A cgroup's value files. Each file is opened once: the same descriptor reads it for a plan,
/// writes it and reads it back. `group` must outlive it.
class ValueFiles {
 public:
  enum class For { reading, writing };
  ValueFiles(const Group& group, For purpose) noexcept : group_(&group), purpose_(purpose) {}

  [[nodiscard]] const Group& group() const noexcept { return *group_; }
  /// Returns the text of a file, read at the first call; nothing if the cgroup has no such file.
  Result<std::optional<std::string_view>> read(std::string_view file);
  /// Does settings::apply(). On failure values are restored to the texts read before.
  Result<std::vector<settings::Written>> apply(const std::vector<settings::Setting>& settings,
                                               const std::function<Status()>& then = {});
  /// Returns the place, in the settings of apply(), of the one that the kernel refused; nothing if
  /// it failed for another reason.
  [[nodiscard]] std::optional<std::size_t> refused() const noexcept { return refused_; }
  /// Does settings::can_be_restored().
  bool can_be_restored(const settings::Setting& setting);

 private:
  struct File {
    std::string name;
    UniqueFd reading;                 ///< empty: `writing` also reads, or the file is write-only
    UniqueFd writing;                 ///< empty: not written yet
    std::optional<std::string> text;  ///< the text before any write; absent: write-only

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
  std::deque<File> files_;  // a deque, because pointers to its elements must stay valid
  std::optional<std::size_t> refused_;
  std::vector<DeviceList> devices_;  // the lists before the first device rule was written
};

/// Builds the errc::malformed error for a `text` that does not have the documented form of `file`.
tl::unexpected<Error> malformed(const Group& group, std::string_view file, std::string_view text);

/// Returns the file name of the path in an error.
std::string file_of(const Error& error);

/// A rule of the kernel and a remedy. An empty reason means that no rule is known.
struct Rule {
  std::string reason;
  std::string hint;
};

/// Returns the error with the rule instead of the bare errno.
Error explained(Error error, Rule rule);

}  // namespace cgctl::detail
