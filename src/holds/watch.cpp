// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <time.h>

#include <cerrno>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/holds.hpp"
#include "cgctl/parse.hpp"
#include "holds/counters.hpp"
#include "holds/event.hpp"
#include "holds/grouping.hpp"
#include "holds/names.hpp"
#include "holds/net_rx.hpp"
#include "holds/queue.hpp"
#include "holds/sentinels.hpp"
#include "holds/symbols.hpp"
#include "holds/totals.hpp"
#include "recorder/tracefs.hpp"

namespace cgctl::holds {
namespace {

Time monotonic() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// Returns the numbers of the CPUs that are online.
Result<std::vector<Cpu>> online_cpus(const Host& host) {
  const auto text = fs::read_in_root(host.roots().sys, "devices/system/cpu/online");
  if (!text) return fail(text.error());
  std::vector<Cpu> cpus;
  parse::ranges(*text, [&cpus](std::uint64_t first, std::uint64_t last) {
    constexpr std::size_t most = 1U << 13U;
    for (std::uint64_t number = first; number <= last && cpus.size() < most; ++number) {
      cpus.emplace_back().cpu = static_cast<std::uint32_t>(number);
    }
  });
  return cpus;
}

/// Returns the number of a tracepoint.
Result<std::uint64_t> tracepoint(const recorder::Tracefs& tracefs, const char* path) {
  const auto text = recorder::read_file(tracefs.directory.get(), tracefs.shown, path);
  if (!text) return fail(text.error());
  const auto number = parse::whole_number(*text);
  if (number) return *number;
  return fail(Error::make(errc::malformed, "read", fs::join(tracefs.shown, path),
                          "the number of a tracepoint is expected"));
}

Result<Tracepoints> net_rx_tracepoints(const Host& host) {
  const auto tracefs = recorder::open_tracefs(host);
  if (!tracefs) return fail(tracefs.error());
  const auto raise = tracepoint(*tracefs, "events/irq/softirq_raise/id");
  if (!raise) return fail(raise.error());
  const auto entry = tracepoint(*tracefs, "events/irq/softirq_entry/id");
  if (!entry) return fail(entry.error());
  return Tracepoints{*raise, *entry};
}

}  // namespace

class Watch::State {
 public:
  /// One CPU's events.
  struct Watched {
    explicit Watched(Time interval) noexcept : grouping(interval) {}
    Event samples;
    NetRx net_rx;
    CpuSentinel sentinel;
    Grouping grouping;
    Task task;  // of the present group, if that is named
  };

  State(const Host& host, const Settings& settings, std::vector<Cpu> cpus)
      : host_(host),
        settings_(settings),
        cpus_(std::move(cpus)),
        names_(host),
        holds_(settings.most),
        waits_(settings.most) {}

  Status start(const Host& host);
  void poll() noexcept;
  void stop() noexcept;

  Host host_;
  std::uint64_t forgotten_ = 0;
  Missing missing_;
  Time started_{};
  Time polled_{};
  Settings settings_;
  std::vector<Cpu> cpus_;
  std::vector<Watched> watched_;
  Symbols symbols_;
  Names names_;
  Counters counters_;
  Totals totals_;
  Queue<Hold> holds_;
  Queue<Wait> waits_;

 private:
  Status start_sampling();
  void start_tracing(const Host& host);
  void drain_samples(std::size_t place) noexcept;
  void post_sentinels();
  void drain_waits(std::size_t place) noexcept;
  void note_wait(Cpu& cpu, Wait::Kind kind, Time start, Time end) noexcept;
  void finish(std::size_t place, const Group& group) noexcept;
  void name(Watched& watched, const Group& group) noexcept;
  void describe(const Group& group, Task& task) const noexcept;
  void keep(const Hold& hold) noexcept;

