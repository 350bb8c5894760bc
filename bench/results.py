# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT
"""Reads the results of cgctl_bench."""

import json
import re

UNITS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def by_number(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def readable(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.2f} {unit}"
    return f"{nanoseconds:.0f} ns"


def results(files):
    """Returns the results of each benchmark, and why others have none. Of several runs the median
    counts, or the least where the benchmark computes it."""
    found, failures = {}, {}
    for file in files:
        with open(file, encoding="utf-8") as text:
            measured = json.load(text)["benchmarks"]
        for one in measured:
            suffixes = r"/(min_time|iterations|repeats|real_time|process_time|manual_time).*"
            name = re.sub(suffixes, "", one["run_name"])
            if one.get("error_occurred"):
                failures[name] = one["error_message"]
            elif one.get("aggregate_name") in ("median", "least") or (
                one["run_type"] == "iteration" and name not in found
            ):
                unit = UNITS[one["time_unit"]]
                found[name] = dict(one, time=one["real_time"] * unit)
                found[name]["cpu_ms"] = one["cpu_time"] * unit / UNITS["ms"]
    return {name: one for name, one in found.items() if name not in failures}, failures
