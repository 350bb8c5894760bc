/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * A node agent in C: agent PATH STATE_DIR
 *
 * Samples the cgroup PATH and all below it, reads the root's memory by NUMA node within a budget,
 * counts zombies, and says what a mitigation with its history in STATE_DIR would do about them.
 *
 *     cc -std=c99 -o agent agent.c -lcgctl
 */
#include <cgctl/cgctl.h>
#include <inttypes.h>
#include <stdio.h>

static struct cgctl_error error = {.size = sizeof error};

static int sample(const cgctl_host* host, const char* path) {
  cgctl_sampler* sampler;
  if (cgctl_sampler_open(host, path, &sampler, &error) != CGCTL_OK) return 0;
  uint64_t unread = 0;
  const int sampled = cgctl_sampler_sample(sampler, &unread, &error) == CGCTL_OK;
  struct cgctl_sample one = {.size = sizeof one};
  uint64_t most = 0;
  for (size_t i = 0; cgctl_sampler_get(sampler, i, &one) == CGCTL_OK; ++i) {
    if (one.memory_usage != CGCTL_ABSENT && one.memory_usage > most) most = one.memory_usage;
  }
  if (sampled) {
    printf("sampled %zu cgroups, %" PRIu64 " not read whole; the largest has %" PRIu64 " bytes\n",
           cgctl_sampler_count(sampler), unread, most);
  }
  cgctl_sampler_free(sampler);
  return sampled;
}

static int read_nodes(const cgctl_host* host) {
  cgctl_numa* numa;
  if (cgctl_numa_open(host, "/", 0, &numa, &error) != CGCTL_OK) return 0;
  struct cgctl_numa_result result = {.size = sizeof result};
  const int done = cgctl_numa_read(numa, &result, &error) == CGCTL_OK;
  struct cgctl_numa_value first = {.size = sizeof first};
  if (done && cgctl_numa_get(numa, 0, &first) == CGCTL_OK) {
    printf("read %" PRIu64 " values by NUMA node from the %s; %s on node %" PRIu32 ": %" PRIu64
           " bytes\n",
           result.values, result.source == CGCTL_FROM_FILE ? "file" : "nodes", first.name,
           first.node, first.bytes);
  }
  cgctl_numa_free(numa);
  return done;
}

static int count(const cgctl_host* host) {
  struct cgctl_zombies zombies = {.size = sizeof zombies};
  if (cgctl_zombies_count(host, &zombies, &error) != CGCTL_OK) return 0;
  printf("counted zombies: %" PRIu64 "\n", zombies.low);
  return 1;
}

static int rehearse(const cgctl_host* host, const char* state) {
  struct cgctl_mitigation would = {.size = sizeof would};
  if (cgctl_mitigate(host, state, CGCTL_DRY_RUN, &would, &error) != CGCTL_OK) return 0;
  printf("mitigation would %s: %s\n", would.decision == CGCTL_ACT ? "act" : "not act",
         would.reason);
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: agent PATH STATE_DIR\n");
    return 2;
  }
  cgctl_host* host = NULL;
  const int done = cgctl_host_open(NULL, &host, &error) == CGCTL_OK && sample(host, argv[1]) &&
                   read_nodes(host) && count(host) && rehearse(host, argv[2]);
  cgctl_host_free(host);
  if (!done) {
    fprintf(stderr, "agent: %s %s: %s%s%s\n", error.operation, error.path, error.reason,
            error.remedy[0] == '\0' ? "" : "; ", error.remedy);
  }
  return done ? 0 : 1;
}
