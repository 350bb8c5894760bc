// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <string>

#include "cpu/plan.hpp"

namespace cgctl::cpu::detail {
namespace {

constexpr std::int64_t one = std::int64_t{1} << 20;

/// A sequence of writes to the runtime and period files, each with the value that undoes it.
class Way {
 public:
  explicit Way(const RealTime& from) : at_(from) {}

  void runtime(microseconds to) { write("cpu.rt_runtime_us", at_.runtime, to); }
  void period(microseconds to) { write("cpu.rt_period_us", at_.period, to); }
  [[nodiscard]] const RealTime& at() const { return at_; }
  std::vector<settings::Setting> take() { return std::move(settings_); }

 private:
  void write(const char* file, microseconds& now, microseconds to) {
    if (now == to) return;
    settings_.push_back({file, std::to_string(to.count()), std::to_string(now.count())});
    now = to;
  }

  RealTime at_;
  std::vector<settings::Setting> settings_;
};

/// Returns value * by / of, rounded up or down.
microseconds scaled(microseconds value, std::int64_t by, std::int64_t of, bool up) {
  const double exact =
      static_cast<double>(value.count()) * static_cast<double>(by) / static_cast<double>(of);
  return microseconds(static_cast<std::int64_t>(up ? std::ceil(exact) : std::floor(exact)));
}

/// Moves the period step by step to the wanted one: each step first writes a runtime and then the
/// period as far as that runtime allows. Returns false if it gets no further.
bool walk(Way& way, const RealTime& next, const RealTimeRoom& room) {
  constexpr int most_steps = 64;
  for (int step = 0; way.at().period != next.period; ++step) {
    const microseconds period = way.at().period;
    const bool grows = next.period > period;
    const microseconds runtime = scaled(period, grows ? room.most : room.least, one, !grows);
    microseconds reached = next.period;
    if (grows && room.least > 0) {
      reached = std::min(reached, scaled(runtime, one, room.least, false));
    } else if (!grows) {
      reached = std::max(reached, scaled(runtime, one, room.most, true));
    }
    if (reached == period || (reached > period) != grows || step == most_steps) return false;
    way.runtime(runtime);
    way.period(reached);
  }
  return true;
}

}  // namespace

std::int64_t ratio(microseconds runtime, microseconds period) {
  return static_cast<std::int64_t>(static_cast<double>(runtime.count()) /
                                   static_cast<double>(period.count()) * static_cast<double>(one));
}

bool fits(const RealTime& budget, const RealTimeRoom& room) {
  if (budget.period <= microseconds(0)) return false;
  const std::int64_t found = ratio(budget.runtime, budget.period);
  return budget.runtime <= budget.period && room.least <= found && found <= room.most;
}

std::vector<settings::Setting> real_time_steps(const RealTime& now, const RealTime& next,
                                               const RealTimeRoom& room) {
  const RealTime runtime_first{next.runtime, now.period};
  const RealTime period_first{now.runtime, next.period};
  // If both orders fit, the one with the smaller budget in between is used.
  const bool less = ratio(next.runtime, now.period) <= ratio(now.runtime, next.period);
  const bool by_period =
      fits(less ? runtime_first : period_first, room) ? !less : less && fits(period_first, room);
  Way way(now);
  const bool ends_fit = fits(now, room) && fits(next, room);
  const bool direct = fits(by_period ? period_first : runtime_first, room);
  if (!direct && ends_fit && walk(way, next, room)) {
    way.runtime(next.runtime);
    return way.take();
  }
  Way simple(now);
  if (by_period) simple.period(next.period);
  simple.runtime(next.runtime);
  simple.period(next.period);
  return simple.take();
}

}  // namespace cgctl::cpu::detail
