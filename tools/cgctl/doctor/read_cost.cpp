// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/read_cost.hpp"

#include <algorithm>
#include <thread>

#include "cgctl/group.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "cli/command.hpp"

namespace cgctl::tool::doctor_command {
namespace {

using mitigation::note_missing;

constexpr unsigned most_reads = 5;
constexpr auto window_of_short_reads = std::chrono::milliseconds(50);

void spin_for(nanoseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
  }
}

/// Compares `reading` with an idle CPU and with a spinning program, for the same time each.
Known<Neighbour> compare(const Sentinel& sentinel, const WakeUpDelay& reading) {
  const nanoseconds window = std::max<nanoseconds>(reading.duration, std::chrono::milliseconds(1));
  const auto idle = sentinel.watch([window] { std::this_thread::sleep_for(window); });
  if (!idle) return because(idle.error());
  const auto spinning = sentinel.watch([window] { spin_for(window); });
  if (!spinning) return because(spinning.error());
  return Neighbour{idle->worst, spinning->worst, reading.worst,
                   window,      sentinel.cpu(),  reading.scheduling};
}

/// Makes one expensive read, to measure both its cost and the delay of other work on the CPU.
void examine_dear_read(const numa::Reader& reader, ReadCost& cost, Known<Neighbour>& neighbour) {
  Result<ReadCost::Measured> measured = fail(Error{});
  const auto read = [&] { measured = measure(reader, cost.budget, 1); };
  const auto sentinel = Sentinel::on_this_cpu();
  const auto reading = sentinel ? sentinel->watch(read) : fail(sentinel.error());
  if (!reading) read();
  if (measured) cost.measured = *measured;
  if (!measured) {
    neighbour = because(measured.error());
  } else {
    neighbour = reading ? compare(*sentinel, *reading) : because(reading.error());
  }
}

void examine_cheap_reads(const numa::Reader& reader, ReadCost& cost, Known<Neighbour>& neighbour) {
  const auto measured = measure(reader, cost.budget, most_reads);
  if (!measured) {
    neighbour = because(measured.error());
    return;
  }
  cost.measured = *measured;
  if (measured->max > cost.budget) {
    neighbour = tl::unexpected<std::string>("the first read was slow, it was not repeated");
    return;
  }
  const auto sentinel = Sentinel::on_this_cpu();
  if (!sentinel) {
    neighbour = because(sentinel.error());
    return;
  }
  const bool short_reads = measured->median < std::chrono::milliseconds(1);
  numa::NumaStat out;
  const auto reading = sentinel->watch([&] {
    const auto end = Clock::now() + window_of_short_reads;
    while (reader.read(out) && short_reads && Clock::now() < end) {
    }
  });
  neighbour = reading ? compare(*sentinel, *reading) : because(reading.error());
}

}  // namespace

Population population(const Host& host, const Known<Zombies>& zombies, Unread& unread) {
  if (zombies) return {zombies->count.kernel, zombies->count.kernel};
  Population found;
  const Hierarchy* const memory = host.find("memory");
  if (memory == nullptr) return found;
  if (memory->version == Version::v2) {
    const auto root = host.open("/");
    const auto stat = root ? root->read("cgroup.stat") : Result<std::string>(fail(root.error()));
    if (!stat) {
      note_missing(unread, stat.error());
      return found;
    }
    found.at_most = 1 + parse::value_of(*stat, "nr_descendants").value_or(0) +
                    parse::value_of(*stat, "nr_dying_descendants").value_or(0);
    found.at_least = found.at_most;
    return found;
  }
  const auto live = zombies::count_directories(memory->directory.get(), memory->mount_point);
  if (live) found = {*live, *live};
  if (!live) unread.push_back(live.error());
  for (const SubsystemRow& row : host.subsystems()) {
    if (row.name == "memory") found.at_most = std::max(found.at_most, row.num_cgroups);
  }
  return found;
}

Result<numa::Reader> reader_of(const Host& host, const std::string& path) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  return numa::Reader::open(*group);
}

Result<ReadCost::Measured> measure(const numa::Reader& reader, nanoseconds slow, unsigned most) {
  std::vector<nanoseconds> wall;
  std::vector<nanoseconds> cpu;
  numa::NumaStat out;
  while (wall.size() < most) {
    const auto cost = numa::measured_read(reader, out);
    if (!cost) return fail(cost.error());
    wall.push_back(cost->wall);
    cpu.push_back(cost->cpu);
    if (cost->wall > slow) break;
  }
  std::sort(wall.begin(), wall.end());
  std::sort(cpu.begin(), cpu.end());
  return ReadCost::Measured{wall.front(), wall[wall.size() / 2], wall.back(), cpu[cpu.size() / 2],
                            static_cast<unsigned>(wall.size())};
}

void examine_read(const Host& host, numa::CostGuard& guard, const Population& memcgs,
                  const ExamineOptions& options, Diagnosis& found) {
  const auto reader = reader_of(host, "/");
  if (!reader) {
    found.read_cost = because(reader.error());
    found.neighbour = because(reader.error());
    return;
  }
  const nanoseconds now = Clock::now().time_since_epoch();
  ReadCost cost;
  const auto leaf = numa::calibrate(host, guard, now);
  if (leaf) cost.leaf = leaf->wall;
  if (!leaf) note_missing(found.unread, leaf.error());
  cost.memcgs = memcgs.at_most;
  cost.predicted = guard.predict(memcgs.at_most);
  cost.budget = guard.config().budget;
  // Predictions are upper bounds: a read up to probe_factor above the budget is made once.
  const bool bearable = cost.predicted <= guard.config().budget * guard.config().probe_factor;
  if (guard.admit(memcgs.at_most, now)) {
    examine_cheap_reads(*reader, cost, found.neighbour);
  } else if (bearable || options.measure) {
    cost.asked_for = !bearable;
    examine_dear_read(*reader, cost, found.neighbour);
    const bool cheap = cost.measured && cost.measured->max <= cost.budget;
    if (cheap) examine_cheap_reads(*reader, cost, found.neighbour);
  } else {
    found.neighbour = tl::unexpected<std::string>("the root was not read");
  }
  found.read_cost = cost;
}

}  // namespace cgctl::tool::doctor_command
