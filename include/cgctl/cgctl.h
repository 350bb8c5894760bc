/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * The C interface of libcgctl, for agents in other languages: C99, and C++.
 *
 * Functions return CGCTL_OK or a kind of error, and then describe it in `error`, which may be null.
 * No function prints, throws, sets a signal handler or changes global state.
 *
 * The caller sets the member `size` of each structure to the structure's size before a call. Later
 * versions of the library add members at the end only, and never write beyond `size`. Members that
 * the library does not know are set to 0.
 *
 * Threads may share a cgctl_host. Any other object is for one thread at a time. An object stays
 * valid if the host that it was opened with is freed first. The free functions take null.
 *
 * Paths of cgroups are relative to the roots of the hierarchies ("/kubepods/pod-a"), on v1 and v2.
 *
 *     cgctl_host *host;
 *     struct cgctl_error error = {.size = sizeof error};
 *     if (cgctl_host_open(NULL, &host, &error)) return complain(&error);
 *     struct cgctl_zombies zombies = {.size = sizeof zombies};
 *     if (!cgctl_zombies_count(host, &zombies, &error)) report(zombies.low);
 *     cgctl_host_free(host);
 */
#ifndef CGCTL_CGCTL_H
#define CGCTL_CGCTL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version of this interface. It grows when functions or members are added; none is removed. */
#define CGCTL_ABI_VERSION 1

/** A figure that this kernel or cgroup does not have. */
#define CGCTL_ABSENT UINT64_MAX
/** A limit that is not set. */
#define CGCTL_NO_LIMIT (UINT64_MAX - 1)

/** Kinds of errors that a program may handle differently. */
enum {
  CGCTL_OK = 0,
  CGCTL_SYSTEM = 1,           /**< a system call failed: see cgctl_error.os_errno */
  CGCTL_VANISHED = 2,         /**< the cgroup was removed, or does not exist */
  CGCTL_UNSUPPORTED = 3,      /**< this kernel, mount or cgroup does not have the feature */
  CGCTL_MALFORMED = 4,        /**< a file's text does not have the documented form */
  CGCTL_TRUNCATED = 5,        /**< a file's text ends too early */
  CGCTL_INVALID_ARGUMENT = 6, /**< a value or path breaks a rule; nothing was done */
  CGCTL_OUTSIDE = 7,          /**< the path leaves the cgroup file system */
  CGCTL_INCOMPLETE_VIEW = 8,  /**< a cgroup namespace hides what the answer depends on */
  CGCTL_OVER_BUDGET = 9,      /**< the predicted cost exceeds the budget */
  CGCTL_BUSY = 10,            /**< another instance is running */
  CGCTL_TIMED_OUT = 11,       /**< the deadline passed */
  CGCTL_CANCELLED = 12        /**< the caller cancelled it */
};

/** One failure: "OPERATION PATH: REASON (REMEDY)". Texts that are too long are cut. */
struct cgctl_error {
  size_t size;
  int kind;           /**< a CGCTL_... kind; a later version may have more */
  int os_errno;       /**< the kernel's errno; 0 if no system call failed */
  char operation[64]; /**< "open", "read", ... */
  char path[1024];    /**< the file or cgroup concerned; may be empty */
  char reason[512];   /**< the reason; never empty */
  char remedy[512];   /**< advice for the user; may be empty */
};

/** Returns the CGCTL_ABI_VERSION that the library was built with. */
uint32_t cgctl_abi_version(void);

/* ---- host ---- */

/** The controllers of a machine with their versions and mounts. A snapshot: later mounts are not
 * seen. */
typedef struct cgctl_host cgctl_host;

/** Directories where the kernel's file systems are found; null members: /sys/fs/cgroup, /proc,
 * /sys. Others inspect a host from inside a container, or a captured tree. */
struct cgctl_roots {
  size_t size;
  const char* cgroup;
  const char* proc;
  const char* sys;
};

enum { CGCTL_V1 = 1, CGCTL_V2 = 2, CGCTL_HYBRID = 3 };

/** Finds the cgroup file systems; `roots` may be null. CGCTL_UNSUPPORTED if none is mounted. */
int cgctl_host_open(const struct cgctl_roots* roots, cgctl_host** host, struct cgctl_error* error);
/** Returns CGCTL_V1, CGCTL_V2 or CGCTL_HYBRID. */
int cgctl_host_mode(const cgctl_host* host);
void cgctl_host_free(cgctl_host* host);

/* ---- one cgroup ---- */

/** One cgroup in every hierarchy that has it, held open: once it is removed, reads fail with
 * CGCTL_VANISHED, also if a new cgroup has its name. */
typedef struct cgctl_group cgctl_group;

/** The CPU figures of a cgroup and all below it since it was made, and its limit. */
struct cgctl_cpu {
  size_t size;
  uint64_t usage_ns;
  uint64_t user_ns;
  uint64_t system_ns;
  uint64_t periods;           /**< periods in which a limited cgroup had something to run */
  uint64_t throttled_periods; /**< periods in which its quota ran out */
  uint64_t throttled_ns;      /**< time spent waiting for quota, summed over CPUs */
  uint64_t quota_us;          /**< CPU time in each period, or CGCTL_NO_LIMIT */
  uint64_t period_us;
};

