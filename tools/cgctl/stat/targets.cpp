// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "stat/targets.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cli/tree_order.hpp"

namespace cgctl::tool::stat_command {
namespace {

using Paths = std::set<std::string, TreeOrder>;

bool is_gone(const Group& group) {
  const auto processes = group.read("cgroup.procs");
  return !processes &&
         (processes.error().kind == errc::vanished || processes.error().os_errno == ENOENT);
}

ino_t inode_of(const Group& group) {
  struct ::stat found {};
  const bool known =
      !group.places().empty() && ::fstat(group.places().front().directory.get(), &found) == 0;
  return known ? found.st_ino : 0;
}

/// Adds the paths of all cgroups below one, in all hierarchies that have it.
Status add_below(const Group& top, Paths& out) {
  for (const Group::Place& place : top.places()) {
    std::vector<std::string> below;
    const std::string shown = fs::join(place.hierarchy->mount_point, top.path());
    auto status = add_paths_below(place.directory.get(), shown, below);
    for (const std::string& path : below) out.insert(fs::join(top.path(), path));
    if (!status) return status;
  }
  return {};
}

}  // namespace

Target Targets::new_target(std::string path) {
  Target target;
  target.names = resolver_.names_of(path);
  target.path = std::move(path);
  return target;
}

Result<Targets> Targets::open(const Host& host, names::Resolver resolver,
                              const std::vector<std::string>& paths, bool recursive, Say say) {
  Targets all(host, std::move(resolver), recursive, std::move(say));
  for (const std::string& path : paths) {
    auto group = host.open(path);
    if (!group) return fail(group.error());
    Target target = all.new_target(group->path());
    target.named = true;
    target.group = std::move(*group);
    all.targets_.push_back(std::move(target));
  }
  if (auto status = all.find_below(); !status) return fail(status.error());
  for (Target& target : all.targets_) {
    if (target.named) {
      target.last = sample(*target.group);
      target.sampled = true;
      all.say_unread(target, target.last);
    } else {
      (void)all.look(target);
    }
  }
  return all;
}

/// Adds the cgroups that were made below the named ones, and forgets those that are gone.
Status Targets::find_below() {
  if (!recursive_) return {};
  std::vector<Target> next;
  Paths seen;
  auto old = targets_.begin();
  while (old != targets_.end()) {
    Paths below;
    Status status;
    if (old->group) status = add_below(*old->group, below);
    const bool gone =
        !status && (status.error().kind == errc::vanished || status.error().os_errno == ENOENT);
    if (!status && !gone) return status;
    const bool is_first = seen.insert(old->path).second;
    if (is_first) next.push_back(std::move(*old));
    ++old;
    for (const std::string& path : below) {
      while (old != targets_.end() && !old->named && TreeOrder()(old->path, path)) ++old;
      const bool known = old != targets_.end() && !old->named && old->path == path;
      if (seen.insert(path).second) {
        next.push_back(known ? std::move(*old) : new_target(path));
      }
      if (known) ++old;
    }
    while (old != targets_.end() && !old->named) ++old;
  }
  targets_ = std::move(next);
  return {};
}

/// Warns of a file that could not be read.
void Targets::say_unread(Target& target, const Sample& sample) {
  say_once(target, sample.unread ? message_of(*sample.unread) : std::string());
}

/// Warns once as long as the message stays the same.
void Targets::say_once(Target& target, std::string message) {
  if (!message.empty() && message != target.said) say_(message);
  target.said = std::move(message);
}

bool Targets::find_again(Target& target) {
  auto group = host_->open(target.path);
  if (!group) return false;
  target.group = std::move(*group);
  return true;
}

/// Samples a named cgroup; returns nothing if there is no earlier sample to compare with. Opens a
/// new cgroup again in the next round, because its creator adds it to one hierarchy after the
/// other.
std::optional<Sample> Targets::look_named(Target& target) {
  if (target.is_new) target.is_new = !find_again(target);
  if (target.group) {
    Sample now = sample(*target.group);
    if (!is_gone(*target.group)) return now;
    say_(fmt::format("stat {}: the cgroup is gone", target.path));
    target.group.reset();
  }
  if (!find_again(target)) return std::nullopt;
  say_(fmt::format("stat {}: a new cgroup exists there, its figures start anew", target.path));
  target.last = sample(*target.group);
  target.is_new = true;
  return std::nullopt;
}

/// Samples a cgroup below a named one, through descriptors that it does not keep.
std::optional<Sample> Targets::look_below(Target& target) {
  const auto group = host_->open(target.path);
  if (!group) {
    if (group.error().kind != errc::vanished) say_once(target, message_of(group.error()));
    return std::nullopt;
  }
  Sample now = sample(*group);
  if (now.unread && is_gone(*group)) return std::nullopt;
  const ino_t inode = inode_of(*group);
  const bool same = target.sampled && target.inode == inode;
  target.inode = inode;
  target.sampled = true;
  if (same) return now;
  target.last = std::move(now);
  return std::nullopt;
}

std::optional<Sample> Targets::look(Target& target) {
  auto now = target.named ? look_named(target) : look_below(target);
  if (now) say_unread(target, *now);
  return now;
}

std::vector<Pair> Targets::round() {
  const Status status = find_below();
  std::string message = status ? std::string() : message_of(status.error());
  if (!message.empty() && message != said_) say_(message);
  said_ = std::move(message);
  std::vector<Pair> pairs;
  pairs.reserve(targets_.size());
  for (Target& target : targets_) {
    auto now = look(target);
    if (!now) continue;
    pairs.push_back({&target, std::exchange(target.last, *now), std::move(*now)});
  }
  return pairs;
}

}  // namespace cgctl::tool::stat_command
