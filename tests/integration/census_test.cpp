// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/census.hpp"

#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/fnv1a.hpp"
#include "detail/page_lists.hpp"
#include "kernel/discovery.hpp"
#include "kernel/offsets_file.hpp"
#include "kernel/proof.hpp"
#include "kernel/walker.hpp"
#include "real_cgroups.hpp"
#include "zombies/subtree_pages.hpp"

namespace census_test {

using namespace cgctl;
using census::Census;
using census::Cgroup;
using census::Snapshot;
using lab::Pin;

class RealCensus : public test::CensusCgroups {
 protected:
  /// The dead whose path begins with `top`, by name.
  static std::vector<const Cgroup*> dead_below(const Snapshot& snapshot, const std::string& top) {
    std::vector<const Cgroup*> dead;
    for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
      const std::string path = snapshot.path(i);
      if (!snapshot.cgroups[i].live && path.rfind(top + "/", 0) == 0) {
        dead.push_back(&snapshot.cgroups[i]);
      }
    }
    return dead;
  }

  static const Cgroup* find(const Snapshot& snapshot, const std::string& path) {
    for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
      if (snapshot.cgroups[i].live && snapshot.path(i) == path) return &snapshot.cgroups[i];
    }
    return nullptr;
  }
};

struct Kind {
  const char* name;
  Pin pin;
  std::uint64_t (*listed)(const census::Memory&);   ///< by LRU lists, which are exact
  std::uint64_t (*counted)(const census::Memory&);  ///< by a counter; null: none counts this kind

  /// Before Linux 5.13 counters move in steps of 32 pages for each CPU.
  [[nodiscard]] bool is_exact(const census::Memory& own, std::uint64_t bytes) const {
    const bool counters = counted != nullptr && test::kernel_is_at_least(5, 13);
    return listed(own) == bytes && (!counters || counted(own) == bytes);
  }
};

constexpr Kind kinds[] = {
    {"PageCache", Pin::page_cache, [](const census::Memory& own) { return own.file; }, nullptr},
    {"Dirty", Pin::page_cache, [](const census::Memory& own) { return own.file; },
     [](const census::Memory& own) { return own.dirty + own.writeback; }},
    {"Tmpfs", Pin::tmpfs, [](const census::Memory& own) { return own.anon; },
     [](const census::Memory& own) { return own.shmem; }},
    {"MappedFile", Pin::mapped_file, [](const census::Memory& own) { return own.file; },
     [](const census::Memory& own) { return own.mapped; }},
    {"Anonymous", Pin::anonymous, [](const census::Memory& own) { return own.anon - own.shmem; },
     nullptr},
    {"Locked", Pin::mlock, [](const census::Memory& own) { return own.unevictable; }, nullptr},
};

/// Zombies of one kind below one parent, which has a live child with memory of its own.
struct Family {
  static constexpr std::uint64_t size = 20;

  lab::ZombieMaker maker;
  std::unique_ptr<test::Tenant> tenant;
};

class CensusKinds : public RealCensus, public ::testing::WithParamInterface<Kind> {
 protected:
  // Each kind has parents of its own, since dead cgroups of earlier tests keep their paths.
  [[nodiscard]] Result<Family> family(const test::TempDirectory& files,
                                      const std::string& letter) const {
    const std::string top = GetParam().name + letter;
    auto maker = zombies(GetParam().pin, files, top);
    if (!maker) return fail(maker.error());
    make(top + "/live");
    Family made{std::move(*maker), nullptr};
    made.tenant = std::make_unique<test::Tenant>(directory(top + "/live"), [] {
      static std::vector<char> memory;
      memory.assign(1U << 20, 'x');
      return 0;
    });
    if (auto status = made.maker.make(Family::size); !status) return fail(status.error());
    return made;
  }

  /// Returns a complaint, or nothing if nine in ten have one page: the first file in a block of the
  /// inode table is charged for that block too.
  [[nodiscard]] std::string complaint_about(const Snapshot& snapshot, const Family& one) const {
    const std::uint64_t page = host().page_size();
    std::uint64_t exact = 0;
    for (const Cgroup* dead : dead_below(snapshot, one.maker.group())) {
      if (GetParam().is_exact(dead->own, page)) ++exact;
    }
    return exact >= Family::size * 9 / 10
               ? ""
               : std::to_string(exact) + " exact below " + one.maker.group();
  }

