// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/program.hpp"

#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>

#include "cgctl/detail/sys.hpp"
#include "kernel/walk_code.hpp"

namespace cgctl::kernel {
namespace {

constexpr const char* operation = "take a census";
constexpr int not_supported = 524;  // ENOTSUPP, which no header of user space has
constexpr const char* fallback = "zombies are still counted, but without names";

/// Returns why the kernel refused bpf(2), and who can do something about it.
Error refusal(int os_errno, const char* step) {
  Error error = Error::system(operation, {}, os_errno);
  error.reason = std::string("the kernel refuses bpf(2): ") + step + ": " + std::strerror(os_errno);
  if (os_errno == ENOSYS) {
    error.kind = errc::unsupported;
    error.hint = std::string("this kernel was built without bpf(2); ") + fallback;
  } else if (os_errno == EPERM || os_errno == EACCES) {
    error.hint = std::string(
                     "run as root of the host: CAP_BPF and CAP_PERFMON are needed "
                     "(CAP_SYS_ADMIN before Linux 5.8). As root, a user namespace, a "
                     "seccomp filter or kernel lockdown (see "
                     "/sys/kernel/security/lockdown) refuses; ") +
                 fallback;
  }
  return error;
}

std::uint64_t address(const void* at) { return reinterpret_cast<std::uintptr_t>(at); }

}  // namespace

void Program::Unmap::operator()(cgctl_walk* walk) const noexcept { sys::unmap(walk, sizeof *walk); }

Status Program::make_map() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = sizeof(std::uint32_t);
  attributes.value_size = sizeof(cgctl_walk);
  attributes.max_entries = 1;
  attributes.map_flags = BPF_F_MMAPABLE;
  const int map = sys::bpf(BPF_MAP_CREATE, &attributes, sizeof attributes);
  if (map < 0) return fail(refusal(-map, "create a map"));
  map_ = UniqueFd(map);
  void* memory = nullptr;
  const int status = sys::map_shared(map_.get(), sizeof(cgctl_walk), memory);
  if (status < 0) return fail(refusal(-status, "map its memory"));
  shared_.reset(static_cast<cgctl_walk*>(memory));
  return {};
}

Status Program::load_code() {
  constexpr std::uint64_t load_address = 0x18;  // BPF_LD | BPF_DW | BPF_IMM
  constexpr unsigned source_shift = 12;
  constexpr unsigned value_shift = 32;
  std::array<std::uint64_t, std::size(walk_code)> code{};
  std::copy(std::begin(walk_code), std::end(walk_code), code.begin());
  for (std::uint64_t& instruction : code) {
    if ((instruction & 0xff) != load_address) continue;
    instruction |= std::uint64_t{BPF_PSEUDO_MAP_FD} << source_shift |
                   static_cast<std::uint64_t>(map_.get()) << value_shift;
  }
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  attributes.insns = address(code.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(code.size());
  attributes.license = address("Dual MIT/GPL");
  const int program = sys::bpf(BPF_PROG_LOAD, &attributes, sizeof attributes);
  if (program < 0) return fail(refusal(-program, "load a program"));
  program_ = UniqueFd(program);
  return {};
}

Result<Program> Program::load(const cgctl_layout& layout) {
  Program program;
  if (auto status = program.make_map(); !status) return fail(status.error());
  if (auto status = program.load_code(); !status) return fail(status.error());
  program.shared().layout = layout;
  return program;
}

Status Program::run() const {
  bpf_attr attributes{};
  attributes.test.prog_fd = static_cast<std::uint32_t>(program_.get());
  const int status = sys::bpf(BPF_PROG_TEST_RUN, &attributes, sizeof attributes);
  if (status >= 0) return {};
  Error error = refusal(-status, "run a program");
  if (status == -EINVAL || status == -not_supported) {
    error.kind = errc::unsupported;
    error.hint = std::string("Linux runs such programs on demand since 5.10; ") + fallback;
  }
  return fail(std::move(error));
}

}  // namespace cgctl::kernel
