// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/host.hpp"

#include <fcntl.h>
#include <sys/stat.h>
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
#include "detail/directory.hpp"
#include "detail/mount_line.hpp"

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

/// True if the kernel says that there is no such file or mount. Other errors do not tell.
bool is_absent(const Error& error) { return detail::is_gone(-error.os_errno); }

/// Returns the part of `path` below `root`, or nothing if `path` is elsewhere.
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

/// Returns the mounts below the given roots, with the paths under which this process reaches them.
/// A mount that mountinfo names below the standard root is looked for below the given root only if
/// that root has no mounts of its own. Otherwise a container's mounts would be mistaken for its
/// host's.
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

/// Opens the directory of a mount. The running kernel's mount points are trusted. Mount points of a
/// captured tree or another root directory are opened only beneath that root.
Result<UniqueFd> open_directory(const MountRow& mount, const Roots& roots, bool live) {
  if (live && roots.cgroup == standard_root) {
    return fs::open_trusted(mount.mount_point, O_PATH | O_DIRECTORY);
  }
  const auto rest = below(mount.mount_point, roots.cgroup);
  if (rest) return fs::open_mount_point(roots.cgroup, *rest);
  return fs::open_mount_point("/", mount.mount_point);
}

/// Returns the cgroup whose directory `path` names, or nothing if `path` is below no mount point. A
/// controller's name below the root stands for its mount: cpu for cpu,cpuacct.
std::optional<std::string_view> cgroup_of_directory(const Host& host, std::string_view path) {
  std::optional<std::string_view> shortest;
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    const bool named = hierarchy.mount_point != "/";
    const auto rest = named ? below(path, hierarchy.mount_point) : std::nullopt;
    if (rest && (!shortest || rest->size() < shortest->size())) shortest = rest;
  }
  const auto rest = below(path, host.roots().cgroup);
  if (!rest || rest->empty()) return shortest ? shortest : rest;
  const std::string_view name = rest->substr(1, rest->find('/', 1) - 1);
  if (host.find(name) == nullptr || (shortest && shortest->size() < rest->size())) return shortest;
  return rest->substr(name.size() + 1);
}

bool is_cgroupfs(std::int64_t magic) {
  return magic == fs::cgroup_v1_magic || magic == fs::cgroup_v2_magic;
}

/// A mount's directory and the file system visible in it.
struct Seen {
  UniqueFd directory;
  std::int64_t magic = 0;
  struct ::stat root {};
};

/// Examines an opened mount point, or passes on the error of opening it.
Result<Seen> look_at(Result<UniqueFd> directory, const std::string& mount_point) {
  if (!directory) return fail(directory.error());
  Seen seen;
  seen.directory = std::move(*directory);
  seen.magic = sys::file_system(seen.directory.get());
  if (seen.magic < 0) {
    return fail(fs::system_error("statfs", mount_point, static_cast<int>(-seen.magic)));
  }
  if (const int status = sys::stat(seen.directory.get(), seen.root); status < 0) {
    return fail(fs::system_error("stat", mount_point, -status));
  }
  return seen;
}

/// True if a mount from mountinfo is the one visible at its mount point, not covered by another.
/// Below a root that the user gave, a captured tree also counts.
bool is_seen(const MountRow& mount, const Seen& seen, const Roots& roots) {
  if (!is_cgroupfs(seen.magic)) return roots.cgroup != standard_root;
  return seen.root.st_dev == mount.device;
}

Result<bool> exists_in(const UniqueFd& directory, const char* name, const std::string& shown) {
  struct ::stat found {};
  const int status = sys::stat_at(directory.get(), name, found);
  if (status == 0) return true;
  if (detail::is_gone(status)) return false;
  return fail(fs::system_error("stat", fs::join(shown, name), -status));
}