  void all_are_named(const Snapshot& snapshot, const Family& one) const {
    std::set<std::string> names;
    for (const Cgroup* dead : dead_below(snapshot, one.maker.group())) {
      names.emplace(dead->name);
      EXPECT_GE(dead->references, 1);
      EXPECT_GE(GetParam().listed(dead->own), host().page_size()) << dead->name;
    }
    std::set<std::string> expected;
    for (std::uint64_t i = 0; i < Family::size; ++i) expected.insert("z" + std::to_string(i));
    EXPECT_EQ(names, expected);
  }

  /// Since Linux 7.1 pages hold no removed cgroup.
  static void none_has_pages(const Snapshot& snapshot) {
    for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
      if (snapshot.cgroups[i].live) continue;
      const census::Memory memory = snapshot.holding(i);
      EXPECT_EQ(memory.file + memory.anon + memory.unevictable, 0);
    }
  }
};

/// Writes to each file, so that its pages are dirty again.
void soil(const test::TempDirectory& files) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(files.path())) {
    if (entry.is_regular_file()) std::fstream(entry.path(), std::ios::in | std::ios::out) << 'y';
  }
}

TEST_P(CensusKinds, AreNamedWithThePageThatHoldsEach) {
  const auto files = folder(GetParam().pin);
  if (!files) return test::skip("no folder on such a file system");
  std::vector<Family> families;
  for (const char* letter : {"A", "B", "C"}) {
    auto made = family(*files, letter);
    ASSERT_TRUE(made) << made.error().message();
    families.push_back(std::move(*made));
  }
  auto census = Census::open(host());
  ASSERT_TRUE(census) << census.error().message();
  Snapshot snapshot;
  ASSERT_TRUE(census->take(snapshot));
  if (snapshot.pages_move) return none_has_pages(snapshot);
  // New pages wait on a list of each CPU until there are some 30 of them.
  detail::drain_page_lists();
  EXPECT_EQ(test::persist(40,
                          [&]() -> std::string {
                            if (GetParam().pin == Pin::page_cache) soil(*files);
                            // Counters lag by two seconds.
                            ::usleep(100000);
                            if (const auto took = census->take(snapshot); !took) {
                              return took.error().message();
                            }
                            std::string complaints;
                            for (const Family& one : families) {
                              complaints += complaint_about(snapshot, one);
                            }
                            return complaints;
                          }),
            "");
  for (const Family& one : families) all_are_named(snapshot, one);
}

