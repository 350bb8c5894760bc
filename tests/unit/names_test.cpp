// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "../support/captures.hpp"
#include "names/json_strings.hpp"
#include "names/layouts.hpp"

namespace names_test {

using namespace cgctl;
using names::JsonStrings;
using names::Names;
using test::captures;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Names found(const char* machine, const std::string& path) {
  names::Resolver resolver((captures().parent_path() / "runtimes" / machine).string());
  return resolver.names_of(path);
}

/// Returns an id as the files of tests/runtimes have it.
std::string id(const std::string& begin, const std::string& end) {
  return begin + std::string(64 - begin.size() - end.size(), '0') + end;
}

constexpr const char* pod = "/kubepods/burstable/pod5f1e9a3c-0b1d-4c55-9f0e-1c2d3e4f5a6b";
constexpr const char* slice =
    "/kubepods.slice/kubepods-burstable.slice/"
    "kubepods-burstable-pod5f1e9a3c_0b1d_4c55_9f0e_1c2d3e4f5a6b.slice";

TEST(Names, OfContainerd) {
  for (const std::string& path :
       {pod + ("/" + id("c0de", "1")), slice + ("/cri-containerd-" + id("c0de", "1")) + ".scope"}) {
    const Names names = found("containerd", path);
    EXPECT_EQ(names.space, "shop");
    EXPECT_EQ(names.pod, "web-7d4b9c6f5-x2k4q");
    EXPECT_EQ(names.container, "nginx");
    EXPECT_EQ(names.image, "docker.io/library/nginx:1.25");
    EXPECT_EQ(names.unit, "");
    EXPECT_EQ(text_of(names), "shop/web-7d4b9c6f5-x2k4q (nginx)");
  }
}

TEST(Names, OfASandboxAndOfAPod) {
  const Names sandbox = found("containerd", pod + ("/" + id("c0de", "2")));
  EXPECT_EQ(sandbox.container, "") << "the sandbox has no name of its own";
  EXPECT_EQ(text_of(sandbox), "shop/web-7d4b9c6f5-x2k4q (c0de00000000)");
  EXPECT_EQ(text_of(found("containerd", pod)), "shop/web-7d4b9c6f5-x2k4q");
}

TEST(Names, OfCriO) {
  const Names names = found("crio", "/kubepods.slice/crio-" + id("c410", "1") + ".scope");
  EXPECT_EQ(text_of(names), "db/etcd-0 (etcd)");
  EXPECT_EQ(names.image, "quay.io/coreos/etcd:v3.5.9");
  EXPECT_EQ(text_of(found("crio", "/kubepods.slice/crio-" + id("c410", "2") + ".scope")),
            "db/etcd-0 (POD)");
}

TEST(Names, OfDocker) {
  const Names names = found("docker", "/system.slice/docker-" + id("d0c4", "1") + ".scope");
  EXPECT_EQ(names.container, "shop-db-1");
  EXPECT_EQ(names.image, "postgres:16");
  EXPECT_EQ(text_of(names), "shop-db-1");
  EXPECT_EQ(text_of(found("docker", "/docker/" + id("d0c4", "2"))),
            "kube-system/coredns-5dd5756b68-abcde (coredns)");
}

TEST(Names, OfPodman) {
  const Names names = found("podman", "/machine.slice/libpod-" + id("b0d0", "1") + ".scope");
  EXPECT_EQ(text_of(names), "cache");
  EXPECT_EQ(names.image, "docker.io/library/redis:7");
  EXPECT_EQ(text_of(found("podman", "/machine.slice/libpod-" + id("b0d0", "2") + ".scope")),
            "build");
  const Names job = found("podman", "/machine.slice/libpod-" + id("b0d0", "9") + ".scope");
  EXPECT_EQ(job.container, "job") << "its metadata is broken, its name is not";
  EXPECT_EQ(job.image, "");
}

TEST(Names, OfUnits) {
  const auto text = [](const char* path) { return text_of(found("systemd", path)); };
  EXPECT_EQ(text("/system.slice/cron.service"), "Regular background program processing daemon");
  EXPECT_EQ(text("/system.slice/system-getty.slice/getty@tty1.service"), "Getty on tty1");
  EXPECT_EQ(text("/user.slice/user-0.slice/user@0.service"), "User Manager for UID 0");
  EXPECT_EQ(text("/system.slice/run-u42.service"), "/usr/bin/make -j8");
  EXPECT_EQ(text("/system.slice/odd.service"), "") << "%h is not known here";
  EXPECT_EQ(text("/system.slice/linked.service"), "") << "no link is followed";
  EXPECT_EQ(found("systemd", "/system.slice/none.service").unit, "none.service");
}

TEST(Names, NothingIsInventedWhereFilesAreMissing) {
  for (const char* const machine : {"podman", "systemd", "missing"}) {
    const Names names = found(machine, pod + ("/" + id("c0de", "1")));
    EXPECT_EQ(text_of(names), "c0de00000000");
    EXPECT_EQ(names.pod + names.space + names.container + names.image, "");
  }
  EXPECT_EQ(text_of(found("docker", "/docker/" + id("d0c4", "3"))), "d0c400000000")
      << "its file is cut off";
  EXPECT_TRUE(found("docker", "/").empty());
  EXPECT_TRUE(found("docker", "/batch/job").empty());
}

class MadeRoot : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(bundle_); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  [[nodiscard]] std::string text() const {
    names::Resolver resolver(root_.string());
    return text_of(resolver.names_of("/docker/" + id("aa", "1")));
  }

