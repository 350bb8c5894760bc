// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "world.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace cgctl::faults {
namespace {

namespace files = std::filesystem;

constexpr std::array settings_of_interest = {
    "cpu.shares",        "cpu.cfs_quota_us",           "cpu.cfs_period_us", "memory.limit_in_bytes",
    "memory.swappiness", "memory.soft_limit_in_bytes", "pids.max",          "freezer.state",
    "cgroup.type",       "cgroup.subtree_control",     "notify_on_release",
};

constexpr const char* tracing = "/mnt/tracing";
constexpr std::array recorded = {"events/cgroup/cgroup_mkdir/", "events/cgroup/cgroup_rmdir/",
                                 "events/cgroup/cgroup_release/"};

std::string text_of(const files::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool write_text(const files::path& path, std::string_view text) {
  std::ofstream out(path);
  out << text << std::flush;
  return out.good();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Returns `top` and all directories below it, children before their parents.
std::vector<files::path> directories(const files::path& top) {
  std::error_code error;
  std::vector<files::path> found;
  if (!files::is_directory(top, error)) return found;
  found.push_back(top);
  for (files::recursive_directory_iterator next(top, error), end; next != end;
       next.increment(error)) {
    if (next->is_directory(error)) found.push_back(next->path());
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

void kill_all_in(const files::path& group) {
  for (const std::string& process : lines_of(text_of(group / "cgroup.procs"))) {
    const pid_t number = std::atoi(process.c_str());
    if (number > 1 && number != ::getpid()) ::kill(number, SIGKILL);
  }
}

void remove_group(const files::path& group) {
  write_text(group / "freezer.state", "THAWED");
  constexpr int attempts = 500;
  for (int i = 0; i < attempts; ++i) {
    kill_all_in(group);
    if (::rmdir(group.c_str()) == 0 || errno == ENOENT) return;
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
  }
  throw std::runtime_error("cannot remove " + group.string());
}

bool is_wanted(const std::string& type, const std::string& options) {
  if (type == "cgroup2") return true;
  if (type != "cgroup") return false;
  for (const char* const one : {"cpu", "cpuacct", "memory", "pids", "freezer"}) {
    if (("," + options + ",").find("," + std::string(one) + ",") != std::string::npos) return true;
  }
  return false;
}

void replace(std::string& text, std::string_view what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

}  // namespace

World::World(std::string name) : name_(std::move(name)) {
  std::string pattern = (files::temp_directory_path() / (name_ + "-XXXXXX")).string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern);
  directory_ = pattern;
  find_mounts();
  if (has_cgroups()) write_rules();
}

/// Writes /etc/cgrules.conf in private mounts. Where mounts cannot be made, `classify` runs without
/// rules.
void World::write_rules() const {
  if (::unshare(CLONE_NEWNS) != 0) return;
  constexpr const char* options = "lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work";
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", "/mnt", "tmpfs", 0, nullptr) != 0 || ::mkdir("/mnt/upper", 0755) != 0 ||
      ::mkdir("/mnt/work", 0755) != 0 || ::mount("none", "/etc", "overlay", 0, options) != 0) {
    return;
  }
  write_text("/etc/cgrules.conf", "* cpu,memory " + name_ + "/c\n");
  // Not where the command looks for it, so that the command mounts its own.
  if (::mkdir(tracing, 0755) == 0) ::mount("none", tracing, "tracefs", 0, nullptr);
}

World::~World() {
  try {
    clear_cgroups();
    build_tracing(false);
    files::remove_all(directory_);
  } catch (const std::exception&) {
    // The next World reports it.
  }
}

void World::find_mounts() {
  for (const std::string& line : lines_of(text_of("/proc/self/mountinfo"))) {
    std::istringstream in(line);
    const std::vector<std::string> fields{std::istream_iterator<std::string>(in), {}};
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 5 || fields.end() - dash < 4 || !is_wanted(dash[1], dash[3])) continue;
    Mount mount{fields[4], {}};
    const files::path group = files::path(mount.point) / name_;
    if (::mkdir(group.c_str(), 0755) != 0) continue;
    for (const char* const setting : settings_of_interest) {
      if (files::exists(group / setting)) mount.settings.emplace_back(setting);
    }
    mounts_.push_back(std::move(mount));
  }
}

void World::clear_cgroups() {
  if (sleeper_ > 0) ::kill(sleeper_, SIGKILL);
  for (const Mount& mount : mounts_) {
    for (const files::path& group : directories(files::path(mount.point) / name_)) {
      remove_group(group);
    }
  }
  if (sleeper_ > 0) ::waitpid(sleeper_, nullptr, 0);
  sleeper_ = -1;
}

void World::clear_files() const {
  for (const auto& entry : files::directory_iterator(directory_)) files::remove_all(entry.path());
}

std::string World::instance() const { return std::string(tracing) + "/instances/" + name_ + "/"; }

bool World::has_tracing() const {
  return files::exists(files::path(instance()).parent_path().parent_path());
}

void World::build_tracing(bool recording) const {
  if (::rmdir(instance().c_str()) != 0 && errno != ENOENT) {
    throw std::runtime_error("cannot remove " + instance());
  }
  if (!recording) return;
  ::mkdir(instance().c_str(), 0700);
  for (const char* const event : recorded) {
    if (!write_text(instance() + event + "filter", "root == 999") ||
        !write_text(instance() + event + "enable", "1")) {
      throw std::runtime_error("cannot set up " + instance());
    }
  }
}

void World::start_sleeper() {
  sleeper_ = ::fork();
  if (sleeper_ < 0) throw std::runtime_error("fork");
  if (sleeper_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setpgid(0, 0);
  for (;;) ::pause();
}

void World::build(bool cgroups, const std::vector<std::pair<std::string, std::string>>& texts) {
  clear_files();
  for (const auto& [name, text] : texts) write_text(directory_ + "/" + name, filled_in(text));
  if (!cgroups) return;
  clear_cgroups();
  start_sleeper();
  for (const Mount& mount : mounts_) {
    const files::path group = files::path(mount.point) / name_;
    for (const char* const below : {"", "a", "a/b", "c"}) files::create_directory(group / below);
    write_text(group / "a/b/cgroup.procs", std::to_string(sleeper_));
    const auto has = [&](std::string_view setting) {
      return std::find(mount.settings.begin(), mount.settings.end(), setting) !=
             mount.settings.end();
    };
    if (has("cpu.cfs_quota_us")) write_text(group / "a/cpu.cfs_quota_us", "50000");
    if (has("cpu.shares")) write_text(group / "c/cpu.shares", "512");
    if (has("memory.limit_in_bytes")) write_text(group / "a/memory.limit_in_bytes", "64M");
    if (has("pids.max")) write_text(group / "a/pids.max", "100");
  }
}

std::vector<std::string> World::state(bool cgroups) const {
  std::vector<std::string> lines;
  for (const auto& entry : files::recursive_directory_iterator(directory_)) {
    const std::string shown = "file " + entry.path().lexically_relative(directory_).string();
    lines.push_back(shown);
    if (!entry.is_regular_file()) continue;
    for (const std::string& line : lines_of(text_of(entry.path()))) {
      lines.push_back(shown + ": " + line);
    }
  }
  for (const Mount& mount : mounts_) {
    if (!cgroups) break;
    for (const files::path& group : directories(files::path(mount.point) / name_)) {
      struct stat about {};
      ::stat(group.c_str(), &about);
      std::ostringstream head;
      head << group.string() << " " << about.st_uid << ":" << about.st_gid << " " << std::oct
           << about.st_mode;
      lines.push_back(head.str());
      for (const std::string& setting : mount.settings) {
        lines.push_back(group.string() + " " + setting + " " + text_of(group / setting));
      }
      for (const std::string& process : lines_of(text_of(group / "cgroup.procs"))) {
        const bool own = process == std::to_string(sleeper_);
        lines.push_back(group.string() + " has " + (own ? "the process" : "another process"));
      }
    }
  }
  for (const char* const event : recorded) {
    const std::string file = instance() + event + "enable";
    if (cgroups && files::exists(file)) lines.push_back(file + " " + text_of(file));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::string World::filled_in(std::string text) const {
  replace(text, "@G", "/" + name_);
  replace(text, "@S", name_);
  replace(text, "@T", directory_);
  replace(text, "@P", std::to_string(sleeper_));
  return text;
}

}  // namespace cgctl::faults