  Time counted_{};
  Time now_{};
  bool stopped_ = false;
};

Status Watch::State::start(const Host& host) {
  auto symbols = Symbols::read(host);
  if (symbols) symbols_ = std::move(*symbols);
  if (!symbols) missing_.symbols = symbols.error();
  watched_.reserve(cpus_.size());
  for (std::size_t i = 0; i < cpus_.size(); ++i) watched_.emplace_back(settings_.interval);
  if (auto status = start_sampling(); !status) return status;
  start_tracing(host);
  auto counters = Counters::open(host, cpus_);
  if (counters) counters_ = std::move(*counters);
  if (!counters) missing_.counters = counters.error();
  started_ = polled_ = counted_ = monotonic();
  for (const Watched& one : watched_) {
    if (one.samples) one.samples.enable();
  }
  return {};
}

Result<Event> open_samples(const Settings& settings, std::uint32_t cpu) {
  auto event = Event::open(sampling(settings.interval), cpu, pages_of(settings.buffer_kib));
  if (!event) return event;
  if (auto status = event->add_counter(switching(), cpu); !status) return fail(status.error());
  return event;
}

/// True if there is no hope for other CPUs either.
bool is_exhausted(const Error& error) noexcept {
  return error.os_errno == EMFILE || error.os_errno == ENFILE || error.os_errno == ENOMEM;
}

Status Watch::State::start_sampling() {
  for (std::size_t i = 0; i < cpus_.size(); ++i) {
    auto event = open_samples(settings_, cpus_[i].cpu);
    if (event) {
      watched_[i].samples = std::move(*event);
    } else if (is_exhausted(event.error())) {
      return fail(event.error());
    } else if (event.error().os_errno != ENODEV) {  // went offline
      missing_.sampling = event.error();
      return {};
    }
  }
  return {};
}

void Watch::State::start_tracing(const Host& host) {
  const auto points = net_rx_tracepoints(host);
  if (!points) missing_.net_rx = points.error();
  for (std::size_t i = 0; points && i < cpus_.size(); ++i) {
    auto traced = NetRx::open(*points, cpus_[i].cpu, settings_.buffer_kib / 2);
    if (traced) {
      watched_[i].net_rx = std::move(*traced);
    } else if (traced.error().os_errno != ENODEV) {
      missing_.net_rx = traced.error();
      break;
    }
  }
  if (missing_.net_rx && settings_.wake_up) post_sentinels();
}

void Watch::State::post_sentinels() {
  for (std::size_t i = 0; i < cpus_.size(); ++i) {
    auto sentinel = CpuSentinel::post(cpus_[i].cpu, settings_.shortest);
    if (!sentinel) {
      missing_.wake_up = sentinel.error();
      return;
    }
    watched_[i].sentinel = std::move(*sentinel);
  }
}

void Watch::State::describe(const Group& group, Task& task) const noexcept {
  task.cause = group.cause();
  task.pid = group.pid;
  task.tid = group.tid;
  const std::uint16_t function = group.functions[static_cast<std::size_t>(task.cause)];
  task.address = group.address();
  if (task.cause != Cause::other) task.function = symbols_.name(function);
  if (group.call != Symbols::none) task.call = symbols_.name(group.call);
}

void Watch::State::name(Watched& watched, const Group& group) noexcept {
  watched.task = Task{};
  describe(group, watched.task);
  names_.name(watched.task, now_);
  names_.name_file(watched.task, group.argument);
}

void Watch::State::keep(const Hold& hold) noexcept {
  if (!holds_.push(hold)) ++forgotten_;
}

void Watch::State::finish(std::size_t place, const Group& group) noexcept {
  Cpu& cpu = cpus_[place];
  Watched& watched = watched_[place];
  const Time half = settings_.interval / 2;
  Hold hold;
  hold.start = group.first - half;
  hold.end = group.last + half;
  hold.cpu = cpu.cpu;
  hold.samples = group.samples;
  const bool is_long = hold.length() >= settings_.shortest;
  const Cause cause = group.cause();
  if (cause == Cause::other && !is_long) return;
  // The samples since the task was named may have another cause.
  if (!group.named || watched.task.cause != cause) name(watched, group);
  hold.task = watched.task;
  hold.task.address = group.address();
  totals_.add(hold, is_long);
  if (is_long) keep(hold);
  if (is_long) watched.net_rx.suspect(now_);
  if (cause == Cause::other) return;
  cpu.held += hold.length();
  cpu.longest_hold = std::max(cpu.longest_hold, hold.length());
}

void Watch::State::drain_samples(std::size_t place) noexcept {
  Cpu& cpu = cpus_[place];
  Watched& watched = watched_[place];
  Group ended;
  watched.samples.drain(
      [&](const perf_event_header& header, const std::uint64_t* words, std::size_t count) {
        Sample sample;
        bool any = false;
        if (header.type == PERF_RECORD_LOST) {
          if (count > 1) cpu.lost += words[1];
          any = watched.grouping.end(ended);
        } else if (header.type == PERF_RECORD_THROTTLE) {  // the kernel pauses the samples
          any = watched.grouping.end(ended);
        } else if (header.type == PERF_RECORD_SAMPLE &&
                   read_sample(header, words, count, symbols_, sample)) {
          ++cpu.samples;
          any = watched.grouping.add(sample, ended);
        }
        if (any) finish(place, ended);
      });
  // A task is named while it lives, if its call may last.
  Group& present = watched.grouping.present();
  constexpr std::uint32_t enough = 2;
  if (present.samples >= enough && !present.named) {
    name(watched, present);
    present.named = true;
  }
}

void Watch::State::note_wait(Cpu& cpu, Wait::Kind kind, Time start, Time end) noexcept {
  const Wait wait{kind, cpu.cpu, start, end};
  cpu.longest_wait = std::max(cpu.longest_wait.value_or(Time{}), wait.length());
  if (wait.length() < settings_.shortest) return;
  ++cpu.waits;
  if (!waits_.push(wait)) ++forgotten_;
}

void Watch::State::drain_waits(std::size_t place) noexcept {
  Cpu& cpu = cpus_[place];
  Watched& watched = watched_[place];
  if (watched.net_rx.open()) {
    watched.net_rx.drain(now_, now_ - polled_, [&](Time start, Time end) {
      note_wait(cpu, Wait::Kind::net_rx, start, end);
    });
  }
  if (watched.sentinel.posted()) {
    watched.sentinel.drain(
        [&](Time start, Time end) { note_wait(cpu, Wait::Kind::wake_up, start, end); });
    cpu.longest_wait = std::max(cpu.longest_wait.value_or(Time{}), watched.sentinel.longest());
  }
}

void Watch::State::poll() noexcept {
  constexpr std::uint32_t lookups = 32;  // about 15 us each
  if (stopped_) return;
  now_ = monotonic();
  names_.allow(lookups);
  for (std::size_t i = 0; i < cpus_.size(); ++i) {
    drain_samples(i);
    drain_waits(i);
  }
  if (now_ - counted_ >= std::chrono::seconds(1)) {
    counters_.update(cpus_);
    counted_ = now_;
  }
  polled_ = now_;
}

void Watch::State::stop() noexcept {
  if (stopped_) return;
  for (Watched& one : watched_) {
    if (one.samples) one.samples.disable();
  }
  poll();
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    Group ended;
    if (watched_[i].grouping.end(ended)) finish(i, ended);
    watched_[i].net_rx.switch_to(false);
  }
  counters_.update(cpus_);
  stopped_ = true;
}

