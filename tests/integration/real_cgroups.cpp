// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "real_cgroups.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include "../support/skip.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::test {
namespace {

using namespace std::chrono_literals;

/// Removes a cgroup. Retries: rmdir fails with EBUSY for a moment after the last task has ended.
int remove_group(const std::string& directory) {
  for (int attempt = 0; attempt < 500; ++attempt) {
    if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return 0;
    if (errno != EBUSY) return errno;
    std::this_thread::sleep_for(10ms);
  }
  return EBUSY;
}

int remove_tree(const std::string& directory) {
  std::error_code ignored;
  std::vector<std::string> children;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (entry.is_directory(ignored)) children.push_back(entry.path());
  }
  int first = 0;
  for (const std::string& child : children) {
    const int error = remove_tree(child);
    if (first == 0) first = error;
  }
  const int error = remove_group(directory);
  return first == 0 ? error : first;
}

bool write_to(const std::string& file, std::string_view value) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

bool on_tmpfs(const std::string& directory) {
  struct ::statfs found {};
  if (::statfs(directory.c_str(), &found) != 0) return false;
  return found.f_type == TMPFS_MAGIC || found.f_type == RAMFS_MAGIC;
}

}  // namespace

void RealCgroups::SetUp() {
  if (!is_root()) return skip("making cgroups needs root");
  auto detected = Host::detect();
  if (!detected) return skip(detected.error().message());
  if (needs_ == Needs::cpu_at_least && detected->find(controller_) == nullptr) controller_ = "cpu";
  const Hierarchy* const found = detected->find(controller_);
  if (found == nullptr) return skip("no hierarchy has the controller " + controller_);
  if (!found->whole) return skip("only a part of the hierarchy of " + controller_ + " is visible");
  host_ = std::move(*detected);
  if (v2()) {
    const std::string control = hierarchy().mount_point + "/cgroup.subtree_control";
    handed_down_ = file_text(control).find(controller_) == std::string::npos;
    if (handed_down_) {
      ASSERT_TRUE(write_to(control, "+" + controller_)) << std::strerror(errno);
    }
  }
  if (::mkdir(directory().c_str(), 0755) != 0) {
    const std::string reason = std::strerror(errno);
    host_.reset();
    return skip("no cgroup can be made: " + reason);
  }
  hand_down({});
}

void RealCgroups::hand_down(std::string_view below) const {
  if (!v2()) return;
  ASSERT_TRUE(write_to(directory(below) + "/cgroup.subtree_control", "+" + controller_))
      << std::strerror(errno);
}

void RealCgroups::TearDown() {
  if (!host_) return;
  for (const Hierarchy& hierarchy : host_->hierarchies()) {
    const std::string own = fs::join(hierarchy.mount_point, path());
    EXPECT_EQ(remove_tree(own), 0) << own << " stays behind";
  }
  if (handed_down_)
    write_to(hierarchy().mount_point + "/cgroup.subtree_control", "-" + controller_);
}

std::string RealCgroups::path(std::string_view below) const { return fs::join("/" + name_, below); }

std::string RealCgroups::directory(std::string_view below) const {
  return fs::join(hierarchy().mount_point, path(below));
}

void RealCgroups::make(std::string_view below) const {
  const std::string group = directory(below);
  ASSERT_EQ(::mkdir(group.c_str(), 0755), 0) << group << ": " << std::strerror(errno);
}

void RealCgroups::remove(std::string_view below) const {
  const int error = remove_group(directory(below));
  ASSERT_EQ(error, 0) << directory(below) << ": " << std::strerror(error);
}

std::unique_ptr<TempDirectory> RealCgroups::folder(lab::Pin pin) const {
  std::vector<std::string> candidates = {"/dev/shm", "/var/tmp", "/tmp", "."};
  if (const char* const chosen = std::getenv("TMPDIR"))
    candidates.insert(candidates.begin(), chosen);
  for (const std::string& candidate : candidates) {
    if (!std::filesystem::is_directory(candidate)) continue;
    if (on_tmpfs(candidate) != (pin == lab::Pin::tmpfs)) continue;
    return std::make_unique<TempDirectory>(candidate);
  }
  return nullptr;
}

