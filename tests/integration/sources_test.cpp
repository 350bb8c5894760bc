// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/zombies.hpp"
#include "real_cgroups.hpp"

/// The sources of an attribution say the same about the same zombies.
namespace sources_test {

using namespace cgctl;
using namespace std::chrono_literals;
using lab::Pin;
using zombies::Ancestor;
using zombies::Attribution;
using zombies::Residual;
using zombies::Source;

constexpr std::uint64_t number = 100;
constexpr std::uint64_t locked_number = 20;  // each has a process of its own
constexpr std::size_t size_of_live = std::size_t{2} << 20;
constexpr auto figures = {&Residual::file, &Residual::anon, &Residual::unevictable,
                          &Residual::shmem, &Residual::mapped};

zombies::AttributionLimits by(Source best) {
  zombies::AttributionLimits limits{1min, 10s, best};
  limits.page_flags = 5min;
  return limits;
}

const Ancestor* find(const Attribution& where, std::string_view path) {
  const auto found = std::find_if(where.ancestors.begin(), where.ancestors.end(),
                                  [&](const Ancestor& one) { return one.path == path; });
  return found == where.ancestors.end() ? nullptr : &*found;
}

/// Charges anonymous memory and page cache to the calling process's cgroup, and keeps both.
int use_memory(const std::string& file) {
  static std::vector<char> memory;
  memory.assign(size_of_live, 'x');
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  const bool written = ::write(fd, memory.data(), memory.size()) > 0;
  ::close(fd);
  return written ? 0 : EIO;
}

class RealSources : public test::RealCgroups {
 protected:
  struct Parent {
    std::string name;
    std::uint64_t zombies;
    std::uint64_t Residual::*kind;  // that all pages of its zombies are of
  };

  void SetUp() override {
    test::RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // Pages of zombies without hierarchy belong to no cgroup below the root.
    if (!v2()) std::ofstream(directory("memory.use_hierarchy")) << 1;
    cache_ = folder(Pin::page_cache);
    tmpfs_ = folder(Pin::tmpfs);
    if (!cache_ || !tmpfs_) return test::skip("no folder on a disk or on tmpfs");
    if (::geteuid() != 0) return test::skip("only root may read /proc/kpagecgroup");
    if (!std::ifstream("/proc/kpagecgroup")) return test::skip("no /proc/kpagecgroup");
  }

  void TearDown() override {
    tenants_.clear();
    makers_.clear();
    test::RealCgroups::TearDown();
  }

  /// Makes zombies of each kind, each kind below a parent of its own with a live child.
  void make_zombies() {
    add(Pin::page_cache, *cache_, &Residual::file, number);
    add(Pin::tmpfs, *tmpfs_, &Residual::shmem, number);
    add(Pin::mapped_file, *cache_, &Residual::mapped, number);
    add(Pin::mlock, *cache_, &Residual::unevictable, locked_number);
    add_anonymous();
  }

  /// Returns how the pages of zombies below a parent differ from what was made.
  [[nodiscard]] std::string unlike_made(const Attribution& where, const Parent& parent) const {
    const std::string name = path(parent.name);
    const Ancestor* const found = find(where, name);
    if (found == nullptr) return name + " is not there";
    if (!found->pages || !found->bytes) return name + " has no pages";
    const std::uint64_t bytes = (*found->pages).*parent.kind;
    const std::uint64_t least = parent.zombies * host().page_size();
    // The first file in a block of the inode table is charged for it. Others who make files at the
    // same time spread these over more blocks.
    const bool right = bytes >= least && bytes <= least * 2 && *found->bytes >= bytes &&
                       *found->bytes <= bytes + least;
    return right ? ""
                 : name + " has " + std::to_string(bytes) + ", in all " +
                       std::to_string(*found->bytes) + ", not " + std::to_string(least);
  }

