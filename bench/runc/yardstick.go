// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// A C library that measures runc's own library: each function reads the figures of one v1 cgroup
// and returns the nanoseconds that the call took, or -1.
package main

import "C"

import (
	"time"

	"github.com/opencontainers/runc/libcontainer/cgroups"
	"github.com/opencontainers/runc/libcontainer/cgroups/fs"
)

//export runc_memory_stats
func runc_memory_stats(path *C.char) C.longlong {
	directory := C.GoString(path)
	start := time.Now()
	stats := cgroups.NewStats()
	if err := (&fs.MemoryGroup{}).GetStats(directory, stats); err != nil {
		return -1
	}
	if stats.MemoryStats.Usage.Usage == 0 {
		return -1
	}
	return C.longlong(time.Since(start).Nanoseconds())
}

//export runc_cpu_stats
func runc_cpu_stats(cpu *C.char, cpuacct *C.char) C.longlong {
	cpuDirectory := C.GoString(cpu)
	cpuacctDirectory := C.GoString(cpuacct)
	start := time.Now()
	stats := cgroups.NewStats()
	if err := (&fs.CpuGroup{}).GetStats(cpuDirectory, stats); err != nil {
		return -1
	}
	if err := (&fs.CpuacctGroup{}).GetStats(cpuacctDirectory, stats); err != nil {
		return -1
	}
	return C.longlong(time.Since(start).Nanoseconds())
}

func main() {}
