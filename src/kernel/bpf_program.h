/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * What the BPF programs have in common. With OLD they load on Linux 4.17: no loops, and only the
 * helpers that were there. */
#pragma once
#include "caller.h"

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

typedef unsigned long long u64;
typedef unsigned u32;

/* Numbers of helpers in include/uapi/linux/bpf.h. */
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static u64 (*const thread_id)(void) = (void *)14;
static u64 (*const current_task)(void) = (void *)35;
static u64 (*const jiffies64)(void) = (void *)118;
#ifdef OLD
#define UNROLL _Pragma("clang loop unroll(full)")
/* A function of its own, in the section of the program, so that the loader relocates nothing. */
#define REPEATED static __attribute__((noinline, section("raw_tp")))
static long (*const probe_read)(void *to, u32 size, const void *from) = (void *)4;
static long (*const probe_read_string)(void *to, u32 size, const void *from) = (void *)45;
#else
#define UNROLL
#define REPEATED INLINE
static long (*const probe_read)(void *to, u32 size, const void *from) = (void *)113;
static long (*const probe_read_string)(void *to, u32 size, const void *from) = (void *)115;
#endif

struct map_definition {
  u32 type, key_size, value_size, max_entries;
};
/* The one map of a program, with one value. The loader makes it. */
#define MAP(name, type)                                                 \
  struct map_definition SECTION("maps") name = {2, 4, sizeof(type), 1}; \
  char name##_license[] SECTION("license") = "Dual MIT/GPL"

/* Bounds a size in the very register that is used, so that the verifier sees the bound. */
#define BOUND(value, mask) asm volatile("%0 &= %1" : "+r"(value) : "i"(mask))

/* True for an address that may be one of the kernel's. On a CPU with five levels of page tables of
 * which the kernel uses four, Linux 5.10 reads some that are not, and reports a fault of its own
 * (copy_from_kernel_nofault_allowed() in arch/x86/mm/maccess.c). */
INLINE int is_kernel(u64 at) {
  /* The compiler would compare with a constant of 64 bits, which has the form of a map's address. */
  asm("%0 >>= 62" : "+r"(at));
  return at == CGCTL_HIGHEST_BITS;
}

/* A byte that is not mapped reads as 0. */
REPEATED u64 word(u64 at) {
  u64 value;
  if (!is_kernel(at)) return 0;
  probe_read(&value, sizeof value, (const void *)at);
  return value;
}

INLINE u32 half(u64 at) {
  u32 value;
  if (!is_kernel(at)) return 0;
  probe_read(&value, sizeof value, (const void *)at);
  return value;
}

/* True in the thread that the program works for. `context` has the arguments of the tracepoint
 * task_rename: the task and its new name. */
INLINE int is_owner(struct cgctl_caller *caller, const u64 *context) {
  const u64 thread = thread_id();
  if (caller->owner != thread) {
    u64 name;
    probe_read(&name, sizeof name, (const void *)context[1]);
    if (caller->owner || name != caller->token) return 0;
    caller->owner = thread;
  }
  caller->runs++;
  return 1;
}
