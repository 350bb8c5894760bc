/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * The memory that the BPF program and its reader share. Plain C, for both compilers. */
#pragma once
#include "caller.h"

enum {
  cgctl_steps = 8,       /* cgroups that one run visits at most */
  cgctl_old_steps = 1,   /* the same before Linux 5.10 */
  cgctl_css_bytes = 512, /* more than any kernel's struct cgroup_subsys_state */
  cgctl_states = 64,
  cgctl_nodes = 4,
  cgctl_lists = 32,       /* five LRU lists in each zone; kernels have up to six zones */
  cgctl_generations = 64, /* the lists of the multi-generational LRU: generation, kind, zone */
  cgctl_name = 256,
};

/* Stands for a field that this kernel does not have. */
#define CGCTL_ABSENT 0xffffffffU

/* Where the fields are, in bytes from the start of their structure. Everything that differs between
 * kernels is data: the program is the same for all. */
struct cgctl_layout {
  unsigned task_cgroups;
  unsigned cset_memory; /* the memory controller's place in css_set.subsys */
  unsigned css_bytes, css_cgroup, css_sibling, css_children, css_flags, css_serial, css_parent;
  unsigned css_reference_data; /* a pointer since Linux 5.11; absent: the count is in the css */
  unsigned reference_count;
  unsigned usage, birth;
  unsigned vmstats, vmstats_is_pointer, state, state_bytes;
  unsigned nodeinfo, nodes, lists, lists_bytes, generations, generations_bytes;
  unsigned cgroup_kn, kn_name, kn_id;
};

/* One memory cgroup. */
struct cgctl_record {
  unsigned long long css, reference_count, usage, birth, kn_id;
  unsigned char raw[cgctl_css_bytes]; /* the css itself */
  long long state[cgctl_states];
  unsigned long long lists[cgctl_nodes][cgctl_lists]; /* their sizes in pages */
  unsigned long long generations[cgctl_nodes][cgctl_generations];
  char name[cgctl_name];
};

enum cgctl_phase { cgctl_at_start, cgctl_climbing, cgctl_inside, cgctl_beside };
enum cgctl_status { cgctl_more, cgctl_done, cgctl_lost, cgctl_no_root };

struct cgctl_walk {
  struct cgctl_caller caller;
  struct cgctl_layout layout;
  unsigned long long root;
  unsigned long long current, current_serial; /* the cgroup visited last */
  /* After a loss: children of this parent with a serial number up to this one were visited. */
  unsigned long long visited_parent, visited_serial;
  unsigned long long jiffies;
  unsigned phase, status, count, steps;
  struct cgctl_record records[cgctl_steps];
};
