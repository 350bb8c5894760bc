// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/names.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "detail/directory.hpp"
#include "names/layouts.hpp"

namespace cgctl::names {
namespace {

constexpr std::size_t short_id = 12;
constexpr std::size_t most_entries = 8192;  // of a directory or a cache
constexpr off_t largest = off_t{4} << 20;   // bytes of a file
constexpr auto stale = std::chrono::seconds(5);

constexpr const char* log_links = "var/log/containers";
/// The directories with one of the bundles of each container.
constexpr const char* containerd[] = {"run/containerd/io.containerd.runtime.v2.task/k8s.io",
                                      "run/containerd/io.containerd.runtime.v1.linux/k8s.io",
                                      "run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io"};
constexpr const char* storage[] = {"run/containers/storage/overlay-containers",
                                   "var/lib/containers/storage/overlay-containers"};
constexpr const char* docker = "var/lib/docker/containers";
constexpr const char* units[] = {"etc/systemd/system",     "run/systemd/system",
                                 "run/systemd/transient",  "run/systemd/generator",
                                 "usr/lib/systemd/system", "lib/systemd/system"};

/// Reads a regular file of limited size to its end; empty if it cannot be read.
std::string read_regular(int fd) {
  struct ::stat found {};
  if (sys::stat(fd, found) < 0 || !S_ISREG(found.st_mode) || found.st_size > largest) return {};
  std::string text(static_cast<std::size_t>(found.st_size), '\0');
  std::size_t used = 0;
  while (used < text.size()) {
    const ssize_t got =
        sys::pread(fd, text.data() + used, text.size() - used, static_cast<off_t>(used));
    if (got == -EINTR) continue;
    if (got <= 0) return {};
    used += static_cast<std::size_t>(got);
  }
  return text;
}

template <class Value>
auto place_of(std::vector<std::pair<std::string, Value>>& cache, std::string_view key) {
  return std::lower_bound(
      cache.begin(), cache.end(), key,
      [](const auto& one, std::string_view wanted) { return one.first < wanted; });
}

template <class Value>
const Value* find_in(const std::vector<std::pair<std::string, Value>>& cache,
                     std::string_view key) {
  const auto found =
      std::lower_bound(cache.begin(), cache.end(), key,
                       [](const auto& one, std::string_view wanted) { return one.first < wanted; });
  return found != cache.end() && found->first == key ? &found->second : nullptr;
}

template <class Value>
void sort(std::vector<std::pair<std::string, Value>>& cache) {
  std::sort(cache.begin(), cache.end(),
            [](const auto& one, const auto& other) { return one.first < other.first; });
}

/// Keeps the first name of each kind that is known.
void complete(Names& names, const Names& others) {
  for (std::string Names::*const name :
       {&Names::space, &Names::pod, &Names::container, &Names::image}) {
    if ((names.*name).empty()) names.*name = others.*name;
  }
}

}  // namespace

std::string text_of(const Names& names) {
  if (!names.pod.empty()) {
    std::string text = names.space + "/" + names.pod;
    const std::string& inner = names.container.empty() ? names.id : names.container;
    if (!inner.empty()) text.append(" (").append(inner).append(")");
    return text;
  }
  if (!names.container.empty()) return names.container;
  return names.id.empty() ? names.description : names.id;
}

Resolver::Resolver(std::string root) : root_(std::move(root)) {}

/// Returns one of the directories with files of single containers and units, opened at its first
/// use; empty if it does not exist, as most do not on most machines.
const UniqueFd& Resolver::directory(const char* name) {
  const auto known = std::find_if(directories_.begin(), directories_.end(),
                                  [name](const auto& one) { return one.first == name; });
  if (known != directories_.end()) return known->second;
  auto opened = fs::open_mount_point(root_, name);
  return directories_.emplace_back(name, opened ? std::move(*opened) : UniqueFd()).second;
}

std::string Resolver::read(const char* name, const std::string& file) {
  const UniqueFd& top = directory(name);
  if (!top) return {};
  const auto fd = fs::open_beneath(top.get(), file, O_RDONLY | fs::no_device, file);
  return fd ? read_regular(fd->get()) : std::string();
}

/// Reads the files that name several pods or containers, and forgets the names found before.
void Resolver::list() {
  listed_ = true;
  listed_at_ = Clock::now();
  pods_ = workload::Pods::below(root_).value_or(workload::Pods());
  logs_.clear();
  containers_.clear();
  units_.clear();
  directories_.clear();
  if (const auto top = fs::open_mount_point(root_, log_links)) {
    const auto listed = fs::open_beneath(top->get(), ".", O_RDONLY | O_DIRECTORY, log_links);
    const auto buffer = cgctl::detail::make_entries();
    const auto add = [this](const char* name, unsigned char) {
      std::string id;
      Names found = of_log_link(name, id);
      if (!id.empty()) logs_.emplace_back(std::move(id), std::move(found));
      return logs_.size() < most_entries ? 0 : -E2BIG;
    };
    if (listed) (void)cgctl::detail::each_entry(listed->get(), *buffer, add);
  }
  sort(logs_);
  stored_.clear();
  for (const char* const directory : storage) {
    for (const char* const file : {"containers.json", "volatile-containers.json"}) {
      for (auto& one : of_storage(read(directory, file))) stored_.push_back(std::move(one));
    }
  }
  sort(stored_);
}

Names Resolver::find_container(const std::string& id) {
  Names names;
  if (const Names* const found = find_in(logs_, id)) names = *found;
  for (const char* const directory : containerd) {
    complete(names, of_bundle(read(directory, id + "/config.json")));
  }
  for (const char* const directory : storage) {
    complete(names, of_bundle(read(directory, id + "/userdata/config.json")));
  }
  complete(names, of_docker(read(docker, id + "/config.v2.json")));
  // CRI-O puts pod and container into one name there; its bundles have them apart.
  const Names* const stored = find_in(stored_, id);
  if (stored != nullptr && names.pod.empty()) complete(names, *stored);
  return names;
}

const Names& Resolver::container(std::string_view id) {
  auto place = place_of(containers_, id);
  if (place != containers_.end() && place->first == id) return place->second;
  if (containers_.size() == most_entries) {
    containers_.clear();
    place = containers_.begin();
  }
  std::string key(id);
  Names found = find_container(key);
  return containers_.emplace(place, std::move(key), std::move(found))->second;
}

const std::string& Resolver::description(std::string_view unit) {
  auto place = place_of(units_, unit);
  if (place != units_.end() && place->first == unit) return place->second;
  if (units_.size() == most_entries) {
    units_.clear();
    place = units_.begin();
  }
  std::string found;
  for (const std::string& file : {std::string(unit), template_of(unit)}) {
    for (const char* const directory : units) {
      if (!found.empty() || file.empty()) break;
      found = description_in(read(directory, file), unit);
    }
  }
  return units_.emplace(place, std::string(unit), std::move(found))->second;
}

Names Resolver::names_of(std::string_view path) {
  if (!listed_ || Clock::now() - listed_at_ > stale) list();
  const workload::Workload work = workload::workload_of(path);
  Names names;
  if (!work.container.empty()) {
    names = container(work.container);
    names.id = work.container.substr(0, short_id);
  }
  if (const workload::Pod* const pod = work.pod.empty() ? nullptr : pods_.find(work.pod)) {
    names.pod = name_or_nothing(pod->name);
    names.space = name_or_nothing(pod->space);
  }
  if (work.pod.empty() && work.container.empty() && !work.unit.empty()) {
    names.unit = work.unit;
    names.description = description(work.unit);
  }
  return names;
}

}  // namespace cgctl::names
