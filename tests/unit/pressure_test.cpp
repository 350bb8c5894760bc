// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/pressure.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "../support/captures.hpp"
#include "../support/made.hpp"
#include "../support/result.hpp"

namespace pressure_test {

using namespace cgctl;
using namespace std::chrono_literals;
using pressure::Resource;
using test::fails;
using test::must;
using ::testing::HasSubstr;

TEST(Pressure, IsTheShareOfTimeThatTasksWaited) {
  const auto cpu =
      must(pressure::parse(test::captured_text("linux-6.1-v2-numa2/2-zombies/proc/pressure/cpu")));
  EXPECT_DOUBLE_EQ(cpu.some.avg10, 10.68);
  EXPECT_DOUBLE_EQ(cpu.some.avg60, 5.48);
  EXPECT_DOUBLE_EQ(cpu.some.avg300, 1.51);
  EXPECT_EQ(cpu.some.total, 5336363us);
  ASSERT_TRUE(cpu.full);
  EXPECT_EQ(cpu.full->total, 0us);
}

TEST(Pressure, MayLackTheFullLine) {
  const auto cpu =
      must(pressure::parse("some avg10=0.22 avg60=100.00 avg300=0.03 total=18446744073\n"));
  EXPECT_DOUBLE_EQ(cpu.some.avg60, 100);
  EXPECT_EQ(cpu.some.total, 18446744073us);
  EXPECT_FALSE(cpu.full);
}

TEST(Pressure, KeepsTheTwoLinesApart) {
  const auto io =
      must(pressure::parse("full avg10=1.00 avg60=2.00 avg300=3.00 total=4\n"
                           "some avg10=5.00 avg60=6.00 avg300=7.05 total=8\n"));
  EXPECT_DOUBLE_EQ(io.some.avg300, 7.05);
  EXPECT_DOUBLE_EQ(io.full->avg10, 1);
  EXPECT_EQ(io.full->total, 4us);
}

TEST(Pressure, IgnoresALineOfAnotherKind) {
  const auto io =
      must(pressure::parse("some avg10=5.00 avg60=6.00 avg300=7.05 total=8\n"
                           "most avg10=1.00 avg60=2.00 avg300=3.00 total=4\n"));
  EXPECT_DOUBLE_EQ(io.some.avg10, 5);
  EXPECT_FALSE(io.full);
}

TEST(Pressure, SkipsAndCountsALineOfAnotherForm) {
  const auto io =
      must(pressure::parse("vendor 5\nsome avg10=5.00 avg60=6.00 avg300=7.05 total=8\n"
                           "full avg10=1.00 avg60=2.00 avg300=3.00 total=-4\n"));
  EXPECT_EQ(io.some.total, 8us);
  EXPECT_FALSE(io.full);
  EXPECT_EQ(io.skipped_lines, 2U);
}

TEST(Pressure, OfAnEmptyTextIsTruncated) {
  EXPECT_TRUE(fails(pressure::parse(""), errc::truncated));
  EXPECT_TRUE(
      fails(pressure::parse("full avg10=1.00 avg60=2.00 avg300=3.00 total=4\n"), errc::truncated));
}

TEST(Pressure, RefusesEveryTextThatWasCutShort) {
  const std::string line = "some avg10=0.22 avg60=0.17 avg300=0.03 total=1\n";
  for (std::size_t size = 1; size + 1 < line.size(); ++size)
    EXPECT_TRUE(fails(pressure::parse(line.substr(0, size)), errc::malformed)) << size;
}

TEST(Pressure, RefusesFiguresOfAnotherForm) {
  for (const char* line :
       {"some", "some\n", "\n", "some avg10=0.2 avg60=0.17 avg300=0.03 total=1",
        "some avg10=0.222 avg60=0.17 avg300=0.03 total=1",
        "some avg10=0,22 avg60=0.17 avg300=0.03 total=1",
        "some avg10=.22 avg60=0.17 avg300=0.03 total=1",
        "some avg10=-1.00 avg60=0.17 avg300=0.03 total=1",
        "some avg10=nan avg60=0.17 avg300=0.03 total=1",
        "some avg60=0.17 avg10=0.22 avg300=0.03 total=1", "some avg10=0.22 avg60=0.17 total=1",
        "some avg10=0.22 avg60=0.17 avg300=0.03", "some avg10=0.22 avg60=0.17 avg300=0.03 total=",
        "some avg10=0.22 avg60=0.17 avg300=0.03 total=-1"}) {
    EXPECT_TRUE(fails(pressure::parse(line), errc::malformed)) << line;
  }
}

TEST(Pressure, RefusesATimeThatDoesNotFit) {
  const std::string figures = "some avg10=0.22 avg60=0.17 avg300=0.03 total=";
  // 292 years: as nanoseconds, what is beyond is a negative time.
  EXPECT_EQ(must(pressure::parse(figures + "9223372036854775\n")).some.total, 9223372036854775us);
  EXPECT_TRUE(fails(pressure::parse(figures + "9223372036854776\n"), errc::malformed));
  EXPECT_TRUE(fails(pressure::parse(figures + "18446744073709551616\n"), errc::malformed));
}

TEST(PressureOfAHost, IsReadFromProc) {
  const Host host = test::captured("linux-6.1-v2-numa2/2-zombies");
  EXPECT_DOUBLE_EQ(must(pressure::read(host, Resource::cpu)).some.avg10, 10.68);
  EXPECT_EQ(must(pressure::read(host, Resource::io)).some.total, 20062us);
  EXPECT_EQ(must(pressure::read(host, Resource::io)).full->total, 11443us);
  EXPECT_EQ(must(pressure::read(host, Resource::memory)).some.total, 0us);
}

TEST(PressureOfAHost, IsUnsupportedWhereTheKernelKeepsNone) {
  const Host host = test::captured("linux-5.4-v1-numa2/1-fresh");
  const auto io = pressure::read(host, Resource::io);
  ASSERT_TRUE(fails(io, errc::unsupported));
  EXPECT_THAT(io.error().message(), HasSubstr("psi=1"));
  EXPECT_THAT(io.error().path, HasSubstr("/proc/pressure/io"));
}

TEST(PressureOfAHost, NamesTheFileThatIsMalformed) {
  const test::MadeMachine machine(test::v2_mount("/sys/fs/cgroup"));
  machine.put_v2("", "memory");
  machine.put("proc/pressure/memory", "some day\n");
  const auto memory = pressure::read(must(machine.host()), Resource::memory);
  ASSERT_TRUE(fails(memory, errc::malformed));
  EXPECT_EQ(memory.error().path, machine.path("proc/pressure/memory"));
}

TEST(PressureOfAGroup, IsReadFromItsOwnFiles) {
  const Host host = test::captured("linux-6.1-v2-numa2/2-zombies");
  const Group group = must(host.open("/kubepods.slice/pod-a"));
  const auto cpu = must(pressure::read(group, Resource::cpu));
  const auto same = must(pressure::parse(must(group.read("cpu.pressure"))));
  EXPECT_EQ(cpu.some.total, same.some.total);
}

TEST(PressureOfAGroup, IsUnsupportedOnV1) {
  const Host host = test::captured("linux-5.4-v1-numa2/1-fresh");
  EXPECT_TRUE(fails(pressure::read(must(host.open("/kubepods/pod-a")), Resource::memory),
                    errc::unsupported));
}

TEST(PressureOfAGroup, IsUnsupportedWhereTheKernelKeepsNone) {
  const test::MadeMachine machine(test::v2_mount("/sys/fs/cgroup"));
  machine.put_v2("", "memory");
  machine.put("sys/fs/cgroup/a/cgroup.procs", "");
  const Group group = must(must(machine.host()).open("/a"));
  EXPECT_TRUE(fails(pressure::read(group, Resource::io), errc::unsupported));
}

TEST(PressureOfAGroup, IsSwitchedOffForThatGroupAlone) {
  const test::MadeMachine machine(test::v2_mount("/sys/fs/cgroup"));
  machine.put_v2("", "memory");
  machine.put("sys/fs/cgroup/a/cgroup.procs", "");
  machine.put("sys/fs/cgroup/a/cgroup.pressure", "0\n");
  const auto io = pressure::read(must(must(machine.host()).open("/a")), Resource::io);
  ASSERT_TRUE(fails(io, errc::unsupported));
  EXPECT_THAT(io.error().reason, HasSubstr("switched off for this cgroup"));
  EXPECT_THAT(io.error().hint, HasSubstr("cgroup.pressure"));
}

TEST(PressureOfAGroup, IsVanishedOnceTheGroupIsRemoved) {
  const test::MadeMachine machine(test::v2_mount("/sys/fs/cgroup"));
  machine.put_v2("", "memory");
  machine.put("sys/fs/cgroup/a/cgroup.procs", "");
  const Group group = must(must(machine.host()).open("/a"));
  std::filesystem::remove_all(machine.cgroup("a"));
  EXPECT_TRUE(fails(pressure::read(group, Resource::io), errc::vanished));
}

TEST(PressureResource, HasTheNameOfItsFile) {
  EXPECT_EQ(to_string(Resource::cpu), "cpu");
  EXPECT_EQ(to_string(Resource::io), "io");
  EXPECT_EQ(to_string(Resource::memory), "memory");
  EXPECT_EQ(to_string(Resource{99}), "unknown");
}

}  // namespace pressure_test
