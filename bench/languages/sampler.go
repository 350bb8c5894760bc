// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// sampler PATH: for each line that it reads, samples the cgroups at and below PATH through cgctl.h,
// reads the figures of each, and prints the nanoseconds that it took and the number of cgroups that
// have all figures.
package main

// #cgo LDFLAGS: -lcgctl
// #include <cgctl/cgctl.h>
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func round(sampler *C.cgctl_sampler) int {
	if C.cgctl_sampler_sample(sampler, nil, nil) != C.CGCTL_OK {
		return -1
	}
	seen := 0
	one := C.struct_cgctl_sample{size: C.sizeof_struct_cgctl_sample}
	for i := C.size_t(0); C.cgctl_sampler_get(sampler, i, &one) == C.CGCTL_OK; i++ {
		if one.cpu_usage_ns != C.CGCTL_ABSENT && one.memory_usage != C.CGCTL_ABSENT && one.anon != C.CGCTL_ABSENT {
			seen++
		}
	}
	return seen
}

func main() {
	var host *C.cgctl_host
	var sampler *C.cgctl_sampler
	if C.cgctl_host_open(nil, &host, nil) != C.CGCTL_OK ||
		C.cgctl_sampler_open(host, C.CString(os.Args[1]), &sampler, nil) != C.CGCTL_OK {
		os.Exit(1)
	}
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		start := time.Now()
		seen := round(sampler)
		fmt.Println(time.Since(start).Nanoseconds(), seen)
	}
}
