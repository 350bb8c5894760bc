// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/workload.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <tuple>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory.hpp"

namespace cgctl::workload {
namespace {

constexpr std::size_t id_size = 64;          // a container's
constexpr std::size_t uuid_size = 36;        // 8-4-4-4-12 digits
constexpr std::size_t static_uid_size = 32;  // a hash of a static pod's manifest

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

template <class Is>
bool all(std::string_view text, Is is) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is);
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool cut_prefix(std::string_view& text, std::string_view prefix) {
  if (!parse::starts_with(text, prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool cut_suffix(std::string_view& text, std::string_view end) {
  if (!ends_with(text, end)) return false;
  text.remove_suffix(end.size());
  return true;
}

/// True for 8-4-4-4-12 digits; `dash` is '_' in the names of slices.
bool is_uuid(std::string_view text, char dash) {
  if (text.size() != uuid_size) return false;
  for (std::size_t i = 0; i < uuid_size; ++i) {
    const bool at_dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (at_dash ? text[i] != dash : !is_hex(text[i])) return false;
  }
  return true;
}

bool is_pod_uid(std::string_view text, char dash) {
  return is_uuid(text, dash) || (text.size() == static_uid_size && all(text, is_hex));
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> found;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end != 0) found.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return found;
}

constexpr std::array<std::string_view, 6> unit_types = {".service", ".scope", ".slice",
                                                        ".mount",   ".swap",  ".socket"};

/// Returns the ".service" of a unit's name; empty if the name is none of a unit.
std::string_view unit_type(std::string_view name) {
  for (const std::string_view type : unit_types) {
    if (name.size() > type.size() && ends_with(name, type)) return type;
  }
  return {};
}

Qos qos_named(std::string_view name) {
  if (name == "burstable") return Qos::burstable;
  if (name == "besteffort") return Qos::best_effort;
  return Qos::unknown;
}

struct PodUid {
  std::string_view uid;
  Qos qos = Qos::unknown;
};

/// Reads "[...-]kubepods[-QOS]-podUID.slice", the systemd driver's name.
PodUid pod_of_slice(std::string_view name) {
  if (!cut_suffix(name, ".slice")) return {};
  const std::size_t at = name.rfind("-pod");
  if (at == std::string_view::npos) return {};
  const std::string_view uid = name.substr(at + 4);
  std::string_view above = name.substr(0, at);
  const std::size_t last = above.rfind('-') + 1;  // 0 if there is no dash
  const Qos qos = qos_named(above.substr(last));
  if (qos != Qos::unknown) above = above.substr(0, last == 0 ? 0 : last - 1);
  if (!is_pod_uid(uid, '_') || !ends_with(above, "kubepods")) return {};
  return {uid, qos == Qos::unknown ? Qos::guaranteed : qos};
}

/// Reads "kubepods[/QOS]/podUID", the cgroupfs driver's names; `at` is the last one's place.
PodUid pod_of_folders(const std::vector<std::string_view>& names, std::size_t at) {
  std::string_view uid = names[at];
  if (at == 0 || !cut_prefix(uid, "pod") || !is_pod_uid(uid, '-')) return {};
  const Qos qos = qos_named(names[at - 1]);
  if (qos != Qos::unknown && at >= 2 && names[at - 2] == "kubepods") return {uid, qos};
  if (names[at - 1] == "kubepods") return {uid, Qos::guaranteed};
  return {};
}

PodUid pod_at(const std::vector<std::string_view>& names, std::size_t at) {
  // containerd with the systemd driver on one side only makes "SLICE:cri-containerd:ID".
  const PodUid found = pod_of_slice(names[at].substr(0, names[at].find(':')));
  return found.uid.empty() ? pod_of_folders(names, at) : found;
}

/// Returns the ID in "ID", "RUNTIME-ID", "RUNTIME-ID.scope" or "SLICE:RUNTIME:ID"; else nothing.
std::string_view container_of(std::string_view name) {
  cut_suffix(name, ".scope");
  if (name.size() < id_size) return {};
  const std::string_view id = name.substr(name.size() - id_size);
  if (!all(id, is_hex)) return {};
  name.remove_suffix(id_size);
  // The cgroup of conmon, which watches a container, does not belong to the container.
  if (ends_with(name, "-conmon-")) return {};
  return name.empty() || name.back() == '-' || name.back() == ':' ? id : std::string_view();
}

/// True for a text that hardly is a word: a hash, or part of one.
bool is_hash(std::string_view text) {
  constexpr std::size_t shortest = 8;
  const bool mixed = text.size() >= shortest && std::any_of(text.begin(), text.end(), is_digit);
  return (mixed || text.size() >= static_uid_size) && all(text, is_hex);
}

/// Which parts of a name a pattern leaves out.
enum class Leave { hashes, numbers, all_digits };

/// Returns the pattern of a part of a name, such as "17" or "worker3".
std::string pattern_of_token(std::string_view token, Leave leave) {
  if (is_hash(token) || (leave != Leave::hashes && all(token, is_digit))) return "*";
  std::string_view word = token;
  if (leave == Leave::all_digits) {
    while (!word.empty() && is_digit(word.back())) word.remove_suffix(1);
  }
  std::string pattern(word);
  if (word.size() < token.size()) pattern += '*';
  return pattern;
}

/// True if `name` begins with the UID of a pod, in a folder's or a slice's form.
bool begins_with_pod_uid(std::string_view name) {
  return is_uuid(name.substr(0, uuid_size), '-') || is_uuid(name.substr(0, uuid_size), '_') ||
         (name.size() == static_uid_size && all(name, is_hex));
}

/// Replaces the UUIDs, hashes and numbers between the separators of a name.
std::string pattern_of_name(std::string_view name, Leave leave) {
  std::string pattern;
  while (!name.empty()) {
    if (std::string_view uid = name; cut_prefix(uid, "pod") && begins_with_pod_uid(uid)) {
      pattern += "pod";
      name = uid;
    }
    if (is_uuid(name.substr(0, uuid_size), '-') || is_uuid(name.substr(0, uuid_size), '_')) {
      pattern += '*';
      name.remove_prefix(uuid_size);
    } else {
      const std::size_t end = std::min(name.find_first_of("-_.:"), name.size());
      pattern += pattern_of_token(name.substr(0, end), leave);
      name.remove_prefix(end);
    }
    if (name.empty()) break;
    pattern += name.front();
    name.remove_prefix(1);
  }
  return pattern;
}

/// Returns the pattern of systemd-run's names: "r" and a hash, "u" and a number, "p" and "i" with
/// numbers; of older ones: a number.
std::string pattern_of_run(std::string_view name) {
  std::string pattern;
  for (bool more = true; more;) {
    const std::size_t end = std::min(name.find('-'), name.size());
    std::string_view token = name.substr(0, end);
    more = end < name.size();
    name.remove_prefix(std::min(end + 1, name.size()));
    pattern += '-';
    const bool lettered =
        token.size() > 1 && std::string_view("rupi").find(token.front()) != std::string_view::npos;
    if (lettered && all(token.substr(1), is_hex)) {
      pattern += token.front();
      token.remove_prefix(1);
    }
    if (!all(token, is_hex)) return {};
    pattern += '*';
  }
  return pattern;
}

/// Returns the pattern of a unit's name: its template, its kind of transient unit, or the name
/// itself.
std::string pattern_of_unit(std::string_view unit) {
  const std::string type(unit_type(unit));
  const std::string_view name = unit.substr(0, unit.size() - type.size());
  if (const std::size_t at = name.find('@'); at != std::string_view::npos && at != 0) {
    const char* const instance = at + 1 == name.size() ? "@" : "@*";
    return std::string(name.substr(0, at)) + instance + type;
  }
  std::string_view rest = name;
  if (cut_prefix(rest, "session-")) return "session-*" + type;
  if (cut_prefix(rest, "run-")) {
    if (const std::string pattern = pattern_of_run(rest); !pattern.empty()) {
      return "run" + pattern + type;
    }
  }
  // A number in a service's name is a version; in a scope's name it is a process.
  return pattern_of_name(name,
                         type == ".scope" || type == ".slice" ? Leave::numbers : Leave::hashes) +
         type;
}

std::string pattern_of_component(std::string_view name) {
  if (!unit_type(name).empty()) return pattern_of_unit(name);
  return pattern_of_name(name, Leave::all_digits);
}

// The forms of generated names: k8s.io/apimachinery/pkg/util/rand and its callers.

bool is_suffix(std::string_view text) {
  constexpr std::size_t size = 5;
  constexpr std::string_view letters = "bcdfghjklmnpqrstvwxz2456789";
  return text.size() == size &&
         all(text, [&](char c) { return letters.find(c) != std::string_view::npos; });
}

/// True for the hash of a ReplicaSet: a number of 32 bits whose digits are other letters.
bool is_template_hash(std::string_view text) {
  constexpr std::size_t shortest = 6;
  constexpr std::size_t longest = 10;
  constexpr std::string_view letters = "456789bcdf";
  return text.size() >= shortest && text.size() <= longest &&
         all(text, [&](char c) { return letters.find(c) != std::string_view::npos; });
}

/// True for the time in the name of a CronJob's Job: minutes, before Kubernetes 1.21 seconds.
bool is_time(std::string_view text) {
  constexpr std::size_t minutes = 8;
  constexpr std::size_t seconds = 10;
  return (text.size() == minutes || text.size() == seconds) && all(text, is_digit) &&
         text.front() >= '1' && text.front() <= '3';
}

bool is_index(std::string_view text) {
  constexpr std::size_t longest = 5;
  return text.size() <= longest && all(text, is_digit) && (text.size() == 1 || text[0] != '0');
}

/// Splits "a-b-c" into "a-b" and "c"; the first is empty if there is no dash.
std::pair<std::string_view, std::string_view> split(std::string_view name) {
  const std::size_t at = name.rfind('-');
  if (at == std::string_view::npos || at == 0) return {{}, name};
  return {name.substr(0, at), name.substr(at + 1)};
}

/// Returns the owner of a pod whose name without the suffix is `rest`.
Owner owner_of_generated(std::string_view rest) {
  auto [base, last] = split(rest);
  if (!base.empty() && is_template_hash(last)) return {Owner::Kind::deployment, base};
  // The pods of an indexed Job have their index before the suffix.
  if (!base.empty() && is_index(last)) {
    rest = base;
    std::tie(base, last) = split(rest);
  }
  if (!base.empty() && is_time(last)) return {Owner::Kind::cron_job, base};
  return {Owner::Kind::generated, rest};
}

constexpr const char* pods_directory = "var/log/pods";

/// Reads the names of the folders in an open directory.
Result<Pods> pods_in(int directory, const std::string& shown) {
  std::vector<Pod> pods;
  const auto buffer = cgctl::detail::make_entries();
  const int status = cgctl::detail::each_subdirectory(
      directory, *buffer, [&](const char* name, const struct ::stat&) {
        if (Pod pod = pod_of_folder(name); !pod.uid.empty()) pods.push_back(std::move(pod));
      });
  if (status < 0) return fail(fs::system_error("list", shown, -status));
  return Pods(std::move(pods));
}

}  // namespace

std::string_view to_string(Qos qos) noexcept {
  switch (qos) {
    case Qos::guaranteed:
      return "guaranteed";
    case Qos::burstable:
      return "burstable";
    case Qos::best_effort:
      return "besteffort";
    case Qos::unknown:
      break;
  }
  return "unknown";
}

Workload workload_of(std::string_view path) {
  Workload found;
  const std::vector<std::string_view> names = components(path);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!unit_type(names[i]).empty()) found.unit = names[i];
    if (const PodUid pod = pod_at(names, i); !pod.uid.empty()) {
      found.pod = pod.uid;
      std::replace(found.pod.begin(), found.pod.end(), '_', '-');
      found.qos = pod.qos;
    }
    if (const std::string_view id = container_of(names[i]); !id.empty()) found.container = id;
  }
  return found;
}

