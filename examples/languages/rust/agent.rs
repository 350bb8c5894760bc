// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

//! A node agent in Rust, without cargo: agent PATH STATE_DIR
//!
//! Samples the cgroup PATH and all below it, reads the root's memory by NUMA node within a budget,
//! counts zombies, and says what a mitigation with its history in STATE_DIR would do about them.
//!
//!     rustc agent.rs

use std::ffi::{CStr, CString};
use std::mem::{size_of, zeroed};
use std::os::raw::{c_char, c_int, c_uint};
use std::ptr::{null, null_mut};

/// The functions and structures of cgctl/cgctl.h that this program uses.
mod cgctl {
    use super::*;

    pub const OK: c_int = 0;
    pub const ABSENT: u64 = u64::MAX;
    pub const FROM_FILE: c_int = 0;
    pub const DRY_RUN: c_uint = 1;
    pub const ACT: c_int = 1;

    pub enum Roots {}
    pub enum Host {}
    pub enum Sampler {}
    pub enum Numa {}

    #[repr(C)]
    pub struct Error {
        pub size: usize,
        pub kind: c_int,
        pub os_errno: c_int,
        pub operation: [c_char; 64],
        pub path: [c_char; 1024],
        pub reason: [c_char; 512],
        pub remedy: [c_char; 512],
    }

    #[repr(C)]
    pub struct Sample {
        pub size: usize,
        pub path: *const c_char,
        pub cpus: f64,
        pub cpu_usage_ns: u64,
        pub throttled_periods: u64,
        pub throttled_ns: u64,
        pub memory_usage: u64,
        pub working_set: u64,
        pub anon: u64,
        pub file: u64,
    }

    #[repr(C)]
    pub struct NumaResult {
        pub size: usize,
        pub values: u64,
        pub source: c_int,
    }

    #[repr(C)]
    pub struct NumaValue {
        pub size: usize,
        pub name: [c_char; 48],
        pub bytes: u64,
        pub node: u32,
    }

    #[repr(C)]
    pub struct Zombies {
        pub size: usize,
        pub low: u64,
        pub high: u64,
        pub live: u64,
        pub kernel: u64,
    }

    #[repr(C)]
    pub struct Mitigation {
        pub size: usize,
        pub decision: c_int,
        pub effective: c_int,
        pub zombies_before: u64,
        pub zombies_after: u64,
        pub reason: [c_char; 512],
    }

    #[link(name = "cgctl")]
    extern "C" {
        pub fn cgctl_host_open(roots: *const Roots, host: *mut *mut Host, error: *mut Error) -> c_int;
        pub fn cgctl_host_free(host: *mut Host);
        pub fn cgctl_sampler_open(
            host: *const Host,
            path: *const c_char,
            sampler: *mut *mut Sampler,
            error: *mut Error,
        ) -> c_int;
        pub fn cgctl_sampler_sample(sampler: *mut Sampler, unread: *mut u64, error: *mut Error) -> c_int;
        pub fn cgctl_sampler_count(sampler: *const Sampler) -> usize;
        pub fn cgctl_sampler_get(sampler: *const Sampler, index: usize, sample: *mut Sample) -> c_int;
        pub fn cgctl_sampler_free(sampler: *mut Sampler);
        pub fn cgctl_numa_open(
            host: *const Host,
            path: *const c_char,
            budget_ns: u64,
            numa: *mut *mut Numa,
            error: *mut Error,
        ) -> c_int;
        pub fn cgctl_numa_read(numa: *mut Numa, result: *mut NumaResult, error: *mut Error) -> c_int;
        pub fn cgctl_numa_get(numa: *const Numa, index: usize, value: *mut NumaValue) -> c_int;
        pub fn cgctl_numa_free(numa: *mut Numa);
        pub fn cgctl_zombies_count(host: *const Host, zombies: *mut Zombies, error: *mut Error) -> c_int;
        pub fn cgctl_mitigate(
            host: *const Host,
            state: *const c_char,
            flags: c_uint,
            result: *mut Mitigation,
            error: *mut Error,
        ) -> c_int;
    }
}

/// Returns a structure whose numbers and pointers are 0, and its size, which is its first member.
fn sized<T>() -> T {
    // All structures above consist of a size, numbers, arrays of them and pointers.
    unsafe {
        let mut value: T = zeroed();
        *(&mut value as *mut T as *mut usize) = size_of::<T>();
        value
    }
}

