// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/numa_stat.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"
#include "cli/command.hpp"
#include "cli/label.hpp"

namespace cgctl::tool::info_command {
namespace {

/// One controller, or one hierarchy without controllers.
struct Row {
  std::string controller;
  const Hierarchy* hierarchy = nullptr;  ///< null: not mounted
  const Error* unreachable = nullptr;    ///< the error that hides the hierarchy
  bool enabled = true;
  std::string own_cgroup;  ///< cgroup of this process
};

struct Feature {
  const char* name;
  std::optional<bool> available;  ///< empty: unknown
  std::string detail;
};

struct Info {
  Host host;
  std::string kernel;
  std::vector<std::uint32_t> nodes;
  std::vector<Row> rows;
  std::vector<Feature> features;
};

/// Reads a file below a root directory; returns an empty text if it does not exist.
Result<std::string> read_if_there(const std::string& root, std::string_view path) {
  auto text = fs::read_in_root(root, path);
  if (!text && text.error().os_errno == ENOENT) return std::string();
  return text;
}

void add_unreachable(const Unreachable& one, std::vector<Row>& rows) {
  for (const std::string& controller : one.hierarchy.controllers) {
    rows.push_back({controller, &one.hierarchy, &one.error, true, {}});
  }
  if (one.hierarchy.controllers.empty()) {
    rows.push_back({label(one.hierarchy), &one.hierarchy, &one.error, true, {}});
  }
}

bool is_known(const std::vector<Row>& rows, const std::string& controller) {
  return std::any_of(rows.begin(), rows.end(),
                     [&](const Row& row) { return row.controller == controller; });
}

/// Returns the rows of the table of controllers; `text` is that of /proc/self/cgroup.
std::vector<Row> rows_of(const Host& host, const std::string& text) {
  const auto membership = parse_membership(text);
  std::vector<Row> rows;
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    const MembershipRow* const own_row = find_row(membership, hierarchy);
    const std::string own = own_row == nullptr ? "" : own_row->path;
    for (const std::string& controller : hierarchy.controllers) {
      rows.push_back({controller, &hierarchy, nullptr, true, own});
    }
    if (hierarchy.controllers.empty()) {
      rows.push_back({label(hierarchy), &hierarchy, nullptr, true, own});
    }
  }
  for (const Unreachable& one : host.unreachable()) add_unreachable(one, rows);
  for (const SubsystemRow& subsystem : host.subsystems()) {
    if (is_known(rows, subsystem.name)) continue;
    // The controller is on v2 or not mounted.
    const auto& all = host.unreachable();
    const auto where = std::find_if(all.begin(), all.end(), [&](const Unreachable& one) {
      return subsystem.hierarchy == 0 && one.may_have(subsystem.name);
    });
    const Error* const error = where == all.end() ? nullptr : &where->error;
    rows.push_back({subsystem.name, nullptr, error, subsystem.enabled, {}});
  }
  return rows;
}

/// Returns the third word of /proc/version, proc_version(5).
std::string kernel_release(std::string_view rest) {
  parse::field(rest);
  parse::field(rest);
  return std::string(parse::field(rest));
}

std::vector<std::uint32_t> online_nodes(std::string_view text) {
  std::vector<std::uint32_t> nodes;
  parse::ranges(text, [&](std::uint64_t first, std::uint64_t last) {
    constexpr std::uint64_t most = 1U << 16U;
    for (; first <= last && nodes.size() < most; ++first) {
      nodes.push_back(static_cast<std::uint32_t>(first));
    }
  });
  return nodes;
}

/// True if an error says that the kernel lacks the feature.
bool says_no(const Error& error) {
  return error.kind != errc::system || error.os_errno == ENOENT || error.os_errno == EOPNOTSUPP;
}

Feature from_error(const char* name, const Error& error) {
  std::string why = error.reason.empty() ? message_of(error) : error.reason;
  if (!error.hint.empty() && !error.reason.empty()) why += "; " + error.hint;
  return {name, says_no(error) ? std::optional(false) : std::nullopt, std::move(why)};
}

/// Looks for a memory file in the root and then in the cgroups directly below it, because some
/// kernels do not give the file to the root.
Feature memory_file(const Host& host, const char* name, const char* file, const char* what) {
  const auto root = Group::open(host, "/", {"memory"});
  if (!root) return from_error(name, root.error());
  const auto opened = root->open_file(file, O_PATH);
  if (opened) return {name, true, what};
  const auto children = root->children();
  if (!children) return from_error(name, children.error());
  for (const std::string& child : *children) {
    const auto group = Group::open(host, "/" + child, {"memory"});
    if (group && group->open_file(file, O_PATH)) return {name, true, what};
  }
  return from_error(name, opened.error());
}

Feature memory_reclaim(const Host& host) {
  constexpr const char* name = "memory.reclaim";
  const Hierarchy* const memory = host.find("memory");
  if (memory != nullptr && memory->version == Version::v1) {
    return {name, false, "cgroup v2 only, and the memory controller is on v1"};
  }
  return memory_file(host, name, name,
                     "frees the memory of one cgroup, also of removed ones below it");
}

Feature pressure_figures(const Host& host) {
  for (const auto resource : {pressure::Resource::io, pressure::Resource::memory}) {
    const auto figures = pressure::read(host, resource);
    if (!figures) return from_error("pressure", figures.error());
  }
  return {"pressure", true, "the guards of mitigate see I/O and memory stalls"};
}

Feature drop_caches(const Host& host) {
  constexpr const char* name = "drop_caches";
  if (!host.live()) return {name, false, "the procfs given is not the running kernel's"};
  const auto opened = fs::open_in_root(host.roots().proc, "sys/vm/drop_caches", O_WRONLY);
  if (!opened) {
    Error error = opened.error();
    error.hint.clear();
    Feature closed = from_error(name, error);
    closed.available = false;
    return closed;
  }
  return {name, true, "can be written"};
}

Result<Info> find_out(const Host& host) {
  const auto version = read_if_there(host.roots().proc, "version");
  if (!version) return fail(version.error());
  const auto nodes = read_if_there(host.roots().sys, "devices/system/node/online");
  if (!nodes) return fail(nodes.error());
  const auto membership = read_if_there(host.roots().proc, "self/cgroup");
  if (!membership) return fail(membership.error());
  Info info{host, kernel_release(*version), online_nodes(*nodes), rows_of(host, *membership), {}};
  info.features.push_back(memory_file(host, "memory.numa_stat", "memory.numa_stat",
                                      "memory per NUMA node of a cgroup"));
  info.features.push_back(memory_reclaim(host));
  info.features.push_back(pressure_figures(host));
  info.features.push_back(drop_caches(host));
  return info;
}

std::string view(const Hierarchy& hierarchy) {
  if (hierarchy.whole) return "whole";
  return hierarchy.mount_root == "/" ? "part" : "part: " + hierarchy.mount_root;
}

const char* here(const Feature& feature) {
  if (!feature.available) return "unknown";
  return *feature.available ? "yes" : "no";
}

std::string text_of(const Info& info) {
  const std::string pages = human_bytes(info.host.page_size());
  const bool one_node = info.nodes.size() == 1;
  const std::string nodes = info.nodes.empty()
                                ? "not shown by this kernel"
                                : fmt::format("{} (node{} {})", info.nodes.size(),
                                              one_node ? "" : "s", fmt::join(info.nodes, " "));
  std::string text = fmt::format(
      "{:<12}{}\n{:<12}{}\n{:<12}{}\n{:<12}{}\n\n", "mode", to_string(info.host.mode()), "kernel",
      info.kernel.empty() ? "unknown" : info.kernel, "page size", pages, "NUMA nodes", nodes);
  Table controllers({{"CONTROLLER"}, {"VERSION"}, {"MOUNT POINT"}, {"VIEW"}, {"OWN CGROUP"}});
  for (const Row& row : info.rows) {
    if (row.unreachable != nullptr && row.hierarchy != nullptr) {
      controllers.add({row.controller, std::string(to_string(row.hierarchy->version)),
                       printable(row.hierarchy->mount_point), "unknown", "unknown"});
    } else if (row.unreachable != nullptr) {
      controllers.add({row.controller, "-", "unknown", "-", "-"});
    } else if (row.hierarchy == nullptr) {
      controllers.add({row.controller, "-", row.enabled ? "not mounted" : "disabled", "-", "-"});
    } else {
      controllers.add({row.controller, std::string(to_string(row.hierarchy->version)),
                       printable(row.hierarchy->mount_point), printable(view(*row.hierarchy)),
                       printable(row.own_cgroup)});
    }
  }
  Table features({{"FEATURE"}, {"HERE"}, {"WHAT IT MEANS"}});
  for (const Feature& feature : info.features) {
    features.add({feature.name, here(feature), feature.detail});
  }
  const std::string skipped =
      info.host.malformed_subsystems() == 0
          ? ""
          : fmt::format("skipped lines of unknown form in /proc/cgroups: {}\n",
                        info.host.malformed_subsystems());
  return text + controllers.text() + skipped + "\n" + features.text();
}

nlohmann::ordered_json json_of(const Info& info) {
  auto controllers = nlohmann::ordered_json::array();
  for (const Row& row : info.rows) {
    nlohmann::ordered_json one{{"controller", row.controller},
                               {"enabled", row.enabled},
                               {"mounted", row.hierarchy != nullptr}};
    if (row.unreachable != nullptr) {
      one["mounted"] = nullptr;
      one["error"] = message_of(*row.unreachable);
    } else if (row.hierarchy != nullptr) {
      one["version"] = to_string(row.hierarchy->version);
      one["mount_point"] = row.hierarchy->mount_point;
      one["mount_root"] = row.hierarchy->mount_root;
      one["whole"] = row.hierarchy->whole;
      one["own_cgroup"] = row.own_cgroup;
    }
    controllers.push_back(std::move(one));
  }
  nlohmann::ordered_json features;
  for (const Feature& feature : info.features) {
    nlohmann::ordered_json available = nullptr;
    if (feature.available) available = *feature.available;
    features[feature.name] = {{"available", std::move(available)}, {"detail", feature.detail}};
  }
  return {{"mode", to_string(info.host.mode())},
          {"kernel", info.kernel},
          {"page_size_bytes", info.host.page_size()},
          {"nodes", info.nodes},
          {"controllers", std::move(controllers)},
          {"features", std::move(features)},
          {"skipped_lines", info.host.malformed_subsystems()}};
}

Exit run_info(const Globals& globals) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto info = find_out(*host);
  if (!info) return report(info.error());
  if (globals.format == Format::json) {
    print(globals, "info/1", json_of(*info));
  } else {
    print(globals, text_of(*info));
  }
  Exit exit = Exit::done;
  for (const Unreachable& one : host->unreachable()) exit = report(one.error);
  return exit;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  CLI::App* const command = app.add_subcommand(
      "info",
      "show how this host uses cgroups\n\n"
      "Shows the mode of the host (v1, v2 or hybrid); for each controller its version, its mount "
      "point and whether the whole hierarchy is visible there; the cgroups of this process; and "
      "which of the kernel features that other commands use exist here. cgctl tests for each "
      "feature and does not go by the kernel's version.");
  command->footer(
      "Examples:\n"
      "  cgctl info\n"
      "  cgctl --cgroup-root /host/sys/fs/cgroup --proc-root /host/proc info   in a container");
  command->callback([&globals, &run] { run = [&globals] { return run_info(globals); }; });
}

}  // namespace cgctl::tool::info_command
