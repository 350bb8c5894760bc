/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * contract CAPTURE GROUP: checks what cgctl.h says, on the captured tree CAPTURE and on the real
 * cgroup GROUP, which it makes and removes.
 */
#include <cgctl/cgctl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void check(int holds, const char* what, int line) {
  if (holds) return;
  fprintf(stderr, "contract.c:%d: %s\n", line, what);
  ++failures;
}
#define CHECK(what) check(what, #what, __LINE__)

/* Counts the allocations of the whole process. */
static unsigned long allocations;
void* __libc_malloc(size_t size);
void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}

static struct cgctl_error error = {.size = sizeof error};

static cgctl_host* captured(const char* tree) {
  static char cgroup[4096], proc[4096], sys[4096];
  struct cgctl_roots roots = {.size = sizeof roots, .cgroup = cgroup, .proc = proc, .sys = sys};
  cgctl_host* host = NULL;
  snprintf(cgroup, sizeof cgroup, "%s/sys/fs/cgroup", tree);
  snprintf(proc, sizeof proc, "%s/proc", tree);
  snprintf(sys, sizeof sys, "%s/sys", tree);
  CHECK(cgctl_host_open(&roots, &host, &error) == CGCTL_OK);
  if (host == NULL) exit(1);
  return host;
}

static void errors_are_described(const cgctl_host* host) {
  cgctl_group* group = NULL;
  CHECK(cgctl_group_open(host, "/nowhere", &group, &error) == CGCTL_VANISHED);
  CHECK(error.kind == CGCTL_VANISHED && error.os_errno == ENOENT && group == NULL);
  CHECK(strstr(error.path, "nowhere") != NULL && error.operation[0] != 0 && error.reason[0] != 0);
  CHECK(cgctl_group_open(host, "/../etc", &group, &error) == CGCTL_OUTSIDE);
  CHECK(cgctl_group_open(host, "/nowhere", &group, NULL) == CGCTL_VANISHED);
  CHECK(cgctl_group_open(host, NULL, &group, &error) == CGCTL_INVALID_ARGUMENT);
  CHECK(cgctl_group_open(NULL, "/", &group, &error) == CGCTL_INVALID_ARGUMENT);
}

static void long_texts_are_cut(const cgctl_host* host) {
  static char path[3000];
  cgctl_group* group = NULL;
  for (size_t i = 0; i < sizeof path - 1; ++i) path[i] = i % 100 == 0 ? '/' : 'a';
  CHECK(cgctl_group_open(host, path, &group, &error) == CGCTL_VANISHED);
  CHECK(strlen(error.path) == sizeof error.path - 1);
}

static void sizes_are_obeyed(const cgctl_host* host) {
  struct cgctl_zombies older = {
      .size = offsetof(struct cgctl_zombies, live), .live = 7, .kernel = 8};
  struct {
    struct cgctl_zombies known;
    uint64_t unknown;
  } newer = {{.size = sizeof newer}, 9};
  struct cgctl_zombies none = {.size = 0, .low = 5};
  CHECK(cgctl_zombies_count(host, &older, &error) == CGCTL_OK);
  CHECK(older.low == 1500 && older.high == 1500 && older.live == 7 && older.kernel == 8);
  CHECK(older.size == offsetof(struct cgctl_zombies, live));
  CHECK(cgctl_zombies_count(host, &newer.known, &error) == CGCTL_OK);
  CHECK(newer.known.live == 4 && newer.known.kernel == 1504 && newer.unknown == 0);
  CHECK(cgctl_zombies_count(host, &none, &error) == CGCTL_INVALID_ARGUMENT && none.low == 5);
  CHECK(cgctl_zombies_count(host, NULL, &error) == CGCTL_INVALID_ARGUMENT);
}

static void figures_are_those_of_the_files(const cgctl_host* host) {
  cgctl_group* group = NULL;
  struct cgctl_memory memory = {.size = sizeof memory};
  struct cgctl_cpu cpu = {.size = sizeof cpu};
  CHECK(cgctl_group_open(host, "/kubepods/pod-a", &group, &error) == CGCTL_OK);
  CHECK(cgctl_group_memory(group, &memory, &error) == CGCTL_OK);
  CHECK(memory.usage == 0 && memory.max == 67108864 && memory.anon == 0 && memory.file == 0);
  CHECK(cgctl_group_cpu(group, &cpu, &error) == CGCTL_OK);
  CHECK(cpu.period_us == 100000 && cpu.usage_ns != CGCTL_ABSENT);
  cgctl_group_free(group);
}

static void figures_by_node_are_listed(const cgctl_host* host) {
  cgctl_numa* numa = NULL;
  struct cgctl_numa_result result = {.size = sizeof result};
  struct cgctl_numa_value value = {.size = sizeof value};
  CHECK(cgctl_numa_open(host, "/", 0, &numa, &error) == CGCTL_OK);
  CHECK(cgctl_numa_get(numa, 0, &value) == CGCTL_INVALID_ARGUMENT);
  CHECK(cgctl_numa_read(numa, &result, &error) == CGCTL_OK);
  CHECK(result.source == CGCTL_FROM_FILE && result.values == 16);
  CHECK(cgctl_numa_get(numa, 9, &value) == CGCTL_OK);
  CHECK(strcmp(value.name, "hierarchical_total") == 0 && value.node == 1);
  CHECK(value.bytes == UINT64_C(6484) * 4096);
  CHECK(cgctl_numa_get(numa, 16, &value) == CGCTL_INVALID_ARGUMENT);
  cgctl_numa_free(numa);
}

