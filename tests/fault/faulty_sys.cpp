// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "faulty_sys.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cgctl/detail/sys.hpp"

namespace cgctl::fault {
namespace {

std::string path_of(int fd) {
  if (fd == AT_FDCWD) return {};
  std::array<char, 4096> target{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
  return size > 0 ? std::string(target.data(), static_cast<std::size_t>(size)) : std::string();
}

std::string path_of(int directory, std::string_view name) {
  if (name == ".") return path_of(directory);
  if (!name.empty() && name.front() == '/') return std::string(name);
  return path_of(directory) + "/" + std::string(name);
}

bool fits(std::string_view path, std::string_view suffix) {
  if (suffix.empty()) return true;
  if (path.size() < suffix.size() || path.substr(path.size() - suffix.size()) != suffix)
    return false;
  return path.size() == suffix.size() || path[path.size() - suffix.size() - 1] == '/';
}

struct State {
  std::list<Rule> rules;
  std::vector<std::pair<Call, std::string>> log;
};
std::unique_ptr<State> in_force;

template <class T>
T result(T value) noexcept {
  return value < 0 ? static_cast<T>(-errno) : value;
}

}  // namespace

/// Finds the rule for a call and does what all kinds of calls have in common.
struct Engine {
  const Rule* rule = nullptr;

  Engine(Call call, const std::string& path) {
    if (in_force == nullptr) return;
    in_force->log.emplace_back(call, path);
    for (Rule& candidate : in_force->rules) {
      if (candidate.call_ != call || candidate.left_ == 0 || !fits(path, candidate.suffix_))
        continue;
      if (candidate.skip_ != 0) {
        --candidate.skip_;
        continue;
      }
      if (!candidate.always_) --candidate.left_;
      rule = &candidate;
      break;
    }
    if (rule != nullptr && rule->kind_ == Rule::Kind::hook) rule->hook_();
  }

  /// Returns the result that replaces the call; nullopt if the call is to be made.
  [[nodiscard]] std::optional<std::int64_t> answer() const {
    if (rule == nullptr) return std::nullopt;
    if (rule->kind_ == Rule::Kind::error) return -rule->value_;
    if (rule->kind_ == Rule::Kind::value) return rule->value_;
    return std::nullopt;
  }
  [[nodiscard]] std::size_t limit(std::size_t size) const {
    if (rule == nullptr || rule->kind_ != Rule::Kind::limit) return size;
    return std::min(size, static_cast<std::size_t>(rule->value_));
  }
  [[nodiscard]] const std::string* text() const {
    return rule != nullptr && rule->kind_ == Rule::Kind::text ? &rule->text_ : nullptr;
  }

  static Rule& add(Call call, std::string_view suffix) {
    Rule& rule = in_force->rules.emplace_back();
    rule.call_ = call;
    rule.suffix_ = suffix;
    return rule;
  }
  static void expect_used(const Rule& rule) {
    EXPECT_TRUE(rule.may_stay_unused_ || rule.left_ == 0)
        << "no call met the rule for '" << rule.suffix_ << "'";
  }
};

Rule& Rule::fails(int os_errno) {
  kind_ = Kind::error;
  value_ = os_errno;
  return *this;
}

Rule& Rule::returns(std::int64_t value) {
  kind_ = Kind::value;
  value_ = value;
  return *this;
}

Rule& Rule::gives(std::string text) {
  kind_ = Kind::text;
  text_ = std::move(text);
  return *this;
}

Rule& Rule::at_most(std::size_t size) {
  kind_ = Kind::limit;
  value_ = static_cast<std::int64_t>(size);
  return *this;
}

Rule& Rule::after(std::function<void()> hook) {
  kind_ = Kind::hook;
  hook_ = std::move(hook);
  return *this;
}

Rule& Rule::skip(unsigned count) {
  skip_ = count;
  return *this;
}

Rule& Rule::times(unsigned count) {
  left_ = count;
  return *this;
}

Rule& Rule::always() {
  always_ = true;
  may_stay_unused_ = true;
  return *this;
}

Rule& Rule::in_child() {
  may_stay_unused_ = true;
  return *this;
}

Faults::Faults() {
  EXPECT_EQ(in_force, nullptr) << "one object of Faults at a time";
  in_force = std::make_unique<State>();
}

Faults::~Faults() {
  for (const Rule& rule : in_force->rules) Engine::expect_used(rule);
  in_force.reset();
}

Rule& Faults::on(Call call, std::string_view suffix) { return Engine::add(call, suffix); }

std::size_t Faults::calls(Call call, std::string_view suffix) const {
  return static_cast<std::size_t>(std::count_if(
      in_force->log.begin(), in_force->log.end(),
      [&](const auto& made) { return made.first == call && fits(made.second, suffix); }));
}

}  // namespace cgctl::fault

namespace cgctl::sys {

using fault::Call;
using fault::Engine;
using fault::path_of;
using fault::result;

int open_at(int directory, const char* path, int flags, mode_t mode) noexcept {
  const Engine engine(Call::open_at, path_of(directory, path));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  return result(::openat(directory, path, flags | O_CLOEXEC, mode));
}

int open_beneath(int directory, const char* path, int flags) noexcept {
  const Engine engine(Call::open_beneath, path_of(directory, path));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  open_how how{};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  if (may_leave(path)) how.resolve |= RESOLVE_BENEATH;
  return result(static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how)));
}

