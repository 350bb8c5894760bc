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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/filesystem.hpp"
#include "detail/page_lists.hpp"
#include "kernel/proof.hpp"
#include "kernel/walker.hpp"
#include "real_cgroups.hpp"

namespace census_test {

using namespace cgctl;
using census::Census;
using census::Cgroup;
using census::Snapshot;
using lab::Pin;

class RealCensus : public test::RealCgroups {
 protected:
  void SetUp() override {
    test::RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!test::kernel_is_at_least(5, 10))
      return test::skip("BPF programs run on demand since 5.10");
    if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) return test::skip("the kernel has no BTF");
  }

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
  // Tests that run at the same time have cgroups of this name too.
  const Cgroup* found = nullptr;
  for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
    if (snapshot.path(i) == path("live")) found = &snapshot.cgroups[i];
  }
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

/// The offsets that the kernel's type information tells.
kernel::Layout layout_of_this_kernel(unsigned nodes) {
  auto btf = kernel::Btf::parse(test::must(fs::read_in_root("/sys", "kernel/btf/vmlinux")));
  kernel::Layout layout = test::must(kernel::layout_of(test::must(std::move(btf))));
  layout.fields.nodes = nodes;
  return layout;
}

/// Takes a census with `layout`. Returns the difference that the proof found, or nothing.
std::string prove(const Host& host, const Hierarchy& hierarchy, const kernel::Layout& layout,
                  kernel::Way way = kernel::Way::on_demand, unsigned rounds = 6) {
  auto program = kernel::Program::load(layout.fields, way);
  if (!program) return program.error().message();
  kernel::Walker walker(std::move(*program), layout, false);
  std::vector<std::vector<char>> names;
  const auto status = kernel::prove(
      host, hierarchy,
      [&](Snapshot& snapshot) {
        names.emplace_back();
        return walker.take(snapshot, names.back());
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
  const kernel::Layout layout = layout_of_this_kernel(now.nodes);
  ASSERT_EQ(prove(host(), hierarchy(), layout), "");
  kernel::Layout counters_only = layout;
  counters_only.fields.nodes = 0;
  EXPECT_EQ(prove(host(), hierarchy(), counters_only), "");
  using Field = unsigned cgctl_layout::*;
  const std::pair<const char*, Field> fields[] = {
      {"task_cgroups", &cgctl_layout::task_cgroups},
      {"cset_memory", &cgctl_layout::cset_memory},
      {"css_cgroup", &cgctl_layout::css_cgroup},
      {"css_sibling", &cgctl_layout::css_sibling},
      {"css_children", &cgctl_layout::css_children},
      {"css_flags", &cgctl_layout::css_flags},
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
  // From Linux 7.1 on, pages keep no removed cgroup.
  const bool has_dead = !dead_below(now, maker->group()).empty();
  for (const auto& [name, field] : fields) {
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
Result<Snapshot> taken(const kernel::Layout& layout, kernel::Way way, std::vector<char>& names) {
  auto program = kernel::Program::load(layout.fields, way);
  if (!program) return fail(program.error());
  kernel::Walker walker(std::move(*program), layout, false);
  Snapshot snapshot;
  if (auto status = walker.take(snapshot, names); !status) return fail(status.error());
  return snapshot;
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
  const auto layout = layout_of_this_kernel(snapshot.nodes);
  std::array<char, 16> before{};
  ::prctl(PR_GET_NAME, before.data());
  EXPECT_EQ(prove(host(), hierarchy(), layout, kernel::Way::by_rename), "");
  std::vector<char> names;
  const auto now = taken(layout, kernel::Way::on_demand, names);
  ASSERT_TRUE(now) << now.error().message();
  std::vector<char> old_names;
  const auto old = taken(layout, kernel::Way::by_rename, old_names);
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
  EXPECT_GE(mine(*now).size(), 21);
  EXPECT_EQ(mine(*old), mine(*now));
  std::array<char, 16> after{};
  ::prctl(PR_GET_NAME, after.data());
  EXPECT_STREQ(after.data(), before.data());
}

TEST_F(RealCensus, HasNoDuplicateAndNoOrphanWhileCgroupsComeAndGo) {
  auto census = Census::open(host());
  ASSERT_TRUE(census) << census.error().message();
  make("churn");
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> rounds{0};
  std::thread churn([&] {
    for (std::uint64_t i = 0; !stop; ++i) {
      const std::string one = directory("churn/c" + std::to_string(i % 50));
      if (::mkdir(one.c_str(), 0755) == 0) ++rounds;
      ::rmdir(directory("churn/c" + std::to_string((i + 25) % 50)).c_str());
    }
  });
  Snapshot snapshot;
  std::string wrong;
  for (unsigned i = 0; i < 300 && wrong.empty(); ++i) {
    if (const auto took = census->take(snapshot); !took) wrong = took.error().message();
    std::set<std::uint64_t> serials;
    for (std::size_t k = 0; k < snapshot.cgroups.size(); ++k) {
      const Cgroup& one = snapshot.cgroups[k];
      if (!serials.insert(one.serial).second) wrong = "twice: " + snapshot.path(k);
      const bool mine = snapshot.cgroups[one.parent].name == "churn" && k != 0;
      if (mine && (one.name.empty() || one.name.front() != 'c' || one.name.size() > 3)) {
        wrong = "no such name: " + snapshot.path(k);
      }
    }
  }
  stop = true;
  churn.join();
  for (int i = 0; i < 50; ++i) ::rmdir(directory("churn/c" + std::to_string(i)).c_str());
  EXPECT_EQ(wrong, "");
  EXPECT_GT(rounds, 10);
}

/// Makes bpf(2) fail with EPERM for this process, as a container engine's filter does.
void refuse_bpf() {
  ::sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const ::sock_fprog program = {std::size(filter), filter};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
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
              refuse_bpf();
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
