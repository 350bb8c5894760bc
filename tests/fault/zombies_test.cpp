// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/zombies.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>

#include "../support/captured.hpp"
#include "../support/skip.hpp"
#include "faulty_sys.hpp"

namespace zombies_test {

using namespace cgctl;
using fault::Call;
using fault::Faults;

/// A captured machine with 1,504 memory cgroups: the root, kubepods, pod-a, pod-b and 1,500
/// zombies.
class Count : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_) << host_.error().message();
    auto counter = zombies::Counter::open(*host_);
    ASSERT_TRUE(counter) << counter.error().message();
    counter_ = std::make_unique<zombies::Counter>(std::move(*counter));
  }
  /// Returns the text of /proc/cgroups with `number` memory cgroups.
  [[nodiscard]] std::string kernel_says(unsigned number) const {
    std::string text = test::file_text(machine_.path("proc/cgroups"));
    const std::size_t at = text.find("1504");
    EXPECT_NE(at, std::string::npos);
    return text.replace(at, 4, std::to_string(number));
  }

  test::CapturedMachine machine_{"linux-5.4-v1-numa2/2-zombies"};
  const Result<Host> host_ = machine_.host();
  std::unique_ptr<zombies::Counter> counter_;
};

constexpr const char* source = "proc/cgroups";

TEST_F(Count, IsTheKernelsNumberLessTheDirectories) {
  const auto count = counter_->count();
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->kernel, 1504);
  EXPECT_EQ(count->live, 4);
  EXPECT_EQ(count->low, 1500);
  EXPECT_TRUE(count->exact());
}

TEST_F(Count, OpensNoLeaf) {
  struct ::stat leaf {};
  ASSERT_EQ(::stat(machine_.cgroup("memory/kubepods/pod-a").c_str(), &leaf), 0);
  if (leaf.st_nlink != 2) return test::skip("this file system does not count links as kernfs does");
  Faults faults;
  ASSERT_TRUE(counter_->count());
  EXPECT_EQ(faults.calls(Call::open_at, "memory/kubepods"), 1);
  EXPECT_EQ(faults.calls(Call::open_at, "pod-a") + faults.calls(Call::open_at, "pod-b"), 0);
}

TEST_F(Count, IsRepeatedIfTheNumberChangedMeanwhile) {
  Faults faults;
  faults.on(Call::pread, source).gives(kernel_says(1504));
  faults.on(Call::pread, source).gives(kernel_says(1510));
  faults.on(Call::pread, source).gives(kernel_says(1510));
  const auto count = counter_->count();
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->low, 1506);
  EXPECT_TRUE(count->exact());
  EXPECT_EQ(faults.calls(Call::pread, source), 3);
  EXPECT_EQ(faults.calls(Call::stat, "cgroup/memory"), 2) << "two walks";
}

TEST_F(Count, IsAnIntervalWithBothNumbersIfTheyNeverAgree) {
  Faults faults;
  for (const unsigned number : {1504U, 1510U, 1507U, 1520U}) {
    faults.on(Call::pread, source).gives(kernel_says(number));
  }
  const auto count = counter_->count(3);
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->low, 1507 - 4);
  EXPECT_EQ(count->high, 1520 - 4);
  EXPECT_FALSE(count->exact());
  EXPECT_EQ(count->zombies(), count->low);
}

TEST_F(Count, IsAnIntervalIfTheNumberFalls) {
  Faults faults;
  faults.on(Call::pread, source).gives(kernel_says(1504));
  faults.on(Call::pread, source).gives(kernel_says(900));
  const auto count = counter_->count(1);
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->low, 896);
  EXPECT_EQ(count->high, 1500);
}

TEST_F(Count, WalksOnceEvenWithZeroRounds) {
  const auto count = counter_->count(0);
  ASSERT_TRUE(count);
  EXPECT_EQ(count->low, 1500);
}

TEST_F(Count, IsZeroIfTheKernelCountsFewerThanDirectories) {
  Faults faults;
  faults.on(Call::pread, source).gives(kernel_says(2)).always();
  const auto count = counter_->count(3);
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->low, 0);
  EXPECT_EQ(count->high, 0);
  EXPECT_FALSE(count->exact()) << "the two counts never agreed";
  EXPECT_EQ(faults.calls(Call::pread, source), 4) << "after such a race it counts again";
}

TEST_F(Count, HasNoNegativeLowerEnd) {
  Faults faults;
  faults.on(Call::pread, source).gives(kernel_says(2));
  faults.on(Call::pread, source).gives(kernel_says(7));
  const auto count = counter_->count(1);
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->low, 0);
  EXPECT_EQ(count->high, 3);
}

TEST_F(Count, LeavesOutADirectoryThatVanishesBeforeItIsLookedAt) {
  Faults faults;
  faults.on(Call::stat_at, "kubepods/pod-a").after([&] {
    std::filesystem::remove_all(machine_.cgroup("memory/kubepods/pod-a"));
  });
  const auto live = zombies::count_directories(host_->find("memory")->directory.get(), "memory");
  ASSERT_TRUE(live) << live.error().message();
  EXPECT_EQ(*live, 3);
}

