// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/loader.hpp"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "kernel/hints.hpp"

namespace cgctl::kernel {
namespace {

constexpr const char* operation = "take a census";
constexpr std::size_t name_bytes = 16;  // of a thread, the final null included

std::uint64_t address(const void* at) { return reinterpret_cast<std::uintptr_t>(at); }

/// Returns the names of the rights for bpf(2) that this thread lacks.
std::string missing_rights() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return {};
  const auto has = [&](unsigned right) {
    return (data[right / 32].effective >> right % 32 & 1) != 0;
  };
  constexpr unsigned perfmon = 38;
  constexpr unsigned bpf = 39;
  if (has(CAP_SYS_ADMIN)) return {};
  std::string missing = has(bpf) ? "" : "CAP_BPF";
  if (!has(perfmon)) missing.append(missing.empty() ? "" : " and ").append("CAP_PERFMON");
  return missing;
}

/// Fails if programs must not read the kernel's memory. The kernel itself says so only since Linux
/// 5.14: before that they read zeros.
Status check_lockdown() {
  constexpr const char* file = "/sys/kernel/security/lockdown";
  const auto text = fs::read_trusted(file);
  if (!text || text->find("[confidentiality]") == std::string::npos) return {};
  Error error = Error::system(operation, file, EPERM);
  error.reason = "kernel lockdown forbids programs to read the kernel's memory";
  error.hint = std::string("only a reboot ends it; ") + without_names;
  return fail(std::move(error));
}

/// Adds who can do something about a refusal with EPERM.
void explain_refusal(Error& error) {
  const std::string missing = missing_rights();
  if (!missing.empty()) {
    error.reason += "; this process lacks " + missing;
    error.hint =
        std::string("run as root of the host (CAP_SYS_ADMIN before Linux 5.8); ") + without_names;
    return;
  }
  error.hint = std::string(
                   "run as root of the host: CAP_BPF and CAP_PERFMON are needed "
                   "(CAP_SYS_ADMIN before Linux 5.8). As root, a user namespace or a "
                   "seccomp filter refuses; ") +
               without_names;
}

/// Returns why the kernel refused bpf(2), and who can do something about it.
Error refusal(int os_errno, const char* step) {
  Error error = Error::system(operation, {}, os_errno);
  error.reason = std::string("the kernel refuses bpf(2): ") + step + ": " + std::strerror(os_errno);
  if (os_errno == ENOSYS) {
    error.kind = errc::unsupported;
    error.hint = std::string("this kernel was built without bpf(2); ") + without_names;
  } else if (os_errno == EPERM || os_errno == EACCES) {
    explain_refusal(error);
  } else if (os_errno == EINVAL) {
    error.kind = errc::unsupported;
    error.hint =
        std::string("the kernel is older than Linux 4.17, or locked down; ") + without_names;
  }
  return error;
}

/// Calls bpf(2). Before Linux 5.11 maps and programs count as locked memory: where that is used
/// up, the limit is raised for the call.
int locking_bpf(int command, bpf_attr& attributes) {
  const int status = sys::bpf(command, &attributes, sizeof attributes);
  ::rlimit before{};
  if (status != -EPERM || ::getrlimit(RLIMIT_MEMLOCK, &before) != 0) return status;
  const ::rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (before.rlim_cur == RLIM_INFINITY || ::setrlimit(RLIMIT_MEMLOCK, &unlimited) != 0)
    return status;
  const int again = sys::bpf(command, &attributes, sizeof attributes);
  ::setrlimit(RLIMIT_MEMLOCK, &before);
  return again;
}

}  // namespace

void LoadedProgram::Unmap::operator()(void* memory) const noexcept { sys::unmap(memory, bytes); }

Status LoadedProgram::make_map(std::size_t bytes) {
  // A service manager's filter may kill a process that calls bpf(2): it is not called in vain.
  if (!missing_rights().empty()) return fail(refusal(EPERM, "create a map"));
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = sizeof(std::uint32_t);
  attributes.value_size = static_cast<std::uint32_t>(bytes);
  attributes.max_entries = 1;
  if (way_ == Way::on_demand) attributes.map_flags = BPF_F_MMAPABLE;
  const int map = locking_bpf(BPF_MAP_CREATE, attributes);
  if (map < 0) return fail(refusal(-map, "create a map"));
  map_ = UniqueFd(map);
  if (way_ == Way::by_rename) {
    copy_.resize(bytes / sizeof copy_[0]);
    return {};
  }
  void* memory = nullptr;
  const int status = sys::map_shared(map_.get(), bytes, memory);
  if (status < 0) return fail(refusal(-status, "map its memory"));
  shared_ = std::unique_ptr<void, Unmap>(memory, Unmap{bytes});
  return {};
}

