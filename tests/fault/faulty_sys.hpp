// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

/// The tests' own definition of cgctl/detail/sys.hpp, linked in place of src/sys.cpp: it makes the
/// real system calls, save where a test says otherwise.
namespace cgctl::fault {

enum class Call {
  open_at,
  open_beneath,
  close,  ///< counted, never faulty
  pread,
  write,
  getdents64,
  stat,
  stat_at,
  make_directory_at,
  remove_directory_at,
  change_owner_at,
  change_mode_at,
  file_system
};

/// What happens to calls of one kind on one file. The first rule that fits a call decides.
class Rule {
 public:
  /// The call is not made and fails with this errno.
  Rule& fails(int os_errno);
  /// The call is not made and returns this value.
  Rule& returns(std::int64_t value);
  /// pread delivers `text` instead of the file's.
  Rule& gives(std::string text);
  /// pread and write are made with at most `size` bytes.
  Rule& at_most(std::size_t size);
  /// The call is made after `hook` has run: the world changes just before it.
  Rule& after(std::function<void()> hook);

  /// Lets the first `count` calls that fit go by.
  Rule& skip(unsigned count);
  /// Applies to `count` calls instead of one.
  Rule& times(unsigned count);
  /// Applies to all calls; such a rule may stay unused.
  Rule& always();
  /// Is met in a child process, out of sight of this one: it may stay unused as well.
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

/// Puts rules into force until its end. A rule that no call met is a failure of the test: what it
/// was to test did not happen.
class Faults {
 public:
  Faults();
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// Calls of this kind on a file whose path ends in `suffix` (whole components; all files when
  /// empty).
  Rule& on(Call call, std::string_view suffix = {});

  /// How many such calls there were since the beginning of this object, faulty ones included.
  [[nodiscard]] std::size_t calls(Call call, std::string_view suffix = {}) const;
};

}  // namespace cgctl::fault
