// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/host.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"

namespace cgctl {
namespace {

constexpr std::string_view standard_root = "/sys/fs/cgroup";

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end != 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool is_octal(char c) { return c >= '0' && c <= '7'; }

/// mountinfo writes space, tab, newline and backslash as \040, \011, \012 and \134.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                        (text[i + 3] - '0')));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

/// The rest of `path` below `root`, or nothing when it is elsewhere.
std::optional<std::string_view> below(std::string_view path, std::string_view root) {
  while (root.size() > 1 && root.back() == '/') root.remove_suffix(1);
  if (root == "/") return path;
  if (!parse::starts_with(path, root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

bool within(const std::string& mount_point, const Roots& roots) {
  return roots.cgroup == standard_root || below(mount_point, roots.cgroup);
}

/// Keeps the mounts that the roots given do not exclude, each where this process reaches it. What
/// mountinfo names below the standard root is looked for below another one only when that one has
/// no mounts of its own: else those of a container would be taken for its host's.
std::vector<MountRow> reachable(std::vector<MountRow> mounts, const Roots& roots) {
  const bool own = std::any_of(mounts.begin(), mounts.end(), [&](const MountRow& mount) {
    return within(mount.mount_point, roots);
  });
  std::vector<MountRow> kept;
  for (MountRow& mount : mounts) {
    const auto rest = below(mount.mount_point, standard_root);
    if (!own && rest) mount.mount_point = fs::join(roots.cgroup, *rest);
    if (within(mount.mount_point, roots)) kept.push_back(std::move(mount));
  }
  return kept;
}

/// The number of "MAJOR:MINOR".
dev_t device_of(std::string_view text) {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  if (!parse::number(text, major) || text.empty()) return 0;
  text.remove_prefix(1);
  parse::number(text, minor);
  return makedev(static_cast<unsigned>(major), static_cast<unsigned>(minor));
}

/// Whether a mount that the running kernel names is the one that is seen at its mount point, and
/// not covered by another. Below a root of the user's there may be a captured tree.
bool is_seen(const MountRow& mount, const UniqueFd& directory, const Roots& roots) {
  const std::int64_t magic = sys::file_system(directory.get());
  if (magic != fs::cgroup_v1_magic && magic != fs::cgroup_v2_magic) {
    return roots.cgroup != standard_root;
  }
  struct ::stat found {};
  return sys::stat(directory.get(), found) == 0 && found.st_dev == mount.device;
}

bool exists_in(const UniqueFd& directory, const char* name) {
  struct ::stat found {};
  return sys::stat_at(directory.get(), name, found) == 0;
}

/// On a real cgroup file system the hierarchy's root is inode 1, whatever a namespace makes
/// mountinfo say. A captured tree has other inodes: there mountinfo's root and the files that only
/// a root has decide.
bool shows_whole(const Hierarchy& hierarchy) {
  const std::int64_t magic = sys::file_system(hierarchy.directory.get());
  if (magic == fs::cgroup_v1_magic || magic == fs::cgroup_v2_magic) {
    struct ::stat root {};
    return sys::stat(hierarchy.directory.get(), root) == 0 && root.st_ino == 1;
  }
  if (hierarchy.mount_root != "/") return false;
  return hierarchy.version == Version::v2 ? !exists_in(hierarchy.directory, "cgroup.type")
                                          : exists_in(hierarchy.directory, "cgroup.sane_behavior");
}

void name_controllers(Hierarchy& hierarchy, const MountRow& mount,
                      const std::vector<SubsystemRow>& subsystems) {
  if (hierarchy.version == Version::v2) {
    const auto text = fs::read_beneath(hierarchy.directory.get(), "cgroup.controllers",
                                       fs::join(hierarchy.mount_point, "cgroup.controllers"));
    if (!text) return;
    std::string_view rest = std::string_view(*text).substr(0, text->find('\n'));
    for (auto name = parse::field(rest); !name.empty(); name = parse::field(rest)) {
      hierarchy.controllers.emplace_back(name);
    }
    return;
  }
  constexpr std::array<std::string_view, 14> known = {
      "cpuset",  "cpu",        "cpuacct",  "blkio",   "memory", "devices", "freezer",
      "net_cls", "perf_event", "net_prio", "hugetlb", "pids",   "rdma",    "misc"};
  for (const std::string& option : mount.options) {
    if (parse::starts_with(option, "name=")) hierarchy.name = option.substr(5);
    const bool listed = std::any_of(subsystems.begin(), subsystems.end(),
                                    [&](const SubsystemRow& row) { return row.name == option; });
    if (listed || std::find(known.begin(), known.end(), option) != known.end()) {
      hierarchy.controllers.push_back(option);
    }
  }
}

/// Two mounts of the same hierarchy: v2 is one per machine, v1 is told by its controllers and name.
bool same_hierarchy(const Hierarchy& a, const Hierarchy& b) {
  if (a.version != b.version) return false;
  return a.version == Version::v2 || (a.controllers == b.controllers && a.name == b.name);
}

/// The number of a line "KEY:   NUMBER kB" of meminfo.
std::optional<std::uint64_t> kibibytes(std::string_view meminfo, std::string_view key) {
  while (!meminfo.empty()) {
    std::string_view row = parse::line(meminfo);
    if (parse::field(row) == key) return parse::whole_number(parse::field(row));
  }
  return std::nullopt;
}

/// Bytes per page of a captured machine: meminfo has in kB what vmstat has in pages. The two move
/// between two reads, small counters drift, and a balloon may be part of MemFree alone: so the
/// median of several, as a power of two.
std::optional<std::uint64_t> captured_page_size(const Roots& roots) {
  constexpr std::array<std::pair<const char*, const char*>, 7> same = {
      {{"MemFree:", "nr_free_pages"},
       {"AnonPages:", "nr_anon_pages"},
       {"Mapped:", "nr_mapped"},
       {"Shmem:", "nr_shmem"},
       {"Active(file):", "nr_active_file"},
       {"Inactive(file):", "nr_inactive_file"},
       {"Inactive(anon):", "nr_inactive_anon"}}};
  constexpr std::uint64_t enough_pages = 64;
  const auto meminfo = fs::read_trusted(fs::join(roots.proc, "meminfo"));
  const auto vmstat = fs::read_trusted(fs::join(roots.proc, "vmstat"));
  if (!meminfo || !vmstat) return std::nullopt;
  std::vector<long> exponents;
  for (const auto& [key, counter] : same) {
    const auto size = kibibytes(*meminfo, key);
    const auto pages = parse::value_of(*vmstat, counter);
    if (!size || *size == 0 || !pages || *pages < enough_pages) continue;
    const double ratio = 1024.0 * static_cast<double>(*size) / static_cast<double>(*pages);
    exponents.push_back(std::lround(std::log2(ratio)));
  }
  if (exponents.empty()) return std::nullopt;
  const auto middle = exponents.begin() + static_cast<std::ptrdiff_t>(exponents.size() / 2);
  std::nth_element(exponents.begin(), middle, exponents.end());
  if (*middle < 12 || *middle > 18) return std::nullopt;
  return std::uint64_t{1} << *middle;
}

bool on_cgroupfs(const Hierarchy& hierarchy) {
  const std::int64_t magic = sys::file_system(hierarchy.directory.get());
  return magic == fs::cgroup_v1_magic || magic == fs::cgroup_v2_magic;
}

}  // namespace

std::string_view to_string(Version version) noexcept {
  return version == Version::v1 ? "v1" : "v2";
}

std::string_view to_string(Mode mode) noexcept {
  switch (mode) {
    case Mode::v1:
      return "v1";
    case Mode::v2:
      return "v2";
    case Mode::hybrid:
      return "hybrid";
  }
  return "unknown";
}

bool Hierarchy::has(std::string_view controller) const noexcept {
  constexpr std::string_view named = "name=";
  if (parse::starts_with(controller, named)) return controller.substr(named.size()) == name;
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

std::vector<SubsystemRow> parse_proc_cgroups(std::string_view text) {
  std::vector<SubsystemRow> rows;
  while (!text.empty()) {
    std::string_view rest = parse::line(text);
    SubsystemRow row;
    row.name = parse::field(rest);
    if (row.name.empty() || row.name.front() == '#') continue;
    const auto hierarchy = parse::whole_number(parse::field(rest));
    const auto num_cgroups = parse::whole_number(parse::field(rest));
    const auto enabled = parse::whole_number(parse::field(rest));
    if (!hierarchy || !num_cgroups || !enabled) continue;
    row.hierarchy = static_cast<std::uint32_t>(*hierarchy);
    row.num_cgroups = *num_cgroups;
    row.enabled = *enabled != 0;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<MountRow> parse_mountinfo(std::string_view text) {
  std::vector<MountRow> rows;
  while (!text.empty()) {
    std::string_view rest = parse::line(text);
    for (int skipped = 0; skipped < 2; ++skipped) parse::field(rest);
    MountRow row;
    row.device = device_of(parse::field(rest));
    row.root = unescape(parse::field(rest));
    row.mount_point = unescape(parse::field(rest));
    std::string_view optional_field = parse::field(rest);
    while (!optional_field.empty() && optional_field != "-") optional_field = parse::field(rest);
    const std::string_view type = parse::field(rest);
    if (type != "cgroup" && type != "cgroup2") continue;
    row.version = type == "cgroup2" ? Version::v2 : Version::v1;
    // mount("", ...) leaves the source empty: two spaces side by side.
    rest.remove_prefix(std::min(rest.find(' ', 1), rest.size()));
    row.options = split(unescape(parse::field(rest)), ',');
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<MembershipRow> parse_membership(std::string_view text) {
  std::vector<MembershipRow> rows;
  while (!text.empty()) {
    const std::string_view row = parse::line(text);
    const std::size_t first = row.find(':');
    const std::size_t second = first == std::string_view::npos ? first : row.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    rows.push_back({split(row.substr(first + 1, second - first - 1), ','),
                    std::string(row.substr(second + 1))});
  }
  return rows;
}

const MembershipRow* find_row(const std::vector<MembershipRow>& rows,
                              const Hierarchy& hierarchy) noexcept {
  constexpr std::string_view named = "name=";
  for (const MembershipRow& row : rows) {
    if (row.controllers.empty() != (hierarchy.version == Version::v2)) continue;
    if (row.controllers.empty()) return &row;
    const std::string_view first = row.controllers.front();
    const bool by_name = !hierarchy.name.empty() && parse::starts_with(first, named) &&
                         first.substr(named.size()) == hierarchy.name;
    if (by_name || hierarchy.has(first)) return &row;
  }
  return nullptr;
}

/// What copies of a Host share.
struct Host::State {
  Roots roots;
  std::vector<Hierarchy> hierarchies;
  std::vector<SubsystemRow> subsystems;
  std::uint64_t page_size = 4096;
  bool live = false;
  mutable std::atomic<std::size_t> owners{1};
};

Host::Host(const Host& other) noexcept : state_(other.state_) {
  if (state_ != nullptr) state_->owners.fetch_add(1, std::memory_order_relaxed);
}

Host::Host(Host&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

Host& Host::operator=(Host other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Host::~Host() {
  if (state_ != nullptr && state_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete state_;
  }
}

const Roots& Host::roots() const noexcept { return state_->roots; }

const std::vector<Hierarchy>& Host::hierarchies() const noexcept { return state_->hierarchies; }

const std::vector<SubsystemRow>& Host::subsystems() const noexcept { return state_->subsystems; }

std::uint64_t Host::page_size() const noexcept { return state_->page_size; }

bool Host::live() const noexcept { return state_->live; }

Result<Host> Host::detect(Roots roots) {
  auto state = std::make_unique<State>();
  const std::string mountinfo_path = fs::join(roots.proc, "self/mountinfo");
  const auto mountinfo = fs::read_trusted(mountinfo_path);
  if (!mountinfo) {
    Error error = mountinfo.error();
    if (error.os_errno == ENOENT)
      error.hint = "no procfs is mounted there; --proc-root names where it is";
    return fail(std::move(error));
  }
  if (const auto text = fs::read_trusted(fs::join(roots.proc, "cgroups"))) {
    state->subsystems = parse_proc_cgroups(*text);
  }

  const auto proc = fs::open_trusted(roots.proc, O_PATH | O_DIRECTORY);
  const bool live = proc && sys::file_system(proc->get()) == fs::proc_magic;
  bool unreachable = false;
  for (const MountRow& mount : reachable(parse_mountinfo(*mountinfo), roots)) {
    auto directory = fs::open_trusted(mount.mount_point, O_PATH | O_DIRECTORY);
    if (!directory || (live && !is_seen(mount, *directory, roots)) ||
        (mount.version == Version::v2 && !exists_in(*directory, "cgroup.controllers"))) {
      unreachable = true;
      continue;
    }
    Hierarchy hierarchy;
    hierarchy.version = mount.version;
    hierarchy.mount_point = mount.mount_point;
    hierarchy.mount_root = mount.root;
    hierarchy.directory = std::move(*directory);
    hierarchy.whole = shows_whole(hierarchy);
    name_controllers(hierarchy, mount, state->subsystems);
    const auto twin =
        std::find_if(state->hierarchies.begin(), state->hierarchies.end(),
                     [&](const Hierarchy& h) { return same_hierarchy(h, hierarchy); });
    if (twin == state->hierarchies.end()) {
      state->hierarchies.push_back(std::move(hierarchy));
    } else if (hierarchy.whole && !twin->whole) {
      *twin = std::move(hierarchy);
    }
  }
  if (state->hierarchies.empty()) {
    return fail(Error::make(errc::unsupported, "detect", mountinfo_path,
                            unreachable ? "the cgroup mounts it names are not reachable from here"
                                        : "no cgroup file system is mounted below " + roots.cgroup,
                            "mount one (mount -t cgroup2 none /sys/fs/cgroup), or name the roots "
                            "with --cgroup-root and "
                            "--proc-root"));
  }

  state->page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  state->live =
      live && std::all_of(state->hierarchies.begin(), state->hierarchies.end(), on_cgroupfs);
  if (!state->live) state->page_size = captured_page_size(roots).value_or(state->page_size);
  state->roots = std::move(roots);
  return Host(state.release());
}

Mode Host::mode() const noexcept {
  bool v1 = false;
  bool v2 = false;
  for (const Hierarchy& hierarchy : hierarchies()) {
    (hierarchy.version == Version::v1 ? v1 : v2) = true;
  }
  if (v1 && v2) return Mode::hybrid;
  return v2 ? Mode::v2 : Mode::v1;
}

const Hierarchy* Host::find(std::string_view controller) const noexcept {
  for (const Hierarchy& hierarchy : hierarchies()) {
    if (hierarchy.has(controller)) return &hierarchy;
  }
  return nullptr;
}

const Hierarchy* Host::unified() const noexcept {
  for (const Hierarchy& hierarchy : hierarchies()) {
    if (hierarchy.version == Version::v2) return &hierarchy;
  }
  return nullptr;
}

Result<const Hierarchy*> Host::require(std::string_view controller) const {
  if (const Hierarchy* found = find(controller)) return found;
  for (const SubsystemRow& row : subsystems()) {
    if (row.name != controller) continue;
    if (!row.enabled) {
      return fail(Error::make(errc::unsupported, "find controller", std::string(controller),
                              "it is disabled on this kernel",
                              "boot without cgroup_disable=" + row.name));
    }
    return fail(Error::make(errc::unsupported, "find controller", std::string(controller),
                            "no mounted hierarchy has it",
                            "mount it, or look below another --cgroup-root"));
  }
  return fail(Error::make(errc::unsupported, "find controller", std::string(controller),
                          "this kernel does not have it, or hides it from this cgroup namespace"));
}

}  // namespace cgctl