/// True if the mount shows the whole hierarchy. On a real cgroup file system the hierarchy's root
/// is inode 1, even if a namespace changes the root in mountinfo. A captured tree has other inodes:
/// there mountinfo's root and the files that only a root has decide.
Result<bool> shows_whole(const MountRow& mount, const Seen& seen) {
  if (is_cgroupfs(seen.magic)) return seen.root.st_ino == 1;
  if (mount.root != "/") return false;
  const bool v2 = mount.version == Version::v2;
  auto marked =
      exists_in(seen.directory, v2 ? "cgroup.type" : "cgroup.sane_behavior", mount.mount_point);
  if (marked && v2) *marked = !*marked;
  return marked;
}

void name_v1_controllers(Hierarchy& hierarchy, const MountRow& mount,
                         const std::vector<SubsystemRow>& subsystems) {
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

Status name_v2_controllers(Hierarchy& hierarchy) {
  const auto text =
      fs::read_beneath(hierarchy.directory.get(), "cgroup.controllers",
                       fs::join(hierarchy.mount_point, "cgroup.controllers"), hierarchy.open_flags);
  if (!text) return fail(text.error());
  std::string_view rest = std::string_view(*text).substr(0, text->find('\n'));
  for (auto name = parse::field(rest); !name.empty(); name = parse::field(rest)) {
    hierarchy.controllers.emplace_back(name);
  }
  return {};
}

/// Describes a hierarchy from mountinfo alone, without the controllers of v2.
Hierarchy described(const MountRow& mount, const std::vector<SubsystemRow>& subsystems) {
  Hierarchy hierarchy;
  hierarchy.version = mount.version;
  hierarchy.mount_point = mount.mount_point;
  hierarchy.mount_root = mount.root;
  if (mount.version == Version::v1) name_v1_controllers(hierarchy, mount, subsystems);
  return hierarchy;
}

/// True for two mounts of the same hierarchy. v2 has one hierarchy per machine; v1 hierarchies
/// differ in controllers or name.
bool same_hierarchy(const Hierarchy& a, const Hierarchy& b) {
  if (a.version != b.version) return false;
  return a.version == Version::v2 || (a.controllers == b.controllers && a.name == b.name);
}

/// True if lxcfs, a FUSE file system, replaces cgroups or /proc, as in LXC containers.
bool shows_lxcfs(std::string_view mountinfo) {
  return mountinfo.find(" - fuse.lxcfs ") != std::string_view::npos;
}

/// Returns the number of a line "KEY:   NUMBER kB" of meminfo.
std::optional<std::uint64_t> kibibytes(std::string_view meminfo, std::string_view key) {
  while (!meminfo.empty()) {
    std::string_view row = parse::line(meminfo);
    if (parse::field(row) == key) return parse::whole_number(parse::field(row));
  }
  return std::nullopt;
}

/// Returns the text of a file below a root directory; empty if there is no such file.
Result<std::string> read_if_there(const std::string& root, std::string_view path) {
  auto text = fs::read_in_root(root, path);
  if (!text && text.error().os_errno == ENOENT) return std::string();
  return text;
}

/// Returns the page size of a captured machine in bytes, from counters that meminfo has in kB and
/// vmstat in pages. The counters change between the two reads, small ones drift, and a balloon may
/// be counted in MemFree only. Therefore the result is the median of several quotients, rounded to
/// a power of two; `otherwise` if the counters do not tell.
Result<std::uint64_t> captured_page_size(const Roots& roots, std::uint64_t otherwise) {
  constexpr std::array<std::pair<const char*, const char*>, 7> same = {
      {{"MemFree:", "nr_free_pages"},
       {"AnonPages:", "nr_anon_pages"},
       {"Mapped:", "nr_mapped"},
       {"Shmem:", "nr_shmem"},
       {"Active(file):", "nr_active_file"},
       {"Inactive(file):", "nr_inactive_file"},
       {"Inactive(anon):", "nr_inactive_anon"}}};
  constexpr std::uint64_t enough_pages = 64;
  const auto meminfo = read_if_there(roots.proc, "meminfo");
  const auto vmstat = read_if_there(roots.proc, "vmstat");
  if (!meminfo) return fail(meminfo.error());
  if (!vmstat) return fail(vmstat.error());
  std::vector<long> exponents;
  for (const auto& [key, counter] : same) {
    const auto size = kibibytes(*meminfo, key);
    const auto pages = parse::value_of(*vmstat, counter);
    if (!size || *size == 0 || !pages || *pages < enough_pages) continue;
    const double ratio = 1024.0 * static_cast<double>(*size) / static_cast<double>(*pages);
    exponents.push_back(std::lround(std::log2(ratio)));
  }
  if (exponents.empty()) return otherwise;
  const auto middle = exponents.begin() + static_cast<std::ptrdiff_t>(exponents.size() / 2);
  std::nth_element(exponents.begin(), middle, exponents.end());
  if (*middle < 12 || *middle > 18) return otherwise;
  return std::uint64_t{1} << *middle;
}

Error nothing_mounted(const std::string& mountinfo, bool any_absent, bool lxcfs,
                      const Roots& roots) {
  std::string reason = "no cgroup file system is mounted below " + roots.cgroup;
  if (lxcfs) reason = "lxcfs shows a container's view of its cgroups, and " + reason;
  if (any_absent) reason = "the cgroup mounts it names are not reachable from here";
  const char* const hint =
      lxcfs && !any_absent
          ? "run on the host, or mount its /sys/fs/cgroup and /proc here and name them: "
            "Roots::cgroup and Roots::proc"
          : "mount one (mount -t cgroup2 none /sys/fs/cgroup), or name the roots: "
            "Roots::cgroup and Roots::proc";
  return Error::make(errc::unsupported, "detect", mountinfo, std::move(reason), hint);
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

bool Unreachable::may_have(std::string_view controller) const noexcept {
  return hierarchy.version == Version::v2 || hierarchy.has(controller);
}

std::vector<SubsystemRow> parse_proc_cgroups(std::string_view text, std::size_t* malformed) {
  std::vector<SubsystemRow> rows;
  std::size_t skipped = 0;
  while (!text.empty()) {
    std::string_view rest = parse::line(text);
    SubsystemRow row;
    row.name = parse::field(rest);
    if (row.name.empty() || row.name.front() == '#') continue;
    const auto hierarchy = parse::whole_number(parse::field(rest));
    const auto num_cgroups = parse::whole_number(parse::field(rest));
    const auto enabled = parse::whole_number(parse::field(rest));
    if (!hierarchy || !num_cgroups || !enabled) {
      ++skipped;
      continue;
    }
    row.hierarchy = static_cast<std::uint32_t>(*hierarchy);
    row.num_cgroups = *num_cgroups;
    row.enabled = *enabled != 0;
    rows.push_back(std::move(row));
  }
  if (malformed != nullptr) *malformed = skipped;
  return rows;
}

std::vector<MountRow> parse_mountinfo(std::string_view text) {
  std::vector<MountRow> rows;
  while (!text.empty()) {
    const std::string_view line = parse::line(text);
    // A node has thousands of other mounts.
    if (line.find(" - cgroup") == std::string_view::npos) continue;
    const detail::MountLine mount = detail::parse_mount_line(line);
    if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
    MountRow row;
    row.device = mount.device;
    row.root = detail::unescape(mount.root);
    row.mount_point = detail::unescape(mount.mount_point);
    row.version = mount.type == "cgroup2" ? Version::v2 : Version::v1;
    row.options = split(detail::unescape(mount.options), ',');
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

/// The data that all copies of a Host share.
struct Host::State {
  Roots roots;
  std::vector<Hierarchy> hierarchies;
  std::vector<Unreachable> unreachable;
  std::vector<SubsystemRow> subsystems;
  std::size_t malformed_subsystems = 0;
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

const std::vector<Unreachable>& Host::unreachable() const noexcept { return state_->unreachable; }

const std::vector<SubsystemRow>& Host::subsystems() const noexcept { return state_->subsystems; }

std::size_t Host::malformed_subsystems() const noexcept { return state_->malformed_subsystems; }

std::uint64_t Host::page_size() const noexcept { return state_->page_size; }

bool Host::live() const noexcept { return state_->live; }

/// Opens the hierarchies of the mounts.
class Host::Finder {
 public:
  Finder(State& state, bool running, const Roots& roots)
      : state_(state), roots_(roots), running_(running), live_(running) {}

  /// Adds the hierarchy of a mount. Fails only if a mount point leads out of the root directory.
  Status add(const MountRow& mount) {
    Hierarchy hierarchy = described(mount, state_.subsystems);
    const auto opened = open(mount, hierarchy);
    if (!opened && opened.error().kind == errc::outside) return fail(opened.error());
    if (!opened) {
      state_.unreachable.push_back({std::move(hierarchy), opened.error()});
    } else if (!*opened) {
      any_absent_ = true;
    } else {
      keep(std::move(hierarchy));
    }
    return {};
  }

  /// Drops unreachable hierarchies that are reached through another mount.
  void forget_twins() {
    auto& all = state_.unreachable;
    all.erase(std::remove_if(all.begin(), all.end(),
                             [this](const Unreachable& one) {
                               return twin_of(one.hierarchy) != state_.hierarchies.end();
                             }),
              all.end());
  }

  [[nodiscard]] bool any_absent() const noexcept { return any_absent_; }
  [[nodiscard]] bool live() const noexcept { return live_; }

 private:
  /// Opens a mount. Returns false if it is not visible: its mount point is missing, or another
  /// mount covers it.
  Result<bool> open(const MountRow& mount, Hierarchy& hierarchy) {
    auto seen = look_at(open_directory(mount, roots_, running_), mount.mount_point);
    if (!seen) return is_absent(seen.error()) ? Result<bool>(false) : fail(seen.error());
    if (running_ && !is_seen(mount, *seen, roots_)) return false;
    if (mount.version == Version::v2) {
      auto there = exists_in(seen->directory, "cgroup.controllers", mount.mount_point);
      if (!there || !*there) return there;
    }
    auto whole = shows_whole(mount, *seen);
    if (!whole) return whole;
    hierarchy.whole = *whole;
    hierarchy.directory = std::move(seen->directory);
    hierarchy.open_flags = is_cgroupfs(seen->magic) ? fs::on_cgroupfs : fs::no_device;
    if (mount.version == Version::v2) {
      if (auto status = name_v2_controllers(hierarchy); !status) return fail(status.error());
    }
    live_ = live_ && is_cgroupfs(seen->magic);
    return true;
  }

  std::vector<Hierarchy>::iterator twin_of(const Hierarchy& hierarchy) {
    return std::find_if(state_.hierarchies.begin(), state_.hierarchies.end(),
                        [&](const Hierarchy& one) { return same_hierarchy(one, hierarchy); });
  }

  void keep(Hierarchy hierarchy) {
    const auto twin = twin_of(hierarchy);
    if (twin == state_.hierarchies.end()) {
      state_.hierarchies.push_back(std::move(hierarchy));
    } else if (hierarchy.whole && !twin->whole) {
      *twin = std::move(hierarchy);
    }
  }

  State& state_;
  const Roots& roots_;
  bool running_;
  bool live_;
  bool any_absent_ = false;
};

Result<Host> Host::detect(Roots roots) {
  auto state = std::make_unique<State>();
  const std::string mountinfo_path = fs::join(roots.proc, "self/mountinfo");
  const auto mountinfo = fs::read_in_root(roots.proc, "self/mountinfo");
  if (!mountinfo) {
    Error error = mountinfo.error();
    error.path = mountinfo_path;
    if (error.os_errno == ENOENT)
      error.hint = "no procfs is mounted there; Roots::proc names where it is";
    return fail(std::move(error));
  }
  const auto cgroups = read_if_there(roots.proc, "cgroups");
  if (!cgroups) return fail(cgroups.error());
  state->subsystems = parse_proc_cgroups(*cgroups, &state->malformed_subsystems);

  const auto proc = look_at(fs::open_trusted(roots.proc, O_PATH | O_DIRECTORY), roots.proc);
  if (!proc) return fail(proc.error());
  Finder finder(*state, proc->magic == fs::proc_magic, roots);
  for (const MountRow& mount : reachable(parse_mountinfo(*mountinfo), roots)) {
    if (auto status = finder.add(mount); !status) return fail(status.error());
  }
  finder.forget_twins();
  if (state->hierarchies.empty()) {
    if (!state->unreachable.empty()) return fail(state->unreachable.front().error);
    return fail(
        nothing_mounted(mountinfo_path, finder.any_absent(), shows_lxcfs(*mountinfo), roots));
  }

  state->page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  state->live = finder.live();
  if (!state->live) {
    const auto page_size = captured_page_size(roots, state->page_size);
    if (!page_size) return fail(page_size.error());
    state->page_size = *page_size;
  }
  state->roots = std::move(roots);
  return Host(state.release());
}

Mode Host::mode() const noexcept {
  bool v1 = false;
  bool v2 = false;
  const auto note = [&](const Hierarchy& one) { (one.version == Version::v1 ? v1 : v2) = true; };
  for (const Hierarchy& hierarchy : hierarchies()) note(hierarchy);
  for (const Unreachable& one : unreachable()) note(one.hierarchy);
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

Result<std::string> Host::relative_path(std::string_view path) const {
  auto clean = fs::clean_relative_path(path);
  if (!clean) return clean;
  const std::string absolute = "/" + *clean;
  const auto cgroup = cgroup_of_directory(*this, absolute);
  if (!cgroup) return clean;
  return fail(Error::make(
      errc::invalid_argument, "resolve", absolute, "this is a directory's path, not a cgroup's",
      "the cgroup is " + (cgroup->empty() ? std::string("/") : std::string(*cgroup))));
}

namespace {

/// True if the kernel was booted with "cgroup_disable=CONTROLLER", alone or in a list.
bool disabled_at_boot(const Roots& roots, std::string_view controller) {
  constexpr std::string_view option = "cgroup_disable=";
  const auto text = fs::read_in_root(roots.proc, "cmdline");
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  while (!rest.empty()) {
    std::string_view words = parse::line(rest);
    for (auto word = parse::field(words); !word.empty(); word = parse::field(words)) {
      if (!parse::starts_with(word, option)) continue;
      const auto names = split(std::string(word.substr(option.size())), ',');
      if (std::find(names.begin(), names.end(), controller) != names.end()) return true;
    }
  }
  return false;
}

/// Builds the error for a controller that is switched off, with a hint that fits the command line.
Error switched_off(const Roots& roots, const std::string& controller) {
  const bool at_boot = disabled_at_boot(roots, controller);
  return Error::make(errc::unsupported, "find controller", controller,
                     at_boot ? "it is switched off by cgroup_disable= on the kernel's command line"
                             : "it is disabled on this kernel",
                     at_boot ? "boot without cgroup_disable=" + controller
                             : "boot with cgroup_enable=" + controller +
                                   ", or without cgroup_disable=" + controller);
}

}  // namespace

Result<const Hierarchy*> Host::require(std::string_view controller) const {
  if (const Hierarchy* found = find(controller)) return found;
  for (const Unreachable& one : unreachable()) {
    if (one.may_have(controller)) return fail(one.error);
  }
  for (const SubsystemRow& row : subsystems()) {
    if (row.name != controller) continue;
    if (!row.enabled) {
      return fail(switched_off(roots(), row.name));
    }
    return fail(Error::make(errc::unsupported, "find controller", std::string(controller),
                            "no mounted hierarchy has it",
                            "mount it, or look below another Roots::cgroup"));
  }
  if (disabled_at_boot(roots(), controller)) {
    return fail(switched_off(roots(), std::string(controller)));
  }
  return fail(Error::make(errc::unsupported, "find controller", std::string(controller),
                          "this kernel does not have it, or hides it from this cgroup namespace"));
}

}  // namespace cgctl