/** The memory figures of a cgroup and all below it, in bytes. */
struct cgctl_memory {
  size_t size;
  uint64_t usage;
  uint64_t peak;        /**< highest usage ever (v2: Linux 5.19) */
  uint64_t max;         /**< above it: reclaim, then OOM kills; or CGCTL_NO_LIMIT */
  uint64_t working_set; /**< usage less inactive page cache, as in Kubernetes */
  uint64_t anon;        /**< anonymous memory: v1 total_rss, v2 anon */
  uint64_t file;        /**< page cache with tmpfs: v1 total_cache, v2 file */
};

/** Opens the cgroup `path`. CGCTL_VANISHED if no hierarchy has it. */
int cgctl_group_open(const cgctl_host* host, const char* path, cgctl_group** group,
                     struct cgctl_error* error);
/** Makes the cgroup and its missing ancestors in the hierarchies of `controllers`, such as
 * "cpu,memory"; null: those of cpu, cpuacct and memory that the host has. An existing cgroup is
 * used unchanged. On failure everything made is removed again. Needs write permission. */
int cgctl_group_create(const cgctl_host* host, const char* path, const char* controllers,
                       cgctl_group** group, struct cgctl_error* error);
/** Removes the cgroup from all hierarchies; `group` must still be freed. CGCTL_SYSTEM with EBUSY if
 * processes or cgroups are in it. Waits up to 5 s for the kernel. */
int cgctl_group_delete(cgctl_group* group, struct cgctl_error* error);
/** Reads the CPU figures. CGCTL_UNSUPPORTED without a cpu controller. */
int cgctl_group_cpu(const cgctl_group* group, struct cgctl_cpu* cpu, struct cgctl_error* error);
/** Reads the memory figures. CGCTL_UNSUPPORTED without a memory controller. */
int cgctl_group_memory(const cgctl_group* group, struct cgctl_memory* memory,
                       struct cgctl_error* error);
/** Limits the CPU time to `quota_us` (1,000 or more, or CGCTL_NO_LIMIT) in each `period_us` (1,000
 * to 1,000,000; 0: unchanged). Applies both or none, and reads them back. */
int cgctl_group_set_cpu(cgctl_group* group, uint64_t quota_us, uint64_t period_us,
                        struct cgctl_error* error);
/** Limits the memory to `bytes`, rounded down to whole pages, or to CGCTL_NO_LIMIT, and reads the
 * limit back. Below the usage the kernel reclaims first; v1 fails with EBUSY if it cannot, v2 kills
 * processes. */
int cgctl_group_set_memory_max(cgctl_group* group, uint64_t bytes, struct cgctl_error* error);
void cgctl_group_free(cgctl_group* group);

/* ---- memory by NUMA node ---- */

/** Reads a cgroup's memory.numa_stat repeatedly without disturbing other work: it predicts the cost
 * of a read, which before Linux 5.8 grows with the number of removed cgroups, and reads the root's
 * figures from the nodes' counters instead if the cost exceeds the budget. */
typedef struct cgctl_numa cgctl_numa;

enum { CGCTL_FROM_FILE = 0, CGCTL_FROM_NODES = 1 };

/** The result of a read. */
struct cgctl_numa_result {
  size_t size;
  uint64_t values; /**< the number of values for cgctl_numa_get() */
  int source;      /**< CGCTL_FROM_FILE or CGCTL_FROM_NODES */
};

/** The value of one line of the file on one node. */
struct cgctl_numa_value {
  size_t size;
  char name[48]; /**< the kernel's name: "hierarchical_file" (v1), "anon" (v2), ... */
  uint64_t bytes;
  uint32_t node; /**< the kernel's number of the node */
};

/** Opens the reader of a cgroup; "/" is the root. `budget_ns` is the longest read allowed; 0: 10
 * ms. Measures the cost of reading a cgroup without children. */
int cgctl_numa_open(const cgctl_host* host, const char* path, uint64_t budget_ns, cgctl_numa** numa,
                    struct cgctl_error* error);
/** Reads the figures. CGCTL_OVER_BUDGET if a read of a cgroup other than the root may cost more
 * than the budget; CGCTL_VANISHED once the cgroup is removed. */
int cgctl_numa_read(cgctl_numa* numa, struct cgctl_numa_result* result, struct cgctl_error* error);
/** Gives one value of the last read, line by line. CGCTL_INVALID_ARGUMENT if there is no such
 * value. */
int cgctl_numa_get(const cgctl_numa* numa, size_t index, struct cgctl_numa_value* value);
void cgctl_numa_free(cgctl_numa* numa);

/* ---- all cgroups below one ---- */

/** Samples a cgroup and all below it repeatedly. Keeps descriptors open, at most half of the
 * process's limit. */
typedef struct cgctl_sampler cgctl_sampler;

