// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/daemon.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/recorder.hpp"
#include "cgctl/trend.hpp"
#include "cli/json.hpp"
#include "cli/names.hpp"
#include "cli/timespec.hpp"
#include "history/points.hpp"
#include "mitigate/cgroup_series.hpp"
#include "mitigate/cpu_watch.hpp"
#include "mitigate/metrics.hpp"
#include "mitigate/metrics_server.hpp"
#include "mitigate/mitigation_run.hpp"
#include "mitigate/notify.hpp"

namespace cgctl::tool {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// Descriptor that becomes readable when something happens, until it is cleared.
class Waitable {
 public:
  explicit Waitable(int fd) : fd_(fd), error_(fd < 0 ? errno : 0) {}
  /// Returns the errno of creating the descriptor; 0 if it exists.
  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }
  void clear() const {
    std::uint64_t count = 0;
    (void)!::read(descriptor(), &count, sizeof count);
  }

 private:
  UniqueFd fd_;
  int error_;
};

/// Waitable that another thread raises.
class Event : public Waitable {
 public:
  Event() : Waitable(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  void raise() const {
    const std::uint64_t one = 1;
    (void)!::write(descriptor(), &one, sizeof one);
  }
};

/// Waitable that rings at a point in CLOCK_BOOTTIME; at once after a suspend that passed that
/// point.
class Alarm : public Waitable {
 public:
  Alarm() : Waitable(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {}
  void set(nanoseconds at) const {
    const itimerspec when{{0, 0}, to_timespec(at)};
    ::timerfd_settime(descriptor(), TFD_TIMER_ABSTIME, &when, nullptr);
  }
};

/// Runs one look at a time, in a separate thread.
class Worker {
 public:
  explicit Worker(Mitigator mitigator) : mitigator_(std::move(mitigator)) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    stop_.raise();
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] bool busy() const noexcept { return thread_.joinable(); }
  [[nodiscard]] int done_descriptor() const noexcept { return done_.descriptor(); }
  [[nodiscard]] nanoseconds started() const noexcept { return started_; }

  /// Returns the first errno of creating its events; 0 if all exist.
  [[nodiscard]] int error() const noexcept {
    return stop_.error() != 0 ? stop_.error() : done_.error();
  }
  /// Starts a look. Fails if no thread can be started, because of the limit of processes.
  [[nodiscard]] Status start(const mitigation::Policy& policy, Urgency urgency) {
    try {
      thread_ = std::thread([this, policy, urgency] {
        work(policy, urgency);
        done_.raise();
      });
    } catch (const std::system_error& error) {
      return fail(Error::system("start a thread", "", error.code().value(),
                                "raise the limit of processes (pids.max, ulimit -u)"));
    }
    started_ = boottime();
    return {};
  }
  /// Returns the result; to be called once done_descriptor() is readable.
  Result<Report> finish() {
    thread_.join();
    done_.clear();
    auto result = std::exchange(result_, std::nullopt);
    if (result) return std::move(*result);
    return fail(Error::system("look", "", ENOMEM, "raise the limit (ulimit -v, memory.max)"));
  }
  /// Cancels the work; returns false if it does not end within the time.
  [[nodiscard]] bool stop_within(milliseconds time) {
    stop_.raise();
    if (!busy()) return true;
    pollfd done{done_.descriptor(), POLLIN, 0};
    return ::poll(&done, 1, static_cast<int>(time.count())) == 1;
  }

  /// Returns the mitigator; to be used only while the worker is not busy.
  [[nodiscard]] Mitigator& mitigator() noexcept { return mitigator_; }

 private:
  Result<Report> look(const mitigation::Policy& policy, Urgency urgency) {
    try {
      return mitigator_.run(policy, urgency, stop_.descriptor());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      return fail(Error::make(errc::invalid_argument, "look", "", error.what()));
    }
  }
  void work(const mitigation::Policy& policy, Urgency urgency) noexcept {
    try {
      result_ = look(policy, urgency);
    } catch (...) {
      // Creating an error needs memory too: finish() does it.
    }
  }

  Mitigator mitigator_;
  Event stop_;
  Event done_;
  nanoseconds started_{};
  std::optional<Result<Report>> result_;  // empty while busy, and if memory ran out
  std::thread thread_;
};

class Daemon {
 public:
  Daemon(const Globals& globals, Overrides overrides, Configuration configuration,
         Mitigator mitigator, std::optional<MetricsServer> server, int signals)
      : globals_(globals),
        names_(resolver_for(globals)),
        overrides_(std::move(overrides)),
        configuration_(std::move(configuration)),
        worker_(std::move(mitigator)),
        server_(std::move(server)),
        signals_(signals) {}

  Exit run();

