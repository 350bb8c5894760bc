// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

/// Names the workload that a cgroup belongs to: a systemd unit, a pod, a container. All but
/// Pods::read() only look at the path, so that they work for cgroups that are gone.
namespace cgctl::workload {

/// The quality-of-service class of a pod.
enum class Qos { unknown, guaranteed, burstable, best_effort };

/// "guaranteed", "burstable", "besteffort" or "unknown".
std::string_view to_string(Qos qos) noexcept;

/// The parts that a cgroup's path names; empty where it names none. The views are parts of the
/// path.
struct Workload {
  std::string_view unit;       ///< innermost systemd unit, as in the path: "cron.service"
  std::string pod;             ///< UID with dashes; a static pod's is 32 digits without
  Qos qos = Qos::unknown;      ///< of the pod
  std::string_view container;  ///< 64 hexadecimal digits
};

/// Reads the layouts of systemd, of Kubernetes with the cgroupfs and the systemd driver, and of
/// containerd, CRI-O, Docker and Podman.
[[nodiscard]] Workload workload_of(std::string_view path);

/// Replaces the parts of a path that differ each time, such as "/system.slice/run-r5f0a.scope",
/// and returns a pattern of the cgroups with the same origin: the innermost unit with the cgroups
/// below it ("run-r*.scope", "session-*.scope", "getty@*.service"), else the path ("/batch/job-*").
[[nodiscard]] std::string pattern_of(std::string_view path);

/// A pod of this machine.
struct Pod {
  std::string uid;
  std::string space;  ///< namespace
  std::string name;
};

/// The owner of a pod, as far as the pod's name tells.
struct Owner {
  enum class Kind {
    pod,           ///< none: a static pod, or a name without a known form
    deployment,    ///< NAME-HASH-SUFFIX
    cron_job,      ///< NAME-TIME-SUFFIX
    stateful_set,  ///< NAME-NUMBER
    generated      ///< NAME-SUFFIX: a DaemonSet, a Job or a ReplicaSet
  };
  Kind kind = Kind::pod;
  std::string_view name;  ///< the first part of the pod's name; the whole name for Kind::pod
};

[[nodiscard]] Owner owner_of(const Pod& pod);

/// Returns the owner as text: "CronJob batch/backup", "pods kube-system/proxy-*".
[[nodiscard]] std::string text_of(const Owner& owner, const Pod& pod);

/// Returns the root directory of the machine that Roots::proc belongs to: "/" for /proc, "/host"
/// for /host/proc.
[[nodiscard]] std::string machine_root(const Roots& roots);

/// The names of a machine's pods by UID, from the folders of their logs.
class Pods {
 public:
  Pods() = default;
  explicit Pods(std::vector<Pod> pods);

  /// Reads the names of the folders in var/log/pods beside Roots::proc (/var/log/pods for /proc).
  /// A pod's folder disappears soon after the pod. Empty if there is no such directory.
  [[nodiscard]] static Result<Pods> read(const Host& host);

  /// Reads them below the root directory of a machine, and follows no symbolic link.
  [[nodiscard]] static Result<Pods> below(const std::string& root);

  /// Returns the pod, or null. Valid as long as this object.
  [[nodiscard]] const Pod* find(std::string_view uid) const noexcept;

 private:
  std::vector<Pod> pods_;  // sorted by UID
};

/// Parses the name of a folder, "NAMESPACE_NAME_UID". Returns a pod without a UID if it has another
/// form.
[[nodiscard]] Pod pod_of_folder(std::string_view folder);

/// Names the origin of a cgroup: the owner of its pod if the pod's name is known ("CronJob
/// batch/backup"), "unnamed pods (burstable)" for other pods, else pattern_of().
[[nodiscard]] std::string maker_of(std::string_view path, const Pods& pods);

}  // namespace cgctl::workload