/** The figures of one cgroup and all below it at one time. */
struct cgctl_sample {
  size_t size;
  const char* path;           /**< valid until the sampler is refreshed or freed */
  double cpus;                /**< CPUs used since the previous sample; negative in the first */
  uint64_t cpu_usage_ns;      /**< CPU time since the cgroup was made */
  uint64_t throttled_periods; /**< periods in which its quota ran out */
  uint64_t throttled_ns;      /**< time spent waiting for quota, summed over CPUs */
  uint64_t memory_usage;      /**< bytes */
  uint64_t working_set;       /**< as in struct cgctl_memory */
  uint64_t anon;              /**< as in struct cgctl_memory */
  uint64_t file;              /**< as in struct cgctl_memory */
};

/** Finds the cgroup `path` and all below. CGCTL_VANISHED if there is no such cgroup. */
int cgctl_sampler_open(const cgctl_host* host, const char* path, cgctl_sampler** sampler,
                       struct cgctl_error* error);
/** Finds new cgroups and forgets removed ones; the last sample is then empty. */
int cgctl_sampler_refresh(cgctl_sampler* sampler, struct cgctl_error* error);
/** Samples all cgroups: a few pread(2) for each. Allocates nothing once it has seen each kind of
 * file. `unread`, which may be null, gets the number of existing cgroups with a file that could not
 * be read. */
int cgctl_sampler_sample(cgctl_sampler* sampler, uint64_t* unread, struct cgctl_error* error);
/** Returns the number of cgroups in the last sample. */
size_t cgctl_sampler_count(const cgctl_sampler* sampler);
/** Gives one cgroup of the last sample, in the order of their paths. CGCTL_INVALID_ARGUMENT if
 * there is no such one. */
int cgctl_sampler_get(const cgctl_sampler* sampler, size_t index, struct cgctl_sample* sample);
void cgctl_sampler_free(cgctl_sampler* sampler);

/* ---- zombies: memory cgroups that were removed but that the kernel still holds ---- */

/** The number of zombies of the machine. */
struct cgctl_zombies {
  size_t size;
  uint64_t low;    /**< there are at least this many */
  uint64_t high;   /**< there are at most this many */
  uint64_t live;   /**< memory cgroups with a directory, the root included */
  uint64_t kernel; /**< memory cgroups that the kernel holds, the root included */
};

/** Counts the zombies. CGCTL_INCOMPLETE_VIEW in a cgroup namespace. */
int cgctl_zombies_count(const cgctl_host* host, struct cgctl_zombies* zombies,
                        struct cgctl_error* error);

/** The names of all zombies at one time. */
typedef struct cgctl_census cgctl_census;

/** One zombie. */
struct cgctl_zombie {
  size_t size;
  const char* path;    /**< its former path, valid until the census is freed */
  uint64_t held;       /**< bytes of its pages on LRU lists, which hold it */
  uint64_t references; /**< the kernel's references to it */
  uint64_t age_s;      /**< seconds since it was made (v1) */
};

/** Names the zombies by a BPF program that walks the kernel's tree and only reads. Proves the
 * answer first, in up to three seconds. Needs Linux 4.17, root and the kernel's type information
 * (CGCTL_UNSUPPORTED, CGCTL_SYSTEM). */
int cgctl_census_take(const cgctl_host* host, cgctl_census** census, struct cgctl_error* error);
/** Returns the number of zombies. */
size_t cgctl_census_count(const cgctl_census* census);
/** Gives one zombie. CGCTL_INVALID_ARGUMENT if there is no such one. */
int cgctl_census_get(const cgctl_census* census, size_t index, struct cgctl_zombie* zombie);
void cgctl_census_free(cgctl_census* census);

/* ---- mitigation ---- */

enum {
  CGCTL_DRY_RUN = 1, /**< decides and changes nothing */
  CGCTL_AT_ONCE = 2  /**< a single zombie is reason enough, and guards are ignored */
};

enum { CGCTL_IDLE = 0, CGCTL_ACT = 1, CGCTL_REFUSED = 2 };

/** The decision and the result of one mitigation. */
struct cgctl_mitigation {
  size_t size;
  int decision;  /**< CGCTL_IDLE, CGCTL_ACT or CGCTL_REFUSED */
  int effective; /**< 1 if it acted and freed enough zombies, else 0 */
  uint64_t zombies_before;
  uint64_t zombies_after; /**< CGCTL_ABSENT if it did not act */
  char reason[512];       /**< one sentence with the figures behind the decision */
};

/** Frees zombies by the mildest means that works if they do harm, at most as often as the default
 * policy allows. Keeps its history in the directory `state`, such as "/var/lib/agent/cgctl", which
 * it makes and locks (CGCTL_BUSY if another instance has it). Blocks for seconds when it acts, and
 * forks children for it. `flags`: CGCTL_DRY_RUN or CGCTL_AT_ONCE, or 0. */
int cgctl_mitigate(const cgctl_host* host, const char* state, unsigned flags,
                   struct cgctl_mitigation* result, struct cgctl_error* error);

#ifdef __cplusplus
}
#endif

#endif