TEST_F(Count, LeavesOutADirectoryThatVanishesBeforeItIsOpened) {
  Faults faults;
  faults.on(Call::open_at, "memory/kubepods").after([&] {
    std::filesystem::remove_all(machine_.cgroup("memory/kubepods"));
  });
  const auto live = zombies::count_directories(host_->find("memory")->directory.get(), "memory");
  ASSERT_TRUE(live) << live.error().message();
  EXPECT_EQ(*live, 1);
}

class CountWhenADirectoryVanishesUnderTheList : public Count,
                                                public ::testing::WithParamInterface<int> {};

TEST_P(CountWhenADirectoryVanishesUnderTheList, CountsTheOthers) {
  Faults faults;
  faults.on(Call::getdents64, "memory/kubepods").fails(GetParam());
  const auto live = zombies::count_directories(host_->find("memory")->directory.get(), "memory");
  ASSERT_TRUE(live) << live.error().message();
  EXPECT_EQ(*live, 2) << "the root, and kubepods, which existed when the counter was opened";
}

INSTANTIATE_TEST_SUITE_P(ForEachErrno, CountWhenADirectoryVanishesUnderTheList,
                         ::testing::Values(ENOENT, ENODEV));

TEST_F(Count, StopsWithTheReasonWhenADirectoryCannotBeRead) {
  Faults faults;
  faults.on(Call::getdents64, "memory/kubepods").fails(EIO);
  const auto count = counter_->count();
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().os_errno, EIO);
}

TEST_F(Count, StopsWithAHintWhenDescriptorsRunOut) {
  Faults faults;
  faults.on(Call::open_at, "memory/kubepods").fails(EMFILE);
  const auto count = counter_->count();
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().os_errno, EMFILE);
  EXPECT_NE(count.error().hint.find("ulimit -n"), std::string::npos);
}

TEST_F(Count, RepeatsInterruptedCalls) {
  Faults faults;
  faults.on(Call::pread, source).fails(EINTR).times(2);
  faults.on(Call::getdents64, "memory/kubepods").fails(EINTR);
  const auto count = counter_->count();
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->low, 1500);
  EXPECT_TRUE(count->exact());
}

TEST_F(Count, FailsAsVanishedIfTheSourceIsGone) {
  Faults faults;
  faults.on(Call::pread, source).fails(ENODEV);
  const auto count = counter_->count();
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().kind, errc::vanished);
}

TEST_F(Count, RefusesATextWithoutAMemoryRow) {
  Faults faults;
  faults.on(Call::pread, source)
      .gives("#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t4\t1\n");
  const auto count = counter_->count();
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().kind, errc::malformed);
  EXPECT_NE(count.error().path.find("cgroups"), std::string::npos);
}

/// A machine with the memory controller on v2 and other controllers on v1.
class CountOnV2 : public ::testing::Test {
 protected:
  test::CapturedMachine machine_{"linux-6.1-hybrid-numa2/2-zombies"};
};

constexpr const char* v2_source = "unified/cgroup.stat";

TEST_F(CountOnV2, IsOneReadAndNoWalk) {
  const auto host = machine_.host();
  ASSERT_TRUE(host);
  auto counter = zombies::Counter::open(*host);
  ASSERT_TRUE(counter) << counter.error().message();
  Faults faults;
  faults.on(Call::pread, v2_source)
      .gives(
          "nr_descendants 4\nnr_subsys_memory 5\nnr_dying_descendants 30\nnr_dying_subsys_memory "
          "21\n");
  const auto count = counter->count();
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->low, 21);
  EXPECT_TRUE(count->exact());
  EXPECT_TRUE(count->memory_only);
  EXPECT_EQ(count->kernel, 26);
  EXPECT_EQ(faults.calls(Call::pread), 1);
  EXPECT_EQ(faults.calls(Call::getdents64), 0);
}

TEST_F(CountOnV2, IsMarkedOnKernelsThatCountAllControllersTogether) {
  const auto host = machine_.host();
  ASSERT_TRUE(host);
  auto counter = zombies::Counter::open(*host);
  ASSERT_TRUE(counter);
  Faults faults;
  faults.on(Call::pread, v2_source).fails(EINTR);
  faults.on(Call::pread, v2_source).gives("nr_descendants 4\nnr_dying_descendants 30\n");
  const auto count = counter->count();
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(count->low, 30);
  EXPECT_EQ(count->live, 5);
  EXPECT_FALSE(count->memory_only);
}

TEST_F(CountOnV2, FailsAsVanishedIfTheSourceIsGone) {
  const auto host = machine_.host();
  ASSERT_TRUE(host);
  auto counter = zombies::Counter::open(*host);
  ASSERT_TRUE(counter);
  Faults faults;
  faults.on(Call::pread, v2_source).fails(ENODEV);
  const auto count = counter->count();
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().kind, errc::vanished);
}

TEST_F(CountOnV2, IsUnsupportedOnKernelsWithoutTheFile) {
  std::filesystem::remove(machine_.cgroup(v2_source));
  const auto host = machine_.host();
  ASSERT_TRUE(host);
  const auto counter = zombies::Counter::open(*host);
  ASSERT_FALSE(counter);
  EXPECT_EQ(counter.error().kind, errc::unsupported);
  EXPECT_NE(counter.error().hint.find("4.14"), std::string::npos);
}

}  // namespace zombies_test
