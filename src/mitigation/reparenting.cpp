// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/reparenting.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include "cgctl/detail/sys.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/isolated.hpp"

namespace cgctl::detail {
namespace {

using namespace std::chrono_literals;

/// Charges one page of the in-memory file `file` to `group`, by a process that is in it briefly.
Status charge_page(const Group& group, int file) {
  const auto processes = group.open_file("cgroup.procs", O_WRONLY);
  if (!processes) return fail(processes.error());
  const auto work = [control = processes->get(), file]() noexcept {
    const char page[1] = {};
    if (sys::write(control, "0", 1) != 1) return EIO;
    return sys::write(file, page, sizeof page) == sizeof page ? 0 : EIO;
  };
  const auto done = run_isolated(work, {5s, -1, "probe", group.path()});
  if (!done) return fail(done.error());
  return {};
}

std::optional<bool> ask(const Group& above, const Group& group) {
  const UniqueFd file(::memfd_create("cgctl", MFD_CLOEXEC));
  if (!file || !charge_page(group, file.get())) return std::nullopt;
  Removal how;
  how.pages = Removal::Pages::leave;
  if (!group.remove(how)) return std::nullopt;
  const auto give_up = std::chrono::steady_clock::now() + 1s;
  for (;;) {
    const auto stat = above.read("cgroup.stat");
    const auto dying = stat ? parse::value_of(*stat, "nr_dying_descendants") : std::nullopt;
    if (!dying) return std::nullopt;
    if (*dying == 0) return true;
    if (std::chrono::steady_clock::now() >= give_up) return false;
    std::this_thread::sleep_for(10ms);
  }
}

}  // namespace

std::optional<bool> reparents_pages(const Host& host) {
  const Hierarchy* const memory = host.find("memory");
  if (memory == nullptr || memory->version != Version::v2 || !host.live()) return std::nullopt;
  const std::string path = "/cgctl-probe-" + std::to_string(::getpid());
  Removal all;
  all.below = Removal::Below::remove;
  // A killed process with the same PID (1 in a container) may have left the cgroup behind.
  if (const auto left = host.open(path)) (void)left->remove(all);
  Creation how;
  how.controllers = {"memory"};
  const auto group = Group::create(host, path + "/held", how);
  if (!group) return std::nullopt;
  const auto above = host.open(path);
  const auto answer = above ? ask(*above, *group) : std::nullopt;
  if (above) (void)above->remove(all);
  return answer;
}

}  // namespace cgctl::detail
