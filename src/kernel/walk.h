/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * The memory that the BPF program and its reader share. Plain C, for both compilers. */
#pragma once
#include "caller.h"

enum {
  cgctl_places = 64,     /* cgroups that one run visits at most */
  cgctl_records = 16,    /* the same, if it reads more of them than their place */
  cgctl_old_steps = 1,   /* both before Linux 5.10 */
  cgctl_states = 64,
  cgctl_nodes = 8,        /* NUMA nodes that are read, of any number */
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
  unsigned css_cgroup, css_sibling, css_children, css_flags, css_serial, css_parent;
  unsigned css_reference_data; /* a pointer since Linux 5.11; absent: the count is in the css */
  unsigned reference_count;
  unsigned usage, birth;
  unsigned vmstats, vmstats_is_pointer, state, state_bytes;
  unsigned nodeinfo, nodes, lists, lists_bytes, generations, generations_bytes;
  unsigned cgroup_kn, kn_name, kn_id;
  unsigned node_numbers[cgctl_nodes]; /* of the first `nodes` */
};

/* Where a cgroup is in the tree. A run writes one for each cgroup that it visits. */
struct cgctl_place {
  unsigned long long css, parent, serial, flags;
};

/* The other figures of the same cgroup. A figure that cgctl_layout says is absent is not written,
 * and no other byte either: a record is far larger than the kernel's figures, and clearing or
 * copying a whole one costs as much as reading the cgroup. */
struct cgctl_record {
  unsigned long long kn_id, reference_count, usage, birth;
  char name[cgctl_name];
  long long state[cgctl_states];
  unsigned long long lists[cgctl_nodes][cgctl_lists]; /* their sizes in pages */
  unsigned long long generations[cgctl_nodes][cgctl_generations];
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
  unsigned with_records;  /* 0: places alone */
  unsigned steps;         /* of the next run: at most cgctl_places; cgctl_records with records */
  unsigned phase, status; /* after the last run */
  unsigned count;         /* of the places, and records, that the last run wrote */
  struct cgctl_place places[cgctl_places];
  struct cgctl_record records[cgctl_records];
};
