// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/unique_fd.hpp"
#include "cgctl/workload.hpp"

/// Gives the names that people know to cgroups: of pods, containers, images and systemd units. They
/// come from files alone: those of the kubelet, containerd, CRI-O, Docker, Podman and systemd.
namespace cgctl::names {

/// The names of a cgroup; each is empty where it is not known. They are bytes from files of others,
/// without control characters.
struct Names {
  std::string space;        ///< namespace of the pod
  std::string pod;          ///< "backup-28"
  std::string container;    ///< of the pod, or of Docker or Podman: "web"
  std::string image;        ///< "docker.io/library/nginx:1.25"
  std::string unit;         ///< systemd unit of a cgroup that belongs to no pod or container
  std::string description;  ///< of the unit: "Regular background program processing daemon"
  std::string id;           ///< the first 12 digits of the container's

  [[nodiscard]] bool empty() const noexcept {
    return pod.empty() && container.empty() && description.empty() && id.empty();
  }
};

/// Returns the names in a few words: "batch/backup-28 (main)", "web", the unit's description, else
/// the container's short id. Empty if there are none.
[[nodiscard]] std::string text_of(const Names& names);

/// Finds names below the root directory of a machine, and remembers them. Reads only regular files
/// of limited size and follows no symbolic links. A file that is missing, broken or too large is
/// like a name that is not known. Not for several threads at once.
class Resolver {
 public:
  /// `root` is "/" for this machine, or the directory where a container has the host's root.
  explicit Resolver(std::string root);
  Resolver(Resolver&&) noexcept = default;
  Resolver& operator=(Resolver&&) noexcept = default;

  /// Returns the names of a cgroup, which may be gone.
  [[nodiscard]] Names names_of(std::string_view path);

 private:
  using Clock = std::chrono::steady_clock;
  template <class Value>
  using Cache = std::vector<std::pair<std::string, Value>>;  // sorted by the first

  [[nodiscard]] const UniqueFd& directory(const char* name);
  void list();
  const Names& container(std::string_view id);
  Names find_container(const std::string& id);
  const std::string& description(std::string_view unit);
  [[nodiscard]] std::string read(const char* name, const std::string& file);

  std::string root_;
  std::vector<std::pair<std::string_view, UniqueFd>> directories_;
  workload::Pods pods_;
  Cache<Names> logs_;    // by the container's id, from /var/log/containers
  Cache<Names> stored_;  // from the storage of Podman and CRI-O
  Cache<Names> containers_;
  Cache<std::string> units_;
  Clock::time_point listed_at_;
  bool listed_ = false;
};

}  // namespace cgctl::names
