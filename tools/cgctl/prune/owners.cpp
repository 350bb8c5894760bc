// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "prune/owners.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/workload.hpp"

namespace cgctl::tool::prune_command {
namespace {

constexpr std::string_view units = "run/systemd/units";
constexpr std::string_view transient_units = "run/systemd/transient";
constexpr std::string_view pods = "var/lib/kubelet/pods";

/// True unless the file is certainly missing.
bool may_exist(const std::string& path) {
  struct ::stat found {};
  return ::lstat(path.c_str(), &found) == 0 || errno != ENOENT;
}

bool is_directory(const std::string& path) {
  struct ::stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

Owners::Owners(std::string root)
    : root_(std::move(root)),
      systemd_(may_exist(fs::join(root_, "run/systemd/system"))),
      systemd_tells_(is_directory(fs::join(root_, units))),
      kubelet_tells_(is_directory(fs::join(root_, pods))) {}

std::string Owners::claim_of_unit(std::string_view name) const {
  if (!systemd_) return {};
  // systemd puts "_" before a name that is also a file of the kernel.
  if (name.front() == '_') name.remove_prefix(1);
  if (!systemd_tells_) return fmt::format("systemd does not say whether it has {}", name);
  const auto has = [&](std::string_view folder, std::string_view prefix) {
    return may_exist(fs::join(root_, fmt::format("{}/{}{}", folder, prefix, name)));
  };
  if (has(units, "invocation:") || has(transient_units, "")) {
    return fmt::format("systemd has the unit {}", name);
  }
  return {};
}

std::string Owners::claim_of_pod(const std::string& uid) const {
  if (!kubelet_tells_) return fmt::format("no kubelet says whether it has the pod {}", uid);
  if (may_exist(fs::join(root_, fmt::format("{}/{}", pods, uid)))) {
    return fmt::format("the kubelet has the pod {}", uid);
  }
  return {};
}

std::string Owners::claim(std::string_view path) const {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string_view part = path.substr(0, end);
    const workload::Workload owner = workload::workload_of(part);
    std::string claim = owner.pod.empty() ? std::string() : claim_of_pod(owner.pod);
    const bool is_unit = !owner.unit.empty() && ends_with(part, owner.unit);
    if (claim.empty() && is_unit && !is_slice(part)) claim = claim_of_unit(owner.unit);
    if (!claim.empty() || end == std::string_view::npos) return claim;
  }
}

bool Owners::is_slice(std::string_view path) const {
  return systemd_ && ends_with(path, ".slice") && workload::workload_of(path).pod.empty();
}

}  // namespace cgctl::tool::prune_command