 private:
  [[nodiscard]] Status ready() const;
  [[nodiscard]] Status turn();
  enum Source { signalled, ticked, verifying, done, asked, came_or_went, sampled, sources };

  void handle_signal();
  void look(Urgency urgency);
  void look_again();
  void take_result();
  void verify();
  void log(const Report& report);
  void log_change(const Report& report);
  void reload();
  [[nodiscard]] bool serve_at(const std::string& address);
  void record();
  void follow();
  void watch_cpus();
  void poll_cpus();
  [[nodiscard]] Result<recorder::Ledger> collect();
  [[nodiscard]] recorder::Ledger newest_records();
  void show_metrics(const Report& report, const recorder::Ledger& ledger);
  void open_trend();
  void remember(const Report& report, const recorder::Ledger& ledger);
  [[nodiscard]] nanoseconds jitter();
  [[nodiscard]] nanoseconds next_look();
  [[nodiscard]] int poll_time() const;
  void feed_watchdog();
  Exit leave();

  const Globals& globals_;
  names::Resolver names_;
  Overrides overrides_;
  Configuration configuration_;
  Worker worker_;
  std::optional<MetricsServer> server_;
  std::optional<recorder::Watch> watch_;  ///< records where the kernel cannot
  std::optional<CpuWatch> cpus_;
  std::optional<trend::Ring> trend_;  ///< see `cgctl history`
  int signals_;
  Alarm tick_;
  Alarm verification_;
  Alarm sample_;  ///< for cpus_
  std::minstd_rand random_{std::random_device{}()};
  std::optional<Report> to_verify_;  ///< report that waits for its refaults
  std::string metrics_;              // empty until the first look is over
  std::string last_said_;
  std::string last_failure_;  ///< of a collection
  std::string last_trend_failure_;
  std::optional<std::chrono::microseconds> watchdog_ = watchdog_time();
  nanoseconds last_look_ = boottime();
  bool look_at_once_ = false;
  bool leaving_ = false;
};

nanoseconds Daemon::jitter() {
  const auto most = std::chrono::duration_cast<milliseconds>(configuration_.jitter).count();
  std::uniform_int_distribution<std::int64_t> spread(0, most);
  return milliseconds(spread(random_));
}

nanoseconds Daemon::next_look() { return boottime() + configuration_.interval + jitter(); }

/// Reaps children: rungs that did not end at their deadline, and orphans if the daemon is PID 1.
void reap_children() {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

void Daemon::look(Urgency urgency) {
  tick_.set(next_look());
  if (worker_.busy()) return;
  reap_children();
  if (auto status = worker_.start(configuration_.policy, urgency); !status) {
    warn(message_of(status.error()));
    notify("STATUS=" + message_of(status.error()));
  }
}

/// Handles SIGUSR1: looks at once, or as soon as the present look ends.
void Daemon::look_again() {
  look_at_once_ = worker_.busy();
  if (!look_at_once_) look(Urgency::at_once);
}

void Daemon::log(const Report& report) {
  print(globals_, std::string_view(json_line_of(report, names_)));
  std::fflush(stdout);
}

/// Logs a decision without an action, once until the decision changes.
void Daemon::log_change(const Report& report) {
  const std::string said(mitigation::to_string(report.plan.decision));
  if (said == last_said_) return;
  last_said_ = said;
  log(report);
}

/// Starts the recording, if the configuration asks for it. Watches the directories where the kernel
/// cannot record.
void Daemon::record() {
  if (!configuration_.record) watch_.reset();
  if (!configuration_.record || watch_) return;
  const Host& host = worker_.mitigator().host();
  const auto status = recorder::start(host);
  if (status) return;
  warn(message_of(status.error()));
  auto watch = recorder::Watch::start(host);
  if (!watch) return warn(message_of(watch.error()));
  watch_ = std::move(*watch);
  warn("the daemon watches the directories instead (inotify): releases are not recorded");
  follow();
}

/// Notes the cgroups that were removed. A reason why that fails ends the watch.
void Daemon::follow() {
  const std::size_t before = watch_->unwatched();
  const auto status = watch_->follow();
  if (!status) {
    warn(message_of(status.error()));
    return watch_.reset();
  }
  if (before == 0 && watch_->unwatched() != 0) {
    warn("too many directories to watch: some removals are not recorded");
  }
}

/// Starts the watch of the CPUs, if the configuration asks for it.
void Daemon::watch_cpus() {
  if (!configuration_.watch_cpus) cpus_.reset();
  if (!configuration_.watch_cpus || cpus_) return;
  auto watch = CpuWatch::start(worker_.mitigator().host());
  if (!watch) return warn(message_of(watch.error()));
  cpus_ = std::move(*watch);
  sample_.set(boottime() + CpuWatch::interval);
}

void Daemon::poll_cpus() {
  sample_.clear();
  if (!cpus_) return;
  cpus_->poll();
  sample_.set(boottime() + CpuWatch::interval);
}

Result<recorder::Ledger> Daemon::collect() {
  const Host& host = worker_.mitigator().host();
  if (watch_) return watch_->collect(host, configuration_.state_dir);
  return recorder::collect(host, configuration_.state_dir);
}

/// Moves the records to the ledger. If that fails, reports each reason once.
recorder::Ledger Daemon::newest_records() {
  if (configuration_.record) {
    auto ledger = collect();
    if (ledger) return std::move(*ledger);
    const std::string why = message_of(ledger.error());
    if (why != std::exchange(last_failure_, why)) warn(why);
  }
  const Host& host = worker_.mitigator().host();
  return recorder::peek(host, configuration_.state_dir).value_or(recorder::Ledger());
}

void Daemon::open_trend() {
  auto ring = trend::Ring::open(configuration_.state_dir);
  if (!ring) return warn(message_of(ring.error()));
  if (!ring->warning().empty()) warn(ring->warning());
  trend_ = std::move(*ring);
}

/// Adds the look to the file that `cgctl history` shows. If that fails, reports each reason once.
void Daemon::remember(const Report& report, const recorder::Ledger& ledger) {
  if (!trend_) return;
  const auto status = trend_->add(point_of(report, worker_.mitigator().history(), ledger));
  const std::string why = status ? std::string() : message_of(status.error());
  if (why != std::exchange(last_trend_failure_, why) && !why.empty()) warn(why);
}

void Daemon::show_metrics(const Report& report, const recorder::Ledger& ledger) {
  metrics_ = metrics_text(report.outcome ? report.outcome->after : report.before, report.plan,
                          worker_.mitigator().history(), ledger, configuration_,
                          std::chrono::system_clock::now(), names_);
  if (cpus_) {
    metrics_ += metrics_text(cpus_->figures());
    cpus_->end_look();
  }
  metrics_ += cgroup_series(worker_.mitigator().host(), configuration_.cgroup_series, names_);
  if (configuration_.metrics_file.empty()) return;
  if (auto status = fs::write_output(configuration_.metrics_file, metrics_); !status) {
    warn(message_of(status.error()));
  }
}

void Daemon::take_result() {
  last_look_ = boottime();
  auto report = worker_.finish();
  if (!report) {
    warn(message_of(report.error()));
    notify("STATUS=" + message_of(report.error()));
  } else {
    notify(fmt::format("STATUS={}: {}", decision_of(*report), report->plan.reason));
    warn_of(*report);
    const recorder::Ledger ledger = newest_records();
    show_metrics(*report, ledger);
    remember(*report, ledger);
    if (!report->outcome) {
      log_change(*report);
    } else {
      last_said_.clear();
      if (!report->outcome->status) warn(message_of(report->outcome->status.error()));
      verify();
      to_verify_ = std::move(*report);
      const auto wait = configuration_.refaults_after;
      if (wait.count() == 0 || leaving_) {
        log(*std::exchange(to_verify_, std::nullopt));
      } else {
        verification_.set(boottime() + wait);
      }
    }
  }
  if (std::exchange(look_at_once_, false) && !leaving_) look_again();
}

/// Logs an action, now that its refaults are known.
void Daemon::verify() {
  verification_.clear();
  if (!to_verify_) return;
  const auto report = std::exchange(to_verify_, std::nullopt);
  Report whole = *report;
  add_refaults(worker_.mitigator().host(), whole);
  log(whole);
}

/// Warns if other hosts can read the metrics.
void warn_of_readers(const std::string& address) {
  const auto parsed = listen_address(address);
  if (!parsed || parsed->loopback) return;
  warn(fmt::format("listen at {}: whoever reaches this port can read the metrics", address));
}

/// Returns false if the new address cannot be used; the old server then keeps running.
bool Daemon::serve_at(const std::string& address) {
  if (address.empty()) {
    server_.reset();
    return true;
  }
  auto server = MetricsServer::listen(address);
  if (!server) {
    warn(message_of(server.error()));
    return false;
  }
  warn_of_readers(address);
  server_.emplace(std::move(*server));
  return true;
}

void Daemon::reload() {
  notify("RELOADING=1");
  auto fresh = configure(overrides_, Use::daemon);
  if (!fresh) {
    warn("the daemon keeps its old configuration: " + message_of(fresh.error()));
  } else {
    if (fresh->listen != configuration_.listen && !serve_at(fresh->listen)) {
      fresh->listen = configuration_.listen;
    }
    if (fresh->state_dir != configuration_.state_dir) {
      warn("the new state_dir takes effect only after a restart");
    }
    configuration_ = std::move(*fresh);
    record();
    watch_cpus();
    tick_.set(next_look());
  }
  notify("READY=1");
}

void Daemon::handle_signal() {
  signalfd_siginfo info{};
  if (::read(signals_, &info, sizeof info) != sizeof info) return;
  switch (static_cast<int>(info.ssi_signo)) {
    case SIGHUP:
      reload();
      break;
    case SIGUSR1:
      look_again();
      break;
    default:
      leaving_ = true;
  }
}

int Daemon::poll_time() const {
  if (!watchdog_) return -1;
  return static_cast<int>(std::chrono::duration_cast<milliseconds>(*watchdog_ / 2).count());
}

/// Feeds the watchdog, unless a look takes longer than the deadlines of all rungs or none has begun
/// for long.
void Daemon::feed_watchdog() {
  const mitigation::Policy& policy = configuration_.policy;
  const nanoseconds longest =
      (policy.deadline + policy.settle_limit) * mitigation::rung_count + std::chrono::minutes(1);
  const nanoseconds idle = configuration_.interval + configuration_.jitter;
  const auto now = boottime();
  const bool alive =
      worker_.busy() ? now - worker_.started() < longest : now - last_look_ < idle + longest;
  if (alive) notify("WATCHDOG=1");
}

Exit Daemon::leave() {
  notify("STOPPING=1");
  if (!worker_.stop_within(milliseconds(800))) {
    // Files on disk are complete at any moment; the lock ends with the process.
    server_.reset();
    std::fflush(nullptr);
    ::_exit(0);
  }
  if (worker_.busy()) take_result();
  if (to_verify_) log(*std::exchange(to_verify_, std::nullopt));
  if (auto status = worker_.mitigator().save(); !status) {
    return report(status.error());
  }
  return Exit::done;
}

/// Returns the error if a descriptor that wakes the daemon could not be created.
Status Daemon::ready() const {
  for (const int error : {worker_.error(), tick_.error(), verification_.error(), sample_.error()}) {
    if (error != 0) return fail(fs::system_error("start the daemon", "", error));
  }
  return {};
}

/// Waits for an event and handles it.
Status Daemon::turn() {
  std::array<pollfd, sources> wait{};
  wait[signalled] = {signals_, POLLIN, 0};
  wait[ticked] = {tick_.descriptor(), POLLIN, 0};
  wait[verifying] = {verification_.descriptor(), POLLIN, 0};
  wait[done] = {worker_.done_descriptor(), POLLIN, 0};
  wait[asked] = {server_ ? server_->descriptor() : -1, POLLIN, 0};
  wait[came_or_went] = {watch_ ? watch_->descriptor() : -1, POLLIN, 0};
  wait[sampled] = {sample_.descriptor(), POLLIN, 0};
  if (::poll(wait.data(), wait.size(), poll_time()) < 0 && errno != EINTR) {
    return fail(Error::system("wait", "", errno));
  }
  if (wait[done].revents != 0) take_result();
  if (wait[verifying].revents != 0) verify();
  if (wait[ticked].revents != 0) {
    tick_.clear();
    look(Urgency::as_configured);
  }
  if (wait[asked].revents != 0 && server_) server_->serve(metrics_);
  if (wait[came_or_went].revents != 0 && watch_) follow();
  if (wait[sampled].revents != 0) poll_cpus();
  if (wait[signalled].revents != 0) handle_signal();
  if (watchdog_) feed_watchdog();
  return {};
}

Exit Daemon::run() {
  if (auto status = ready(); !status) return report(status.error());
  record();
  watch_cpus();
  open_trend();
  // Nodes that are started together must not act together.
  tick_.set(boottime() + jitter());
  notify("READY=1");
  while (!leaving_) {
    try {
      if (auto status = turn(); !status) return report(status.error());
    } catch (const std::bad_alloc&) {
      std::fputs("cgctl: out of memory; the next look may find more\n", stderr);
    }
  }
  return leave();
}

}  // namespace

Exit run_daemon(const Globals& globals, const Host& host, const Overrides& overrides) {
  auto configuration = configure(overrides, Use::daemon);
  if (!configuration) return report(configuration.error());
  auto mitigator = Mitigator::open(host, configuration->state_dir);
  if (!mitigator) return report(mitigator.error());
  std::optional<MetricsServer> server;
  if (!configuration->listen.empty()) {
    auto listening = MetricsServer::listen(configuration->listen);
    if (!listening) return report(listening.error());
    warn_of_readers(configuration->listen);
    server.emplace(std::move(*listening));
  }
  // Signals are blocked before the second thread starts, which inherits the mask.
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set{};
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return report(fs::system_error("start the daemon", "", errno));
  Daemon daemon(globals, overrides, std::move(*configuration), std::move(*mitigator),
                std::move(server), signals.get());
  return daemon.run();
}

}  // namespace cgctl::tool
