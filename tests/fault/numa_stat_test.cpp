// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/numa_stat.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>

#include "../support/captured.hpp"
#include "faulty_sys.hpp"

namespace numa_stat_test {

using namespace cgctl;
using fault::Call;
using fault::Faults;

class NumaStat : public ::testing::Test {
 protected:
  void SetUp() override {
    auto host = machine_.host();
    ASSERT_TRUE(host) << host.error().message();
    host_ = std::make_unique<Host>(std::move(*host));
  }
  [[nodiscard]] numa::Reader reader(std::string_view path) const {
    auto group = host_->open(path);
    EXPECT_TRUE(group);
    auto opened = numa::Reader::open(*group);
    EXPECT_TRUE(opened);
    return std::move(*opened);
  }

  test::CapturedMachine machine_{"linux-5.4-v1-numa2/2-zombies"};
  std::unique_ptr<Host> host_;
  numa::NumaStat out_;
};

constexpr const char* file = "memory.numa_stat";

TEST_F(NumaStat, ReadsWithOneSystemCallOnceTheBufferIsLargeEnough) {
  const auto root = reader("/");
  ASSERT_TRUE(root.read(out_));
  Faults faults;
  ASSERT_TRUE(root.read(out_));
  EXPECT_EQ(faults.calls(Call::pread), 1);
  EXPECT_EQ(faults.calls(Call::open_at) + faults.calls(Call::open_beneath), 0);
  EXPECT_EQ(out_.find("hierarchical_file")->on(1), 5898);
}

TEST_F(NumaStat, AnInterruptedReadIsRepeated) {
  const auto root = reader("/");
  Faults faults;
  faults.on(Call::pread, file).fails(EINTR).times(2);
  ASSERT_TRUE(root.read(out_));
  EXPECT_EQ(out_.find("hierarchical_file")->on(0), 866);
}

TEST_F(NumaStat, ATextLargerThanTheBufferIsReadAgainWhole) {
  const auto root = reader("/");
  std::string total;
  std::string rest;
  for (int node = 0; node < 1000; ++node) rest += " N" + std::to_string(node) + "=1";
  for (const char* name : {"total", "file", "anon", "unevictable"})
    total += name + ("=1000" + rest) + "\n";
  Faults faults;
  faults.on(Call::pread, file).gives(total).times(3);
  const auto status = root.read(out_);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(out_.find("unevictable")->on(999), 1);
  EXPECT_EQ(faults.calls(Call::pread), 3) << "4 KiB, 16 KiB, 64 KiB";
}

TEST_F(NumaStat, AShortReadIsTruncatedWhereverItEnds) {
  const auto root = reader("/");
  const std::string whole = test::file_text(machine_.cgroup("memory/memory.numa_stat"));
  const std::size_t old_kernels_end = whole.find("hierarchical_");
  ASSERT_NE(old_kernels_end, std::string::npos);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Faults faults;
    faults.on(Call::pread, file).at_most(size);
    const auto status = root.read(out_);
    if (size == old_kernels_end) {
      EXPECT_TRUE(status) << "the text of a kernel before 3.16 is complete";
      continue;
    }
    ASSERT_FALSE(status) << "after " << size << " bytes";
    EXPECT_EQ(status.error().kind, errc::truncated) << status.error().message();
    EXPECT_TRUE(out_.empty()) << "an incomplete result must not look complete";
  }
}

TEST_F(NumaStat, AKeptDescriptorOfARemovedCgroupFailsAsVanishedEachTime) {
  const auto pod = reader("/kubepods/pod-a");
  ASSERT_TRUE(pod.read(out_));
  Faults faults;
  faults.on(Call::pread, file).fails(ENODEV).times(2);
  for (int i = 0; i < 2; ++i) {
    const auto status = pod.read(out_);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().kind, errc::vanished);
    EXPECT_NE(status.error().path.find("kubepods/pod-a/memory.numa_stat"), std::string::npos);
  }
}

TEST_F(NumaStat, AMissingFileOfALiveCgroupIsUnsupported) {
  std::filesystem::remove(machine_.cgroup("memory/kubepods/memory.numa_stat"));
  const auto group = host_->open("/kubepods");
  ASSERT_TRUE(group);
  const auto opened = numa::Reader::open(*group);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, errc::unsupported);
  EXPECT_NE(opened.error().hint.find("NUMA"), std::string::npos);
}

TEST_F(NumaStat, AFileOfARemovedCgroupIsReportedAsVanished) {
  const auto group = host_->open("/kubepods/pod-a");
  ASSERT_TRUE(group);
  std::filesystem::remove_all(machine_.cgroup("memory/kubepods/pod-a"));
  const auto opened = numa::Reader::open(*group);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, errc::vanished);
}

TEST_F(NumaStat, AMeasuredReadThatFailsGivesNoCost) {
  const auto root = reader("/");
  Faults faults;
  faults.on(Call::pread, file).fails(ENODEV);
  const auto cost = numa::measured_read(root, out_);
  ASSERT_FALSE(cost);
  EXPECT_EQ(cost.error().kind, errc::vanished);
}

TEST_F(NumaStat, TheRootReaderSaysThatANodeWentOffline) {
  const auto nodes = numa::RootReader::open(*host_, Version::v1);
  ASSERT_TRUE(nodes);
  ASSERT_TRUE(nodes->read(out_));
  Faults faults;
  faults.on(Call::pread, "node1/vmstat").fails(ENODEV);
  const auto status = nodes->read(out_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::vanished);
  EXPECT_NE(status.error().message().find("node went offline"), std::string::npos)
      << status.error().message();
  EXPECT_TRUE(out_.empty());
  EXPECT_TRUE(nodes->read(out_)) << "with the node back, the next read is complete";
}

TEST_F(NumaStat, TheRootReaderRepeatsAnInterruptedRead) {
  const auto nodes = numa::RootReader::open(*host_, Version::v1);
  ASSERT_TRUE(nodes);
  Faults faults;
  faults.on(Call::pread, "node0/vmstat").fails(EINTR);
  ASSERT_TRUE(nodes->read(out_));
  EXPECT_EQ(out_.find("hierarchical_file")->on(0), 866);
  EXPECT_EQ(out_.find("hierarchical_file")->on(1), 5898);
}

TEST_F(NumaStat, TheRootReaderRefusesCountersCutShort) {
  const auto nodes = numa::RootReader::open(*host_, Version::v1);
  ASSERT_TRUE(nodes);
  Faults faults;
  faults.on(Call::pread, "node0/vmstat").at_most(40);
  const auto status = nodes->read(out_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::malformed);
  EXPECT_NE(status.error().path.find("node0/vmstat"), std::string::npos);
  EXPECT_TRUE(out_.empty());
}

TEST_F(NumaStat, TheRootReaderNamesTheNodeItCannotOpen) {
  Faults faults;
  faults.on(Call::open_beneath, "node1/vmstat").fails(EACCES);
  const auto nodes = numa::RootReader::open(*host_, Version::v1);
  ASSERT_FALSE(nodes);
  EXPECT_EQ(nodes.error().os_errno, EACCES);
  EXPECT_NE(nodes.error().path.find("node1/vmstat"), std::string::npos);
}

}  // namespace numa_stat_test
