// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/census.hpp"

#include <algorithm>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "kernel/discovery.hpp"
#include "kernel/offsets_file.hpp"
#include "kernel/proof.hpp"
#include "kernel/walker.hpp"

namespace cgctl::census {
namespace {

constexpr const char* operation = "take a census";

Result<const Hierarchy*> running_hierarchy(const Host& host) {
  if (!host.live()) {
    return fail(Error::make(errc::unsupported, operation, host.roots().proc,
                            "these are files of another kernel", "only the running one is walked"));
  }
  auto hierarchy = host.require("memory");
  if (hierarchy && !(*hierarchy)->whole) {
    return fail(Error::make(errc::incomplete_view, operation, (*hierarchy)->mount_point,
                            "only a part of the memory hierarchy is visible here",
                            "run in the host's cgroup namespace"));
  }
  return hierarchy;
}

constexpr const char* remedy =
    "Census::discover() finds the offsets by experiment; zombies are still counted, but without "
    "names";

Result<kernel::Layout> layout_of_type_information(const Host& host) {
  constexpr const char* file = "kernel/btf/vmlinux";
  auto content = fs::read_in_root(host.roots().sys, file);
  if (!content) {
    Error error = content.error();
    if (error.os_errno == ENOENT) {
      error.kind = errc::unsupported;
      error.reason = "the kernel has no type information (CONFIG_DEBUG_INFO_BTF)";
    }
    return fail(std::move(error));
  }
  const auto btf = kernel::Btf::parse(std::move(*content));
  if (!btf) return fail(btf.error());
  return kernel::layout_of(*btf);
}

/// Returns the NUMA nodes of a list in sysfs; node 0 if there is no such list. Leaves out nodes
/// beyond `most`.
std::vector<unsigned> listed_nodes(const Host& host, const char* list, std::size_t most) {
  const auto text = fs::read_in_root(host.roots().sys, std::string("devices/system/node/") + list);
  if (!text) return {0};
  std::vector<unsigned> nodes;
  parse::ranges(*text, [&](std::uint64_t node, std::uint64_t end) {
    for (; node <= end && nodes.size() < most; ++node) nodes.push_back(static_cast<unsigned>(node));
  });
  return nodes;
}

/// Returns the NUMA nodes, each of which has LRU lists of its own: all that can appear, or only
/// those with memory if a record has no room for all. Empty if it has no room for these either.
std::vector<unsigned> find_nodes(const Host& host) {
  for (const char* const list : {"possible", "has_memory"}) {
    auto nodes = listed_nodes(host, list, cgctl_nodes + 1);
    if (nodes.size() <= cgctl_nodes) return nodes;
  }
  return {};
}

/// Returns how many NUMA nodes the kernel may have pointers for, in the order of their numbers; 0
/// if these are too many to look for.
unsigned span_of_nodes(const Host& host) {
  constexpr unsigned most = 32;
  const auto nodes = listed_nodes(host, "possible", most);
  return nodes.empty() || nodes.back() >= most ? 0 : nodes.back() + 1;
}

}  // namespace

void Snapshot::clear() noexcept {
  cgroups.clear();
  names_.clear();
  counters_.clear();
  by_node_.clear();
}

std::string Snapshot::path(std::size_t cgroup) const {
  if (cgroup == 0) return "/";
  std::vector<std::size_t> line;
  for (; cgroup != 0; cgroup = cgroups[cgroup].parent) line.push_back(cgroup);
  std::string path;
  for (auto one = line.rbegin(); one != line.rend(); ++one) {
    path.append(1, '/').append(cgroups[*one].name);
  }
  return path;
}

Memory Snapshot::holding(std::size_t cgroup) const {
  Memory memory = cgroups[cgroup].own;
  if (!slab_holds) memory.slab = 0;
  if (pages_move) {
    const Memory all = memory;
    memory = {};
    memory.slab = all.slab;
    memory.swap = all.swap;
    memory.sockets = all.sockets;
  }
  return memory;
}

class Census::Walker : public kernel::Walker {
 public:
  using kernel::Walker::Walker;
};

/// Offsets, and where they are from.
struct Census::Known {
  kernel::Layout layout;
  Source source;

  static Result<Known> find(const Host& host, const Options& options) {
    Error error = Error::make(errc::unsupported, operation, {},
                              "the kernel's type information is not to be used");
    if (!options.ignore_type_information) {
      auto layout = layout_of_type_information(host);
      if (layout) return Known{*layout, Source::type_information};
      error = std::move(layout.error());
      if (error.kind != errc::unsupported) return fail(std::move(error));
    }
    if (!options.offsets_file.empty()) {
      auto layout = kernel::load_offsets(options.offsets_file, kernel::build_of(host));
      if (layout) return Known{*layout, Source::file};
      const bool absent = layout.error().os_errno == ENOENT;
      error.reason += "; " + options.offsets_file + ": " +
                      (absent ? "there is no such file" : layout.error().reason);
    }
    error.hint = remedy;
    return fail(std::move(error));
  }
};

std::string_view to_string(Source source) noexcept {
  switch (source) {
    case Source::type_information:
      return "type information";
    case Source::file:
      return "file";
    case Source::experiment:
      break;
  }
  return "experiment";
}

Census::Census(std::unique_ptr<Walker> walker, Source source) noexcept
    : walker_(std::move(walker)), source_(source) {}
Census::Census(Census&&) noexcept = default;
Census& Census::operator=(Census&&) noexcept = default;
Census::~Census() = default;

Status Census::take(Snapshot& snapshot, const Wanted& wanted) {
  return walker_->take(snapshot, wanted);
}

Result<Count> Census::count() { return walker_->count(); }

Result<Census> Census::prove(const Host& host, const Hierarchy& hierarchy, Known known,
                             unsigned rounds) {
  // The walker uses the counters if there are no nodes to read LRU lists of.
  const auto nodes =
      known.layout.fields.lists_bytes == 0 ? std::vector<unsigned>() : find_nodes(host);
  known.layout.set_nodes(nodes);
  auto program = kernel::Program::load(known.layout.fields);
  if (!program) return fail(program.error());
  const bool births = hierarchy.version == Version::v1;
  // v1 counts no sockets here, so that nothing would prove the place of their counter.
  if (births) known.layout.slots[static_cast<std::size_t>(Counter::sockets)] = {};
  Census census(std::make_unique<Walker>(std::move(*program), known.layout, births), known.source);
  const auto proof = kernel::prove(
      host, hierarchy, known.layout.slots,
      [&](Snapshot& snapshot, const Wanted& wanted) { return census.take(snapshot, wanted); },
      rounds);
  if (!proof) return fail(proof.error());
  return census;
}

Result<Census> Census::open(const Host& host, const Options& options) {
  const auto hierarchy = running_hierarchy(host);
  if (!hierarchy) return fail(hierarchy.error());
  auto known = Known::find(host, options);
  if (!known) return fail(known.error());
  return prove(host, **hierarchy, *known, options.rounds);
}

Result<Census> Census::discover(const Host& host, const Options& options) {
  const auto hierarchy = running_hierarchy(host);
  if (!hierarchy) return fail(hierarchy.error());
  auto layout = kernel::discover_layout(host, **hierarchy, span_of_nodes(host));
  if (!layout) return fail(layout.error());
  auto census = prove(host, **hierarchy, Known{*layout, Source::experiment}, options.rounds);
  if (!census || options.offsets_file.empty()) return census;
  if (auto saved = kernel::save_offsets(options.offsets_file, *layout, kernel::build_of(host));
      !saved) {
    return fail(saved.error());
  }
  return census;
}

}  // namespace cgctl::census
