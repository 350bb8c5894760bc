// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/sampler.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <map>
#include <string>

#include "../support/captured.hpp"
#include "../support/result.hpp"
#include "faulty_sys.hpp"

namespace sampler_test {

using namespace cgctl;
using cgctl::test::must;
using cgctl::test::ok;
using fault::Call;
using fault::Faults;

class FaultySampler : public ::testing::Test {
 protected:
  [[nodiscard]] Sampler sampler(std::size_t descriptors) const {
    return must(Sampler::open(host_, "/", {descriptors}));
  }
  /// Samples all cgroups. Returns for each if it had figures of memory.stat.
  static std::map<std::string, bool> take(Sampler& sampler, std::size_t& unread) {
    std::map<std::string, bool> seen;
    unread = sampler.sample(
        [&](const Sample& sample) { seen.emplace(sample.path, sample.memory_stat != nullptr); });
    return seen;
  }

  test::CapturedMachine machine_{"linux-6.1-v1-numa2/2-zombies"};
  Host host_ = must(machine_.host());
  std::size_t unread_ = 0;
};

TEST_F(FaultySampler, CountsACgroupOfWhichAFileCouldNotBeRead) {
  auto sampler = this->sampler(0);
  const std::size_t all = take(sampler, unread_).size();
  EXPECT_EQ(unread_, 0U);
  for (const int reason : {EMFILE, ENFILE, EACCES, ENOMEM}) {
    Faults faults;
    faults.on(Call::open_beneath, "kubepods/pod-a/memory.stat").fails(reason);
    const auto seen = take(sampler, unread_);
    EXPECT_EQ(unread_, 1U) << reason;
    EXPECT_EQ(seen.size(), all);
    EXPECT_FALSE(seen.at("/kubepods/pod-a"));
  }
  Faults faults;
  faults.on(Call::pread, "kubepods/pod-a/memory.stat").gives("nonsense");
  EXPECT_FALSE(take(sampler, unread_).at("/kubepods/pod-a"));
  EXPECT_EQ(unread_, 1U);
}

TEST_F(FaultySampler, DoesNotCountACgroupThatIsGone) {
  for (const std::size_t descriptors : {0U, 1000U}) {
    auto sampler = this->sampler(descriptors);
    const std::size_t all = take(sampler, unread_).size();
    Faults faults;
    for (const char* file : {"cpu.stat", "cpuacct.usage", "memory.usage_in_bytes", "memory.stat"}) {
      const std::string path = std::string("kubepods/pod-a/") + file;
      if (descriptors > 0) faults.on(Call::pread, path).fails(ENODEV);
      faults.on(Call::open_beneath, path).fails(ENOENT);
    }
    EXPECT_EQ(take(sampler, unread_).size(), all - 1);
    EXPECT_EQ(unread_, 0U);
  }
}

TEST_F(FaultySampler, KeepsTryingAFileThatCouldNotBeReadOnce) {
  auto sampler = this->sampler(1000);
  {
    Faults faults;
    faults.on(Call::pread, "kubepods/pod-a/memory.stat").fails(EIO);
    EXPECT_FALSE(take(sampler, unread_).at("/kubepods/pod-a"));
    EXPECT_EQ(unread_, 1U);
  }
  EXPECT_TRUE(take(sampler, unread_).at("/kubepods/pod-a"));
  EXPECT_EQ(unread_, 0U);
}

TEST_F(FaultySampler, ClosesDescriptorsUntilItCanWalk) {
  auto sampler = this->sampler(1000);
  const std::size_t before = sampler.descriptors();
  const std::size_t all = take(sampler, unread_).size();
  {
    Faults faults;
    faults.on(Call::open_at).fails(EMFILE).times(2);
    EXPECT_TRUE(ok(sampler.refresh()));
  }
  EXPECT_EQ(sampler.descriptors(), before / 4);
  EXPECT_EQ(take(sampler, unread_).size(), all);
  EXPECT_EQ(unread_, 0U);
}

TEST_F(FaultySampler, FailsToWalkIfItHasNoDescriptorToClose) {
  auto sampler = this->sampler(1000);
  const std::size_t all = sampler.size();
  {
    Faults faults;
    faults.on(Call::open_at).fails(EMFILE).always();
    const auto status = sampler.refresh();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().os_errno, EMFILE);
    EXPECT_NE(status.error().hint, "");
  }
  EXPECT_EQ(sampler.descriptors(), 0U);
  EXPECT_EQ(take(sampler, unread_).size(), all) << "known cgroups are sampled as before";
}

TEST_F(FaultySampler, GivesEachThreadTheSameNumberOfCgroupsWithKeptFiles) {
  auto sampler = this->sampler(1000);
  const std::size_t half = sampler.descriptors() / 2;
  sampler = this->sampler(half);
  std::array<std::size_t, 2> opened{};
  for (std::size_t part = 0; part < 2; ++part) {
    Sampler::Scratch scratch;
    const Faults faults;
    EXPECT_EQ(sampler.sample(scratch, part, 2, [](const Sample&) {}), 0U);
    opened.at(part) = faults.calls(Call::open_beneath);
  }
  EXPECT_GT(opened[0], 0U);
  EXPECT_EQ(opened[0], opened[1]);
}

}  // namespace sampler_test