INSTANTIATE_TEST_SUITE_P(Each, CensusKinds, ::testing::ValuesIn(kinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_F(RealCensus, KnowsWhetherPagesMoveToTheParent) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  auto maker = zombies(Pin::tmpfs, *files, "held");
  ASSERT_TRUE(maker && maker->make(20));
  auto census = Census::open(host());
  ASSERT_TRUE(census) << census.error().message();
  Snapshot snapshot;
  EXPECT_EQ(test::persist(30,
                          [&]() -> std::string {
                            ::usleep(100000);
                            if (!census->take(snapshot)) return "no census";
                            const auto stay = dead_below(snapshot, maker->group()).size();
                            return snapshot.pages_move ? (stay == 0 ? "" : "some stay")
                                                       : (stay == 20 ? "" : "some are gone");
                          }),
            "");
}

TEST_F(RealCensus, TellsALiveCgroupsUsageAndAge) {
  make("live");
  const test::Tenant tenant(directory("live"), [] {
    static std::vector<char> memory;
    memory.assign(4U << 20, 'x');
    return 0;
  });
  auto census = Census::open(host());
  ASSERT_TRUE(census) << census.error().message();
  Snapshot snapshot;
  detail::drain_page_lists();
  ASSERT_TRUE(census->take(snapshot));
  const Cgroup* const found = find(snapshot, path("live"));
  ASSERT_NE(found, nullptr);
  EXPECT_TRUE(found->live);
  EXPECT_GE(found->own.anon + 64 * host().page_size(), 4U << 20);
  EXPECT_EQ(found->references, 0);
  struct ::stat inode {};
  ASSERT_EQ(::stat(directory("live").c_str(), &inode), 0);
  EXPECT_EQ(found->inode, inode.st_ino);
  if (!v2()) {
    ASSERT_TRUE(found->age);
    EXPECT_LT(*found->age, std::chrono::minutes(5));
  }
}

using Field = unsigned cgctl_layout::*;

/// The offsets that every census needs.
constexpr std::pair<const char*, Field> census_fields[] = {
    {"task_cgroups", &cgctl_layout::task_cgroups},
    {"cset_memory", &cgctl_layout::cset_memory},
    {"css_cgroup", &cgctl_layout::css_cgroup},
    {"css_sibling", &cgctl_layout::css_sibling},
    {"css_children", &cgctl_layout::css_children},
    {"css_flags", &cgctl_layout::css_flags},
    {"css_serial", &cgctl_layout::css_serial},
    {"css_parent", &cgctl_layout::css_parent},
    {"css_reference_data", &cgctl_layout::css_reference_data},
    {"reference_count", &cgctl_layout::reference_count},
    {"usage", &cgctl_layout::usage},
    {"vmstats", &cgctl_layout::vmstats},
    {"nodeinfo", &cgctl_layout::nodeinfo},
    {"lists", &cgctl_layout::lists},
    {"cgroup_kn", &cgctl_layout::cgroup_kn},
    {"kn_name", &cgctl_layout::kn_name},
    {"kn_id", &cgctl_layout::kn_id},
};

/// The offsets that the kernel's type information tells.
kernel::Layout layout_of_this_kernel(const std::vector<unsigned>& nodes) {
  auto btf = kernel::Btf::parse(test::must(fs::read_in_root("/sys", "kernel/btf/vmlinux")));
  kernel::Layout layout = test::must(kernel::layout_of(test::must(std::move(btf))));
  layout.set_nodes(nodes);
  return layout;
}

/// Takes a census with `layout`. Returns the difference that the proof found, or nothing.
std::string prove(const Host& host, const Hierarchy& hierarchy, const kernel::Layout& layout,
                  kernel::Way way = kernel::Way::on_demand, unsigned rounds = 6) {
  auto program = kernel::Program::load(layout.fields, way);
  if (!program) return program.error().message();
  kernel::Walker walker(std::move(*program), layout, hierarchy.version == Version::v1);
  const auto status = kernel::prove(
      host, hierarchy, layout.slots,
      [&](Snapshot& snapshot, const census::Wanted& wanted) {
        return walker.take(snapshot, wanted);
      },
      rounds);
  return status ? "" : status.error().message();
}

TEST_F(RealCensus, WithAnOffsetThatIsWrongIsRefused) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  auto maker = zombies(Pin::tmpfs, *files);
  ASSERT_TRUE(maker && maker->make(500));
  // The multi-generational LRU leaves only locked pages on the other lists.
  make("locked");
  const test::Tenant tenant(directory("locked"), [] {
    static std::vector<char> memory;
    memory.assign(16U << 20, 'x');
    return ::mlock(memory.data(), memory.size()) == 0 ? 0 : errno;
  });
  auto census = Census::open(host());
  Snapshot now;
  ASSERT_TRUE(census && census->take(now));
  const kernel::Layout layout = layout_of_this_kernel(now.node_numbers);
  ASSERT_EQ(prove(host(), hierarchy(), layout), "");
  kernel::Layout counters_only = layout;
  counters_only.fields.nodes = 0;
  EXPECT_EQ(prove(host(), hierarchy(), counters_only), "");
  // From Linux 7.1 on, pages keep no removed cgroup.
  const bool has_dead = !dead_below(now, maker->group()).empty();
  for (const auto& [name, field] : census_fields) {
    const bool of_the_dead = field == &cgctl_layout::css_flags ||
                             field == &cgctl_layout::css_reference_data ||
                             field == &cgctl_layout::reference_count;
    if (of_the_dead && !has_dead) continue;
    for (const int by : {-8, 8}) {
      kernel::Layout wrong = layout;
      unsigned& value = wrong.fields.*field;
      if (value == CGCTL_ABSENT || (by < 0 && value < 8)) continue;
      value = static_cast<unsigned>(static_cast<int>(value) + by);
      EXPECT_NE(prove(host(), hierarchy(), wrong, kernel::Way::on_demand, 1), "")
          << name << " " << by;
    }
  }
}

/// Takes a census with the program as this kernel, or an older one, runs it.
Result<Snapshot> taken(const kernel::Layout& layout, kernel::Way way) {
  auto program = kernel::Program::load(layout.fields, way);
  if (!program) return fail(program.error());
  kernel::Walker walker(std::move(*program), layout, false);
  Snapshot snapshot;
  if (auto status = walker.take(snapshot); !status) return fail(status.error());
  return snapshot;
}

/// Returns the cgroup that the first step of the first run leads to.
Result<std::uint64_t> first_step(const kernel::Layout& layout, kernel::Way way) {
  auto program = kernel::Program::load(layout.fields, way);
  if (!program) return fail(program.error());
  cgctl_walk& walk = program->shared();
  walk.phase = cgctl_at_start;
  walk.steps = 1;
  if (auto status = program->run(); !status) return fail(status.error());
  return walk.current;
}

