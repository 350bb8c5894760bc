// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// A node agent in Go: agent PATH STATE_DIR
//
// Samples the cgroup PATH and all below it, reads the root's memory by NUMA node within a budget,
// counts zombies, and says what a mitigation with its history in STATE_DIR would do about them.
//
//	go build agent.go
package main

// #cgo LDFLAGS: -lcgctl
// #include <cgctl/cgctl.h>
// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"os"
	"unsafe"
)

// failure describes a call that failed.
func failure(e *C.struct_cgctl_error) error {
	text := fmt.Sprintf("%s %s: %s", C.GoString(&e.operation[0]), C.GoString(&e.path[0]),
		C.GoString(&e.reason[0]))
	if remedy := C.GoString(&e.remedy[0]); remedy != "" {
		text += "; " + remedy
	}
	return errors.New(text)
}

func sample(host *C.cgctl_host, path string) error {
	e := C.struct_cgctl_error{size: C.sizeof_struct_cgctl_error}
	text := C.CString(path)
	defer C.free(unsafe.Pointer(text))
	var sampler *C.cgctl_sampler
	if C.cgctl_sampler_open(host, text, &sampler, &e) != C.CGCTL_OK {
		return failure(&e)
	}
	defer C.cgctl_sampler_free(sampler)
	var unread C.uint64_t
	if C.cgctl_sampler_sample(sampler, &unread, &e) != C.CGCTL_OK {
		return failure(&e)
	}
	one := C.struct_cgctl_sample{size: C.sizeof_struct_cgctl_sample}
	var most C.uint64_t
	for i := C.size_t(0); C.cgctl_sampler_get(sampler, i, &one) == C.CGCTL_OK; i++ {
		if one.memory_usage != C.CGCTL_ABSENT && one.memory_usage > most {
			most = one.memory_usage
		}
	}
	fmt.Printf("sampled %d cgroups, %d not read whole; the largest has %d bytes\n",
		C.cgctl_sampler_count(sampler), unread, most)
	return nil
}

func readNodes(host *C.cgctl_host) error {
	e := C.struct_cgctl_error{size: C.sizeof_struct_cgctl_error}
	root := C.CString("/")
	defer C.free(unsafe.Pointer(root))
	var numa *C.cgctl_numa
	if C.cgctl_numa_open(host, root, 0, &numa, &e) != C.CGCTL_OK {
		return failure(&e)
	}
	defer C.cgctl_numa_free(numa)
	result := C.struct_cgctl_numa_result{size: C.sizeof_struct_cgctl_numa_result}
	if C.cgctl_numa_read(numa, &result, &e) != C.CGCTL_OK {
		return failure(&e)
	}
	source := "file"
	if result.source == C.CGCTL_FROM_NODES {
		source = "nodes"
	}
	first := C.struct_cgctl_numa_value{size: C.sizeof_struct_cgctl_numa_value}
	if C.cgctl_numa_get(numa, 0, &first) == C.CGCTL_OK {
		fmt.Printf("read %d values by NUMA node from the %s; %s on node %d: %d bytes\n",
			result.values, source, C.GoString(&first.name[0]), first.node, first.bytes)
	}
	return nil
}

func count(host *C.cgctl_host) error {
	e := C.struct_cgctl_error{size: C.sizeof_struct_cgctl_error}
	zombies := C.struct_cgctl_zombies{size: C.sizeof_struct_cgctl_zombies}
	if C.cgctl_zombies_count(host, &zombies, &e) != C.CGCTL_OK {
		return failure(&e)
	}
	fmt.Printf("counted zombies: %d\n", zombies.low)
	return nil
}

func rehearse(host *C.cgctl_host, directory string) error {
	e := C.struct_cgctl_error{size: C.sizeof_struct_cgctl_error}
	state := C.CString(directory)
	defer C.free(unsafe.Pointer(state))
	would := C.struct_cgctl_mitigation{size: C.sizeof_struct_cgctl_mitigation}
	if C.cgctl_mitigate(host, state, C.CGCTL_DRY_RUN, &would, &e) != C.CGCTL_OK {
		return failure(&e)
	}
	verb := "not act"
	if would.decision == C.CGCTL_ACT {
		verb = "act"
	}
	fmt.Printf("mitigation would %s: %s\n", verb, C.GoString(&would.reason[0]))
	return nil
}

func run(path, state string) error {
	e := C.struct_cgctl_error{size: C.sizeof_struct_cgctl_error}
	var host *C.cgctl_host
	if C.cgctl_host_open(nil, &host, &e) != C.CGCTL_OK {
		return failure(&e)
	}
	defer C.cgctl_host_free(host)
	if err := sample(host, path); err != nil {
		return err
	}
	if err := readNodes(host); err != nil {
		return err
	}
	if err := count(host); err != nil {
		return err
	}
	return rehearse(host, state)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: agent PATH STATE_DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}