Watch::Watch(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Watch::Watch(Watch&& other) noexcept = default;
Watch& Watch::operator=(Watch&& other) noexcept = default;
Watch::~Watch() = default;

Result<Watch> Watch::start(const Host& host, const Settings& settings) {
  if (!host.live()) {
    return fail(Error::make(errc::unsupported, "watch the CPUs", host.roots().proc,
                            "this is not the running kernel"));
  }
  auto cpus = online_cpus(host);
  if (!cpus) return fail(cpus.error());
  auto state = std::make_unique<State>(host, settings, std::move(*cpus));
  if (auto status = state->start(host); !status) return fail(status.error());
  return Watch(std::move(state));
}

void Watch::poll() noexcept { state_->poll(); }
void Watch::stop() noexcept { state_->stop(); }
bool Watch::next(Hold& out) noexcept { return state_->holds_.pop(out); }
bool Watch::next(Wait& out) noexcept { return state_->waits_.pop(out); }
const std::vector<Cpu>& Watch::cpus() const noexcept { return state_->cpus_; }
void Watch::name_functions(std::vector<Hold>& holds, std::vector<Total>& totals) const {
  FunctionNames names;
  const auto ask = [&names](const Task& task) {
    if (task.function.empty() && task.address != 0) names.ask(task.address);
  };
  const auto answer = [&names](Task& task) {
    if (task.function.empty()) task.function = names.at(task.address);
  };
  for (const Total& one : totals) ask(one.task);
  for (const Hold& one : holds) ask(one.task);
  if (!names.read(state_->host_)) return;
  for (Total& one : totals) answer(one.task);
  for (Hold& one : holds) answer(one.task);
}
std::vector<Total> Watch::totals() const { return state_->totals_.sorted(); }
std::uint64_t Watch::forgotten() const noexcept { return state_->forgotten_; }
const Missing& Watch::missing() const noexcept { return state_->missing_; }
Time Watch::started() const noexcept { return state_->started_; }
Time Watch::polled() const noexcept { return state_->polled_; }

std::string_view to_string(Cause cause) noexcept {
  constexpr std::array<std::string_view, cause_count> names = {
      "numa_stat", "memory_stat",   "drop_caches", "slab_shrinker",
      "flush",     "memory_cgroup", "cgroup_file", "other"};
  return names[static_cast<std::size_t>(cause)];
}

}  // namespace cgctl::holds