TEST_F(RealCensus, LosesNoRunBefore5_10) {
  const auto layout = layout_of_this_kernel({0});
  const auto now = first_step(layout, kernel::Way::on_demand);
  ASSERT_TRUE(now) << now.error().message();
  const auto old = first_step(layout, kernel::Way::by_rename);
  ASSERT_TRUE(old) << old.error().message();
  EXPECT_EQ(*old, *now);
}

TEST_F(RealCensus, IsTheSameAsKernelsBefore5_10RunIt) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  auto maker = zombies(Pin::tmpfs, *files);
  ASSERT_TRUE(maker && maker->make(20));
  make("live");
  auto census = Census::open(host());
  Snapshot snapshot;
  ASSERT_TRUE(census && census->take(snapshot));
  const auto layout = layout_of_this_kernel(snapshot.node_numbers);
  std::array<char, 16> before{};
  ::prctl(PR_GET_NAME, before.data());
  EXPECT_EQ(prove(host(), hierarchy(), layout, kernel::Way::by_rename), "");
  const auto now = taken(layout, kernel::Way::on_demand);
  ASSERT_TRUE(now) << now.error().message();
  const auto old = taken(layout, kernel::Way::by_rename);
  ASSERT_TRUE(old) << old.error().message();
  const auto mine = [&](const Snapshot& taken_then) {
    std::vector<std::string> rows;
    for (std::size_t i = 0; i < taken_then.cgroups.size(); ++i) {
      const Cgroup& one = taken_then.cgroups[i];
      if (taken_then.path(i).rfind(path(), 0) != 0) continue;
      rows.push_back(taken_then.path(i) + (one.live ? " live " : " dead ") +
                     std::to_string(one.inode) + " " + std::to_string(one.own.anon) + " " +
                     std::to_string(one.own.shmem));
    }
    return rows;
  };
  if (!snapshot.pages_move) {
    EXPECT_GE(mine(*now).size(), 21);
  }
  EXPECT_EQ(mine(*old), mine(*now));
  std::array<char, 16> after{};
  ::prctl(PR_GET_NAME, after.data());
  EXPECT_STREQ(after.data(), before.data());
}

/// Makes BPF_PROG_TEST_RUN fail for this process, as kernels before 5.10 do.
void refuse_runs_on_demand() {
  ::sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_PROG_TEST_RUN, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const ::sock_fprog program = {std::size(filter), filter};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/// Finds the offsets without the type information, and compares them with it.
class DiscoveredCensus : public RealCensus {
 protected:
  void SetUp() override {
    RealCensus::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto census = Census::open(host());
    Snapshot snapshot;
    ASSERT_TRUE(census && census->take(snapshot));
    if (snapshot.pages_move) return test::skip("pages move to the parent cgroup");
    nodes_ = snapshot.node_numbers;
    span_ = nodes_.empty() ? 0 : nodes_.back() + 1;
    options_.ignore_type_information = true;
    options_.offsets_file = state_ / "offsets";
  }

  /// Returns the dead below this test's cgroup, with what they hold, or an error.
  [[nodiscard]] std::string dead(Result<Census> census) const {
    if (!census) return census.error().message();
    Snapshot snapshot;
    if (const auto took = census->take(snapshot); !took) return took.error().message();
    std::string text(to_string(census->source()));
    for (const Cgroup* one : dead_below(snapshot, path("zombies"))) {
      text += " " + std::string(one->name) + ":" + std::to_string(one->own.anon);
      if (one->references < 1) text += " without a reference";
    }
    return text;
  }
  [[nodiscard]] bool is_cleared() const {
    for (const auto& entry : std::filesystem::directory_iterator(hierarchy().mount_point)) {
      if (entry.path().filename().string().rfind("cgctl-discovery-", 0) == 0) return false;
    }
    return true;
  }

  test::TempDirectory state_;
  census::Options options_;
  std::vector<unsigned> nodes_;
  unsigned span_ = 0;
};

TEST_F(DiscoveredCensus, HasTheOffsetsOfTheTypeInformation) {
  const auto found = kernel::discover_layout(host(), hierarchy(), span_);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_TRUE(is_cleared());
  const kernel::Layout known = layout_of_this_kernel(nodes_);
  for (const auto& [name, field] : census_fields) {
    if (found->fields.lists_bytes == 0 &&
        (field == &cgctl_layout::nodeinfo || field == &cgctl_layout::lists))
      continue;
    if (found->fields.state_bytes == 0 && field == &cgctl_layout::vmstats) continue;
    EXPECT_EQ(found->fields.*field, known.fields.*field) << name;
  }
  for (std::size_t i = 0; i < census::counters; ++i) {
    const kernel::Slot& slot = found->slots[i];
    if (slot.index == kernel::Slot::absent) continue;
    EXPECT_EQ(known.fields.state / 8 + known.slots[i].index, found->fields.state / 8 + slot.index)
        << i;
    EXPECT_EQ(known.slots[i].bytes, slot.bytes) << i;
  }
  EXPECT_TRUE(found->fields.lists_bytes != 0 || found->fields.state_bytes != 0);
  EXPECT_EQ(found->slab_holds, known.slab_holds);
}

TEST_F(DiscoveredCensus, NamesTheDeadAsTheFileDoesAfterwards) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  auto maker = zombies(Pin::tmpfs, *files);
  ASSERT_TRUE(maker && maker->make(3));
  const auto absent = Census::open(host(), options_);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().kind, errc::unsupported);
  EXPECT_NE(absent.error().message().find("there is no such file"), std::string::npos);
  const std::string page = std::to_string(host().page_size());
  const std::string names = " z0:" + page + " z1:" + page + " z2:" + page;
  EXPECT_EQ(test::persist(20,
                          [&]() -> std::string {
                            ::usleep(100000);  // counters lag by two seconds
                            std::string got = dead(Census::discover(host(), options_));
                            return got == "experiment" + names ? "" : got;
                          }),
            "");
  EXPECT_EQ(dead(Census::open(host(), options_)), "file" + names);
  EXPECT_EQ(test::in_child([&]() -> std::string {
              refuse_runs_on_demand();
              const std::string again = dead(Census::discover(host(), options_));
              if (again != "experiment" + names) return again;
              return dead(Census::open(host(), options_));
            }),
            "file" + names);
}

