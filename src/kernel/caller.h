/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * Plain C, for the compilers of BPF programs and of their reader. */
#pragma once

/* The beginning of the memory that a program shares with its reader. A program that is attached to
 * a tracepoint runs in every thread, and works in one: its owner. A thread becomes the owner of a
 * program that has none when it takes the token for its name. */
struct cgctl_caller {
  unsigned long long token, owner;
  unsigned long long runs; /* in the owner */
};

/* The two highest bits of an address of the kernel, on all architectures with 64 bits but s390. */
#define CGCTL_HIGHEST_BITS 3
