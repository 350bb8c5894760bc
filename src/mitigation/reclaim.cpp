// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/reclaim.hpp"

#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "mitigation/control_file.hpp"

namespace cgctl::detail {
namespace {

/// Number of writes in a row that may free no zombie before reclaim stops: the kernel skips a
/// recently used page once.
constexpr unsigned patience = 4;
constexpr std::size_t most_ancestors = 8;
constexpr std::uint64_t smallest_chunk = std::uint64_t{256} << 10;

/// A cgroup to reclaim from. run() is called in the isolated child, so it makes system calls only.
class Reclaimer {
 public:
  /// `bytes` is the most that the zombies can hold.
  Reclaimer(UniqueFd control, UniqueFd stat, std::uint64_t bytes, std::uint64_t largest_chunk)
      : control_(std::move(control)),
        stat_(std::move(stat)),
        chunk_(std::clamp(bytes, std::min(smallest_chunk, largest_chunk), largest_chunk)),
        limit_(std::max(bytes, chunk_) * patience),
        gentle_text_(std::to_string(chunk_) + " swappiness=0"),
        plain_text_(std::to_string(chunk_)) {}

  [[nodiscard]] int run() const noexcept {
    std::int64_t dying = count();
    unsigned useless = 0;
    const std::string* text = &gentle_text_;
    for (std::uint64_t asked = 0; dying > 0 && useless < patience && asked < limit_;
         asked += chunk_) {
      // EAGAIN means that less was reclaimed than asked for, which is also progress.
      int error = write_control(control_.get(), *text);
      if (error == EINVAL && text != &plain_text_) {
        text = &plain_text_;
        error = write_control(control_.get(), *text);
      }
      if (error != 0 && error != EAGAIN) return error;
      constexpr timespec moment{0, 20'000'000};
      ::nanosleep(&moment, nullptr);
      const std::int64_t left = count();
      useless = left < dying ? 0 : useless + 1;
      dying = left;
    }
    return dying < 0 ? static_cast<int>(-dying) : 0;
  }

 private:
  /// Returns the number of zombies; 0 for a removed cgroup; a negated errno if the file cannot be
  /// read.
  [[nodiscard]] std::int64_t count() const noexcept {
    std::array<char, 2048> text{};
    const ssize_t got = sys::pread(stat_.get(), text.data(), text.size(), 0);
    if (got < 0) return got == -ENODEV ? 0 : got;
    const std::string_view view(text.data(), static_cast<std::size_t>(got));
    auto dying = parse::value_of(view, "nr_dying_subsys_memory");
    if (!dying) dying = parse::value_of(view, "nr_dying_descendants");
    return static_cast<std::int64_t>(dying.value_or(0));
  }

  UniqueFd control_;
  UniqueFd stat_;
  std::uint64_t chunk_;
  std::uint64_t limit_;
  std::string gentle_text_;  ///< with swappiness=0, so that no live memory is swapped out
  std::string plain_text_;
};

/// Opens the first ancestors that can be reclaimed from. If there are none, fails with the first
/// error other than a removed cgroup or a kernel without the file.
Result<std::vector<Reclaimer>> reclaimers(const Host& host,
                                          const std::vector<zombies::Ancestor>& ancestors,
                                          std::uint64_t largest_chunk) {
  std::vector<Reclaimer> found;
  std::optional<Error> failure;
  const auto note = [&failure](const Error& error) {
    const bool expected = error.kind == errc::vanished || error.kind == errc::unsupported;
    if (!expected && !failure) failure = error;
  };
  for (const zombies::Ancestor& ancestor : ancestors) {
    if (found.size() == most_ancestors || ancestor.count.value_or(0) == 0) break;
    const auto group = host.open(ancestor.path);
    if (!group) {
      note(group.error());
      continue;
    }
    auto control = group->open_file("memory.reclaim", O_WRONLY);
    auto stat = group->open_file("cgroup.stat", O_RDONLY);
    if (!control) note(control.error());
    if (!stat) note(stat.error());
    if (!control || !stat || sys::file_system(control->get()) != fs::cgroup_v2_magic) continue;
    const std::uint64_t bytes = ancestor.bytes.value_or(*ancestor.count * smallest_chunk);
    found.emplace_back(std::move(*control), std::move(*stat), bytes, largest_chunk);
  }
  if (found.empty() && failure) return fail(std::move(*failure));
  return found;
}

}  // namespace

Result<std::chrono::nanoseconds> reclaim(const Host& host,
                                         const std::vector<zombies::Ancestor>& ancestors,
                                         std::uint64_t chunk, Isolation how) {
  const auto chosen = reclaimers(host, ancestors, chunk);
  if (!chosen) return fail(chosen.error());
  const Hierarchy* const memory = host.find("memory");
  how.operation = "reclaim";
  how.path = fs::join(memory == nullptr ? "" : memory->mount_point, "memory.reclaim");
  if (chosen->empty()) {
    return fail(Error::make(errc::unsupported, how.operation, how.path,
                            "no cgroup with zombies below it offers memory.reclaim"));
  }
  const auto work = [&chosen]() noexcept {
    // The rung succeeds if reclaim from one cgroup succeeds.
    int first_error = 0;
    bool any = false;
    for (const Reclaimer& reclaimer : *chosen) {
      const int error = reclaimer.run();
      any = any || error == 0;
      if (first_error == 0) first_error = error;
    }
    return any ? 0 : first_error;
  };
  return run_isolated(work, how);
}

}  // namespace cgctl::detail