TEST_F(DiscoveredCensus, WithAFileThatLiesIsRefused) {
  // The proof allows a usage to move by some 5 MB. Those of small cgroups must agree.
  for (const char* const name : {"small", "smaller"}) make(name);
  const auto small = [] {
    static std::vector<char> memory;
    memory.assign(1U << 20, 'x');
    return 0;
  };
  const test::Tenant one(directory("small"), small);
  const test::Tenant other(directory("smaller"), small);
  const std::string build = kernel::build_of(host());
  kernel::Layout layout = layout_of_this_kernel(nodes_);
  ASSERT_TRUE(kernel::save_offsets(options_.offsets_file, layout, build));
  EXPECT_TRUE(Census::open(host(), options_));
  layout.fields.usage += 8;
  ASSERT_TRUE(kernel::save_offsets(options_.offsets_file, layout, build));
  const auto census = Census::open(host(), options_);
  ASSERT_FALSE(census);
  EXPECT_EQ(census.error().kind, errc::malformed);
}

/// Hides the type information of the kernel in the mounts of this process. Returns an errno.
int hide_type_information() {
  return ::mount("none", "/sys/kernel/btf", "tmpfs", 0, nullptr) == 0 ? 0 : errno;
}

TEST_F(DiscoveredCensus, CountsThePagesBelowCgroups) {
  if (v2()) return test::skip("needs the v1 memory controller");
  if (const std::string why = test::cannot_mount(); !why.empty()) return test::skip(why);
  const auto files = folder(Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  ASSERT_TRUE(kernel::save_offsets(options_.offsets_file, layout_of_this_kernel(nodes_),
                                   kernel::build_of(host())));
  constexpr std::size_t bytes = std::size_t{4} << 20;
  make("live");
  const test::Tenant tenant(directory("live"), [&] {
    std::ofstream(*files / "live") << std::string(bytes, 'x') << std::flush;
    ::sync();
    return 0;
  });
  // No CPU time is left to read the flags of pages.
  const auto pages = [&](const std::string& offsets) {
    return zombies::subtree_pages(host(), {path()}, offsets, {});
  };
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              if (const int error = hide_type_information(); error != 0)
                return std::strerror(error);
              const auto without = pages({});
              if (without || without.error().kind != errc::over_budget)
                return "it needs no offsets";
              std::string complaint;
              test::eventually([&] {
                const auto found = pages(options_.offsets_file);
                complaint = !found                             ? found.error().message()
                            : found->at(0).clean_file >= bytes ? ""
                                                               : "its page cache is not counted";
                return complaint.empty();
              });
              return complaint;
            }),
            "");
}

/// Returns the text of an offsets file with another value in one of its lines.
std::string lying(const std::string& text, std::size_t line) {
  std::size_t begin = 0;
  for (; line > 0; --line) begin = text.find('\n', begin) + 1;
  const std::size_t value = text.find(' ', begin) + 1;
  const std::size_t end = text.find('\n', begin);
  const std::string before = text.substr(value, end - value);
  std::string after = before.size() == 1 && before < "2" ? (before == "0" ? "1" : "0")
                                                         : std::to_string(std::stoull(before) + 8);
  const bool is_slot = text.compare(begin, 8, "counter ") == 0;
  if (is_slot) after = std::to_string((std::stoull(before) + 1) % 40);
  std::string lie = text.substr(0, value) + after + text.substr(end);
  lie.erase(lie.rfind("checksum "));
  return lie + "checksum " + std::to_string(detail::fnv1a(lie)) + "\n";
}

