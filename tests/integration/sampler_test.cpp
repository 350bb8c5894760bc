// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/sampler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/census.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_snapshot.hpp"
#include "real_cgroups.hpp"

namespace sampler_test {

using namespace cgctl;
using namespace std::chrono_literals;
using test::must;

/// The figures of a sample that the tests compare.
struct Seen {
  std::optional<std::chrono::nanoseconds> usage;
  std::optional<double> cpus;
  std::optional<std::uint64_t> memory;
  std::optional<std::uint64_t> anonymous;
};

/// True if two samples have the same figures. CPU time may differ, if both have it.
bool alike(const std::map<std::string, Seen>& a, const std::map<std::string, Seen>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.memory == y.second.memory &&
           x.second.anonymous == y.second.anonymous &&
           x.second.usage.has_value() == y.second.usage.has_value();
  });
}

std::optional<std::uint64_t> anonymous(const memory::Stat& stat) {
  return stat[memory::Key::anon] ? stat[memory::Key::anon] : stat[memory::Key::rss];
}

/// Memory figures of a cgroup, read from its files.
struct Figures {
  memory::State state;
  std::optional<std::uint64_t> anonymous;
};

Figures figures(const Group& group) {
  return {must(memory::Controller{group}.state()), anonymous(must(memory::stat(group)))};
}

/// Repeats `look` until the figures of a cgroup are the same before and after it, and returns them.
/// The kernel counts on each CPU and adds up later, `memory.stat` every two seconds.
Figures still(const Group& group, const std::function<void()>& look) {
  Figures after;
  const auto moving = test::persist(100, [&]() -> std::string {
    const Figures before = figures(group);
    look();
    after = figures(group);
    const bool same =
        before.state.usage == after.state.usage && before.anonymous == after.anonymous;
    return same ? "" : "moving: bytes in use " + std::to_string(after.state.usage.value_or(0));
  });
  EXPECT_EQ(moving, "");
  return after;
}

class RealSampler : public test::RealCgroups {
 protected:
  [[nodiscard]] Group create(const std::string& below) const {
    return must(Group::create(host(), path(below)));
  }
  [[nodiscard]] Sampler sampler(std::optional<std::size_t> descriptors = {}) const {
    return must(Sampler::open(host(), path(), {descriptors}));
  }
  static std::map<std::string, Seen> take(Sampler& sampler) {
    std::map<std::string, Seen> all;
    sampler.sample([&](const Sample& sample) { keep(sample, all); });
    return all;
  }
  static void keep(const Sample& sample, std::map<std::string, Seen>& all) {
    const auto anon = sample.memory_stat ? anonymous(*sample.memory_stat) : std::nullopt;
    const bool added =
        all.emplace(sample.path, Seen{sample.cpu.usage, sample.cpus, sample.memory_usage, anon})
            .second;
    EXPECT_TRUE(added) << sample.path;
  }
  /// Uses that much CPU time.
  static void burn(std::chrono::nanoseconds time) {
    const auto used = [] {
      timespec now{};
      ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
      return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
    };
    for (const auto end = used() + time; used() < end;) {
    }
  }
};

TEST_F(RealSampler, EqualsTheFilesOfEachCgroup) {
  const auto a = create("a");
  const auto b = create("a/b");
  const test::Tenant tenant(directory("a/b"), [] {
    std::vector<char> memory(8U << 20U, 'x');
    return memory[4096] == 'x' && ::setsid() >= 0 ? 0 : 1;
  });
  std::map<std::string, Seen> seen;
  const Figures figures = still(b, [&] {
    auto sampler = this->sampler();
    EXPECT_EQ(sampler.size(), 3U);
    seen = take(sampler);
  });
  ASSERT_EQ(seen.count(path("a")), 1U);
  ASSERT_EQ(seen.count(path("a/b")), 1U);
  EXPECT_EQ(seen.at(path("a/b")).anonymous, figures.anonymous);
  EXPECT_EQ(seen.at(path("a/b")).memory, figures.state.usage);
  EXPECT_EQ(seen.at(path("a/b")).usage.has_value(), must(cpu::stat(b)).usage.has_value());
  EXPECT_FALSE(seen.at(path("a/b")).cpus) << "there is no earlier sample";
}

