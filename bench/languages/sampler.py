#!/usr/bin/env python3
# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT
"""sampler.py LIBRARY PATH: for each line that it reads, samples the cgroups at and below PATH through
cgctl.h, reads the figures of each, and prints the nanoseconds that it took and the number of cgroups
that have all figures.
"""

import ctypes
import sys
import time
from ctypes import byref, c_char_p, c_double, c_size_t, c_uint64, c_void_p

ABSENT = 2**64 - 1


class Sample(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("path", c_char_p), ("cpus", c_double)]
    _fields_ += [(name, c_uint64) for name in ("cpu_usage_ns", "throttled_periods", "throttled_ns")]
    _fields_ += [(name, c_uint64) for name in ("memory_usage", "working_set", "anon", "file")]


def one_round(library, sampler, sample):
    if library.cgctl_sampler_sample(sampler, None, None) != 0:
        return -1
    seen, get, out = 0, library.cgctl_sampler_get, byref(sample)
    for index in range(library.cgctl_sampler_count(sampler)):
        get(sampler, index, out)
        if ABSENT not in (sample.cpu_usage_ns, sample.memory_usage, sample.anon):
            seen += 1
    return seen


def main():
    library = ctypes.CDLL(sys.argv[1])
    library.cgctl_sampler_get.argtypes = [c_void_p, c_size_t, c_void_p]
    host, sampler = c_void_p(), c_void_p()
    opened = library.cgctl_host_open(None, byref(host), None)
    if opened != 0 or library.cgctl_sampler_open(host, sys.argv[2].encode(), byref(sampler), None) != 0:
        sys.exit("no cgroups can be sampled")
    sample = Sample(size=ctypes.sizeof(Sample))
    for _ in sys.stdin:
        start = time.perf_counter_ns()
        seen = one_round(library, sampler, sample)
        print(time.perf_counter_ns() - start, seen, flush=True)


main()
