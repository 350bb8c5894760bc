/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * Reads words and texts at given addresses of the kernel, or follows a list of pages. The program
 * only reads: an address that is not mapped reads as 0. tools/dev bytecode compiles it into
 * pages_code.hpp. */
#include "bpf_program.h"
#include "pages.h"

enum { owner_flags = 7 }; /* the lowest bits of page.memcg_data, in include/linux/memcontrol.h */

MAP(pages_map, struct cgctl_pages);

INLINE void read_words(struct cgctl_pages *shared, u32 count) {
  for (u32 i = 0; i < cgctl_words; i++) {
    if (i >= count) break;
    shared->at[i] = word(shared->at[i]);
  }
}

INLINE void read_texts(struct cgctl_pages *shared, u32 count) {
  for (u32 i = 0; i < cgctl_texts; i++) {
    if (i >= count) break;
    const u64 at = shared->at[i];
    shared->texts[i][0] = 0;
    if (is_kernel(at)) probe_read_string(shared->texts[i], cgctl_text_bytes, (const void *)at);
  }
}

INLINE void read_folios(struct cgctl_pages *shared, u32 count) {
  u64 next = shared->next, link = shared->link, owner = shared->owner;
  u32 lost = 0, done = 0;
  BOUND(link, cgctl_folio_words - 1);
  BOUND(owner, cgctl_folio_words - 1);
  for (u32 i = 0; i < cgctl_folios; i++) {
    if (i >= count || next == shared->list) break;
    u64 *folio = shared->folios[i];
    lost = 1;
    if (!is_kernel(next)) break;
    if (probe_read(folio, sizeof shared->folios[i], (const void *)(next - 8 * link))) break;
    if ((folio[owner] & ~(u64)owner_flags) != shared->cgroup) break;
    lost = 0;
    next = folio[link];
    done = i + 1;
  }
  shared->next = next;
  shared->count = done;
  shared->lost = lost;
}

SECTION("raw_tp") int pages(u64 *context) {
  u32 zero = 0;
  struct cgctl_pages *shared = map_lookup(&pages_map, &zero);
  if (!shared) return 0;
  const u32 look = shared->look, count = shared->count;
  if (look == cgctl_look_words) {
    read_words(shared, count);
  } else if (look == cgctl_look_texts) {
    read_texts(shared, count);
  } else {
    read_folios(shared, count);
  }
  return 0;
}
