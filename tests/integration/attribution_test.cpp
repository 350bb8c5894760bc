// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>

#include "../support/skip.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/zombies.hpp"
#include "real_cgroups.hpp"

namespace attribution_test {

using namespace cgctl;
using namespace std::chrono_literals;

constexpr zombies::AttributionLimits patient{1min, 10s, zombies::Source::memory_stat};

const zombies::Ancestor* find(const zombies::Attribution& where, std::string_view path) {
  const auto found =
      std::find_if(where.ancestors.begin(), where.ancestors.end(),
                   [&](const zombies::Ancestor& ancestor) { return ancestor.path == path; });
  return found == where.ancestors.end() ? nullptr : &*found;
}

class RealAttribution : public test::RealCgroups {
 protected:
  static constexpr std::uint64_t number = 1000;

  /// True if a few pages of a cgroup show in its ancestors. Before Linux 5.13 they appear in steps
  /// of 32 pages per CPU, and the rest of a removed cgroup's only when it is freed
  /// (memcg_flush_percpu_vmstats()).
  [[nodiscard]] bool few_pages_show() const { return v2() || test::kernel_is_at_least(5, 13); }

  [[nodiscard]] zombies::Attribution attribute() const {
    auto where = zombies::attribute(host(), patient);
    EXPECT_TRUE(where) << where.error().message();
    return where ? std::move(*where) : zombies::Attribution();
  }
  /// Returns a complaint if `number` zombies are not attributed to the cgroup `below`, else an
  /// empty text.
  [[nodiscard]] std::string complaint(const zombies::Attribution& where,
                                      std::string_view below) const {
    const zombies::Ancestor* const found = find(where, path(below));
    if (found == nullptr) return path(below) + " is not there";
    if (!found->bytes) return "its bytes are unknown";
    const std::uint64_t least = number * host().page_size();
    if (*found->bytes < least) return "only " + std::to_string(*found->bytes) + " bytes";
    if (v2() && found->count != number)
      return std::to_string(found->count.value_or(0)) + " zombies";
    if (!v2() && found->count) return "a number that v1 cannot know";
    return {};
  }
};

constexpr std::size_t cache_size = std::size_t{16} << 20;

/// Gives a live cgroup its own page cache, several times that of the zombies.
int fill_cache(const std::string& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  const std::string content(cache_size, 'x');
  const bool written =
      ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  ::close(fd);
  return written ? 0 : EIO;
}

TEST_F(RealAttribution, NamesTheCgroupWithMostZombiesFirst) {
  if (!few_pages_show())
    return test::skip("before Linux 5.13 a few pages do not show in ancestors");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  make("live");
  make("live/rich");
  const test::Tenant tenant(directory("live/rich"), [&] { return fill_cache(*files / "cache"); });
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  const auto made = maker->make(number);
  ASSERT_TRUE(made) << made.error().message();

  // The kernel adds the per-CPU parts of a cgroup's figures to its total every two seconds.
  zombies::Attribution where;
  std::string wrong;
  EXPECT_TRUE(test::eventually([&] {
    where = attribute();
    wrong = complaint(where, "zombies");
    return wrong.empty();
  })) << wrong;
  EXPECT_TRUE(where.complete);
  EXPECT_EQ(where.skipped, 0);
  EXPECT_TRUE(std::is_sorted(where.ancestors.begin(), where.ancestors.end(),
                             [](const zombies::Ancestor& a, const zombies::Ancestor& b) {
                               return std::pair(a.count.value_or(0), a.bytes.value_or(0)) >
                                      std::pair(b.count.value_or(0), b.bytes.value_or(0));
                             }));
  const auto first_of_ours = std::find_if(
      where.ancestors.begin(), where.ancestors.end(),
      [&](const zombies::Ancestor& ancestor) { return ancestor.path.rfind(path(), 0) == 0; });
  ASSERT_NE(first_of_ours, where.ancestors.end());
  EXPECT_EQ(first_of_ours->path, path("zombies"));
  const zombies::Ancestor* const live = find(where, path("live"));
  EXPECT_TRUE(live == nullptr || live->bytes.value_or(0) < (4U << 20))
      << "a live cgroup's cache is no zombie's";
}

TEST_F(RealAttribution, KeepsOddNames) {
  if (!few_pages_show())
    return test::skip("before Linux 5.13 a few pages do not show in ancestors");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files, "two  spaces, \"quotes\" and a \\");
  ASSERT_TRUE(maker) << maker.error().message();
  ASSERT_TRUE(maker->make(number));
  EXPECT_TRUE(test::eventually([&] { return find(attribute(), maker->group()) != nullptr; }));
  EXPECT_EQ(maker->group(), path("two  spaces, \"quotes\" and a \\"));
}

struct Grows {
  lab::Pin pin;
  std::uint64_t zombies::Residual::*figure;
};

