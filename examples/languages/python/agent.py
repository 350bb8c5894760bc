#!/usr/bin/env python3
# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT
"""A node agent in Python, without a build: agent.py PATH STATE_DIR

Samples the cgroup PATH and all below it, reads the root's memory by NUMA node within a budget, counts
zombies, and says what a mitigation with its history in STATE_DIR would do about them. Needs
libcgctl.so; cgctl/cgctl.h describes the functions and structures.
"""

import ctypes
import sys
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p

ABSENT = 2**64 - 1
OK, FROM_FILE, DRY_RUN, ACT = 0, 0, 1, 1


class Sized(ctypes.Structure):
    """A structure of cgctl.h: its first member is its size."""

    def __init__(self):
        super().__init__(size=ctypes.sizeof(self))


class Error(Sized):
    _fields_ = [("size", c_size_t), ("kind", c_int), ("os_errno", c_int), ("operation", c_char * 64)]
    _fields_ += [("path", c_char * 1024), ("reason", c_char * 512), ("remedy", c_char * 512)]


class Sample(Sized):
    _fields_ = [("size", c_size_t), ("path", c_char_p), ("cpus", c_double)]
    _fields_ += [(name, c_uint64) for name in ("cpu_usage_ns", "throttled_periods", "throttled_ns")]
    _fields_ += [(name, c_uint64) for name in ("memory_usage", "working_set", "anon", "file")]


class NumaResult(Sized):
    _fields_ = [("size", c_size_t), ("values", c_uint64), ("source", c_int)]


class NumaValue(Sized):
    _fields_ = [("size", c_size_t), ("name", c_char * 48), ("bytes", c_uint64), ("node", c_uint32)]


class Zombies(Sized):
    _fields_ = [("size", c_size_t)] + [(name, c_uint64) for name in ("low", "high", "live", "kernel")]


class Mitigation(Sized):
    _fields_ = [("size", c_size_t), ("decision", c_int), ("effective", c_int)]
    _fields_ += [("zombies_before", c_uint64), ("zombies_after", c_uint64), ("reason", c_char * 512)]


class Failure(Exception):
    """What the library says of a call that failed."""


library = ctypes.CDLL("libcgctl.so.0.1")
ARGUMENTS = {
    "host_open": [c_void_p, POINTER(c_void_p), POINTER(Error)],
    "host_free": [c_void_p],
    "sampler_open": [c_void_p, c_char_p, POINTER(c_void_p), POINTER(Error)],
    "sampler_sample": [c_void_p, POINTER(c_uint64), POINTER(Error)],
    "sampler_get": [c_void_p, c_size_t, POINTER(Sample)],
    "sampler_free": [c_void_p],
    "numa_open": [c_void_p, c_char_p, c_uint64, POINTER(c_void_p), POINTER(Error)],
    "numa_read": [c_void_p, POINTER(NumaResult), POINTER(Error)],
    "numa_get": [c_void_p, c_size_t, POINTER(NumaValue)],
    "numa_free": [c_void_p],
    "zombies_count": [c_void_p, POINTER(Zombies), POINTER(Error)],
    "mitigate": [c_void_p, c_char_p, c_uint, POINTER(Mitigation), POINTER(Error)],
}
for name, types in ARGUMENTS.items():
    getattr(library, f"cgctl_{name}").argtypes = types


def call(name, *arguments):
    """Calls a function that fills its last argument or describes its error."""
    error = Error()
    if getattr(library, f"cgctl_{name}")(*arguments, byref(error)) != OK:
        texts = (error.operation, error.path, error.reason, error.remedy)
        *said, remedy = (text.decode(errors="replace") for text in texts)
        raise Failure("{} {}: {}".format(*said) + (f"; {remedy}" if remedy else ""))


def opened(name, *arguments):
    handle = c_void_p()
    call(name, *arguments, byref(handle))
    return handle


def values(name, handle, kind):
    """Yields all values of a handle; each is valid until the next."""
    value, index = kind(), 0
    get = getattr(library, f"cgctl_{name}")
    while get(handle, index, byref(value)) == OK:
        yield value
        index += 1


def sample(host, path):
    sampler = opened("sampler_open", host, path)
    unread = c_uint64()
    call("sampler_sample", sampler, byref(unread))
    usages = [one.memory_usage for one in values("sampler_get", sampler, Sample)]
    most = max((usage for usage in usages if usage != ABSENT), default=0)
    print(f"sampled {len(usages)} cgroups, {unread.value} not read whole; the largest has {most} bytes")
    library.cgctl_sampler_free(sampler)


def read_nodes(host):
    numa, result = opened("numa_open", host, b"/", 0), NumaResult()
    call("numa_read", numa, byref(result))
    first = next(values("numa_get", numa, NumaValue))
    source = "file" if result.source == FROM_FILE else "nodes"
    print(f"read {result.values} values by NUMA node from the {source}; ", end="")
    print(f"{first.name.decode()} on node {first.node}: {first.bytes} bytes")
    library.cgctl_numa_free(numa)


def count(host):
    zombies = Zombies()
    call("zombies_count", host, byref(zombies))
    print(f"counted zombies: {zombies.low}")


def rehearse(host, state):
    would = Mitigation()
    call("mitigate", host, state, DRY_RUN, byref(would))
    print(f"mitigation would {'act' if would.decision == ACT else 'not act'}: {would.reason.decode()}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        host = opened("host_open", None)
        sample(host, sys.argv[1].encode())
        read_nodes(host)
        count(host)
        rehearse(host, sys.argv[2].encode())
        library.cgctl_host_free(host)
    except Failure as failure:
        sys.exit(f"agent: {failure}")


if __name__ == "__main__":
    main()
