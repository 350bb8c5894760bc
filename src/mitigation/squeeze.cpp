// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/squeeze.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "detail/kernel_release.hpp"
#include "detail/shared_memory.hpp"
#include "mitigation/kernel_count.hpp"
#include "mitigation/steps.hpp"
#include "mitigation/subtrees.hpp"
#include "mitigation/swap_guard.hpp"
#include "zombies/subtree_pages.hpp"

namespace cgctl::detail {
namespace {

using mitigation::Observation;
using mitigation::Policy;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr const char* squeezing = "squeeze";
constexpr const char* trigger_file = "memory.force_empty";

/// The figures of all rounds, which the isolated child hands to its parent.
struct Squeezed {
  nanoseconds longest_delay{};
  bool too_slow = false;  ///< true if the delay ended the rounds
  bool freed_any = false;
};

nanoseconds steady_now() noexcept { return std::chrono::steady_clock::now().time_since_epoch(); }

/// Lets SIGPROF end the calling process after `time` on a CPU. The timer's interrupt does it on the
/// CPU where the process runs, whatever else this CPU has to do.
void end_after(nanoseconds time) noexcept {
  constexpr nanoseconds second = std::chrono::seconds(1);
  sigset_t over;
  ::sigemptyset(&over);
  ::sigaddset(&over, SIGPROF);
  ::signal(SIGPROF, SIG_DFL);
  ::sigprocmask(SIG_UNBLOCK, &over, nullptr);
  itimerval timer{};
  timer.it_value.tv_sec = static_cast<::time_t>(time / second);
  timer.it_value.tv_usec =
      static_cast<::suseconds_t>(duration_cast<std::chrono::microseconds>(time % second).count());
  ::setitimer(ITIMER_PROF, &timer, nullptr);
}

/// A process that writes to memory.force_empty for a limited time. Signals end it at once, because
/// it has no handlers.
class Writer {
 public:
  Writer(int file, nanoseconds longest) noexcept {
    const pid_t parent = ::getpid();
    process_ = ::fork();
    if (process_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(EINTR);
    end_after(longest);
    const ssize_t done = sys::write(file, "0", 1);
    ::_exit(done < 0 ? static_cast<int>(-done) : 0);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() = default;

  [[nodiscard]] bool failed() const noexcept { return process_ < 0; }
  /// True once it has ended; `status` becomes its status for waitpid(2).
  [[nodiscard]] bool ended(int& status) const noexcept {
    const pid_t done = ::waitpid(process_, &status, WNOHANG);
    return done == process_ || (done < 0 && errno != EINTR);
  }
  void end() const noexcept { ::kill(process_, SIGKILL); }

 private:
  pid_t process_ = -1;
};

/// Sleeps briefly. Returns how much longer it took: the time that a task on this CPU had to wait.
nanoseconds doze() noexcept {
  constexpr timespec moment{0, 50'000};
  const nanoseconds start = steady_now();
  ::nanosleep(&moment, nullptr);
  return steady_now() - start - nanoseconds(moment.tv_nsec);
}

/// The budgets of one round, see Policy.
struct Budgets {
  nanoseconds time{};
  nanoseconds delay{};
};

/// One cgroup to squeeze. All but the constructor is called in the isolated child, so it makes
/// system calls only.
class Subtree {
 public:
  /// `kernel` is memory.kmem.usage_in_bytes, or no file.
  Subtree(UniqueFd trigger, UniqueFd usage, UniqueFd kernel, Steps::Limits limits)
      : trigger_(std::move(trigger)),
        usage_(std::move(usage)),
        kernel_(std::move(kernel)),
        limits_(std::move(limits)) {}

  /// Returns 0 or an errno.
  [[nodiscard]] int run(const Budgets& budgets, nanoseconds still_for, KernelCount& zombies,
                        Squeezed& figures) const noexcept {
    Steps steps(limits_, zombies.left());
    unsigned slow = 0;
    int error = 0;
    while (error == 0 && steps.go_on() && !figures.too_slow) {
      nanoseconds delay{};
      const std::int64_t before = usage();
      error = round(before, steps.next(), budgets, delay);
      const std::int64_t after = usage();
      if (before < 0 || after < 0) return ENODEV;
      steps.note(static_cast<std::uint64_t>(std::max<std::int64_t>(before - after, 0)),
                 zombies.settle(still_for));
      figures.longest_delay = std::max(figures.longest_delay, delay);
      figures.freed_any = figures.freed_any || steps.freed_any();
      if (delay > budgets.delay) figures.too_slow = ++slow == patience;
    }
    return error;
  }

 private:
  /// Number of rounds that may delay others: one may be by chance.
  static constexpr unsigned patience = 2;

  /// Makes the usage fall by `bytes`. The kernel can take gigabytes in a second, so the first
  /// writer has an eighth of the time, and each one after a writer that came to nothing twice as
  /// long.
  [[nodiscard]] int round(std::int64_t before, std::uint64_t bytes, const Budgets& budgets,
                          nanoseconds& delay) const noexcept {
    const std::int64_t enough = before - static_cast<std::int64_t>(bytes);
    const std::int64_t some = before - static_cast<std::int64_t>(bytes / 4);
    for (nanoseconds time = budgets.time / 8;; time *= 2) {
      const bool last = time >= budgets.time;
      const Writer writer(trigger_.get(), std::min(time, budgets.time));
      if (writer.failed()) return errno;
      const int status = watch(writer, enough, budgets, delay);
      if (WIFEXITED(status)) return WEXITSTATUS(status);
      if (last || usage() <= some || delay > budgets.delay) return 0;
    }
  }

  /// Waits for the end of the writer, and ends it once the usage has fallen to `enough`, another
  /// task had to wait too long, or it takes far more time than it may be on a CPU. Returns its
  /// status.
  [[nodiscard]] int watch(const Writer& writer, std::int64_t enough, const Budgets& budgets,
                          nanoseconds& delay) const noexcept {
    constexpr int far_more = 10;
    const nanoseconds end = steady_now() + far_more * budgets.time;
    int status = 0;
    for (bool told = false; !writer.ended(status);) {
      told = told || usage() <= enough || delay > budgets.delay || steady_now() > end;
      if (told) writer.end();
      delay = std::max(delay, doze());
    }
    return status;
  }

  /// Returns the bytes of pages: one counter less another one, for which the kernel visits no
  /// cgroup. The kernel's own memory is left out, because that of a freed zombie, which is more
  /// than its page, is charged to the cgroup above it. -1 if the cgroup was removed.
  [[nodiscard]] std::int64_t usage() const noexcept {
    const std::int64_t all = number_in(usage_);
    return all < 0 ? all : all - std::clamp<std::int64_t>(number_in(kernel_), 0, all);
  }

  /// Returns a file's number; -1 if it cannot be read.
  [[nodiscard]] static std::int64_t number_in(const UniqueFd& file) noexcept {
    std::array<char, 32> text{};
    const ssize_t got = sys::pread(file.get(), text.data(), text.size(), 0);
    if (got <= 0) return -1;
    std::string_view view(text.data(), static_cast<std::size_t>(got));
    std::uint64_t number = 0;
    return parse::number(view, number) ? static_cast<std::int64_t>(number) : -1;
  }

  UniqueFd trigger_;
  UniqueFd usage_;
  UniqueFd kernel_;
  Steps::Limits limits_;
};

/// Knows whether charges are hierarchical: memory.use_hierarchy is 1, or the kernel lacks the file.
/// Since Linux 5.11 they always are, and later kernels may drop it. The kernel keeps the file at 1
/// below a cgroup that has 1 (mem_cgroup_hierarchy_write() in mm/memcontrol.c).
class Hierarchies {
 public:
  Hierarchies(const Host& host, std::vector<Error>& unread)
      : host_(host), unread_(unread), everywhere_(read("/").value_or(false)) {}

  /// Returns nothing if the cgroup is gone or the file cannot be read.
  std::optional<bool> at(const std::string& cgroup) {
    if (everywhere_) return true;
    const auto known = known_.find(cgroup);
    if (known != known_.end()) return known->second;
    return known_.emplace(cgroup, read(cgroup)).first->second;
  }

 private:
  std::optional<bool> read(const std::string& cgroup) {
    const auto group = host_.open(cgroup);
    const auto text = group ? group->read("memory.use_hierarchy") : fail(group.error());
    if (text) return parse::whole_number(*text).value_or(0) != 0;
    if (text.error().kind == errc::unsupported) return true;
    if (text.error().kind != errc::vanished) mitigation::note_missing(unread_, text.error());
    return std::nullopt;
  }

  const Host& host_;
  std::vector<Error>& unread_;
  std::map<std::string, std::optional<bool>> known_;
  bool everywhere_;
};

/// True if this process may squeeze the cgroup.
bool has_trigger(const Host& host, const std::string& cgroup) {
  const auto group = host.open(cgroup);
  if (!group) return false;
  const auto file = group->open_file(trigger_file, O_WRONLY);
  return file && sys::file_system(file->get()) == fs::cgroup_v1_magic;
}

Error refusal(const std::string& cgroup, std::string reason, std::string hint) {
  return Error::make(errc::over_budget, squeezing, fs::join(cgroup, trigger_file),
                     std::move(reason), std::move(hint));
}

/// True where the kernel can take whole files although there is enough page cache. Since Linux 5.5
/// ("mm: vmscan: enforce inactive:active ratio at the reclaim root") reclaim from a cgroup leaves
/// the active lists of its children alone. If all pages are active, the kernel raises the priority
/// of reclaim to the strongest one and prunes inodes. Before Linux 5.16 ("vfs: keep inodes with
/// page cache off the inode shrinker LRU") an inode takes its page cache along.
bool takes_whole_files() {
  constexpr KernelRelease first(5, 5);
  constexpr KernelRelease first_without(5, 16);
  const auto release = running_kernel();
  return release && *release >= first && *release < first_without;
}

/// Returns the bytes of clean page cache on the inactive lists of a cgroup and those below: one
/// read of counters, on the kernels of takes_whole_files().
std::uint64_t idle_page_cache(const Group& group) {
  const auto stat = group.read("memory.stat");
  if (!stat) return 0;
  const auto bytes = [&stat](std::string_view key) {
    return parse::value_of(*stat, key).value_or(0);
  };
  const std::uint64_t idle = bytes("total_inactive_file");
  return idle - std::min(idle, bytes("total_dirty") + bytes("total_writeback"));
}

/// Fails where the kernel would run out of page cache to take, and take other memory.
Status check_cache(const Group& group, const std::string& path, std::uint64_t clean,
                   const Policy& policy) {
  const char* const remedy = "choose another rung, or lower Policy::least_cache";
  if (clean < policy.least_cache) {
    return fail(refusal(path,
                        fmt::format("only {} KiB of clean page cache are below this cgroup; the "
                                    "kernel would take other memory",
                                    clean >> 10),
                        remedy));
  }
  if (!takes_whole_files()) return {};
  const std::uint64_t idle = idle_page_cache(group);
  if (idle >= policy.least_cache) return {};
  return fail(refusal(path,
                      fmt::format("only {} KiB of the clean page cache below this cgroup were not "
                                  "used lately; this kernel would take whole files",
                                  idle >> 10),
                      remedy));
}

/// Fails where the kernel could swap out memory.
Status check_swap(const Host& host, const Observation& seen, const std::string& path,
                  const zombies::SubtreePages& pages) {
  const Swappable which = pages.anon == 0 ? Swappable::none : swappable(host, seen, path);
  switch (which) {
    case Swappable::none:
      return {};
    case Swappable::of_live_cgroups:
      return fail(refusal(path, "the kernel could swap out memory of live cgroups",
                          "set memory.swappiness to 0 in it and in all cgroups below, or choose "
                          "another rung"));
    case Swappable::of_zombies:
      break;
  }
  return fail(
      refusal(path,
              "the kernel could swap out memory of processes and tmpfs files that zombies "
              "below this cgroup hold: memory.swappiness of a removed cgroup cannot be read",
              "end these processes and delete these files, switch swap off, or choose "
              "another rung"));
}

Result<Subtree> open_subtree(const Host& host, const Observation& seen, const Policy& policy,
                             const zombies::Ancestor& top, const zombies::SubtreePages& pages) {
  const auto group = host.open(top.path);
  if (!group) return fail(group.error());
  if (auto status = check_cache(*group, top.path, pages.clean_file, policy); !status) {
    return fail(status.error());
  }
  if (auto status = check_swap(host, seen, top.path, pages); !status) return fail(status.error());
  auto trigger = group->open_file(trigger_file, O_WRONLY);
  if (!trigger) return fail(trigger.error());
  auto usage = group->open_file("memory.usage_in_bytes", O_RDONLY);
  if (!usage) return fail(usage.error());
  auto kernel = group->open_file("memory.kmem.usage_in_bytes", O_RDONLY);
  return Subtree(std::move(*trigger), std::move(*usage), kernel ? std::move(*kernel) : UniqueFd(),
                 Steps::limits_for(policy, pages.clean_file, held_below(seen, top)));
}

/// Opens the cgroups that can be squeezed. If there are none, fails with the first error.
Result<std::vector<Subtree>> open_subtrees(const Host& host, const Observation& seen,
                                           const Policy& policy) {
  std::vector<std::string> paths;
  for (const zombies::Ancestor& top : seen.squeezable) paths.push_back(top.path);
  const auto pages = zombies::subtree_pages(host, paths, policy.offsets_file, policy.deadline);
  if (!pages) return fail(pages.error());
  std::vector<Subtree> opened;
  std::optional<Error> failure;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    auto one = open_subtree(host, seen, policy, seen.squeezable[i], (*pages)[i]);
    if (one) {
      opened.push_back(std::move(*one));
    } else if (!failure) {
      failure = one.error();
    }
  }
  if (opened.empty() && failure) return fail(std::move(*failure));
  return opened;
}

/// Lets this process watch its writers, which are ordinary tasks: on their CPU and ahead of all
/// ordinary tasks, so that it can end a writer in time and is delayed only by the kernel, as other
/// tasks are. Returns false if that is not permitted. The process then had better be on another CPU
/// than the writer, and a delay may be due to other tasks.
bool watch_closely() noexcept {
  sched_param parameters{};
  parameters.sched_priority = 1;
  if (::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) != 0) return false;
  const int cpu = ::sched_getcpu();
  if (cpu >= 0 && cpu < CPU_SETSIZE) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    ::sched_setaffinity(0, sizeof set, &set);
  }
  return true;
}

int squeeze_all(const std::vector<Subtree>& subtrees, Budgets budgets, nanoseconds still_for,
                KernelCount& zombies, Squeezed& figures) noexcept {
  ::signal(SIGCHLD, SIG_DFL);
  if (!watch_closely()) budgets.delay = nanoseconds::max();
  int first_error = 0;
  bool any = false;
  for (const Subtree& one : subtrees) {
    const int error = one.run(budgets, still_for, zombies, figures);
    any = any || error == 0;
    if (first_error == 0) first_error = error;
    if (figures.too_slow) break;
  }
  return any ? 0 : first_error;
}

}  // namespace

Squeezable squeezable(const Host& host, const std::vector<zombies::Ancestor>& ancestors,
                      std::vector<Error>& unread) {
  if (host.find("memory")->version != Version::v1) return {};
  Hierarchies hierarchies(host, unread);
  Squeezable found;
  found.tops = subtrees(
      ancestors, [&](const std::string& path) { return hierarchies.at(path).value_or(false); });
  found.tops.erase(
      std::remove_if(found.tops.begin(), found.tops.end(),
                     [&host](const auto& top) { return !has_trigger(host, top.path); }),
      found.tops.end());
  const auto flat = std::find_if(ancestors.begin(), ancestors.end(), [&](const auto& one) {
    return one.path != "/" && !hierarchies.at(one.path).value_or(true);
  });
  if (flat != ancestors.end()) found.without_hierarchy = flat->path;
  return found;
}

Result<nanoseconds> squeeze(const Host& host, const Observation& seen, const Policy& policy,
                            Isolation how) {
  how.operation = squeezing;
  how.path = trigger_file;
  if (seen.squeezable.empty()) {
    return fail(Error::make(errc::unsupported, squeezing, trigger_file,
                            "no cgroup of v1 covers zombies with page cache; those directly below "
                            "the root, or below a cgroup with memory.use_hierarchy 0, are out of "
                            "reach"));
  }
  const auto start = std::chrono::steady_clock::now();
  const auto subtrees = open_subtrees(host, seen, policy);
  if (!subtrees) return fail(subtrees.error());
  auto zombies = KernelCount::open(host, seen.zombies.low);
  if (!zombies) return fail(zombies.error());
  const SharedMemory<Squeezed> shared;
  Squeezed* const figures = shared.get();
  if (figures == nullptr) return fail(Error::system(squeezing, trigger_file, errno));
  how.path = fs::join(seen.squeezable.front().path, trigger_file);
  how.deadline -= std::chrono::steady_clock::now() - start;
  const Budgets budgets{policy.round_time, policy.longest_delay};
  auto took = run_isolated(
      [&]() noexcept {
        return squeeze_all(*subtrees, budgets, policy.still_for, *zombies, *figures);
      },
      how);
  if (!took || !figures->too_slow || figures->freed_any) return took;
  return fail(refusal(seen.squeezable.front().path,
                      fmt::format("another task of the same CPU had to wait {} ms, longer than {} "
                                  "ms",
                                  duration_cast<milliseconds>(figures->longest_delay).count(),
                                  duration_cast<milliseconds>(policy.longest_delay).count()),
                      "raise Policy::longest_delay, or choose another rung"));
}

}  // namespace cgctl::detail
