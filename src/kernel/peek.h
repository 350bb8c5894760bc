/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * The memory that peek.bpf.c and its reader share. */
#pragma once
#include "caller.h"

enum {
  cgctl_piece = 512, /* bytes that are read at once */
  cgctl_pieces = 8,
};

struct cgctl_peek {
  struct cgctl_caller caller;
  unsigned long long task; /* struct task_struct of the owner */
  unsigned long long from; /* address in the kernel */
  unsigned long long bytes;
  unsigned char memory[cgctl_pieces][cgctl_piece];
};