TEST_F(DiscoveredCensus, WithAFileThatLiesAnywhereIsRefusedOrRight) {
  const auto files = folder(Pin::tmpfs);
  if (!files) return test::skip("no tmpfs");
  auto maker = zombies(Pin::tmpfs, *files);
  ASSERT_TRUE(maker && maker->make(30));
  const std::string build = kernel::build_of(host());
  const kernel::Layout layout = layout_of_this_kernel(nodes_);
  ASSERT_TRUE(kernel::save_offsets(options_.offsets_file, layout, build));
  const std::string truth = dead(Census::open(host(), options_));
  EXPECT_EQ(truth.rfind("file z0:", 0), 0) << truth;
  const std::string text = kernel::to_text(layout, build);
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  options_.rounds = 1;
  unsigned refused = 0;
  for (std::size_t line = 2; line + 1 < lines; ++line) {
    const std::string lie = lying(text, line);
    ASSERT_NE(lie, text);
    test::put_file(options_.offsets_file, lie);
    const auto census = Census::open(host(), options_);
    if (!census) {
      ++refused;
      continue;
    }
    EXPECT_EQ(dead(Census::open(host(), options_)), truth) << "line " << line;
  }
  EXPECT_GT(refused, lines / 3);
}

TEST_F(DiscoveredCensus, LeavesNothingToTheNextOneWhenItIsKilled) {
  const std::string death = test::in_child([&]() -> std::string {
    std::thread killer([&] {
      while (is_cleared()) std::this_thread::yield();
      ::kill(::getpid(), SIGKILL);
    });
    const auto found = kernel::discover_layout(host(), hierarchy(), span_);
    killer.join();
    return "alive";
  });
  EXPECT_NE(death.find("9"), std::string::npos) << death;
  EXPECT_FALSE(is_cleared());
  // The kernel may take a moment to end the experiments.
  EXPECT_TRUE(test::eventually([&] {
    (void)kernel::discover_layout(host(), hierarchy(), span_);
    return is_cleared();
  }));
}

TEST_F(RealCensus, CountsWhatItNames) {
  for (int i = 0; i < 100; ++i) make("live" + std::to_string(i));
  auto census = Census::open(host());
  ASSERT_TRUE(census) << census.error().message();
  Snapshot snapshot;
  const auto difference = [&]() -> std::string {
    if (const auto took = census->take(snapshot); !took) return took.error().message();
    const auto count = census->count();
    if (!count) return count.error().message();
    const auto live = std::count_if(snapshot.cgroups.begin(), snapshot.cgroups.end(),
                                    [](const Cgroup& one) { return one.live; });
    const auto dead = static_cast<std::ptrdiff_t>(snapshot.cgroups.size()) - live;
    if (count->live == static_cast<std::uint64_t>(live) &&
        count->dead == static_cast<std::uint64_t>(dead) && live > 100) {
      return "";
    }
    return std::to_string(count->live) + " and " + std::to_string(count->dead) + ", not " +
           std::to_string(live) + " and " + std::to_string(dead);
  };
  EXPECT_EQ(test::persist(40, difference), "");
}