  /// Returns the first difference between two sources about the zombies below a parent.
  [[nodiscard]] std::string differ(const Attribution& one, const Attribution& other,
                                   const Parent& parent) const {
    const Ancestor* const a = find(one, path(parent.name));
    const Ancestor* const b = find(other, path(parent.name));
    if (a == nullptr || b == nullptr || !a->pages || !b->pages) return parent.name + " is missing";
    for (const auto figure : figures) {
      // Before Linux 5.13 counters of a census move in steps.
      const bool counter = figure == &Residual::shmem || figure == &Residual::mapped;
      if (counter && !test::kernel_is_at_least(5, 13)) continue;
      const std::uint64_t left = (*a->pages).*figure;
      const std::uint64_t right = (*b->pages).*figure;
      if (left != right) {
        return parent.name + ": " + std::to_string(left) + " and " + std::to_string(right);
      }
    }
    return {};
  }

  std::vector<Parent> parents_;

 private:
  void add(Pin pin, const test::TempDirectory& files, std::uint64_t Residual::*kind,
           std::uint64_t count) {
    const std::string name = "of-" + std::string(lab::to_string(pin));
    auto maker = zombies(pin, files, name);
    ASSERT_TRUE(maker) << maker.error().message();
    const auto made = maker->make(count);
    ASSERT_TRUE(made) << made.error().message();
    makers_.push_back(std::move(*maker));
    add_live(name);
    parents_.push_back({name, count, kind});
  }

  /// Adds a removed cgroup whose process was moved to another one; its memory stayed.
  void add_anonymous() {
    const std::string name = "of-anon";
    make(name);
    hand_down(name);
    make("elsewhere");
    make(name + "/z");
    const std::string elsewhere = directory("elsewhere");
    const std::uint64_t bytes = number * host().page_size();
    tenants_.push_back(std::make_unique<test::Tenant>(directory(name + "/z"), [&] {
      void* const memory =
          ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) return errno;
      std::fill_n(static_cast<char*>(memory), bytes, 'x');
      return test::enter(elsewhere);
    }));
    remove(name + "/z");
    add_live(name);
    parents_.push_back({name, number, &Residual::anon});
  }

  void add_live(const std::string& parent) {
    make(parent + "/live");
    tenants_.push_back(std::make_unique<test::Tenant>(
        directory(parent + "/live"), [&] { return use_memory(*cache_ / (parent + "-cache")); }));
  }

  std::unique_ptr<test::TempDirectory> cache_;
  std::unique_ptr<test::TempDirectory> tmpfs_;
  std::vector<lab::ZombieMaker> makers_;
  std::vector<std::unique_ptr<test::Tenant>> tenants_;
};

TEST_F(RealSources, AgreeAboutEachAncestorAndKind) {
  if (test::kernel_is_at_least(7, 1)) return test::skip("pages move to the parent cgroup");
  make_zombies();
  if (HasFatalFailure()) return;
  const auto zombies = settled();
  if (zombies < number) GTEST_SKIP() << "pages keep no removed cgroup here (Linux 7.1)";
  std::optional<Attribution> census;
  const auto compare = [&](const Attribution& pages) -> std::string {
    if (pages.source != Source::page_flags) {
      return pages.why_not.empty() ? "no reason" : pages.why_not.back().message();
    }
    for (const Parent& parent : parents_) {
      if (auto wrong = unlike_made(pages, parent); !wrong.empty()) return wrong;
      if (!census) continue;
      if (auto wrong = differ(*census, pages, parent); !wrong.empty()) return wrong;
      const std::uint64_t dead = parent.kind == &Residual::anon ? 1 : parent.zombies;
      if (find(*census, path(parent.name))->count != dead) return "wrong number";
    }
    return find(pages, path("elsewhere")) == nullptr ? "" : "a live cgroup seems to have zombies";
  };
  const auto look = [&]() -> std::string {
    auto counted = zombies::attribute(host(), by(Source::census));
    if (!counted) return counted.error().message();
    if (counted->source == Source::census) census = std::move(*counted);
    const auto pages = zombies::attribute(host(), by(Source::page_flags));
    return pages ? compare(*pages) : pages.error().message();
  };
  // Pages come and go, and counters lag by two seconds.
  EXPECT_EQ(test::persist(10, look), "");

  // The flags of pages say the same if bpf(2) is refused.
  EXPECT_EQ(test::in_child([&] {
              test::refuse_bpf();
              return test::persist(10, [&]() -> std::string {
                const auto pages = zombies::attribute(host(), by(Source::census));
                if (!pages) return pages.error().message();
                if (pages->why_not.size() != 1) return "not one reason";
                return compare(*pages);
              });
            }),
            "");
}

