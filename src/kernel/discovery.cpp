// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/discovery.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/isolated.hpp"
#include "detail/shared_memory.hpp"
#include "kernel/experiments.hpp"
#include "kernel/hints.hpp"

namespace cgctl::kernel {
namespace {

constexpr const char* discovering = "find the kernel's offsets";
constexpr std::string_view laboratory_prefix = "cgctl-discovery-";

/// Fills in what /proc/zoneinfo says of the machine's memory: of each zone the first page and the
/// number of pages, holes included.
void read_zones(std::string_view text, std::uint64_t page_size, Laboratory& lab) {
  std::size_t zone = 0;
  std::uint64_t spanned = 0;
  std::string_view first_node;
  while (!text.empty()) {
    std::string_view row = parse::line(text);
    const std::string_view key = parse::field(row);
    if (key == "Node") {  // Node 0, zone    DMA32
      const std::string_view node = parse::field(row);
      if (first_node.empty()) first_node = node;
      // Each node has the same zones, the empty ones included.
      zone = node == first_node ? lab.zones++ : (zone + 1) % lab.zones;
      continue;
    }
    const std::string_view value = parse::field(row);
    if (key == "spanned") spanned = parse::whole_number(value).value_or(0);
    if (key == "present" && value != "0") lab.highest = std::max(lab.highest, zone);
    if (key == "start_pfn:") {
      const std::uint64_t start = parse::whole_number(value).value_or(0);
      lab.memory = std::max(lab.memory, (start + spanned) * page_size);
    }
  }
}

/// The cgroups of the experiments, for the lifetime of the object.
class Scene {
 public:
  static Result<std::unique_ptr<Scene>> make(const Host& host) {
    auto scene = std::unique_ptr<Scene>(new Scene);
    const std::string base = "/" + std::string(laboratory_prefix) + std::to_string(::getpid());
    for (const char* const name : Laboratory::names) {
      auto group = Group::create(host, base + "/" + name, {{"memory"}, {}}, scene->made_);
      if (!group) return fail(group.error());
      scene->groups_.push_back(std::move(*group));
    }
    auto group = Group::open(host, base, {"memory"});
    if (!group) return fail(group.error());
    scene->base_ = std::make_unique<Group>(std::move(*group));
    return scene;
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() {
    Removal all;
    all.below = Removal::Below::remove;
    if (base_) (void)base_->remove(all);
    (void)unmake(made_);
  }

  void open_in(Laboratory& lab) const {
    lab.base = base_->places().front().directory.get();
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      lab.directories[i] = groups_[i].places().front().directory.get();
    }
  }

 private:
  Scene() = default;

  std::vector<Made> made_;
  std::vector<Group> groups_;
  std::unique_ptr<Group> base_;
};

/// Removes the cgroups of calls whose process was killed.
void remove_leftovers(const Host& host, const Hierarchy& hierarchy) {
  auto root = Group::open(host, "/", {"memory"});
  if (!root) return;
  const auto names =
      child_directories(root->places().front().directory.get(), hierarchy.mount_point);
  if (!names) return;
  for (const std::string& name : *names) {
    if (!parse::starts_with(name, laboratory_prefix)) continue;
    const auto process = parse::whole_number(name.substr(laboratory_prefix.size()));
    if (!process || ::kill(static_cast<pid_t>(*process), 0) == 0 || errno != ESRCH) continue;
    Removal all;
    all.below = Removal::Below::remove;
    if (auto group = Group::open(host, name, {"memory"})) (void)group->remove(all);
  }
}

/// The answer of the child process. The text is a constant, which both processes have.
struct Answer {
  const char* missing = nullptr;
  Layout layout;
};

Result<Layout> experiment(Peek& peek, const Laboratory& lab) {
  constexpr std::chrono::seconds longest(60);
  const detail::SharedMemory<Answer> shared;
  Answer* const answer = shared.get();
  if (answer == nullptr) return fail(Error::system(discovering, {}, errno));
  detail::Isolation how;
  how.deadline = longest;
  how.operation = discovering;
  const auto took = detail::run_isolated(
      [&] {
        answer->missing = find_by_experiment(peek, lab, answer->layout);
        return 0;
      },
      how);
  if (!took) return fail(took.error());
  if (answer->missing == nullptr) return answer->layout;
  return fail(Error::make(errc::unsupported, discovering, {},
                          std::string("the experiments do not show ") + answer->missing,
                          without_names));
}

}  // namespace

Result<Layout> discover_layout(const Host& host, const Hierarchy& hierarchy, unsigned nodes) {
#ifndef __x86_64__
  return fail(Error::make(errc::unsupported, discovering, {},
                          "only the address space of x86-64 is known here"));
#endif
  auto peek = Peek::load();
  if (!peek) return fail(peek.error());
  const auto zones = fs::read_in_root(host.roots().proc, "zoneinfo");
  if (!zones) return fail(zones.error());
  Laboratory lab;
  lab.version = hierarchy.version;
  lab.root = hierarchy.directory.get();
  lab.nodes = nodes;
  read_zones(*zones, host.page_size(), lab);
  remove_leftovers(host, hierarchy);
  const auto scene = Scene::make(host);
  if (!scene) return fail(scene.error());
  (*scene)->open_in(lab);
  return experiment(*peek, lab);
}

}  // namespace cgctl::kernel
