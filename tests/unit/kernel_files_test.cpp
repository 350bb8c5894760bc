// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "group/kernel_files.hpp"

#include <gtest/gtest.h>

#include <string>

namespace kernel_files_test {

using cgctl::Version;
using cgctl::detail::counterpart_hint;
using cgctl::detail::kernel_file;
using cgctl::detail::KernelFile;

TEST(KernelFiles, ARowSaysWhatIsKnownAboutAFile) {
  const KernelFile file = kernel_file("memory.swappiness");
  EXPECT_TRUE(file.is_of(Version::v1));
  EXPECT_FALSE(file.is_of(Version::v2));
  EXPECT_TRUE(file.is_setting());
  EXPECT_TRUE(file.is_inherited());
  EXPECT_EQ(file.initial, "60");
  EXPECT_EQ(file.undo, KernelFile::Undo::rewrite);
}

TEST(KernelFiles, APatternIsFoundUnderTheNameOfTheFile) {
  const KernelFile limit = kernel_file("hugetlb.2MB.rsvd.max");
  EXPECT_EQ(limit.name, "hugetlb.2MB.rsvd.max");
  EXPECT_EQ(limit.form, KernelFile::Form::size);
  EXPECT_FALSE(limit.is_of(Version::v1));
  const KernelFile failures = kernel_file("hugetlb.2MB.failcnt");
  EXPECT_TRUE(failures.is_reading());
  EXPECT_EQ(failures.undo, KernelFile::Undo::none);
}

TEST(KernelFiles, TheFirstPatternThatFitsCounts) {
  EXPECT_EQ(kernel_file("cgroup.stat.local").role, KernelFile::Role::counter);
  EXPECT_EQ(kernel_file("cgroup.controllers").role, KernelFile::Role::state);
  EXPECT_EQ(kernel_file("memory.kmem.max_usage_in_bytes").undo, KernelFile::Undo::none);
  EXPECT_EQ(kernel_file("memory.kmem.usage_in_bytes").undo, KernelFile::Undo::rewrite);
}

TEST(KernelFiles, AFileThatIsNotInTheTableIsASettingIfItBelongsToAController) {
  const KernelFile file = kernel_file("memory.vendor_limit");
  EXPECT_EQ(file.form, KernelFile::Form::unknown);
  EXPECT_TRUE(file.is_setting());
  EXPECT_TRUE(file.is_of(Version::v1));
  EXPECT_TRUE(file.is_of(Version::v2));
  EXPECT_FALSE(kernel_file("release_agent").is_setting());
  EXPECT_FALSE(kernel_file("").is_setting());
}

TEST(KernelFiles, ACounterpartIsFoundFromBothVersions) {
  EXPECT_EQ(counterpart_hint("memory.failcnt", Version::v2), "cgroup v2 has memory.events instead");
  EXPECT_EQ(counterpart_hint("cpu.max", Version::v1),
            "cgroup v1 has cpu.cfs_quota_us, cpu.cfs_period_us instead");
  EXPECT_EQ(counterpart_hint("cpu.max", Version::v2), "");
  EXPECT_EQ(counterpart_hint("memory.vendor_limit", Version::v1), "");
  EXPECT_EQ(counterpart_hint("", Version::v1), "");
}

}  // namespace kernel_files_test