void RealCgroups::read_inode_tables(const TempDirectory& files, unsigned number) {
  for (unsigned i = 0; i < number; ++i) std::ofstream(files / std::to_string(i)) << i;
  for (unsigned i = 0; i < number; ++i) std::filesystem::remove(files / std::to_string(i));
}

Result<lab::ZombieMaker> RealCgroups::zombies(lab::Pin pin, const TempDirectory& files,
                                              std::string_view below) const {
  const std::string name = path(below).substr(1);
  std::filesystem::create_directories(std::filesystem::path(files / name).parent_path());
  return lab::ZombieMaker::open(*host_, pin, name, files.path());
}

std::uint64_t RealCgroups::settled() const {
  std::uint64_t last = 0;
  int unchanged = 0;
  for (int polls = 0; unchanged < 10 && polls < 400; ++polls) {
    const auto count = zombies::count(*host_);
    EXPECT_TRUE(count) << count.error().message();
    if (!count) return 0;
    unchanged = count->low == last ? unchanged + 1 : 0;
    last = count->low;
    std::this_thread::sleep_for(50ms);
  }
  return last;
}

std::uint64_t RealCgroups::falls_to(std::uint64_t limit) const {
  std::uint64_t last = settled();
  for (int polls = 0; last > limit && polls < 20; ++polls) last = settled();
  return last;
}

int enter(const std::string& directory) {
  return write_to(directory + "/cgroup.procs", "0") ? 0 : errno;
}

void CensusCgroups::SetUp() {
  RealCgroups::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  if (!kernel_is_at_least(5, 10)) return skip("BPF programs run on demand since 5.10");
  if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) return skip("the kernel has no BTF");
}

Tenant::Tenant(const std::string& group, const std::function<int()>& work) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    int error = enter(group);
    if (error == 0) error = work();
    if (::write(writing.get(), &error, sizeof error) != sizeof error) ::_exit(1);
    for (;;) ::pause();
  }
  writing.reset();
  int error = EPIPE;
  while (::read(reading.get(), &error, sizeof error) < 0 && errno == EINTR) {
  }
  EXPECT_EQ(error, 0) << std::strerror(error);
}

Tenant::~Tenant() {
  if (process_ <= 0) return;
  ::kill(process_, SIGKILL);
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Writes::Writes(const std::string& file) : notices_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  EXPECT_GE(::inotify_add_watch(notices_.get(), file.c_str(), IN_MODIFY), 0)
      << file << ": " << std::strerror(errno);
}

bool Writes::seen() const {
  std::array<char, 4096> notices{};
  return ::read(notices_.get(), notices.data(), notices.size()) > 0;
}

bool kernel_is_at_least(unsigned version, unsigned patch) {
  struct ::utsname name {};
  unsigned found_version = 0;
  unsigned found_patch = 0;
  EXPECT_EQ(::uname(&name), 0);
  EXPECT_EQ(std::sscanf(name.release, "%u.%u", &found_version, &found_patch), 2) << name.release;
  return std::pair(found_version, found_patch) >= std::pair(version, patch);
}

std::string persist(unsigned times, const std::function<std::string()>& work) {
  std::string complaint;
  for (unsigned attempt = 0; attempt < times; ++attempt) {
    complaint = work();
    if (complaint.empty()) break;
  }
  return complaint;
}

bool eventually(const std::function<bool()>& reached) {
  for (int attempt = 0; attempt < 200; ++attempt) {
    if (reached()) return true;
    std::this_thread::sleep_for(100ms);
  }
  return reached();
}

std::uint64_t cache_drops() {
  const std::string text = file_text("/proc/vmstat");
  return parse::value_of(text, "drop_pagecache").value_or(0) +
         parse::value_of(text, "drop_slab").value_or(0);
}

std::vector<std::string> block_devices() {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/block")) {
    std::string number;
    if (std::ifstream(entry.path() / "dev") >> number) found.push_back(number);
  }
  return found;
}

}  // namespace cgctl::test