  const std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("cgctl-names-" + std::to_string(::getpid()));
  const std::filesystem::path bundle_ = root_ / "var/lib/docker/containers" / id("aa", "1");
  const std::filesystem::path file_ = bundle_ / "config.v2.json";
};

TEST_F(MadeRoot, LinksAreNotFollowed) {
  std::ofstream(root_ / "outside") << R"({"Name":"/secret"})";
  std::filesystem::create_symlink(root_ / "outside", file_);
  EXPECT_EQ(text(), "aa0000000000");
  std::filesystem::remove(file_);
  std::filesystem::rename(root_ / "outside", file_);
  EXPECT_EQ(text(), "secret");
  std::filesystem::rename(root_ / "var/lib", root_ / "elsewhere");
  std::filesystem::create_symlink(root_ / "elsewhere", root_ / "var/lib");
  EXPECT_EQ(text(), "aa0000000000");
}

TEST_F(MadeRoot, AFifoAndAHugeFileAreUnknown) {
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  EXPECT_EQ(text(), "aa0000000000");
  std::filesystem::remove(file_);
  std::ofstream(file_) << R"({"Name":"/huge"})";
  EXPECT_EQ(text(), "huge");
  std::filesystem::resize_file(file_, std::uintmax_t{5} << 20);
  EXPECT_EQ(text(), "aa0000000000");
}

TEST_F(MadeRoot, ANameWithControlCharactersIsUnknown) {
  std::ofstream(file_) << R"({"Name":"/a\u001b[2Jb","Config":{"Image":"x\n"}})";
  EXPECT_EQ(text(), "aa0000000000");
}

TEST(NamesOfLogLinks, AreParsed) {
  std::string found_id;
  const Names names = names::of_log_link("a-b_space_main-x-" + id("f", "2") + ".log", found_id);
  EXPECT_EQ(names.pod, "a-b");
  EXPECT_EQ(names.space, "space");
  EXPECT_EQ(names.container, "main-x");
  EXPECT_EQ(found_id, id("f", "2"));
  for (const std::string& wrong : {"a_b_c-" + id("F", "2") + ".log", "a_b-" + id("f", "2") + ".log",
                                   "__c-" + id("f", "2") + ".log", "a_b_c" + id("f", "2") + ".log",
                                   std::string("x.log"), std::string()}) {
    found_id.clear();
    EXPECT_TRUE(names::of_log_link(wrong, found_id).empty()) << wrong;
    EXPECT_EQ(found_id, "") << wrong;
  }
}

std::vector<std::string> strings(const std::string& text, bool& broken) {
  JsonStrings reader(text);
  std::vector<std::string> all;
  while (reader.next()) {
    std::string path;
    for (const std::string& key : reader.keys()) path += "/" + key;
    all.push_back(path + "=" + reader.value());
  }
  broken = reader.broken();
  return all;
}

TEST(NamesJson, GoesThroughTheStrings) {
  bool broken = true;
  EXPECT_THAT(
      strings(R"( {"a":{"b":"1","c":[1,"2",{"d":"3"}],"e":null},"f":-1.5e3,"g":"4"} )", broken),
      ElementsAre("/a/b=1", "/a/c/=2", "/a/c//d=3", "/g=4"));
  EXPECT_FALSE(broken);
  EXPECT_THAT(strings(R"(["\u00e9\ud83d\ude00\"\\\/\t"])", broken),
              ElementsAre("/=\u00e9\U0001F600\"\\/\t"));
  EXPECT_FALSE(broken);
}

TEST(NamesJson, BrokenTextsAreFound) {
  for (const char* const text :
       {R"({"a":"b")", R"({"a":"b)", R"({"a" "b"})", R"(["a"})", R"({"a":"\x"})", R"(["\ud800"])",
        R"(["\ude00"])", R"(["\u12"])", "[\"\n\"]", "}", R"({{"a":"b"}})", "nothing!"}) {
    bool broken = false;
    strings(text, broken);
    EXPECT_TRUE(broken) << text;
  }
  bool broken = false;
  strings(std::string(100000, '['), broken);
  EXPECT_TRUE(broken);
}

}  // namespace names_test
