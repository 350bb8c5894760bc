// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "holds/event.hpp"

#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "cgctl/detail/sys.hpp"

namespace cgctl::holds {
namespace {

constexpr const char* operation = "sample";

// The registers of a program at its entry into the kernel (asm/perf_regs.h), and which of them has
// the first argument of a system call.
#if defined(__x86_64__)
constexpr std::uint64_t registers = 0xff03ff;  // all general ones, ip and flags
constexpr std::size_t argument_register = 5;   // di
#elif defined(__aarch64__)
constexpr std::uint64_t registers = (std::uint64_t{1} << 33U) - 1;  // x0 to x29, lr, sp and pc
constexpr std::size_t argument_register = 0;                        // x0
#else
constexpr std::uint64_t registers = 0;
constexpr std::size_t argument_register = 0;
#endif

std::size_t page_size() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

Error explain(int cpu, int os_errno) {
  Error error = Error::system(operation, "CPU " + std::to_string(cpu), os_errno);
  if (os_errno == EACCES || os_errno == EPERM) {
    error.hint =
        ::geteuid() == 0
            ? "CAP_PERFMON (before Linux 5.8: CAP_SYS_ADMIN) is missing, or a seccomp filter, a "
              "user "
              "namespace or kernel lockdown refuses perf_event_open"
            : "run as root, with CAP_PERFMON, or with sysctl kernel.perf_event_paranoid at most 0";
  } else if (os_errno == ENOSYS || os_errno == ENOENT || os_errno == EOPNOTSUPP) {
    error.kind = errc::unsupported;
    error.hint = "a kernel with CONFIG_PERF_EVENTS is needed";
  } else if (os_errno == EMFILE) {
    error.hint = "raise the limit of open files (ulimit -n): four for each CPU are needed";
  }
  return error;
}

Result<UniqueFd> open_event(perf_event_attr& attributes, std::uint32_t cpu, int group = -1) {
  const int number = static_cast<int>(cpu);
  UniqueFd fd(sys::perf_event_open(&attributes, number, group));
  if (!fd) return fail(explain(number, -fd.get()));
  return fd;
}

perf_event_attr common() noexcept {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.disabled = 1;
  attributes.use_clockid = 1;
  attributes.clockid = CLOCK_MONOTONIC;
  return attributes;
}

/// Returns a hash of the registers that is never 0.
std::uint64_t hash(const std::uint64_t* words, std::size_t count) noexcept {
  constexpr std::uint64_t prime = 0x100000001b3;
  std::uint64_t value = prime;
  for (std::size_t i = 0; i < count; ++i) value = (value ^ words[i] ^ (value >> 32U)) * prime;
  return value == 0 ? 1 : value;
}

}  // namespace

std::size_t pages_of(std::size_t kib) noexcept {
  constexpr std::size_t kibibyte = 1024;
  constexpr std::size_t most = 4096;
  std::size_t pages = 1;
  while (pages * page_size() < kib * kibibyte && pages < most) pages *= 2;
  return pages;
}

Result<Event> Event::open(perf_event_attr attributes, std::uint32_t cpu, std::size_t pages) {
  auto fd = open_event(attributes, cpu);
  if (!fd) return fail(fd.error());
  Event event;
  event.fd_ = std::move(*fd);
  const std::size_t size = pages * page_size();
  void* memory = nullptr;
  if (const int status = sys::map_shared(event.fd_.get(), size + page_size(), memory); status < 0) {
    return fail(explain(static_cast<int>(cpu), -status));
  }
  event.memory_ = memory;
  event.size_ = size;
  return event;
}

Result<Event> Event::open_into(perf_event_attr attributes, std::uint32_t cpu, const Event& other) {
  auto fd = open_event(attributes, cpu);
  if (!fd) return fail(fd.error());
  Event event;
  event.fd_ = std::move(*fd);
  const int status = sys::control(event.fd_.get(), PERF_EVENT_IOC_SET_OUTPUT,
                                  static_cast<std::uintptr_t>(other.fd_.get()));
  if (status < 0) return fail(explain(static_cast<int>(cpu), -status));
  return event;
}

Status Event::add_counter(perf_event_attr attributes, std::uint32_t cpu) {
  auto fd = open_event(attributes, cpu, fd_.get());
  if (!fd) return fail(fd.error());
  member_ = std::move(*fd);
  return {};
}

Event::~Event() {
  if (memory_ != nullptr) sys::unmap(memory_, size_ + page_size());
}

Status Event::filter(const char* text) const {
  const auto address = reinterpret_cast<std::uintptr_t>(text);
  const int status = sys::control(fd_.get(), PERF_EVENT_IOC_SET_FILTER, address);
  if (status < 0) return fail(Error::system(operation, text, -status));
  return {};
}

void Event::enable() const noexcept { (void)sys::control(fd_.get(), PERF_EVENT_IOC_ENABLE, 0); }
void Event::disable() const noexcept { (void)sys::control(fd_.get(), PERF_EVENT_IOC_DISABLE, 0); }

void Event::copy(std::uint64_t at, void* out, std::size_t size) const noexcept {
  const char* const data = static_cast<const char*>(memory_) + page_size();
  const auto place = static_cast<std::size_t>(at & (size_ - 1));
  const std::size_t first = std::min(size, size_ - place);
  std::memcpy(out, data + place, first);
  std::memcpy(static_cast<char*>(out) + first, data, size - first);
}

perf_event_attr sampling(std::chrono::microseconds interval) noexcept {
  constexpr std::uint16_t most_frames = 48;
  perf_event_attr attributes = common();
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_CPU_CLOCK;
  attributes.sample_period = static_cast<std::uint64_t>(std::chrono::nanoseconds(interval).count());
  attributes.sample_type =
      PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_READ | PERF_SAMPLE_CALLCHAIN;
  attributes.read_format = PERF_FORMAT_GROUP;
  if (registers != 0) attributes.sample_type |= PERF_SAMPLE_REGS_USER;
  attributes.sample_regs_user = registers;
  attributes.exclude_callchain_user = 1;
  attributes.sample_max_stack = most_frames;
  return attributes;
}

perf_event_attr switching() noexcept {
  perf_event_attr attributes = common();
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_CONTEXT_SWITCHES;
  attributes.read_format = PERF_FORMAT_GROUP;
  attributes.disabled = 0;  // counts while the first event of its group does
  return attributes;
}

bool read_sample(const perf_event_header& header, const std::uint64_t* words, std::size_t count,
                 const Symbols& symbols, Sample& out) noexcept {
  // The process, the time, the number of counters, two of them, the length of the chain.
  constexpr std::size_t before_chain = 6;
  constexpr unsigned half = 32;
  if (count < before_chain || words[2] != 2) return false;
  const auto length = static_cast<std::size_t>(words[before_chain - 1]);
  if (count - before_chain < length) return false;
  std::array<std::uint32_t, 2> task{};
  std::memcpy(task.data(), words, sizeof task);
  out.pid = static_cast<pid_t>(task[0]);
  out.tid = static_cast<pid_t>(task[1]);
  static_assert(sizeof task * 8 == 2 * half);
  out.at = Time(static_cast<Time::rep>(words[1]));
  out.switches = words[4];
  out.kernel = (header.misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_KERNEL;
  if (!out.kernel) return true;
  out.chain = words + before_chain;
  out.depth = length;
  classify(symbols, out.chain, length, out);
  const std::uint64_t* const abi = words + before_chain + length;
  const std::size_t left = count - before_chain - length;
  if (registers == 0 || left < 2 || *abi == PERF_SAMPLE_REGS_ABI_NONE) return true;
  out.entry = hash(abi + 1, left - 1);
  const bool plain = *abi == PERF_SAMPLE_REGS_ABI_64 && left > argument_register + 1;
  out.argument = plain ? abi[argument_register + 1] : ~std::uint64_t{0};
  return true;
}

perf_event_attr tracing(std::uint64_t id) noexcept {
  perf_event_attr attributes = common();
  attributes.type = PERF_TYPE_TRACEPOINT;
  attributes.config = id;
  attributes.sample_period = 1;
  attributes.sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_RAW;
  return attributes;
}

bool read_traced(const std::uint64_t* words, std::size_t count, Traced& out) noexcept {
  if (count < 2) return false;
  out.at = Time(static_cast<Time::rep>(words[0]));
  // Behind the size, 32 bits, stands the record of tracefs, which begins with the number of its
  // event.
  const char* const raw = static_cast<const char*>(static_cast<const void*>(words + 1));
  std::memcpy(&out.id, raw + sizeof(std::uint32_t), sizeof out.id);
  return true;
}

}  // namespace cgctl::holds
