// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "holds/grouping.hpp"

#include <utility>

namespace cgctl::holds {
namespace {

/// Gap between two samples up to which interrupts may have been off, and the one from which they
/// were, in intervals.
constexpr Time longest_gap = std::chrono::seconds(2);
constexpr int usual_gap = 3;
/// Gap, in intervals, for which another task may have had the CPU during one call.
constexpr int longest_interruption = 2;

/// True for the marks in a callchain that tell where the kernel's part begins
/// (PERF_CONTEXT_KERNEL, ...).
bool is_mark(std::uint64_t address) noexcept {
  constexpr std::uint64_t marks = 4096;
  return address > ~marks;
}

/// True if a group may begin with this sample. The idle task has neither a number nor registers of
/// a program. A thread of the kernel counts only inside a known function.
bool begins(const Sample& sample) noexcept {
  if (!sample.kernel) return false;
  return sample.entry != 0 || (sample.pid != 0 && sample.cause != Cause::other);
}

bool is_idle(const Sample& sample) noexcept {
  return sample.kernel && sample.pid == 0 && sample.tid == 0 && sample.entry == 0;
}

/// Notes the chain of the first sample, and how much of it a later sample shares.
void compare_chains(const Sample& sample, Group& group) noexcept {
  const bool first = group.samples == 0;
  std::size_t depth = 0;
  for (std::size_t i = sample.depth; i > 0 && depth < group.chain.size(); --i) {
    const std::uint64_t address = sample.chain[i - 1];
    if (is_mark(address)) continue;
    if (first) group.chain[depth] = address;
    if (!first && (depth >= group.common || group.chain[depth] != address)) break;
    ++depth;
  }
  if (first) group.depth = depth;
  group.common = depth;
}

}  // namespace

void classify(const Symbols& symbols, const std::uint64_t* chain, std::size_t length,
              Sample& out) noexcept {
  bool innermost = true;
  for (std::size_t i = 0; i < length; ++i) {
    if (is_mark(chain[i])) continue;
    // Other addresses are those to which calls return, which may be the next function's.
    const std::uint16_t place = symbols.find(innermost ? chain[i] : chain[i] - 1);
    innermost = false;
    if (place == Symbols::none) continue;
    const Cause cause = symbols[place].cause;
    if (cause == Cause::other) {
      out.call = place;
    } else if (cause <= out.cause) {
      out.cause = cause;
      out.function = place;
    }
  }
}

Cause Group::cause() const noexcept {
  for (std::size_t i = 0; i < of_cause.size(); ++i) {
    if (of_cause[i] * 2 >= samples) return static_cast<Cause>(i);
  }
  return Cause::other;
}

std::uint64_t Group::address() const noexcept {
  if (depth == 0) return 0;
  // All addresses but the innermost one are those to which calls return.
  const std::size_t place = std::min(common, depth - 1);
  return chain[place] - (place + 1 < depth ? 1U : 0U);
}

Grouping::Gap Grouping::gap_before(const Sample& sample) noexcept {
  const Time previous = std::exchange(latest_, sample.at);
  const std::uint64_t switches = sample.switches - std::exchange(switches_, sample.switches);
  if (is_idle(sample)) idle_seen_ = true;
  if (previous == Time{}) return {};
  return {sample.at - previous, switches};
}

bool Grouping::continues(const Sample& sample, Gap gap) const noexcept {
  if (present_.samples == 0 || !sample.kernel || sample.tid != present_.tid ||
      sample.pid != present_.pid || sample.entry != present_.entry) {
    return false;
  }
  if (sample.entry == 0) return gap.time <= usual_gap * interval_ && sample.cause != Cause::other;
  // The timer cannot sample while the kernel keeps interrupts off, so that one call may have a gap:
  // then the CPU did not go to another task. If it did, the task may have slept between two calls.
  return gap.time <= (gap.switches == 0 ? longest_gap : longest_interruption * interval_);
}

/// Returns the time at which the work of a group's first sample began. A timer that came due while
/// interrupts were off samples the task that switches them on again. So a gap between the samples
/// of the CPU, of whatever task, belongs to the function in which it ends. But some virtual CPUs
/// are not sampled while they are idle. There a gap with two switches may be idle time.
Time Grouping::beginning_of(const Sample& sample, Gap gap) const noexcept {
  const bool off = sample.cause != Cause::other && gap.time > usual_gap * interval_ &&
                   gap.time <= longest_gap && (idle_seen_ || gap.switches <= 1);
  return off ? sample.at - gap.time + interval_ : sample.at;
}

void Grouping::extend(const Sample& sample) noexcept {
  const auto cause = static_cast<std::size_t>(sample.cause);
  present_.last = sample.at;
  compare_chains(sample, present_);
  ++present_.samples;
  if (present_.of_cause[cause]++ == 0) present_.functions[cause] = sample.function;
  if (present_.call == Symbols::none) present_.call = sample.call;
}

bool Grouping::add(const Sample& sample, Group& ended) noexcept {
  const Gap gap = gap_before(sample);
  if (continues(sample, gap)) {
    extend(sample);
    return false;
  }
  const bool any = close(ended);
  if (!begins(sample)) return any;
  present_.first = beginning_of(sample, gap);
  present_.pid = sample.pid;
  present_.tid = sample.tid;
  present_.entry = sample.entry;
  present_.argument = sample.argument;
  extend(sample);
  return any;
}

bool Grouping::end(Group& ended) noexcept {
  latest_ = {};
  return close(ended);
}

bool Grouping::close(Group& ended) noexcept {
  if (present_.samples == 0) return false;
  ended = std::exchange(present_, Group{});
  return true;
}

}  // namespace cgctl::holds