TEST_F(RealSampler, SaysHowManyCpusAreUsedBetweenTwoSamples) {
  const auto busy = create("busy");
  const auto quiet = create("quiet");
  if (!must(cpu::stat(busy)).usage)
    return test::skip("no controller counts the CPU time of a cgroup");
  auto sampler = this->sampler();
  const auto start = std::chrono::steady_clock::now();
  (void)take(sampler);
  EXPECT_EQ(test::in_child([&]() -> std::string {
              if (const auto status = busy.attach(0); !status) return status.error().message();
              burn(200ms);
              return {};
            }),
            "");
  const auto seen = take(sampler);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(seen.at(path("busy")).cpus);
  // Other processes may have the CPU meanwhile.
  EXPECT_GT(*seen.at(path("busy")).cpus * elapsed.count(), 0.18);
  EXPECT_LT(*seen.at(path("busy")).cpus * elapsed.count(), 0.4);
  EXPECT_LT(seen.at(path("quiet")).cpus.value_or(0), 0.1);
}

TEST_F(RealSampler, SkippingIdleCgroupsMissesNoCpuTime) {
  const auto busy = create("a/busy");
  const auto quiet = create("b/quiet");
  if (!must(cpu::stat(busy)).usage)
    return test::skip("no controller counts the CPU time of a cgroup");
  Sampler::Config config;
  config.skip_idle = true;
  auto sampler = must(Sampler::open(host(), path(), config));
  (void)take(sampler);
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(test::in_child([&]() -> std::string {
                if (const auto status = busy.attach(0); !status) return status.error().message();
                burn(20ms);
                return {};
              }),
              "");
    const auto least = must(cpu::stat(busy)).usage;
    const auto seen = take(sampler);
    EXPECT_GE(seen.at(path("a/busy")).usage, least);
    EXPECT_LE(seen.at(path("a/busy")).usage, must(cpu::stat(busy)).usage);
    EXPECT_EQ(seen.at(path("b/quiet")).usage, must(cpu::stat(quiet)).usage);
    EXPECT_GT(seen.at(path("a/busy")).cpus.value_or(0), 0);
    EXPECT_EQ(take(sampler).size(), 5U) << "skipped cgroups are visited too";
  }
}

TEST_F(RealSampler, NoticesNewAndRemovedCgroups) {
  const auto stays = create("stays");
  const auto goes = create("goes");
  auto sampler = this->sampler();
  EXPECT_EQ(take(sampler).size(), 3U);
  const std::size_t kept = sampler.descriptors();

  ASSERT_TRUE(goes.remove());
  EXPECT_EQ(take(sampler).count(path("goes")), 0U) << "left out before the refresh";
  EXPECT_EQ(sampler.size(), 3U);
  ASSERT_TRUE(sampler.refresh());
  EXPECT_EQ(sampler.size(), 2U);
  EXPECT_LT(sampler.descriptors(), kept);

  const auto comes = create("comes");
  const auto again = create("goes");
  ASSERT_TRUE(sampler.refresh());
  const auto seen = take(sampler);
  EXPECT_EQ(seen.size(), 4U);
  EXPECT_TRUE(seen.at(path("comes")).memory);
  EXPECT_TRUE(seen.at(path("goes")).memory);

  // Here the cgroup is removed and created again between two refreshes.
  ASSERT_TRUE(again.remove());
  const auto third = create("goes");
  (void)take(sampler);
  ASSERT_TRUE(sampler.refresh());
  EXPECT_TRUE(take(sampler).at(path("goes")).memory);
}

