// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cpuset.hpp"

#include <algorithm>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/host.hpp"
#include "cgctl/parse.hpp"
#include "settings/transaction.hpp"

namespace cgctl::cpuset {
namespace {

using cgctl::detail::malformed;
using cgctl::detail::ValueFiles;

constexpr const char* cpus_file = "cpuset.cpus";
constexpr const char* nodes_file = "cpuset.mems";

Status read_into(ValueFiles& files, std::string_view file, std::optional<Ids>& out) {
  const auto text = files.read(file);
  if (!text) return fail(text.error());
  if (!*text) return {};
  out = parse_ids(**text);
  if (!out) return malformed(files.group(), file, **text);
  return {};
}

/// Returns the list of the parent, which a new cgroup of v1 lacks; empty if the parent has none.
Result<std::string> list_of_parent(const Group& group, const char* file) {
  const auto parent = Group::open(group.host(), fs::parent(group.path()), {"cpuset"});
  if (!parent) return fail(parent.error());
  auto text = parent->read(file);
  if (!text) return fail(text.error());
  text->resize(std::min(text->find('\n'), text->size()));
  return text;
}

/// Adds the setting of one list, if it changes. On v1 an empty list stands for the parent's.
Status add(const Group& group, const char* file, const std::optional<Ids>& wanted, const State& now,
           const std::optional<Ids>& present, std::vector<settings::Setting>& out) {
  const bool v1 = now.version == Version::v1;
  if (wanted && (!wanted->empty() || !v1)) {
    out.push_back({file, wanted->empty() ? "\n" : to_string(*wanted)});
    return {};
  }
  if (!wanted && (!v1 || !present || !present->empty())) return {};
  auto list = list_of_parent(group, file);
  if (!list) return fail(list.error());
  if (!list->empty()) out.push_back({file, std::move(*list)});
  return {};
}

}  // namespace

std::optional<Ids> parse_ids(std::string_view text) {
  constexpr std::uint64_t most = 65535;
  Ids ids;
  bool sane = true;
  const bool valid = parse::ranges(text, [&](std::uint64_t first, std::uint64_t last) {
    sane = sane && last <= most;
    for (std::uint64_t id = first; sane && id <= last; ++id) {
      ids.push_back(static_cast<std::uint32_t>(id));
    }
    sane = sane && ids.size() <= most + 1;
  });
  if (!valid || !sane) return std::nullopt;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::string to_string(const Ids& ids) {
  std::string text;
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t last = i;
    while (last + 1 < ids.size() && ids[last + 1] == ids[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(ids[i]);
    if (last != i) text += "-" + std::to_string(ids[last]);
    i = last + 1;
  }
  return text;
}

Result<State> state(const Group& group) {
  const auto place = group.place("cpuset");
  if (!place) return fail(place.error());
  ValueFiles files(group, ValueFiles::For::reading);
  State state;
  state.version = (*place)->hierarchy->version;
  const bool v1 = state.version == Version::v1;
  const char* const cpus = v1 ? "cpuset.effective_cpus" : "cpuset.cpus.effective";
  const char* const nodes = v1 ? "cpuset.effective_mems" : "cpuset.mems.effective";
  auto status = read_into(files, cpus_file, state.cpus);
  if (status) status = read_into(files, nodes_file, state.nodes);
  if (status) status = read_into(files, cpus, state.effective_cpus);
  if (status) status = read_into(files, nodes, state.effective_nodes);
  if (!status) return fail(status.error());
  const bool is_root = (*place)->hierarchy->whole && group.path() == "/";
  // On v2 the controller may not be enabled for the cgroup.
  if (!state.cpus && !is_root) return fail(group.read(cpus_file).error());
  return state;
}

Result<std::vector<settings::Setting>> plan(const Group& group, const Change& change) {
  const auto place = group.place("cpuset");
  if (!place) return fail(place.error());
  const auto now = state(group);
  if (!now) return fail(now.error());
  if ((*place)->hierarchy->whole && group.path() == "/") {
    return fail(Error::make(errc::invalid_argument, "set", group.path(),
                            "the root has all CPUs and memory nodes", "set cgroups below it"));
  }
  std::vector<settings::Setting> settings;
  auto status = add(group, nodes_file, change.nodes, *now, now->nodes, settings);
  if (status) status = add(group, cpus_file, change.cpus, *now, now->cpus, settings);
  if (!status) return fail(status.error());
  return settings;
}

Result<std::vector<settings::Written>> set(const Group& group, const Change& change) {
  const auto settings = plan(group, change);
  if (!settings) return fail(settings.error());
  return settings::apply(group, *settings);
}

}  // namespace cgctl::cpuset