static void a_sampler_lists_all_and_allocates_nothing(const cgctl_host* host) {
  cgctl_sampler* sampler = NULL;
  struct cgctl_sample sample = {.size = sizeof sample};
  uint64_t unread = 5;
  unsigned long before;
  CHECK(cgctl_sampler_open(host, "/", &sampler, &error) == CGCTL_OK);
  before = allocations;
  CHECK(cgctl_sampler_sample(sampler, &unread, &error) == CGCTL_OK && unread == 0);
  CHECK(allocations > before); /* the first sample allocates: the counter works */
  CHECK(cgctl_sampler_count(sampler) == 4);
  CHECK(cgctl_sampler_get(sampler, 0, &sample) == CGCTL_OK);
  CHECK(strcmp(sample.path, "/") == 0 && sample.cpus < 0 && sample.memory_usage == 5558272);
  CHECK(cgctl_sampler_get(sampler, 2, &sample) == CGCTL_OK);
  CHECK(strcmp(sample.path, "/kubepods/pod-a") == 0 && sample.cpu_usage_ns != CGCTL_ABSENT);
  CHECK(cgctl_sampler_get(sampler, 4, &sample) == CGCTL_INVALID_ARGUMENT);
  before = allocations;
  CHECK(cgctl_sampler_sample(sampler, NULL, NULL) == CGCTL_OK);
  CHECK(cgctl_sampler_get(sampler, 0, &sample) == CGCTL_OK && sample.cpus >= 0);
  CHECK(allocations == before);
  CHECK(cgctl_sampler_refresh(sampler, &error) == CGCTL_OK && cgctl_sampler_count(sampler) == 0);
  cgctl_sampler_free(sampler);
}

static void captured_files_are_not_the_machine(const cgctl_host* host) {
  cgctl_census* census = NULL;
  struct cgctl_mitigation result = {.size = 0};
  CHECK(cgctl_census_take(host, &census, &error) == CGCTL_UNSUPPORTED && census == NULL);
  CHECK(cgctl_mitigate(host, "/nowhere", 0, &result, &error) == CGCTL_INVALID_ARGUMENT);
}

static void limits_are_set_and_read_back(const char* path) {
  cgctl_host* host = NULL;
  cgctl_group *group = NULL, *other = NULL;
  struct cgctl_memory memory = {.size = sizeof memory};
  struct cgctl_cpu cpu = {.size = sizeof cpu};
  CHECK(cgctl_host_open(NULL, &host, &error) == CGCTL_OK);
  CHECK(cgctl_group_create(host, path, "cpu,cpuacct,memory", &group, &error) == CGCTL_OK);
  if (group == NULL) exit(1);
  CHECK(cgctl_group_create(host, path, "none", &other, &error) == CGCTL_UNSUPPORTED);
  cgctl_host_free(host); /* the group stays valid */
  CHECK(cgctl_group_set_cpu(group, 50000, 200000, &error) == CGCTL_OK);
  CHECK(cgctl_group_cpu(group, &cpu, &error) == CGCTL_OK);
  CHECK(cpu.quota_us == 50000 && cpu.period_us == 200000 && cpu.usage_ns == 0);
  CHECK(cgctl_group_set_cpu(group, CGCTL_NO_LIMIT, 0, &error) == CGCTL_OK);
  CHECK(cgctl_group_cpu(group, &cpu, &error) == CGCTL_OK && cpu.quota_us == CGCTL_NO_LIMIT);
  CHECK(cgctl_group_set_cpu(group, 1, 0, &error) == CGCTL_SYSTEM && error.os_errno == EINVAL);
  CHECK(cgctl_group_set_cpu(group, CGCTL_ABSENT, 0, &error) == CGCTL_INVALID_ARGUMENT);
  CHECK(cgctl_group_set_memory_max(group, 64 << 20, &error) == CGCTL_OK);
  CHECK(cgctl_group_memory(group, &memory, &error) == CGCTL_OK && memory.max == 64 << 20);
  CHECK(cgctl_group_set_memory_max(group, CGCTL_NO_LIMIT, &error) == CGCTL_OK);
  CHECK(cgctl_group_memory(group, &memory, &error) == CGCTL_OK && memory.max == CGCTL_NO_LIMIT);
  CHECK(cgctl_group_delete(group, &error) == CGCTL_OK);
  CHECK(cgctl_group_memory(group, &memory, &error) == CGCTL_VANISHED);
  cgctl_group_free(group);
}

static void null_is_freed(void) {
  cgctl_host_free(NULL);
  cgctl_group_free(NULL);
  cgctl_numa_free(NULL);
  cgctl_sampler_free(NULL);
  cgctl_census_free(NULL);
}

int main(int argc, char** argv) {
  cgctl_host* host;
  if (argc != 3) return 2;
  host = captured(argv[1]);
  CHECK(cgctl_abi_version() == CGCTL_ABI_VERSION && cgctl_host_mode(host) == CGCTL_V1);
  errors_are_described(host);
  long_texts_are_cut(host);
  sizes_are_obeyed(host);
  figures_are_those_of_the_files(host);
  figures_by_node_are_listed(host);
  a_sampler_lists_all_and_allocates_nothing(host);
  captured_files_are_not_the_machine(host);
  cgctl_host_free(host);
  limits_are_set_and_read_back(argv[2]);
  null_is_freed();
  return failures == 0 ? 0 : 1;
}