class RealResidual : public RealAttribution, public ::testing::WithParamInterface<Grows> {};

TEST_P(RealResidual, GrowsByThePagesOfTheZombies) {
  if (v2()) return test::skip("on v2 the kernel counts zombies instead");
  const auto files = folder(GetParam().pin);
  if (!files) return test::skip("no folder on such a file system");
  const std::uint64_t held = number * host().page_size();
  const auto figure = [&]() -> std::uint64_t {
    const auto where = attribute();
    EXPECT_TRUE(where.residual);
    return where.residual ? *where.residual.*GetParam().figure : 0;
  };
  unsigned attempt = 0;
  const std::string wrong = test::persist(3, [&]() -> std::string {
    auto maker = zombies(GetParam().pin, *files, "zombies" + std::to_string(attempt++));
    if (!maker) return maker.error().message();
    (void)settled();
    const std::uint64_t drops = test::cache_drops();
    const std::uint64_t before = figure();
    if (const auto made = maker->make(number); !made) return made.error().message();
    std::uint64_t after = 0;
    const bool grown = test::eventually([&] {
      after = figure();
      return after >= before + held * 8 / 10 && after <= before + held * 2;
    });
    if (grown) return {};
    return std::to_string(before) + " before, " + std::to_string(after) + " after" +
           (test::cache_drops() == drops ? "" : " (somebody dropped caches)");
  });
  EXPECT_EQ(wrong, "");
}

INSTANTIATE_TEST_SUITE_P(ForEachPin, RealResidual,
                         ::testing::Values(Grows{lab::Pin::page_cache, &zombies::Residual::file},
                                           Grows{lab::Pin::tmpfs, &zombies::Residual::shmem},
                                           Grows{lab::Pin::mapped_file, &zombies::Residual::mapped},
                                           Grows{lab::Pin::mlock, &zombies::Residual::unevictable},
                                           Grows{lab::Pin::anonymous, &zombies::Residual::anon}),
                         [](const auto& parameters) {
                           std::string name(lab::to_string(parameters.param.pin));
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

TEST_F(RealAttribution, DoesNotCountPagesOfLiveCgroupsAsZombies) {
  if (v2()) return test::skip("on v2 the kernel counts zombies instead");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  make("live");
  const auto residual_file = [&]() -> std::uint64_t {
    const auto where = attribute();
    EXPECT_TRUE(where.residual);
    return where.residual ? where.residual->file : 0;
  };
  EXPECT_EQ(test::persist(3,
                          [&]() -> std::string {
                            const std::uint64_t before = residual_file();
                            const test::Tenant tenant(directory("live"),
                                                      [&] { return fill_cache(*files / "cache"); });
                            std::uint64_t after = 0;
                            // Until the kernel has added up the live cgroup's figures, its pages
                            // seem to belong to no cgroup.
                            const bool right = test::eventually([&] {
                              after = residual_file();
                              return after < before + cache_size / 2;
                            });
                            return right ? ""
                                         : std::to_string(before) + " before, " +
                                               std::to_string(after) + " after";
                          }),
            "");
  const auto live = host().open(path("live"));
  ASSERT_TRUE(live);
  const auto cache = parse::value_of(live->read("memory.stat").value_or(""), "cache");
  EXPECT_GE(cache.value_or(0), cache_size / 2)
      << "there must be pages that could be mistaken for zombies'";
}

TEST_F(RealAttribution, LearnsFromSlabinfoWhetherDentriesAndInodesPin) {
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  make("slab");
  // Creates dentries and inodes; kernels that charge them at all charge this cgroup.
  const test::Tenant tenant(directory("slab"), [&] {
    for (int i = 0; i < 500; ++i) {
      const int fd = ::open((*files / ("file" + std::to_string(i))).c_str(),
                            O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      if (fd < 0) return errno;
      ::close(fd);
    }
    return 0;
  });
  const std::string slabinfo = directory("slab/memory.kmem.slabinfo");
  const auto slab = attribute().slab;
  if (!std::filesystem::exists(slabinfo)) {
    EXPECT_EQ(slab, zombies::SlabPins::unknown);
  } else {
    EXPECT_EQ(slab,
              test::file_text(slabinfo).empty() ? zombies::SlabPins::no : zombies::SlabPins::yes);
  }
}

TEST_F(RealAttribution, StopsAtItsTimeLimitAndCountsTheSkipped) {
  for (const char* name : {"a", "b", "c"}) make(name);
  const auto where = zombies::attribute(host(), {0ns, 10s, zombies::Source::memory_stat});
  ASSERT_TRUE(where) << where.error().message();
  EXPECT_FALSE(where->complete);
  EXPECT_GE(where->skipped, 1);
  EXPECT_FALSE(where->residual);
}

}  // namespace attribution_test
