// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/workload.hpp"

#include <gtest/gtest.h>

#include <string>

#include "../support/made.hpp"
#include "../support/result.hpp"

namespace workload_test {

using namespace cgctl;
using workload::maker_of;
using workload::Owner;
using workload::pattern_of;
using workload::Pod;
using workload::Pods;
using workload::Qos;
using workload::workload_of;

const std::string uid = "0fd4c1b2-6a6f-4b8e-9a8b-3d8f1e2a7c55";
const std::string slice_uid = "0fd4c1b2_6a6f_4b8e_9a8b_3d8f1e2a7c55";
const std::string static_uid = "8f0c5d1a6a2b4c3d9e7f001122334455";
const std::string id = "3f29a4c0d1e2b3a4958677f0e1d2c3b4a5968778695a4b3c2d1e0f1029384756";

struct Layout {
  std::string path;
  std::string unit;
  std::string pod;
  Qos qos;
  std::string container;
};

TEST(Workload, IsReadFromEveryLayout) {
  const std::string slice = "kubepods-burstable-pod" + slice_uid + ".slice";
  const Layout layouts[] = {
      {"/", "", "", Qos::unknown, ""},
      {"", "", "", Qos::unknown, ""},
      {"/system.slice/cron.service", "cron.service", "", Qos::unknown, ""},
      {"/system.slice", "system.slice", "", Qos::unknown, ""},
      {"/system.slice/x.service/payload/a b", "x.service", "", Qos::unknown, ""},
      {"/user.slice/user-0.slice/session-12.scope", "session-12.scope", "", Qos::unknown, ""},
      {"/kubepods/pod" + uid + "/" + id, "", uid, Qos::guaranteed, id},
      {"/kubepods/burstable/pod" + uid + "/" + id, "", uid, Qos::burstable, id},
      {"/kubepods/besteffort/pod" + uid, "", uid, Qos::best_effort, ""},
      {"/kubepods/burstable/pod" + static_uid + "/crio-" + id, "", static_uid, Qos::burstable, id},
      {"/docker/" + id + "/kubelet/kubepods/besteffort/pod" + uid, "", uid, Qos::best_effort, id},
      {"/kubepods.slice/kubepods-burstable.slice/" + slice + "/cri-containerd-" + id + ".scope",
       "cri-containerd-" + id + ".scope", uid, Qos::burstable, id},
      {"/kubepods.slice/kubepods-pod" + slice_uid + ".slice/crio-" + id + ".scope/container",
       "crio-" + id + ".scope", uid, Qos::guaranteed, id},
      {"/kubelet.slice/kubelet-kubepods-besteffort-pod" + slice_uid + ".slice",
       "kubelet-kubepods-besteffort-pod" + slice_uid + ".slice", uid, Qos::best_effort, ""},
      {"/system.slice/containerd.service/" + slice + ":cri-containerd:" + id, "containerd.service",
       uid, Qos::burstable, id},
      {"/system.slice/docker-" + id + ".scope", "docker-" + id + ".scope", "", Qos::unknown, id},
      {"/machine.slice/libpod-" + id + ".scope/container", "libpod-" + id + ".scope", "",
       Qos::unknown, id},
      {"/machine.slice/libpod-conmon-" + id + ".scope", "libpod-conmon-" + id + ".scope", "",
       Qos::unknown, ""},
      // Near misses.
      {"/kubepods/burstable/pod" + uid.substr(1), "", "", Qos::unknown, ""},
      {"/other/burstable/pod" + uid, "", "", Qos::unknown, ""},
      {"/pod" + uid, "", "", Qos::unknown, ""},
      {"/-pod" + slice_uid + ".slice", "-pod" + slice_uid + ".slice", "", Qos::unknown, ""},
      {"/burstable-pod" + slice_uid + ".slice", "burstable-pod" + slice_uid + ".slice", "",
       Qos::unknown, ""},
      {"/docker/" + id.substr(1), "", "", Qos::unknown, ""},
      {"/x" + id, "", "", Qos::unknown, ""},
      {"/.service/.scope", "", "", Qos::unknown, ""},
  };
  for (const Layout& layout : layouts) {
    SCOPED_TRACE(layout.path);
    const auto found = workload_of(layout.path);
    EXPECT_EQ(found.unit, layout.unit);
    EXPECT_EQ(found.pod, layout.pod);
    EXPECT_EQ(found.qos, layout.qos);
    EXPECT_EQ(found.container, layout.container);
  }
}

TEST(Workload, APatternLeavesOutOnlyThePartsThatChange) {
  const std::pair<std::string, std::string> patterns[] = {
      {"/system.slice/run-r5f0a1b2c3d4e5f60718293a4b5c6d7e8.scope", "run-r*.scope"},
      {"/system.slice/run-u1234.service", "run-u*.service"},
      {"/system.slice/run-p77-i78.scope", "run-p*-i*.scope"},
      {"/system.slice/run-4711.scope", "run-*.scope"},
      {"/system.slice/run-parts.service", "run-parts.service"},
      {"/user.slice/user-1000.slice/session-12.scope", "session-*.scope"},
      {"/user.slice/user-1000.slice/session-c3.scope", "session-*.scope"},
      {"/user.slice/user-1000.slice", "user-*.slice"},
      {"/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.x.Term-4711.scope",
       "app-org.x.Term-*.scope"},
      {"/user.slice/user-0.slice/user@0.service/init.scope", "init.scope"},
      {"/system.slice/system-getty.slice/getty@tty1.service", "getty@*.service"},
      {"/system.slice/foo@.service", "foo@.service"},
      {"/system.slice/php8.2-fpm.service", "php8.2-fpm.service"},
      {"/system.slice/postgresql-14.service", "postgresql-14.service"},
      {"/system.slice/docker-" + id + ".scope", "docker-*.scope"},
      {"/machine.slice/libpod-" + id + ".scope/container", "libpod-*.scope/container"},
      {"/system.slice/snap.a.b-" + uid + ".scope", "snap.a.b-*.scope"},
      {"/system.slice/ci.service/job-17/step-2", "ci.service/job-*/step-*"},
      {"/kubepods.slice/kubepods-pod" + slice_uid + ".slice", "kubepods-pod*.slice"},
      {"/kubepods/burstable/pod" + uid + "/" + id, "/kubepods/burstable/pod*/*"},
      {"/kubepods/burstable/pod" + static_uid, "/kubepods/burstable/pod*"},
      {"/docker/" + id, "/docker/*"},
      {"/batch/3575e54b662d02941ab31c39361fd104", "/batch/*"},
      {"/batch/job-17", "/batch/job-*"},
      {"/batch/job-17.5_x", "/batch/job-*.*_x"},
      {"/batch/worker12", "/batch/worker*"},
      {"/batch/cafe", "/batch/cafe"},
      {"/web", "/web"},
      {"//web//a/", "/web/a"},
      {"/", "/"},
      {"", "/"},
      {"/a\n\x1b[2J b/7", "/a\n\x1b[2J b/*"},
  };
  for (const auto& [path, pattern] : patterns) EXPECT_EQ(pattern_of(path), pattern) << path;
}

struct Named {
  const char* pod;
  const char* owner;
};

TEST(Workload, ThePodsNameTellsItsOwner) {
  const Named names[] = {
      {"web-7d9c8b5f6c-x7k2p", "Deployment n/web"},
      {"web-api-6b4c8d9f75-zzzzz", "Deployment n/web-api"},
      {"backup-29012345-x7k2p", "CronJob n/backup"},
      {"backup-1600000000-x7k2p", "CronJob n/backup"},
      {"backup-29012345-0-x7k2p", "CronJob n/backup"},
      {"db-0", "StatefulSet n/db"},
      {"my-db-12", "StatefulSet n/my-db"},
      {"proxy-x7k2p", "pods n/proxy-*"},
      {"train-3-x7k2p", "pods n/train-*"},
      {"proxy-x7k2a", "pod n/proxy-x7k2a"},
      {"db-01", "pod n/db-01"},
      {"web", "pod n/web"},
      {"-x7k2p", "pod n/-x7k2p"},
      {"29012345-x7k2p", "pods n/29012345-*"},
      {"", "pod n/"},
  };
  for (const Named& name : names) {
    const Pod pod{uid, "n", name.pod};
    EXPECT_EQ(text_of(owner_of(pod), pod), name.owner) << name.pod;
  }
  const Pod fixed{static_uid, "kube-system", "etcd-node-1"};
  EXPECT_EQ(text_of(owner_of(fixed), fixed), "pod kube-system/etcd-node-1");
}

TEST(Workload, AFolderOfLogsNamesAPod) {
  const Pod pod = workload::pod_of_folder("batch_backup-29012345-x7k2p_" + uid);
  EXPECT_EQ(pod.space, "batch");
  EXPECT_EQ(pod.name, "backup-29012345-x7k2p");
  EXPECT_EQ(pod.uid, uid);
  for (const std::string& other : {std::string("a_b"), "_b_" + uid, "a__" + uid, "a_" + uid,
                                   "a_b_" + uid + "0", std::string(), std::string("_")}) {
    EXPECT_EQ(workload::pod_of_folder(other).uid, "") << other;
  }
}

TEST(Workload, PodsAreNamedFromTheFoldersOfTheirLogs) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("memory");
  const auto host = test::must(machine.host());
  const auto none = Pods::read(host);
  ASSERT_TRUE(test::ok(none));
  const std::string path = "/kubepods/burstable/pod" + uid + "/" + id;
  EXPECT_EQ(maker_of(path, *none), "unnamed pods (burstable)");
  machine.put("var/log/pods/batch_backup-29012345-x7k2p_" + uid + "/job/0.log", "");
  machine.put("var/log/pods/odd", "");
  const auto pods = Pods::read(host);
  ASSERT_TRUE(test::ok(pods));
  ASSERT_NE(pods->find(uid), nullptr);
  EXPECT_EQ(pods->find(static_uid), nullptr);
  EXPECT_EQ(maker_of(path, *pods), "CronJob batch/backup");
  EXPECT_EQ(maker_of("/kubepods.slice/kubepods-pod" + slice_uid + ".slice", *pods),
            "CronJob batch/backup");
  EXPECT_EQ(maker_of("/system.slice/session-1.scope", *pods), "session-*.scope");
}

}  // namespace workload_test