TEST_F(RealSampler, SamplesMoreCgroupsThanItHasDescriptors) {
  std::vector<Group> groups;
  for (int i = 0; i < 20; ++i) groups.push_back(create("g" + std::to_string(i)));
  auto all = sampler();
  auto few = sampler(10);
  auto none = sampler(0);
  EXPECT_EQ(few.descriptors(), 10U);
  EXPECT_EQ(none.descriptors(), 0U);
  EXPECT_EQ(take(all).size(), 21U);
  for (Sampler* sampler : {&few, &none}) {
    // The kernel uncharges removed cgroups late, so the figures can differ for a while.
    bool same = false;
    for (int attempt = 0; attempt < 100 && !same; ++attempt) {
      same = alike(take(all), take(*sampler));
      if (!same) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_TRUE(same) << sampler->descriptors() << " descriptors";
  }
  // The sampler uses descriptors that removed cgroups have freed.
  for (int i = 0; i < 19; ++i) ASSERT_TRUE(groups.at(static_cast<std::size_t>(i)).remove());
  ASSERT_TRUE(few.refresh());
  EXPECT_EQ(few.size(), 2U);
  EXPECT_LE(few.descriptors(), 8U);
  EXPECT_EQ(take(few).size(), 2U);
}

/// Leaves this process only `left` descriptors that it can still open.
class FewDescriptors {
 public:
  explicit FewDescriptors(std::size_t left) {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit tight{std::min<rlim_t>(before_.rlim_max, 1000), before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
    taken_.reserve(1000);
    for (UniqueFd fd(::dup(0)); fd; fd = UniqueFd(::dup(0))) taken_.push_back(std::move(fd));
    EXPECT_GT(taken_.size(), left);
    taken_.resize(taken_.size() - left);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_{};
  std::vector<UniqueFd> taken_;
};

TEST_F(RealSampler, OpensByNameWhatTheKernelRefusesToKeepOpen) {
  std::vector<Group> groups;
  for (int i = 0; i < 20; ++i) groups.push_back(create("g" + std::to_string(i)));
  constexpr std::size_t left = 40;
  std::optional<FewDescriptors> tight(left);
  auto greedy = Sampler::open(host(), path(), {1000});
  const std::size_t seen_when_tight = greedy ? take(*greedy).size() : 0;
  tight.reset();
  ASSERT_TRUE(greedy) << greedy.error().message();
  EXPECT_EQ(seen_when_tight, 21U);
  EXPECT_GT(greedy->descriptors(), 0U);
  EXPECT_LT(greedy->descriptors(), left);
  ASSERT_TRUE(greedy->refresh());
  EXPECT_EQ(take(*greedy).size(), 21U);
}

TEST_F(RealSampler, ClosesKeptDescriptorsToWalkADeepHierarchy) {
  constexpr std::size_t depth = 31;
  std::string below = "deep";
  for (std::size_t i = 0; i < depth; ++i, below += "/deep") (void)create(below);
  std::optional<FewDescriptors> tight(56);
  auto greedy = Sampler::open(host(), path(), {1000});
  std::vector<Status> refreshed;
  std::vector<std::size_t> seen;
  for (int i = 0; greedy && i < 3; ++i) {
    refreshed.push_back(greedy->refresh());
    seen.push_back(take(*greedy).size());
  }
  const std::size_t kept = greedy ? greedy->descriptors() : 0;
  tight.reset();
  ASSERT_TRUE(greedy) << greedy.error().message();
  for (const Status& status : refreshed) EXPECT_TRUE(test::ok(status));
  EXPECT_THAT(seen, ::testing::Each(depth + 1));
  EXPECT_GT(kept, 0U) << "it closed more descriptors than necessary";
}

TEST_F(RealSampler, SaysThatItCouldNotReadWithoutADescriptor) {
  for (int i = 0; i < 5; ++i) (void)create("g" + std::to_string(i));
  auto sampler = this->sampler(0);
  const auto sample = [&sampler] {
    std::size_t seen = 0;
    const std::size_t unread = sampler.sample([&seen](const Sample&) { ++seen; });
    return std::pair(seen, unread);
  };
  EXPECT_EQ(sample(), std::pair(std::size_t{6}, std::size_t{0}));
  std::optional<FewDescriptors> tight(0);
  const auto [seen, unread] = sample();
  tight.reset();
  EXPECT_EQ(seen, 0U);
  EXPECT_EQ(unread, 6U);
  EXPECT_EQ(sample(), std::pair(std::size_t{6}, std::size_t{0}));
}

TEST_F(RealSampler, TreatsARecreatedCgroupAsNew) {
  const auto use = [](const Group& group, double seconds) {
    EXPECT_EQ(test::in_child([&]() -> std::string {
                if (const auto status = group.attach(0); !status) return status.error().message();
                while (static_cast<double>(std::clock()) < seconds * CLOCKS_PER_SEC) {
                }
                return {};
              }),
              "");
  };
  for (const std::optional<std::size_t> descriptors : {std::optional<std::size_t>(), {0}}) {
    for (const bool refreshes : {true, false}) {
      SCOPED_TRACE(std::string(descriptors ? "opened by name" : "kept open") +
                   (refreshes ? ", with a refresh" : ""));
      auto group = create("again");
      if (!must(cpu::stat(group)).usage) return test::skip("no controller counts CPU time");
      auto sampler = this->sampler(descriptors);
      use(group, 0.05);
      (void)take(sampler);
      ASSERT_TRUE(test::ok(group.remove()));
      group = create("again");
      use(group, 0.2);
      if (refreshes) {
        ASSERT_TRUE(test::ok(sampler.refresh()));
      }
      auto seen = take(sampler);
      ASSERT_EQ(seen.count(path("again")), 1U) << "the new cgroup is there";
      EXPECT_GT(seen.at(path("again")).usage.value_or(0ns).count(), 150'000'000);
      EXPECT_FALSE(seen.at(path("again")).cpus) << "it does not count what its predecessor used";
      EXPECT_TRUE(seen.at(path("again")).memory);
      use(group, 0.05);
      seen = take(sampler);
      EXPECT_GT(seen.at(path("again")).cpus.value_or(0), 0);
      ASSERT_TRUE(test::ok(sampler.refresh()));
      EXPECT_EQ(take(sampler).count(path("again")), 1U);
      EXPECT_EQ(sampler.descriptors() > 0, !descriptors);
      ASSERT_TRUE(test::ok(group.remove()));
    }
  }
}

TEST_F(RealSampler, GivesEachCgroupToOneThread) {
  std::vector<Group> groups;
  for (int i = 0; i < 21; ++i) groups.push_back(create("g" + std::to_string(i)));
  auto sampler = this->sampler();
  constexpr std::size_t parts = 3;
  std::array<Sampler::Scratch, parts> scratch;
  std::array<std::map<std::string, Seen>, parts> seen;
  std::vector<std::thread> threads;
  for (std::size_t part = 0; part < parts; ++part) {
    threads.emplace_back([&, part] {
      sampler.sample(scratch.at(part), part, parts,
                     [&](const Sample& sample) { keep(sample, seen.at(part)); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<std::string, Seen> all;
  for (auto& part : seen) {
    EXPECT_GT(part.size(), 5U);
    all.merge(part);
    EXPECT_TRUE(part.empty()) << "two threads sampled the same cgroup";
  }
  EXPECT_EQ(all.size(), 22U);
}

TEST_F(RealSampler, SaysWhenThereIsNoSuchCgroup) {
  const auto missing = Sampler::open(host(), path("no-such"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, errc::vanished);
  const auto outside = Sampler::open(host(), "/../..");
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().kind, errc::outside);
}

class RealSamplerByCensus : public RealSampler {
 protected:
  using Lines = std::map<std::string, std::uint64_t>;
  struct Memory {
    std::optional<std::uint64_t> usage;
    Lines lines;
  };

  void SetUp() override {
    RealSampler::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!test::kernel_is_at_least(5, 10))
      return test::skip("BPF programs run on demand since 5.10");
    if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) return test::skip("the kernel has no BTF");
  }
  [[nodiscard]] Sampler open(Sampler::Config::Memory memory) const {
    Sampler::Config config;
    config.memory = memory;
    return must(Sampler::open(host(), path(), config));
  }
  [[nodiscard]] Sampler by_census() const { return open(Sampler::Config::Memory::census); }
  [[nodiscard]] Sampler by_files() const { return open(Sampler::Config::Memory::files); }

  static std::map<std::string, Memory> memory_of(Sampler& sampler) {
    std::map<std::string, Memory> all;
    EXPECT_EQ(sampler.sample([&all](const Sample& sample) {
      Memory& memory = all[std::string(sample.path)];
      memory.usage = sample.memory_usage;
      sample.memory_stat->each([&memory](std::string_view name, std::uint64_t value) {
        memory.lines.emplace(name, value);
      });
    }),
              0U);
    return all;
  }
  /// True if the lines are a census's: it has far fewer than the file.
  static bool counted(const Memory& memory) { return memory.lines.size() <= census::counters; }
};

/// Returns what two sources of the same cgroups' figures tell differently.
template <class All>
std::string difference(const All& census, const All& files) {
  if (census.size() != files.size()) return "other cgroups";
  std::string differences;
  for (const auto& [path, counted] : census) {
    const auto& read = files.at(path);
    if (counted.usage != read.usage) differences += path + ": usage; ";
    for (const auto& [name, value] : counted.lines) {
      const auto line = read.lines.find(name);
      const bool same = line != read.lines.end() && line->second == value;
      if (!same) differences += path + ": " + name + " " + std::to_string(value) + "; ";
    }
  }
  return differences;
}

TEST_F(RealSamplerByCensus, HasTheFiguresOfTheFiles) {
  for (int i = 0; i < 10; ++i) (void)create("g" + std::to_string(i));
  (void)create("g3/inner");
  const test::Tenant tenant(directory("g3/inner"), [] {
    static const std::vector<char> memory(8U << 20U, 'x');  // as long as the process lives
    return memory[4096] == 'x' && ::setsid() >= 0 ? 0 : 1;
  });
  auto census = by_census();
  auto files = by_files();
  EXPECT_EQ(census.memory_source(), MemorySource::census);
  EXPECT_EQ(files.memory_source(), MemorySource::files);
  EXPECT_LT(census.descriptors(), files.descriptors());
  EXPECT_EQ(test::persist(200,
                          [&]() -> std::string {
                            const auto counted = memory_of(census);
                            return difference(counted, memory_of(files));
                          }),
            "");
  const auto inner = memory_of(census).at(path("g3/inner"));
  EXPECT_TRUE(counted(inner));
  EXPECT_GE(inner.usage.value_or(0), 8U << 20U);
  const auto line = inner.lines.find(v2() ? "inactive_anon" : "total_inactive_anon");
  ASSERT_NE(line, inner.lines.end());
}

TEST_F(RealSamplerByCensus, FollowsCgroupsThatComeAndGo) {
  const auto stays = create("stays");
  auto goes = create("goes");
  auto sampler = by_census();
  EXPECT_EQ(memory_of(sampler).size(), 3U);
  ASSERT_TRUE(test::ok(goes.remove()));
  EXPECT_EQ(memory_of(sampler).count(path("goes")), 0U) << "left out before the refresh";

  goes = create("goes");
  EXPECT_TRUE(memory_of(sampler).at(path("goes")).usage) << "another one, read from its files";
  (void)create("comes");
  ASSERT_TRUE(test::ok(sampler.refresh()));
  const auto seen = memory_of(sampler);
  EXPECT_EQ(seen.size(), 4U);
  EXPECT_TRUE(counted(seen.at(path("stays"))));
  EXPECT_TRUE(counted(seen.at(path("comes"))));
  ASSERT_TRUE(test::ok(sampler.refresh()));
  EXPECT_TRUE(counted(memory_of(sampler).at(path("goes"))));
}

TEST_F(RealSamplerByCensus, GathersOnceForSeveralThreads) {
  for (int i = 0; i < 6; ++i) (void)create("g" + std::to_string(i));
  auto sampler = by_census();
  ASSERT_TRUE(test::ok(sampler.gather()));
  std::array<Sampler::Scratch, 2> scratch;
  std::array<std::size_t, 2> seen{};
  std::vector<std::thread> threads;
  for (std::size_t part = 0; part < seen.size(); ++part) {
    threads.emplace_back([&, part] {
      sampler.sample(scratch.at(part), part, seen.size(), [&seen, part](const Sample& sample) {
        if (sample.memory_usage && sample.memory_stat != nullptr) ++seen.at(part);
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seen[0] + seen[1], 7U);
}

TEST_F(RealSamplerByCensus, IsChosenForManyCgroups) {
  EXPECT_EQ(open(Sampler::Config::Memory::cheapest).memory_source(), MemorySource::files);
  // Half of all memory cgroups of the host: the others may come and go.
  const auto others = must(must(census::Census::open(host())).count());
  const std::uint64_t most = std::max<std::uint64_t>(99, others.live + others.dead);
  for (std::uint64_t i = 0; i < most; ++i) (void)create("g" + std::to_string(i));
  std::optional<Sampler> sampler;
  EXPECT_EQ(test::persist(50,
                          [&]() -> std::string {
                            sampler = open(Sampler::Config::Memory::cheapest);
                            return sampler->memory_source() == MemorySource::census ? "" : "files";
                          }),
            "");
  EXPECT_EQ(memory_of(*sampler).size(), most + 1);
}

class RealSnapshot : public RealSampler {};

TEST_F(RealSnapshot, EqualsTheFiles) {
  const auto group = create("a");
  const test::Tenant tenant(directory("a"), [] {
    std::vector<char> memory(8U << 20U, 'x');
    return memory[4096] == 'x' ? 0 : 1;
  });
  const auto reader = must(memory::SnapshotReader::open(group));
  memory::Snapshot seen;
  const auto [state, anon] = still(group, [&] { ASSERT_TRUE(reader.read(seen)); });
  EXPECT_EQ(seen.memory.usage, state.usage);
  EXPECT_EQ(seen.memory.peak, state.peak);
  EXPECT_EQ(seen.memory.max, state.max);
  EXPECT_EQ(seen.memory.failcnt, state.failcnt);
  EXPECT_EQ(seen.swap.usage, state.swap_usage);
  EXPECT_EQ(seen.swap.max, state.swap_max);
  EXPECT_EQ(seen.memsw.usage, state.memsw_usage);
  EXPECT_EQ(seen.memsw.max, state.memsw_max);
  EXPECT_EQ(anonymous(seen.stat), anon);
  EXPECT_EQ(seen.use_hierarchy.has_value(), !v2());
  const auto kernel = group.read("memory.kmem.limit_in_bytes");
  EXPECT_EQ(seen.kernel.max.has_value(), kernel.has_value());

  const memory::Limit limit{64U << 20U};
  memory::Change change;
  change.max = limit;
  ASSERT_TRUE(memory::Controller{group}.set(change));
  ASSERT_TRUE(reader.read(seen));
  EXPECT_EQ(seen.memory.max, limit);
}

TEST_F(RealSnapshot, FailsAsVanishedAfterTheRemoval) {
  const auto group = create("a");
  const auto reader = must(memory::SnapshotReader::open(group));
  ASSERT_TRUE(group.remove());
  memory::Snapshot seen;
  const auto status = reader.read(seen);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::vanished);
}

}  // namespace sampler_test