Status LoadedProgram::load_code(const Code& code) {
  // BPF_LD | BPF_DW | BPF_IMM of 0: the compiler's place for the address of the map.
  constexpr std::uint64_t load_address = 0x18;
  constexpr std::uint64_t any_register = 0xf00;
  constexpr unsigned source_shift = 12;
  constexpr unsigned value_shift = 32;
  std::vector<std::uint64_t> instructions(code.instructions, code.instructions + code.count);
  for (std::uint64_t& instruction : instructions) {
    if ((instruction & ~any_register) != load_address) continue;
    instruction |= std::uint64_t{BPF_PSEUDO_MAP_FD} << source_shift |
                   static_cast<std::uint64_t>(map_.get()) << value_shift;
  }
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  attributes.insns = address(instructions.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(instructions.size());
  attributes.license = address("Dual MIT/GPL");
  const int program = locking_bpf(BPF_PROG_LOAD, attributes);
  if (program < 0) return fail(refusal(-program, "load a program"));
  program_ = UniqueFd(program);
  return {};
}

Result<LoadedProgram> LoadedProgram::load(const Code& code, Way way) {
  if (auto status = check_lockdown(); !status) return fail(status.error());
  LoadedProgram program;
  program.way_ = way;
  if (auto status = program.make_map(code.value_bytes); !status) return fail(status.error());
  if (auto status = program.load_code(code); !status) return fail(status.error());
  return program;
}

Status LoadedProgram::run() {
  if (way_ == Way::on_demand) return run_on_demand();
  if (!attachment_) return attach();
  std::array<char, name_bytes> name{};
  ::prctl(PR_GET_NAME, name.data());
  return run_renamed(name.data());
}

Status LoadedProgram::run_on_demand() {
  constexpr int not_supported = 524;  // ENOTSUPP, which no header of user space has
  // A tracepoint's arguments, for a program that looks at them: is_owner() of bpf_program.h.
  const std::array<std::uint64_t, 2> context{0, address(value())};
  bpf_attr attributes{};
  attributes.test.prog_fd = static_cast<std::uint32_t>(program_.get());
  attributes.test.ctx_in = address(context.data());
  attributes.test.ctx_size_in = sizeof context;
  const int status = sys::bpf(BPF_PROG_TEST_RUN, &attributes, sizeof attributes);
  if (status >= 0) return {};
  return fail(refusal(status == -not_supported ? EINVAL : -status, "run a program"));
}

/// Attaches the program, makes this thread its owner and runs it once: the thread takes the token
/// as its name. The run when it takes its own name again is lost: the next run replaces the value.
Status LoadedProgram::attach() {
  bpf_attr attributes{};
  attributes.raw_tracepoint.name = address("task_rename");
  attributes.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(program_.get());
  const int attachment = sys::bpf(BPF_RAW_TRACEPOINT_OPEN, &attributes, sizeof attributes);
  if (attachment < 0) return fail(refusal(-attachment, "attach a program"));
  attachment_ = UniqueFd(attachment);
  std::array<char, name_bytes> before{};
  ::prctl(PR_GET_NAME, before.data());
  std::array<char, name_bytes> token{};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  constexpr unsigned letters = 16;
  auto rest = static_cast<std::uint64_t>(now) * 0x9e3779b97f4a7c15;
  for (std::size_t i = 0; i < sizeof(std::uint64_t); ++i, rest /= letters) {
    token[i] = static_cast<char>('a' + rest % letters);
  }
  auto& caller = *static_cast<cgctl_caller*>(value());
  caller.owner = 0;
  std::memcpy(&caller.token, token.data(), sizeof caller.token);
  Status status = run_renamed(token.data());
  ::prctl(PR_SET_NAME, before.data());
  return status;
}

Status LoadedProgram::run_renamed(const char* name) {
  auto& caller = *static_cast<cgctl_caller*>(value());
  caller.runs = 0;
  if (auto status = copy_value(BPF_MAP_UPDATE_ELEM); !status) return status;
  ::prctl(PR_SET_NAME, name);
  if (auto status = copy_value(BPF_MAP_LOOKUP_ELEM); !status) return status;
  if (caller.runs != 0) return {};
  return fail(Error::make(errc::unsupported, operation, {},
                          "the program that was attached to task_rename did not run",
                          without_names));
}

Status LoadedProgram::copy_value(int command) {
  const std::uint32_t key = 0;
  bpf_attr attributes{};
  attributes.map_fd = static_cast<std::uint32_t>(map_.get());
  attributes.key = address(&key);
  attributes.value = address(copy_.data());
  const int status = sys::bpf(command, &attributes, sizeof attributes);
  return status < 0 ? Status(fail(refusal(-status, "copy a map"))) : Status();
}

}  // namespace cgctl::kernel
