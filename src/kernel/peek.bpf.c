/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * Copies a part of the kernel's memory. The program only reads; what is not mapped reads as 0.
 * tools/dev bytecode compiles it with OLD into peek_code.hpp: one program for all kernels. */
#include "peek.h"

#include "bpf_program.h"

MAP(peek_map, struct cgctl_peek);

SECTION("raw_tp") int peek(u64 *context) {
  u32 zero = 0;
  struct cgctl_peek *shared = map_lookup(&peek_map, &zero);
  if (!shared || !is_owner(&shared->caller, context)) return 0;
  shared->task = current_task();
  UNROLL for (u32 i = 0; i < cgctl_pieces; i++) {
    if (i * cgctl_piece >= shared->bytes) break;
    probe_read(shared->memory[i], cgctl_piece, (const void *)(shared->from + i * cgctl_piece));
  }
  return 0;
}
