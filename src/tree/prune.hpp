// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cgctl/permissions.hpp"
#include "cgctl/settings.hpp"
#include "cgctl/tree.hpp"
#include "settings/device_rules.hpp"
#include "tree/work.hpp"

/// Removing the cgroups that a tree does not name, and bringing them back.
namespace cgctl::tree::detail {

/// Adds to the plan, and to the removals, what is below the named paths, and not above any.
Status add_removals(const Host& host, const std::set<std::string>& named, Work& work);

/// All that is lost with a cgroup that has no tasks and no cgroups below.
class Removed {
 public:
  static Result<Removed> remember(const Host& host, const Group& group);

  /// Makes what is missing of it, and all as it was; the first error, if any.
  [[nodiscard]] Status bring_back(const Host& host) const;

 private:
  struct Place {
    const Hierarchy* hierarchy;  ///< of a Host that outlives it
    std::vector<permissions::Previous> files;
    std::vector<settings::Setting> states;  ///< what is no setting; in the order they are written
  };

  std::string path_;
  std::vector<Place> places_;
  Tree settings_;
  std::vector<cgctl::detail::DeviceList> devices_;
};

}  // namespace cgctl::tree::detail
