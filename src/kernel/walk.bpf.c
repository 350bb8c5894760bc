/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * Walks all memory cgroups of the kernel, removed ones included, a few in each run. The program only
 * reads: probe_read_kernel(bpf-helpers(7)) returns an error where an address is not mapped. It needs
 * no header of the kernel. tools/dev bytecode compiles it into walk_code.hpp. */
#include "walk.h"

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline))

typedef unsigned long long u64;
typedef unsigned u32;

/* Numbers of helpers in include/uapi/linux/bpf.h. */
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static u64 (*const current_task)(void) = (void *)35;
static long (*const probe_read)(void *to, u32 size, const void *from) = (void *)113;
static long (*const probe_read_string)(void *to, u32 size, const void *from) = (void *)115;
static u64 (*const jiffies64)(void) = (void *)118;

enum { css_released = 4 }; /* CSS_RELEASED of include/linux/cgroup-defs.h */

struct map_definition {
  u32 type, key_size, value_size, max_entries, flags;
};
struct map_definition SECTION("maps") walk_map = {2, 4, sizeof(struct cgctl_walk), 1, 1024};
char walk_license[] SECTION("license") = "Dual MIT/GPL";

/* Bounds a size in the very register that is used, so that the verifier sees the bound. */
#define BOUND(value, mask) asm volatile("%0 &= %1" : "+r"(value) : "i"(mask))

INLINE u64 word(u64 at) {
  u64 value = 0;
  probe_read(&value, sizeof value, (const void *)at);
  return value;
}

INLINE u32 half(u64 at) {
  u32 value = 0;
  probe_read(&value, sizeof value, (const void *)at);
  return value;
}

INLINE u64 field(u64 base, u32 offset) { return offset == CGCTL_ABSENT ? 0 : word(base + offset); }

/* Returns the css of the memory hierarchy's root, the highest above the running task; 0: none. */
INLINE u64 find_root(const struct cgctl_layout *at) {
  u64 css = word(word(current_task() + at->task_cgroups) + at->cset_memory);
  for (int i = 0; i < cgctl_ancestors; i++) {
    const u64 parent = word(css + at->css_parent);
    if (!parent) return css;
    css = parent;
  }
  return 0;
}

INLINE void read_counters(struct cgctl_record *record, const struct cgctl_layout *at, u64 css) {
  u64 stats = css + at->vmstats;
  if (at->vmstats_is_pointer) stats = word(stats);
  u64 size = at->state_bytes;
  BOUND(size, 511);
  if (size) probe_read(record->state, size, (const void *)(stats + at->state));
  for (u32 node = 0; node < cgctl_nodes; node++) {
    if (node >= at->nodes) break;
    const u64 info = word(css + at->nodeinfo + 8 * node);
    if (!info) continue;
    size = at->lists_bytes;
    BOUND(size, 255);
    if (size) probe_read(record->lists[node], size, (const void *)(info + at->lists));
    size = at->generations_bytes;
    BOUND(size, 511);
    if (size) probe_read(record->generations[node], size, (const void *)(info + at->generations));
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

SECTION("raw_tp") int walk(void *context) {
  u32 zero = 0;
  struct cgctl_walk *shared = map_lookup(&walk_map, &zero);
  if (!shared) return 0;
  const struct cgctl_layout *at = &shared->layout;
  u64 css = shared->current, serial = shared->current_serial;
  u32 phase = shared->phase, status = cgctl_more, count = 0;
  shared->jiffies = jiffies64();
  if (phase == cgctl_at_start) {
    css = shared->root = find_root(at);
    if (!css) {
      status = cgctl_no_root;
      goto end;
    }
  } else if (word(css + at->css_serial) != serial || (half(css + at->css_flags) & css_released)) {
    /* The cgroup visited last was released. Serial numbers are never reused, so memory that was
     * freed and reused meanwhile does not match. */
    status = cgctl_lost;
    goto end;
  }
  for (u32 step = 0; step < cgctl_steps; step++) {
    if (step >= shared->steps) break;
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
    u64 place = count;
    BOUND(place, cgctl_steps - 1);
    read_record(&shared->records[place], at, css);
    count++;
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
