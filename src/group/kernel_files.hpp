// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cgctl/host.hpp"

namespace cgctl::detail {

/// The properties of a file that the kernel makes in cgroups.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): the order is that of the table
struct KernelFile {
  enum class In : std::uint8_t { v1, v2, both };

  enum class Role : std::uint8_t {
    setting,    ///< a snapshot keeps its value
    inherited,  ///< a setting that a new cgroup inherits from its parent
    state,      ///< a tree may set it; a snapshot leaves it out
    counter,    ///< a tree may name it, but does not write it
    trigger,    ///< a write acts at once; a tree does not write it
    tasks,      ///< lists processes or threads; a write moves one in; not in a tree
    control,    ///< kills, watches or enables controllers; not in a tree
  };

  enum class Form : std::uint8_t {
    plain,    ///< a number or a word
    size,     ///< bytes, "max" or v1's -1 for no limit
    list,     ///< of CPUs or nodes
    quota,    ///< microseconds; any negative number means no limit
    shares,   ///< a number that the kernel clamps to 2..262144
    rate,     ///< "QUOTA PERIOD" or "QUOTA"
    keyed,    ///< a line for each device, resource or rule; one line is written at a time
    weights,  ///< keyed; "DEVICE default" removes a line
    unknown,  ///< the file is not in the table; treated as plain
  };

  /// How a tree writes the value.
  enum class InTree : std::uint8_t {
    given,      ///< unchanged
    planned,    ///< through a cpu::Change or a memory::Change
    converted,  ///< planned; also on hosts with the other version
  };

  /// How a write is undone.
  enum class Undo : std::uint8_t {
    rewrite,    ///< writes the old text, or restoring_text() of it
    word,       ///< writes the first word of "root invalid (Parent is not a partition root)"
    switches,   ///< writes "+cpu -memory" if the old text was "cpu": see switched_back()
    rules,      ///< writes device rules: see restore_devices()
    share,      ///< writes the cpu share, which this file shows rounded
    share_too,  ///< rewrites, then writes the cpu share, which the kernel has forgotten
    none,       ///< cannot be undone: resets counters, moves processes, makes threads
  };

  std::string_view name;
  In versions;
  Role role;
  Form form;
  std::string_view initial;      ///< value in a new cgroup; if keyed, of each line
  std::string_view counterpart;  ///< v2's replacement for a file of v1
  InTree in_tree = InTree::given;
  Undo undo = Undo::rewrite;

  [[nodiscard]] bool is_of(Version version) const noexcept {
    return versions == In::both || (versions == In::v2) == (version == Version::v2);
  }
  [[nodiscard]] bool is_inherited() const noexcept { return role == Role::inherited; }
  [[nodiscard]] bool is_setting() const noexcept { return role == Role::setting || is_inherited(); }
  [[nodiscard]] bool is_reading() const noexcept {
    return role == Role::counter || role == Role::trigger;
  }
  [[nodiscard]] bool is_kept_out_of_trees() const noexcept {
    return role == Role::tasks || role == Role::control;
  }
  [[nodiscard]] bool is_keyed() const noexcept {
    return form == Form::keyed || form == Form::weights;
  }
  [[nodiscard]] bool is_device_rule() const noexcept { return undo == Undo::rules; }
};

/// Returns the properties of a file. A file that is not in the table, such as a vendor's, counts as
/// a setting of both versions. The result refers to `name`, which must outlive it.
KernelFile kernel_file(std::string_view name) noexcept;

/// Names the file of `version` that replaces a file of the other version, as a hint for errors;
/// empty if it is not known.
std::string counterpart_hint(std::string_view name, Version version);

}  // namespace cgctl::detail
