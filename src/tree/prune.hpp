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

/// Removes the cgroups that a tree does not name, and restores them.
namespace cgctl::tree::detail {

/// Adds the removals of cgroups that are below a named path and not above one.
Status add_removals(const Host& host, const std::set<std::string>& named, Work& work);

/// Everything that is lost with a removed cgroup that has no tasks and no cgroups below.
class Removed {
 public:
  static Result<Removed> remember(const Host& host, const Group& group);

  /// Makes the missing directories and restores everything. Returns the first error.
  [[nodiscard]] Status bring_back(const Host& host) const;

 private:
  struct Place {
    const Hierarchy* hierarchy;  ///< belongs to a Host that outlives this
    std::vector<permissions::Previous> files;
    std::vector<settings::Setting> states;  ///< values that are no settings, in writing order
  };

  std::string path_;
  std::vector<Place> places_;
  Tree settings_;
  std::vector<cgctl::detail::DeviceList> devices_;
};

}  // namespace cgctl::tree::detail