std::string pattern_of(std::string_view path) {
  const std::vector<std::string_view> names = components(path);
  std::size_t first = names.size();
  while (first != 0 && unit_type(names[first - 1]).empty()) --first;
  std::string pattern;
  if (first != 0) pattern = pattern_of_unit(names[first - 1]);
  for (std::size_t i = first; i < names.size(); ++i) {
    pattern += "/" + pattern_of_component(names[i]);
  }
  return pattern.empty() ? "/" : pattern;
}

Owner owner_of(const Pod& pod) {
  const std::string_view name = pod.name;
  const auto [rest, last] = split(name);
  // A static pod's name ends with that of the node, which may look like anything.
  if (rest.empty() || !is_uuid(pod.uid, '-')) return {Owner::Kind::pod, name};
  if (is_suffix(last)) return owner_of_generated(rest);
  if (is_index(last)) return {Owner::Kind::stateful_set, rest};
  return {Owner::Kind::pod, name};
}

std::string text_of(const Owner& owner, const Pod& pod) {
  const std::string name = pod.space + "/" + std::string(owner.name);
  switch (owner.kind) {
    case Owner::Kind::deployment:
      return "Deployment " + name;
    case Owner::Kind::cron_job:
      return "CronJob " + name;
    case Owner::Kind::stateful_set:
      return "StatefulSet " + name;
    case Owner::Kind::generated:
      return "pods " + name + "-*";
    case Owner::Kind::pod:
      break;
  }
  return "pod " + name;
}