TEST_F(RealCensus, TellsTheLinesOfMemoryStatAndTheListsOfEachNode) {
  make("live");
  if (!v2()) std::ofstream(directory("live/memory.use_hierarchy")) << 1;
  hand_down("live");
  make("live/below");
  const test::Tenant tenant(directory("live/below"), [] {
    static std::vector<char> memory;
    memory.assign(4U << 20, 'x');
    return 0;
  });
  auto census = Census::open(host());
  ASSERT_TRUE(census) << census.error().message();
  const auto stat = fs::read_in_root(directory("live"), "memory.stat");
  ASSERT_TRUE(stat) << stat.error().message();
  Snapshot snapshot;
  ASSERT_TRUE(census->take(snapshot, {true, true, true, true}));
  const Cgroup* const live = find(snapshot, path("live"));
  const Cgroup* const below = find(snapshot, path("live/below"));
  ASSERT_NE(live, nullptr);
  ASSERT_NE(below, nullptr);
  const auto index = [&](const Cgroup* one) {
    return static_cast<std::size_t>(one - snapshot.cgroups.data());
  };
  const std::string total = v2() ? "" : "total_";
  const std::uint64_t stated = parse::value_of(*stat, total + "inactive_anon").value_or(0) +
                               parse::value_of(*stat, total + "active_anon").value_or(0);
  const std::uint64_t told = snapshot.counter(index(live), census::Counter::inactive_anon) +
                             snapshot.counter(index(live), census::Counter::active_anon);
  const std::uint64_t lag = 64 * host().page_size();
  EXPECT_GE(told + lag, 4U << 20);
  EXPECT_LE(std::max(told, stated) - std::min(told, stated), lag);
  ASSERT_GT(snapshot.nodes, 0);
  std::uint64_t on_nodes = 0;
  for (unsigned node = 0; node < snapshot.nodes; ++node) {
    on_nodes += snapshot.on_node(index(below), node).anon;
    EXPECT_EQ(snapshot.on_node(index(live), node).anon, 0);
  }
  EXPECT_EQ(on_nodes, below->own.anon);

  ASSERT_TRUE(census->take(snapshot, {false, false, false, false}));
  const auto bare = std::find_if(snapshot.cgroups.begin(), snapshot.cgroups.end(),
                                 [&](const Cgroup& one) { return one.serial == below->serial; });
  ASSERT_NE(bare, snapshot.cgroups.end());
  EXPECT_GE(bare->usage + lag, 4U << 20);
  EXPECT_EQ(bare->own.anon, 0);
  EXPECT_EQ(bare->name, "");
}

/// Makes and removes cgroups below `top`, by turns c0 to c49, every fourth with a child.
class Churn {
 public:
  static constexpr unsigned names = 50;
  /// `pause`: between two of them.
  Churn(std::string top, std::chrono::microseconds pause)
      : top_(std::move(top)), pause_(pause), thread_([this] { run(); }) {}
  ~Churn() {
    stop_ = true;
    thread_.join();
    for (unsigned i = 0; i < names; ++i) remove(i);
  }
  [[nodiscard]] std::uint64_t rounds() const { return rounds_; }

 private:
  void run() {
    auto next = std::chrono::steady_clock::now();
    for (unsigned i = 0; !stop_; i = (i + 1) % names) {
      if (::mkdir(at(i).c_str(), 0755) == 0) ++rounds_;
      if (i % 4 == 0) ::mkdir((at(i) + "/below").c_str(), 0755);
      remove((i + names / 2) % names);
      std::this_thread::sleep_until(next += pause_);
    }
  }
  [[nodiscard]] std::string at(unsigned i) const { return top_ + "/c" + std::to_string(i); }
  void remove(unsigned i) const {
    if (i % 4 == 0) ::rmdir((at(i) + "/below").c_str());
    ::rmdir(at(i).c_str());
  }

  std::string top_;
  std::chrono::microseconds pause_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> rounds_{0};
  std::thread thread_;
};

/// Returns the resident memory of this process in pages, the second number of /proc/self/statm.
std::uint64_t resident_pages() {
  const auto text = fs::read_in_root("/proc", "self/statm");
  return text ? std::strtoull(text->c_str() + text->find(' '), nullptr, 10) : 0;
}

/// Returns what is wrong with a census of cgroups that come and go below `top`, beside `stay` that
/// stay.
std::string disorder(const Snapshot& snapshot, std::uint64_t top, unsigned stay) {
  std::set<std::uint64_t> serials;
  unsigned staying = 0;
  for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
    const Cgroup& one = snapshot.cgroups[i];
    if (!serials.insert(one.serial).second) return "twice: " + snapshot.path(i);
    if (i != 0 && one.parent >= i) return "orphan: " + snapshot.path(i);
    const Cgroup& parent = snapshot.cgroups[one.parent];
    const bool inside = parent.inode == top;
    const bool below = i != 0 && snapshot.cgroups[parent.parent].inode == top;
    if (inside && one.name.substr(0, 4) == "stay") {
      if (!one.live) return "dead: " + snapshot.path(i);
      ++staying;
    } else if (inside && (one.name.empty() || one.name.front() != 'c' || one.name.size() > 3)) {
      return "no such name: " + snapshot.path(i);
    } else if (below && one.name != "below") {
      return "no such name: " + snapshot.path(i);
    }
  }
  return staying == stay ? "" : std::to_string(staying) + " that stay were found";
}

