// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

/// The tests' own version of cgctl/detail/sys.hpp, linked instead of src/sys.cpp. It makes the real
/// system calls, except where a test says otherwise.
namespace cgctl::fault {

enum class Call {
  open_at,
  open_beneath,
  close,  ///< only counted; no rule can make it fail
  pread,
  write,
  getdents64,
  stat,
  stat_at,
  make_directory_at,
  remove_directory_at,
  change_owner_at,
  change_mode_at,
  sync_file_system,
  sync_all,
  file_system
};

/// Says what happens to calls of one kind on one file. The first rule that matches a call decides.
class Rule {
 public:
  /// Makes the call fail with this errno; the kernel is not called.
  Rule& fails(int os_errno);
  /// Makes the call return this value; the kernel is not called.
  Rule& returns(std::int64_t value);
  /// Makes pread return `text` instead of the file's.
  Rule& gives(std::string text);
  /// Limits pread and write to `size` bytes a call.
  Rule& at_most(std::size_t size);
  /// Runs `hook` and then makes the call: the world changes just before it.
  Rule& after(std::function<void()> hook);

  /// Leaves the first `count` calls that match alone.
  Rule& skip(unsigned count);
  /// Applies to `count` calls instead of one.
  Rule& times(unsigned count);
  /// Applies to all calls. Such a rule may stay unused.
  Rule& always();
  /// Expects the call in a child process, where this process cannot see it: the rule may stay
  /// unused.
  Rule& in_child();

 private:
  friend struct Engine;
  enum class Kind { error, value, text, limit, hook };

  Call call_{};
  std::string suffix_;
  Kind kind_ = Kind::error;
  std::int64_t value_ = 0;
  std::string text_;
  std::function<void()> hook_;
  unsigned skip_ = 0;
  unsigned left_ = 1;
  bool always_ = false;
  bool may_stay_unused_ = false;
};

/// Keeps rules in force for its lifetime. A rule that no call matched fails the test, because the
/// fault that it was to test did not happen.
class Faults {
 public:
  Faults();
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// Adds a rule for calls of this kind on a file whose path ends in `suffix` (whole components;
  /// empty: all files).
  Rule& on(Call call, std::string_view suffix = {});

  /// Returns the number of such calls since this object was created, those that failed included.
  [[nodiscard]] std::size_t calls(Call call, std::string_view suffix = {}) const;
};

}  // namespace cgctl::fault
