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

/* Places of records. In the old program they are constants, because kernels before 5.5 forget the
 * bounds of an index that was spilled. */
#ifdef OLD
enum { most_steps = cgctl_old_steps };
#define PLACE(step, count) (step)
#else
enum { most_steps = cgctl_steps };
#define PLACE(step, count) (count)
#endif

INLINE u64 field(u64 base, u32 offset) { return offset == CGCTL_ABSENT ? 0 : word(base + offset); }

REPEATED void read_node(const struct cgctl_layout *at, u64 info, u64 *lists, u64 *generations) {
  if (!info) return;
  u64 size = at->lists_bytes;
  BOUND(size, 255);
  if (size) probe_read(lists, size, (const void *)(info + at->lists));
  size = at->generations_bytes;
  BOUND(size, 511);
  if (size) probe_read(generations, size, (const void *)(info + at->generations));
}

INLINE void read_counters(struct cgctl_record *record, const struct cgctl_layout *at, u64 css) {
  u64 stats = css + at->vmstats;
  if (at->vmstats_is_pointer) stats = word(stats);
  u64 size = at->state_bytes;
  BOUND(size, 511);
  if (size) probe_read(record->state, size, (const void *)(stats + at->state));
  UNROLL for (u32 node = 0; node < cgctl_nodes; node++) {
    if (node >= at->nodes) break;
    read_node(at, word(css + at->nodeinfo + 8 * node), record->lists[node],
              record->generations[node]);
  }
}

INLINE void read_record(struct cgctl_record *record, const struct cgctl_layout *at, u64 css) {
  record->css = css;
  u64 size = at->css_bytes;
  BOUND(size, 511);
  probe_read(record->raw, size, (const void *)css);
  const u64 references =
      at->css_reference_data == CGCTL_ABSENT ? css : word(css + at->css_reference_data);
  record->reference_count = field(references, at->reference_count);
  record->usage = field(css, at->usage);
  record->birth = field(css, at->birth);
  const u64 kn = word(word(css + at->css_cgroup) + at->cgroup_kn);
  record->kn_id = field(kn, at->kn_id);
  probe_read_string(record->name, cgctl_name, (const void *)word(kn + at->kn_name));
  read_counters(record, at, css);
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
  u32 phase = shared->phase, status = cgctl_more, count = 0;
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
  UNROLL for (u32 step = 0; step < most_steps; step++) {
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
    if (serial <= shared->visited_serial && word(css + at->css_parent) == shared->visited_parent) {
      phase = cgctl_beside;
      continue;
    }
    u64 place = PLACE(step, count);
    BOUND(place, cgctl_steps - 1);
    read_record(&shared->records[place], at, css);
    count = place + 1;
    phase = cgctl_inside;
  }
end:
  shared->current = css;
  shared->current_serial = serial;
  shared->phase = phase;
  shared->status = status;
  shared->count = count;
  return 0;
}