int set_flags(int fd, int flags) noexcept { return result(::fcntl(fd, F_SETFL, flags)); }

void close(int fd) noexcept {
  const Engine engine(Call::close, path_of(fd));
  ::close(fd);
}

ssize_t pread(int fd, void* buffer, std::size_t size, off_t offset) noexcept {
  const Engine engine(Call::pread, path_of(fd));
  if (const auto answer = engine.answer()) return *answer;
  if (const std::string* const text = engine.text()) {
    const std::size_t from = std::min(text->size(), static_cast<std::size_t>(offset));
    const std::size_t given = std::min(size, text->size() - from);
    std::memcpy(buffer, text->data() + from, given);
    return static_cast<ssize_t>(given);
  }
  return result(::pread(fd, buffer, engine.limit(size), offset));
}

ssize_t read(int fd, void* buffer, std::size_t size) noexcept {
  return result(::read(fd, buffer, size));
}

ssize_t write(int fd, const void* data, std::size_t size) noexcept {
  const Engine engine(Call::write, path_of(fd));
  if (const auto answer = engine.answer()) return *answer;
  return result(::write(fd, data, engine.limit(size)));
}

ssize_t getdents64(int fd, void* buffer, std::size_t size) noexcept {
  const Engine engine(Call::getdents64, path_of(fd));
  if (const auto answer = engine.answer()) return *answer;
  return result(static_cast<ssize_t>(::syscall(SYS_getdents64, fd, buffer, size)));
}

int stat(int fd, struct ::stat& out) noexcept {
  const Engine engine(Call::stat, path_of(fd));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  return result(::fstat(fd, &out));
}

int stat_at(int directory, const char* name, struct ::stat& out) noexcept {
  const Engine engine(Call::stat_at, path_of(directory, name));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  return result(::fstatat(directory, name, &out, AT_SYMLINK_NOFOLLOW));
}

int make_directory_at(int directory, const char* name, mode_t mode) noexcept {
  const Engine engine(Call::make_directory_at, path_of(directory, name));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  return result(::mkdirat(directory, name, mode));
}

int remove_directory_at(int directory, const char* name) noexcept {
  const Engine engine(Call::remove_directory_at, path_of(directory, name));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  return result(::unlinkat(directory, name, AT_REMOVEDIR));
}

int change_owner_at(int directory, const char* name, uid_t user, gid_t group) noexcept {
  const Engine engine(Call::change_owner_at, path_of(directory, name));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  return result(::fchownat(directory, name, user, group, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

int change_mode_at(int directory, const char* name, mode_t mode) noexcept {
  const Engine engine(Call::change_mode_at, path_of(directory, name));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  return result(::fchmodat(directory, name, mode, 0));
}

int sync_file_system(int fd) noexcept {
  const Engine engine(Call::sync_file_system, path_of(fd));
  if (const auto answer = engine.answer()) return static_cast<int>(*answer);
  return result(::syncfs(fd));
}

void sync_all() noexcept {
  const Engine engine(Call::sync_all, {});
  if (!engine.answer()) ::sync();
}

std::int64_t file_system(int fd) noexcept {
  const Engine engine(Call::file_system, path_of(fd));
  if (const auto answer = engine.answer()) return *answer;
  struct ::statfs out {};
  const int status = result(::fstatfs(fd, &out));
  return status < 0 ? status : static_cast<std::int64_t>(out.f_type);
}

int mount_nowhere(const char* type) noexcept {
  // glibc has these since 2.36; FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC and FSCONFIG_CMD_CREATE.
  constexpr unsigned close_on_exec = 1;
  constexpr unsigned create = 6;
  const int context = result(static_cast<int>(::syscall(SYS_fsopen, type, close_on_exec)));
  if (context < 0) return context;
  int status =
      result(static_cast<int>(::syscall(SYS_fsconfig, context, create, nullptr, nullptr, 0)));
  if (status == 0) {
    status = result(static_cast<int>(::syscall(SYS_fsmount, context, close_on_exec, 0)));
  }
  ::close(context);
  return status;
}

int bpf(int command, void* attributes, std::size_t size) noexcept {
  return result(static_cast<int>(::syscall(SYS_bpf, command, attributes, size)));
}

int perf_event_open(void* attributes, int cpu, int group) noexcept {
  constexpr int every_process = -1;
  constexpr unsigned long close_on_exec = 8;  // PERF_FLAG_FD_CLOEXEC
  return result(static_cast<int>(
      ::syscall(SYS_perf_event_open, attributes, every_process, cpu, group, close_on_exec)));
}

int control(int fd, unsigned long request, std::uintptr_t argument) noexcept {
  return result(::ioctl(fd, request, argument));
}

ssize_t read_link(const char* path, char* out, std::size_t size) noexcept {
  return result(::readlink(path, out, size));
}

int map_shared(int fd, std::size_t size, void*& out) noexcept {
  out = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return out == MAP_FAILED ? -errno : 0;
}

void unmap(void* memory, std::size_t size) noexcept { ::munmap(memory, size); }

}  // namespace cgctl::sys