Pod pod_of_folder(std::string_view folder) {
  const std::size_t first = folder.find('_');
  const std::size_t last = folder.rfind('_');
  if (first == std::string_view::npos || first == 0 || last <= first + 1) return {};
  const std::string_view uid = folder.substr(last + 1);
  if (!is_pod_uid(uid, '-')) return {};
  return {std::string(uid), std::string(folder.substr(0, first)),
          std::string(folder.substr(first + 1, last - first - 1))};
}

Pods::Pods(std::vector<Pod> pods) : pods_(std::move(pods)) {
  std::sort(pods_.begin(), pods_.end(),
            [](const Pod& one, const Pod& other) { return one.uid < other.uid; });
}

std::string machine_root(const Roots& roots) {
  const std::string top = roots.proc.substr(0, roots.proc.find_last_not_of('/') + 1);
  const std::size_t at = top.rfind('/');
  if (at == std::string::npos) return ".";
  return at == 0 ? "/" : top.substr(0, at);
}

Result<Pods> Pods::read(const Host& host) {
  const std::string path = fs::join(machine_root(host.roots()), pods_directory);
  const auto directory = fs::open_trusted(path, O_RDONLY | O_DIRECTORY);
  if (!directory && directory.error().os_errno == ENOENT) return Pods();
  if (!directory) return fail(directory.error());
  return pods_in(directory->get(), path);
}

Result<Pods> Pods::below(const std::string& root) {
  const auto top = fs::open_mount_point(root, pods_directory);
  if (!top) return top.error().os_errno == ENOENT ? Result<Pods>(Pods()) : fail(top.error());
  const auto directory = fs::open_beneath(top->get(), ".", O_RDONLY | O_DIRECTORY, pods_directory);
  if (!directory) return fail(directory.error());
  return pods_in(directory->get(), fs::join(root, pods_directory));
}

const Pod* Pods::find(std::string_view uid) const noexcept {
  const auto found =
      std::lower_bound(pods_.begin(), pods_.end(), uid,
                       [](const Pod& pod, std::string_view wanted) { return pod.uid < wanted; });
  return found != pods_.end() && found->uid == uid ? &*found : nullptr;
}

std::string maker_of(std::string_view path, const Pods& pods) {
  const Workload work = workload_of(path);
  if (work.pod.empty()) return pattern_of(path);
  const Pod* const pod = pods.find(work.pod);
  if (pod != nullptr) return text_of(owner_of(*pod), *pod);
  return "unnamed pods (" + std::string(to_string(work.qos)) + ")";
}

}  // namespace cgctl::workload