TEST_F(RealSources, FallToMemoryStatWithTheReasonsWithoutTheRight) {
  EXPECT_EQ(test::in_child([&]() -> std::string {
              constexpr uid_t nobody = 65534;
              if (::setresuid(nobody, nobody, nobody) != 0) return "setresuid";
              const auto where = zombies::attribute(host(), by(Source::census));
              if (!where) return where.error().message();
              if (where->source != Source::memory_stat) return "not memory.stat";
              if (where->why_not.size() != 2) return std::to_string(where->why_not.size());
              const Error& pages = where->why_not[1];
              const bool told = pages.os_errno == EACCES &&
                                pages.message().find("kpagecgroup") != std::string::npos &&
                                pages.hint == "run as root";
              return told ? "" : pages.message();
            }),
            "");
}

TEST_F(RealSources, FallToMemoryStatIfReadingAllPagesWouldTakeTooLong) {
  zombies::AttributionLimits limits = by(Source::page_flags);
  limits.page_flags = 1us;
  const auto where = zombies::attribute(host(), limits);
  ASSERT_TRUE(where) << where.error().message();
  EXPECT_EQ(where->source, Source::memory_stat);
  ASSERT_EQ(where->why_not.size(), 1);
  EXPECT_EQ(where->why_not[0].kind, errc::over_budget);
  limits.page_flags = 0us;
  const auto unasked = zombies::attribute(host(), limits);
  ASSERT_TRUE(unasked) << unasked.error().message();
  EXPECT_TRUE(unasked->why_not.empty()) << "nobody asked for it";
}

TEST_F(RealSources, DoNotTakePagesOfALiveCgroupForThoseOfZombies) {
  make("live");
  for (int i = 0; i < 3; ++i) {
    // Its counters lag behind these pages by up to two seconds.
    const test::Tenant tenant(directory("live"), [] {
      constexpr std::size_t few = std::size_t{40} << 12;
      static std::vector<char> memory;
      memory.assign(few, 'x');
      return 0;
    });
    const auto where = zombies::attribute(host(), by(Source::page_flags));
    ASSERT_TRUE(where) << where.error().message();
    ASSERT_EQ(where->source, Source::page_flags);
    const Ancestor* const live = find(*where, path("live"));
    EXPECT_EQ(live, nullptr) << (live == nullptr ? 0 : live->bytes.value_or(0));
  }
}

TEST_F(RealSources, TellThePagesOfZombiesWithoutHierarchy) {
  if (v2()) GTEST_SKIP() << "cgroup v2 always has a hierarchy";
  // A cgroup without children can be changed.
  std::ofstream(directory("memory.use_hierarchy")) << 0;
  make("flat");
  if (test::file_text(directory("flat/memory.use_hierarchy")) != "0\n")
    GTEST_SKIP() << "the kernel always has a hierarchy (Linux 5.11), or the root asks for it";
  const auto files = folder(Pin::page_cache);
  const auto file_pages = [&]() -> std::uint64_t {
    const auto where = zombies::attribute(host(), by(Source::page_flags));
    EXPECT_TRUE(where && where->source == Source::page_flags && where->residual);
    return where && where->residual ? where->residual->file : 0;
  };
  const std::uint64_t before = file_pages();
  auto maker = zombies(Pin::page_cache, *files, "flat/zombies");
  ASSERT_TRUE(maker && maker->make(number));
  const std::uint64_t least = before + number * host().page_size() * 8 / 10;
  EXPECT_TRUE(test::eventually([&] { return file_pages() >= least; }));
}

}  // namespace sources_test