/// For a longer run: CGCTL_CHURN_SECONDS=600, with a thousand cgroups made and removed a second.
TEST_F(RealCensus, HasNoDuplicateAndNoOrphanWhileCgroupsComeAndGo) {
  using std::chrono::microseconds;
  constexpr unsigned stay = 20;
  const char* const text = ::getenv("CGCTL_CHURN_SECONDS");
  const std::chrono::seconds time(text != nullptr ? std::strtol(text, nullptr, 10) : 0);
  const auto end = std::chrono::steady_clock::now() + time;
  auto census = Census::open(host());
  ASSERT_TRUE(census) << census.error().message();
  make("churn");
  hand_down("churn");
  for (unsigned i = 0; i < stay; ++i) make("churn/stay" + std::to_string(i));
  struct ::stat top {};
  ASSERT_EQ(::stat(directory("churn").c_str(), &top), 0);
  const Churn churn(directory("churn"), microseconds(time.count() > 0 ? 1000 : 0));
  Snapshot snapshot;
  std::string wrong;
  std::uint64_t resident = 0;
  unsigned takes = 0;
  std::size_t most = 0;
  std::size_t most_at_first = 0;
  constexpr unsigned least = 300;
  while (wrong.empty() && (takes < least || std::chrono::steady_clock::now() < end)) {
    if (const auto took = census->take(snapshot); !took) wrong = took.error().message();
    if (wrong.empty()) wrong = disorder(snapshot, top.st_ino, stay);
    if (const auto count = census->count(); !count) wrong = count.error().message();
    most = std::max(most, snapshot.cgroups.size());
    if (++takes == least) {
      resident = resident_pages();
      most_at_first = most;
    }
    if (time.count() > 0) std::this_thread::sleep_for(microseconds(5000));
  }
  EXPECT_EQ(wrong, "");
  EXPECT_GT(churn.rounds(), 10);
  // A snapshot keeps the memory for the most cgroups there ever were, and grows by
  // doubling: below 2 KiB for each.
  const std::uint64_t slack = 256 + (most - most_at_first) / 2;
  EXPECT_GT(resident, 0);
  EXPECT_LE(resident_pages(), resident + slack);
  if (time.count() > 0) {
    std::cout << takes << " censuses beside " << churn.rounds() << " cgroups made and removed; "
              << resident << " resident pages for " << most_at_first << " cgroups at first, "
              << resident_pages() << " for " << most << " at last\n";
  }
}

/// Returns a complaint unless a census is refused with EPERM and an error that names the cause.
std::string refused_for(const Host& host, std::string_view cause) {
  const auto census = Census::open(host);
  if (census) return "it was opened";
  const std::string text = census.error().message();
  const bool told = census.error().os_errno == EPERM && text.find(cause) != std::string::npos;
  return told ? "" : text;
}

/// Leaves this thread no right but one; 0: none.
int keep_right(unsigned right) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (right != 0) data[right / 32].effective = data[right / 32].permitted = 1U << right % 32;
  return static_cast<int>(::syscall(SYS_capset, &header, data));
}

TEST_F(RealCensus, IsRefusedWithTheCauseWithoutTheRight) {
  EXPECT_EQ(test::in_child([&]() -> std::string {
              test::refuse_bpf();
              return refused_for(host(), "seccomp");
            }),
            "");
  EXPECT_EQ(test::in_child([&]() -> std::string {
              if (::unshare(CLONE_NEWUSER) != 0) return "";
              return refused_for(host(), "user namespace");
            }),
            "");
  constexpr unsigned perfmon = 38;
  constexpr unsigned bpf = 39;
  const std::pair<unsigned, const char*> lacking[] = {
      {0, "lacks CAP_BPF and CAP_PERFMON"}, {bpf, "lacks CAP_PERFMON"}, {perfmon, "lacks CAP_BPF"}};
  for (const auto& [right, cause] : lacking) {
    EXPECT_EQ(test::in_child([&, right = right, cause = cause]() -> std::string {
                if (keep_right(right) != 0) return "capset";
                return refused_for(host(), cause);
              }),
              "");
  }
}

/// The number of BPF programs in the kernel.
unsigned programs() {
  unsigned number = 0;
  bpf_attr attributes{};
  while (::syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attributes, sizeof attributes) == 0) {
    attributes.start_id = attributes.next_id;
    ++number;
  }
  return number;
}

TEST_F(RealCensus, LeavesNothingBehindWhenItsProcessIsKilled) {
  const unsigned before = programs();
  const std::string death = test::in_child([&]() -> std::string {
    const auto census = Census::open(host());
    if (!census) return census.error().message();
    if (programs() <= before) return "no program was loaded";
    ::kill(::getpid(), SIGKILL);
    return "alive";
  });
  EXPECT_NE(death.find("9"), std::string::npos) << death;
  EXPECT_TRUE(test::eventually([&] { return programs() <= before; }));
}

}  // namespace census_test
