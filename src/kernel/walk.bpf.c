/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * Walks all memory cgroups of the kernel, removed ones included, a few in each run. The program
 * only reads: probe_read_kernel(bpf-helpers(7)) returns an error where an address is not mapped. It
 * needs no header of the kernel. tools/dev bytecode compiles it into walk_code.hpp, and once more
 * with OLD for kernels before 5.10: without loops, with the helpers of Linux 4.11, and for one
 * thread only, because it runs at a tracepoint. */
#include "walk.h"

#include "bpf_program.h"

enum { css_released = 4 }; /* CSS_RELEASED of include/linux/cgroup-defs.h */

MAP(walk_map, struct cgctl_walk);

/* The verifier follows each value of a local variable by itself; memory is any number to it. */
#define COUNT(shared) (*(volatile u32 *)&(shared)->count)

/* Indexes of places. In the old program they are constants, because kernels before 5.5 forget the
 * bounds of an index that was spilled. */
#ifdef OLD
enum { most_places = cgctl_old_steps, most_records = cgctl_old_steps };
#define INDEX(step, shared) (step)
#else
enum { most_places = cgctl_places, most_records = cgctl_records };
#define INDEX(step, shared) COUNT(shared)
#endif

INLINE u64 field(u64 base, u32 offset) { return offset == CGCTL_ABSENT ? 0 : word(base + offset); }

REPEATED void read_node(const struct cgctl_layout *at, u64 info, u64 *lists, u64 *generations) {
  if (!is_kernel(info)) return;
  u64 size = at->lists_bytes;
  BOUND(size, 255);
  if (size) probe_read(lists, size, (const void *)(info + at->lists));
  size = at->generations_bytes;
  BOUND(size, 511);
  if (size) probe_read(generations, size, (const void *)(info + at->generations));
}

INLINE void read_pages(struct cgctl_record *record, const struct cgctl_layout *at, u64 css) {
  UNROLL for (u32 node = 0; node < cgctl_nodes; node++) {
    if (node >= at->nodes) break;
    read_node(at, word(css + at->nodeinfo + 8 * (u64)at->node_numbers[node]), record->lists[node],
              record->generations[node]);
  }
}

/* Most of the time is spent waiting for memory. Reads that do not depend on each other come one after
 * the other, so that the CPU waits for several at once. */
INLINE void read_record(struct cgctl_record *record, const struct cgctl_layout *at, u64 css) {
  const u64 cgroup = word(css + at->css_cgroup);
  const u64 references =
      at->css_reference_data == CGCTL_ABSENT ? css : word(css + at->css_reference_data);
  u64 stats = css + at->vmstats, size = at->state_bytes;
  if (at->vmstats_is_pointer) stats = word(stats);
  const u64 kn = word(cgroup + at->cgroup_kn);
  record->usage = field(css, at->usage);
  record->birth = field(css, at->birth);
  record->reference_count = field(references, at->reference_count);
  record->kn_id = field(kn, at->kn_id);
  const u64 name = field(kn, at->kn_name);
  BOUND(size, 511);
  if (size && is_kernel(stats)) probe_read(record->state, size, (const void *)(stats + at->state));
  read_pages(record, at, css);
  record->name[0] = 0;
  if (is_kernel(name)) probe_read_string(record->name, cgctl_name, (const void *)name);
}

SECTION("raw_tp") int walk(u64 *context) {
  u32 zero = 0;
  struct cgctl_walk *shared = map_lookup(&walk_map, &zero);
  if (!shared) return 0;
#ifdef OLD
  if (!is_owner(&shared->caller, context)) return 0;
#else
  shared->jiffies = jiffies64();
#endif
  const struct cgctl_layout *at = &shared->layout;
  u64 css = shared->current, serial = shared->current_serial;
  u32 phase = shared->phase, status = cgctl_more;
  COUNT(shared) = 0;
  if (phase == cgctl_at_start) {
    css = word(word(current_task() + at->task_cgroups) + at->cset_memory);
    if (!css) {
      status = cgctl_no_root;
      goto end;
    }
    phase = cgctl_climbing;
  } else if (word(css + at->css_serial) != serial || (half(css + at->css_flags) & css_released)) {
    /* The cgroup visited last was released. Serial numbers are never reused, so memory that was
     * freed and reused meanwhile does not match. */
    status = cgctl_lost;
    goto end;
  }
  UNROLL for (u32 step = 0; step < most_places; step++) {
    if (step >= shared->steps) break;
    if (phase == cgctl_climbing) {
      const u64 parent = word(css + at->css_parent);
      if (parent) {
        css = parent;
        serial = word(css + at->css_serial);
        continue;
      }
      shared->root = css;
    }
    if (phase == cgctl_inside) {
      const u64 first = word(css + at->css_children);
      if (first && first != css + at->css_children) {
        css = first - at->css_sibling;
      } else {
        phase = cgctl_beside;
      }
    }
    if (phase == cgctl_beside) {
      if (css == shared->root) {
        status = cgctl_done;
        break;
      }
      const u64 next = word(css + at->css_sibling), parent = word(css + at->css_parent);
      if (!next || !parent) {
        status = cgctl_lost;
        break;
      }
      if (next == parent + at->css_children) {
        css = parent;
        serial = word(css + at->css_serial);
        continue;
      }
      css = next - at->css_sibling;
    }
    serial = word(css + at->css_serial);
    const u64 parent = word(css + at->css_parent);
    if (serial <= shared->visited_serial && parent == shared->visited_parent) {
      phase = cgctl_beside;
      continue;
    }
    u64 index = INDEX(step, shared);
    BOUND(index, cgctl_places - 1);
    struct cgctl_place *place = &shared->places[index];
    place->css = css;
    place->parent = parent;
    place->serial = serial;
    place->flags = half(css + at->css_flags);
    COUNT(shared) = index + 1;
    phase = cgctl_inside;
  }
  /* A loop of its own: the verifier follows each step of the one above along several paths. */
  if (shared->with_records) {
    UNROLL for (u32 i = 0; i < most_records; i++) {
      if (i >= COUNT(shared)) break;
      read_record(&shared->records[i], at, shared->places[i].css);
    }
  }
end:
  shared->current = css;
  shared->current_serial = serial;
  shared->phase = phase;
  shared->status = status;
  return 0;
}
