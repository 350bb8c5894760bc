// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/rungs.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cgctl/mitigation.hpp"
#include "detail/glob.hpp"
#include "detail/isolated.hpp"
#include "detail/page_lists.hpp"
#include "mitigation/control_file.hpp"
#include "mitigation/evict.hpp"
#include "mitigation/machine_reclaim.hpp"
#include "mitigation/node_reclaim.hpp"
#include "mitigation/reaper.hpp"
#include "mitigation/reclaim.hpp"
#include "mitigation/squeeze.hpp"
#include "mitigation/steps.hpp"
#include "mitigation/write_back.hpp"

namespace cgctl {
namespace {

using mitigation::Policy;
using mitigation::Rung;
using std::chrono::nanoseconds;

// ---- drop_caches ----

const char* level_of(Rung rung) {
  if (rung == Rung::drop_page_cache) return "1";
  if (rung == Rung::drop_slab) return "2";
  return rung == Rung::drop_all ? "3" : nullptr;
}

constexpr const char* drop_caches_file = "sys/vm/drop_caches";

Result<UniqueFd> open_drop_caches(const Host& host) {
  auto fd =
      detail::open_control("drop caches", host.roots().proc, drop_caches_file, fs::proc_magic);
  if (fd || fd.error().kind == errc::outside) return fd;
  Error error = fd.error();
  if (error.os_errno == ENOENT)
    error.hint = "the procfs given has no sysctls; name the host's as Roots::proc";
  if (error.os_errno == EROFS || error.os_errno == EACCES || error.os_errno == EPERM) {
    error.hint = "only root may write it, in a container only with /proc/sys writable (privileged)";
  }
  return fail(std::move(error));
}

/// Writes back, and moves new pages to the lists on which the kernel finds them.
void write_back(const detail::WriteBack& file_systems) noexcept {
  file_systems.run();
  detail::drain_page_lists();
}

Result<nanoseconds> drop(const Host& host, Rung rung, const std::vector<std::string>& to_sync,
                         detail::Isolation how) {
  how.operation = "drop caches";
  how.path = fs::join(host.roots().proc, drop_caches_file);
  const char* const level = level_of(rung);
  if (level == nullptr) {
    return fail(Error::make(errc::invalid_argument, how.operation, how.path,
                            std::string(to_string(rung)) + " is no level of drop_caches"));
  }
  const auto control = open_drop_caches(host);
  if (!control) return fail(control.error());
  // drop_caches does not drop dirty pages, so they are written back first.
  const bool is_cache = rung != Rung::drop_slab;
  const auto dirty = detail::WriteBack::open(is_cache ? to_sync : std::vector<std::string>());
  if (!dirty) return fail(dirty.error());
  const auto work = [&]() noexcept {
    if (is_cache) write_back(*dirty);
    return detail::write_control(control->get(), level);
  };
  return detail::run_isolated(work, how);
}

// ---- reclaim in small steps ----

Result<nanoseconds> reclaim_by(const Host& host, Rung rung, const mitigation::Observation& seen,
                               const Policy& policy, const detail::Isolation& how) {
  if (rung == Rung::squeeze) return detail::squeeze(host, seen, policy, how);
  if (rung == Rung::node_reclaim) return detail::reclaim_nodes(host, seen, policy, how);
  if (auto took = detail::reclaim_of_machine(host, seen, policy, how)) return std::move(*took);
  return detail::reclaim(host, seen, policy, how);
}

/// Reclaims by one of the rungs that take memory in steps. They do not take dirty pages, so those
/// are written back first.
Result<nanoseconds> write_back_and_reclaim(const Host& host, Rung rung,
                                           const mitigation::Observation& seen,
                                           const Policy& policy, detail::Isolation how) {
  if (detail::forbidden_by_loss(policy, rung)) {
    return fail(Error::make(errc::over_budget, "reclaim", std::string(to_string(rung)),
                            "each step can take page cache from live cgroups, which may lose none",
                            "raise Policy::cache_loss above 0, or choose another rung"));
  }
  const auto dirty = detail::WriteBack::open(policy.sync);
  if (!dirty) return fail(dirty.error());
  how.operation = "write back";
  auto written = detail::run_isolated(
      [&dirty]() noexcept {
        write_back(*dirty);
        return 0;
      },
      how);
  if (!written) return written;
  how.deadline -= *written;
  auto took = reclaim_by(host, rung, seen, policy, how);
  if (took) *took += *written;
  return took;
}

// ---- files whose cache may be dropped ----

/// Drops the cache of a regular file. Opening a FIFO or a device could have effects.
bool give_up_cache(const std::string& name) noexcept {
  const int fd =
      sys::open_at(AT_FDCWD, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return false;
  const UniqueFd file(fd);
  struct ::stat about {};
  if (sys::stat(fd, about) != 0 || !S_ISREG(about.st_mode)) return false;
  // Written back first: dirty pages would stay in the cache, and those that the disk failed to
  // write would be lost.
  return ::fdatasync(fd) == 0 && ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
}

Result<nanoseconds> advise(const Policy& policy, detail::Isolation how) {
  how.operation = "fadvise";
  for (const std::string& pattern : policy.files)
    how.path += (how.path.empty() ? "" : " ") + pattern;
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> names = detail::files_to_advise(policy);
  how.deadline -= std::chrono::steady_clock::now() - start;
  if (names.empty()) {
    return fail(
        Error::make(errc::unsupported, how.operation, how.path, "no file matches the patterns"));
  }
  const auto work = [&names]() noexcept {
    bool any = false;
    for (const std::string& name : names) any = give_up_cache(name) || any;
    detail::drain_page_lists();
    return any ? 0 : ENOENT;
  };
  return detail::run_isolated(work, how);
}

}  // namespace

std::vector<std::string> detail::files_to_advise(const Policy& policy) {
  std::vector<std::string> names;
  for (const std::string& pattern : policy.files) {
    for (std::string& name : files_matching(pattern)) names.push_back(std::move(name));
  }
  return names;
}

Result<nanoseconds> detail::take(const Host& host, Rung rung, const mitigation::Observation& seen,
                                 const Policy& policy, int stop,
                                 std::vector<mitigation::Left>& left) {
  const Isolation how{policy.deadline, stop, "", {}};
  if (rung == Rung::reap) return reap(host, how);
  if (rung == Rung::advise) return advise(policy, how);
  if (rung == Rung::evict) return evict(host, policy, how, left);
  if (takes_steps(rung)) {
    return write_back_and_reclaim(host, rung, seen, policy, how);
  }
  return drop(host, rung, policy.sync, how);
}

Result<nanoseconds> mitigation::drop_caches(const Host& host, Rung rung, nanoseconds deadline) {
  return drop(host, rung, {}, {deadline, -1, "", {}});
}

}  // namespace cgctl
