// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Checks that a node agent's calls for each sample allocate nothing: this file's operator new
// counts.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "../support/captures.hpp"
#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/cpu.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_snapshot.hpp"
#include "cgctl/memory_stat.hpp"
#include "cgctl/numa_stat.hpp"
#include "cgctl/sampler.hpp"
#include "group/kernel_files.hpp"

namespace {

thread_local std::uint64_t allocations = 0;

void* allocate(std::size_t size) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}

void* allocate_or_throw(std::size_t size) {
  void* const memory = allocate(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Defines all forms except the aligned ones. A form left to a sanitizer would see memory that its
// own operator new did not allocate.
void* operator new(std::size_t size) { return allocate_or_throw(size); }
void* operator new[](std::size_t size) { return allocate_or_throw(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace allocation_test {

using namespace cgctl;
using test::must;

/// Returns the number of allocations that `work` makes.
template <class Work>
std::uint64_t allocations_of(Work work) {
  const std::uint64_t before = allocations;
  work();
  return allocations - before;
}

TEST(Allocations, AreNoneInASteadyReaderOfEitherVersion) {
  for (const char* tree : {"linux-5.4-v1-numa2/2-zombies", "linux-6.1-v2-numa2/2-zombies"}) {
    const Host host = test::captured(tree);
    const auto reader = must(numa::Reader::open(must(host.open("/"))));
    numa::NumaStat out;
    bool read = false;
    EXPECT_GT(allocations_of([&]() { read = reader.read(out).has_value(); }), 0U)
        << "the first read allocates: the counter works";
    ASSERT_TRUE(read);
    for (int again = 0; again < 3; ++again) {
      EXPECT_EQ(allocations_of([&]() { read = reader.read(out).has_value(); }), 0U) << tree;
      EXPECT_TRUE(read);
    }
  }
}

TEST(Allocations, AreNoneInASteadyReaderOfTheNodes) {
  for (const auto& [tree, version] : {std::pair("linux-5.4-v1-numa2/2-zombies", Version::v1),
                                      std::pair("linux-6.1-v2-numa2/2-zombies", Version::v2)}) {
    const auto reader = must(numa::RootReader::open(test::captured(tree), version));
    numa::NumaStat out;
    bool read = false;
    EXPECT_GT(allocations_of([&]() { read = reader.read(out).has_value(); }), 0U);
    ASSERT_TRUE(read);
    for (int again = 0; again < 3; ++again) {
      EXPECT_EQ(allocations_of([&]() { read = reader.read(out).has_value(); }), 0U) << tree;
      EXPECT_TRUE(read);
    }
  }
}

TEST(Allocations, AreNoneWhenAReadIsMeasuredAndGuarded) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  const auto reader = must(numa::Reader::open(must(host.open("/"))));
  numa::NumaStat out;
  numa::CostGuard guard;
  ASSERT_TRUE(reader.read(out));
  EXPECT_EQ(allocations_of([&]() {
              const auto cost = numa::measured_read(reader, out);
              guard.record(*cost, 1504, std::chrono::seconds(1));
              static_cast<void>(guard.admit(1'000'000'000, std::chrono::seconds(2)));
            }),
            0U);
}

TEST(Allocations, AreNoneWhenOneResultServesManyReaders) {
  const Host host = test::captured("linux-6.1-v1-numa2/2-zombies");
  const auto root = must(numa::Reader::open(must(host.open("/"))));
  const auto pod = must(numa::Reader::open(must(host.open("/kubepods/pod-a"))));
  const auto by_nodes = must(numa::RootReader::open(host, Version::v1));
  numa::NumaStat out;
  bool read = true;
  const auto round = [&]() {
    for (const auto* reader : {&root, &pod}) read = read && reader->read(out);
    read = read && by_nodes.read(out);
  };
  round();
  EXPECT_EQ(allocations_of(round), 0U);
  EXPECT_TRUE(read);
}

TEST(Allocations, AreNoneWhenAKernelFileIsLookedUp) {
  for (const char* const name : {"cpu.shares", "hugetlb.2MB.rsvd.max", "memory.vendor_limit"}) {
    std::string_view found;
    EXPECT_EQ(allocations_of([&]() { found = detail::kernel_file(name).name; }), 0U);
    EXPECT_EQ(found, name);
  }
}

TEST(Allocations, AreNoneInSteadyReadersOfCpuAndMemoryFigures) {
  for (const char* tree : {"linux-6.18-hybrid/1-fresh", "linux-6.12-v2-numa2/2-zombies"}) {
    const Host host = test::captured(tree);
    const Group group = must(host.open("/"));
    const auto memory = must(memory::StatReader::open(group));
    const auto cpu = must(cpu::StatReader::open(group));
    memory::Stat memory_stat;
    cpu::Stat cpu_stat;
    bool read = false;
    EXPECT_GT(allocations_of([&]() { read = memory.read(memory_stat).has_value(); }), 0U);
    ASSERT_TRUE(read);
    for (int again = 0; again < 3; ++again) {
      EXPECT_EQ(allocations_of([&]() {
                  read = memory.read(memory_stat).has_value() && cpu.read(cpu_stat).has_value();
                }),
                0U)
          << tree;
      EXPECT_TRUE(read);
    }
  }
}

TEST(Allocations, AreNoneInASteadySnapshot) {
  for (const char* tree : {"linux-6.18-hybrid/1-fresh", "linux-6.12-v2-numa2/2-zombies"}) {
    const Host host = test::captured(tree);
    const auto reader = must(memory::SnapshotReader::open(must(host.open("/"))));
    memory::Snapshot snapshot;
    ASSERT_TRUE(reader.read(snapshot));
    bool read = false;
    EXPECT_EQ(allocations_of([&]() { read = reader.read(snapshot).has_value(); }), 0U) << tree;
    EXPECT_TRUE(read);
  }
}

TEST(Allocations, AreNoneInASteadySampler) {
  for (const char* tree : {"linux-6.18-hybrid/1-fresh", "linux-6.12-v2-numa2/2-zombies"}) {
    for (const std::size_t descriptors : {std::size_t{1000}, std::size_t{0}}) {
      auto sampler = must(Sampler::open(test::captured(tree), "/", {descriptors}));
      std::size_t seen = 0;
      const auto round = [&]() {
        sampler.sample([&](const Sample& sample) { seen += sample.path.size(); });
      };
      round();
      ASSERT_GT(seen, 0U);
      EXPECT_EQ(allocations_of(round), 0U) << tree << ", " << descriptors << " descriptors";
    }
  }
}

TEST(Allocations, AreNoneWhenFiguresReplaceThoseOfAFile) {
  const std::array<memory::Stat::Figure, 2> figures = {
      {{memory::Key::unevictable, 1}, {memory::Key::writeback, 2}}};
  memory::Stat stat;
  stat.assign(Version::v1, figures.data(), figures.size());
  EXPECT_EQ(allocations_of([&] { stat.assign(Version::v1, figures.data(), figures.size()); }), 0U);
}

/// Makes openat2(2) fail with ENOSYS in this process, as before Linux 5.6. Returns false if the
/// kernel has no filters of system calls.
bool lose_openat2() {
  std::array<sock_filter, 4> code = {{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_openat2},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(Allocations, AreNoneInASamplerWhereOpenat2IsMissing) {
  const std::string wrong = test::in_child([]() -> std::string {
    if (!lose_openat2()) return "no filter";
    auto sampler = must(Sampler::open(test::captured("linux-6.12-v2-numa2/2-zombies"), "/",
                                      Sampler::Config{std::size_t{0}}));
    std::size_t seen = 0;
    const auto round = [&]() {
      sampler.sample([&](const Sample& sample) { seen += sample.path.size(); });
    };
    round();
    if (seen == 0) return "no samples";
    const std::uint64_t made = allocations_of(round);
    return made == 0 ? std::string() : std::to_string(made) + " allocations";
  });
  if (wrong == "no filter") return test::skip("needs filters of system calls");
  EXPECT_EQ(wrong, "");
}

TEST(Allocations, AreNoneWhenASamplerFindsNothingNew) {
  for (const char* tree : {"linux-6.18-hybrid/1-fresh", "linux-6.12-v2-numa2/2-zombies"}) {
    auto sampler = must(Sampler::open(test::captured(tree), "/", {1000}));
    ASSERT_TRUE(sampler.refresh());
    const std::size_t few = 48;  // the buffers of one walk for each hierarchy
    EXPECT_LT(allocations_of([&]() { EXPECT_TRUE(sampler.refresh()); }), few) << tree;
  }
}

}  // namespace allocation_test
