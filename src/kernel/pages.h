/* SPDX-FileCopyrightText: The cgctl authors
 * SPDX-License-Identifier: MIT
 *
 * The memory that the BPF program pages.bpf.c and its reader share. Plain C, for both compilers. */
#pragma once

enum {
  /* What one run reads at most. */
  cgctl_words = 128,
  cgctl_texts = 32,
  cgctl_folios = 64,

  cgctl_text_bytes = 256,
  cgctl_folio_words = 8, /* the part of struct page that is the same for all pages */
};

enum cgctl_look { cgctl_look_words, cgctl_look_texts, cgctl_look_folios };

struct cgctl_pages {
  unsigned look;  /* an enum cgctl_look */
  unsigned count; /* how many words, texts or folios are wanted; of folios, how many were read */
  /* Of folios: where in struct page, in words, the list's link and the cgroup are. */
  unsigned link, owner;
  /* Of folios: the list's head, the entry that is read next, and the cgroup that all belong to. */
  unsigned long long list, next, cgroup;
  unsigned lost; /* a folio of another cgroup, or no memory, was found: the list has changed */
  /* The addresses; a word replaces its own, 0 if it cannot be read. */
  unsigned long long at[cgctl_words];
  char texts[cgctl_texts][cgctl_text_bytes];
  unsigned long long folios[cgctl_folios][cgctl_folio_words];
};