fn text(of: &[c_char]) -> String {
    // The library ends each text with a NUL.
    unsafe { CStr::from_ptr(of.as_ptr()) }.to_string_lossy().into_owned()
}

/// Makes a call that fills `error` if it fails.
fn checked(call: impl FnOnce(&mut cgctl::Error) -> c_int) -> Result<(), String> {
    let mut error: cgctl::Error = sized();
    if call(&mut error) == cgctl::OK {
        return Ok(());
    }
    let (operation, path) = (text(&error.operation), text(&error.path));
    let mut said = format!("{} {}: {}", operation, path, text(&error.reason));
    let remedy = text(&error.remedy);
    if !remedy.is_empty() {
        said += &format!("; {}", remedy);
    }
    Err(said)
}

struct Host(*mut cgctl::Host);

impl Drop for Host {
    fn drop(&mut self) {
        unsafe { cgctl::cgctl_host_free(self.0) }
    }
}

impl Host {
    fn open() -> Result<Host, String> {
        let mut host = null_mut();
        checked(|error| unsafe { cgctl::cgctl_host_open(null(), &mut host, error) })?;
        Ok(Host(host))
    }

    fn sample(&self, path: &CStr) -> Result<(), String> {
        let mut sampler = null_mut();
        checked(|error| unsafe { cgctl::cgctl_sampler_open(self.0, path.as_ptr(), &mut sampler, error) })?;
        let mut unread = 0;
        let sampled = checked(|error| unsafe { cgctl::cgctl_sampler_sample(sampler, &mut unread, error) });
        let count = unsafe { cgctl::cgctl_sampler_count(sampler) };
        let mut one: cgctl::Sample = sized();
        let mut most = 0;
        for i in 0..count {
            unsafe { cgctl::cgctl_sampler_get(sampler, i, &mut one) };
            if one.memory_usage != cgctl::ABSENT {
                most = most.max(one.memory_usage);
            }
        }
        unsafe { cgctl::cgctl_sampler_free(sampler) };
        sampled?;
        println!("sampled {} cgroups, {} not read whole; the largest has {} bytes", count, unread, most);
        Ok(())
    }

    fn read_nodes(&self) -> Result<(), String> {
        let root = CString::new("/").unwrap();
        let mut numa = null_mut();
        checked(|error| unsafe { cgctl::cgctl_numa_open(self.0, root.as_ptr(), 0, &mut numa, error) })?;
        let mut result: cgctl::NumaResult = sized();
        let done = checked(|error| unsafe { cgctl::cgctl_numa_read(numa, &mut result, error) });
        let mut first: cgctl::NumaValue = sized();
        unsafe {
            cgctl::cgctl_numa_get(numa, 0, &mut first);
            cgctl::cgctl_numa_free(numa);
        }
        done?;
        let source = if result.source == cgctl::FROM_FILE { "file" } else { "nodes" };
        print!("read {} values by NUMA node from the {}; ", result.values, source);
        println!("{} on node {}: {} bytes", text(&first.name), first.node, first.bytes);
        Ok(())
    }

    fn count(&self) -> Result<(), String> {
        let mut zombies: cgctl::Zombies = sized();
        checked(|error| unsafe { cgctl::cgctl_zombies_count(self.0, &mut zombies, error) })?;
        println!("counted zombies: {}", zombies.low);
        Ok(())
    }

    fn rehearse(&self, state: &CStr) -> Result<(), String> {
        let mut would: cgctl::Mitigation = sized();
        checked(|error| unsafe {
            cgctl::cgctl_mitigate(self.0, state.as_ptr(), cgctl::DRY_RUN, &mut would, error)
        })?;
        let verb = if would.decision == cgctl::ACT { "act" } else { "not act" };
        println!("mitigation would {}: {}", verb, text(&would.reason));
        Ok(())
    }
}

fn run(path: &CStr, state: &CStr) -> Result<(), String> {
    let host = Host::open()?;
    host.sample(path)?;
    host.read_nodes()?;
    host.count()?;
    host.rehearse(state)
}

fn main() {
    let arguments: Vec<CString> = std::env::args().map(|one| CString::new(one).unwrap()).collect();
    if arguments.len() != 3 {
        eprintln!("usage: agent PATH STATE_DIR");
        std::process::exit(2);
    }
    if let Err(error) = run(&arguments[1], &arguments[2]) {
        eprintln!("agent: {}", error);
        std::process::exit(1);
    }
}
