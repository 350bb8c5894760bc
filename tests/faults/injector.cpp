// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// Stands between the command and the C library: the linker sends each call named in CMakeLists.txt
// to a __wrap_ function here, which makes the call or lets it fail. Environment variables control
// it:
//   CGCTL_FAULT=STRAND:NUMBER:ERRNO  fails call NUMBER of a strand with ERRNO; if unset, no call
//                                    fails and all calls are recorded
//   CGCTL_FAULT_LOG=DESCRIPTOR       gets a line "STRAND NUMBER CALL WHERE" for the call that
//                                    failed, or for each recorded call
//   CGCTL_NO_MEMORY=STRAND:NUMBER    operator new of a strand throws from allocation NUMBER on
//   CGCTL_FAST=FACTOR                CLOCK_BOOTTIME runs this many times faster; timers do not
//   CGCTL_WALK=NANOSECONDS[:MORE]    a read of memory.numa_stat takes this much CPU time for each
//                                    cgroup at and below its own, as before Linux 5.8, and lets no
//                                    other task run; each read takes MORE longer than the one
//                                    before
// A strand is a process or a thread: 0 is the main one, 1 the first that the command creates.
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" ssize_t __real_write(int, const void*, size_t);
extern "C" int __real_clock_gettime(clockid_t, timespec*);

namespace {

/// The number of strands so far, in memory that the processes share.
std::atomic<unsigned>* strands = nullptr;
std::atomic<int> log_descriptor{-1};
bool recording = false;
unsigned struck_strand = 0;
unsigned struck_number = 0;
int struck_errno = 0;
unsigned starved_strand = 0;
unsigned starved_number = 0;
long fast_factor = 1;
timespec fast_since{};
long walk_each = 0;
long walk_more = 0;
long walk_later = 0;

struct Strand {
  bool known = false;
  unsigned id = 0;
  unsigned calls = 0;
  unsigned allocations = 0;
};
thread_local Strand strand;

void begin() __attribute__((constructor));
void begin() {
  void* const shared = ::mmap(nullptr, sizeof(std::atomic<unsigned>), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return;
  const char* const descriptor = std::getenv("CGCTL_FAULT_LOG");
  if (descriptor != nullptr) log_descriptor = std::atoi(descriptor);
  const char* const fault = std::getenv("CGCTL_FAULT");
  recording = fault == nullptr ||
              std::sscanf(fault, "%u:%u:%d", &struck_strand, &struck_number, &struck_errno) != 3;
  const char* const memory = std::getenv("CGCTL_NO_MEMORY");
  if (memory != nullptr) std::sscanf(memory, "%u:%u", &starved_strand, &starved_number);
  const char* const fast = std::getenv("CGCTL_FAST");
  if (fast != nullptr) fast_factor = std::atol(fast);
  __real_clock_gettime(CLOCK_BOOTTIME, &fast_since);
  const char* const walk = std::getenv("CGCTL_WALK");
  if (walk != nullptr) std::sscanf(walk, "%ld:%ld", &walk_each, &walk_more);
  ::unsetenv("CGCTL_FAULT");
  ::unsetenv("CGCTL_FAULT_LOG");
  if (log_descriptor >= 0) ::syscall(SYS_fcntl, log_descriptor.load(), F_SETFD, FD_CLOEXEC);
  strand.known = true;
  strands = new (shared) std::atomic<unsigned>(0);
}

void tell(const char* call, int fd, const char* path) {
  std::array<char, 512> where{};
  if (path == nullptr && fd >= 0) {
    std::array<char, 64> link{};
    std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd);
    (void)!::syscall(SYS_readlinkat, AT_FDCWD, link.data(), where.data(), where.size() - 1);
    path = where.data();
  }
  std::array<char, 768> line{};
  const int size = std::snprintf(line.data(), line.size(), "%u %u %s %.600s\n", strand.id,
                                 strand.calls, call, path == nullptr ? "" : path);
  if (size > 0) {
    (void)!__real_write(log_descriptor, line.data(), static_cast<std::size_t>(size));
  }
}

/// Gives a thread that is seen for the first time its number.
void know_strand() {
  if (strand.known) return;
  strand.known = true;
  strand.id = ++*strands;
}

/// True if this call is the one to fail. In that case sets errno.
bool struck(const char* call, int fd, const char* path = nullptr) {
  if (strands == nullptr) return false;
  know_strand();
  ++strand.calls;
  const bool strike = !recording && strand.id == struck_strand && strand.calls == struck_number;
  if (!recording && !strike) return false;
  if (log_descriptor >= 0) {
    const int before = errno;
    tell(call, fd, path);
    errno = before;
  }
  if (strike) errno = struck_errno;
  return strike;
}

bool struck(const char* call, const char* path) { return struck(call, -1, path); }

thread_local long cgroups_walked = 0;

int walk_one(const char* /*path*/, const struct stat* /*found*/, int kind, FTW* /*where*/) {
  if (kind == FTW_D) ++cgroups_walked;
  return 0;
}

/// Keeps the CPU from all other tasks for its lifetime, if permitted, as a kernel does that is not
/// preempted.
class Unpreempted {
 public:
  Unpreempted() noexcept { schedule(SCHED_FIFO, 2); }
  Unpreempted(const Unpreempted&) = delete;
  Unpreempted& operator=(const Unpreempted&) = delete;
  ~Unpreempted() { schedule(SCHED_OTHER, 0); }

 private:
  static void schedule(int policy, int priority) noexcept {
    const sched_param parameters{priority};
    ::syscall(SYS_sched_setscheduler, 0, policy, &parameters);
  }
};

void walk_if_told(int fd) {
  if (walk_each == 0) return;
  const auto start = std::chrono::steady_clock::now();
  std::array<char, 64> link{};
  std::array<char, 4096> path{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd);
  if (::syscall(SYS_readlinkat, AT_FDCWD, link.data(), path.data(), path.size() - 1) < 0) return;
  char* const slash = std::strrchr(path.data(), '/');
  if (slash == nullptr || std::strcmp(slash, "/memory.numa_stat") != 0) return;
  *slash = '\0';
  const Unpreempted all_the_time;
  cgroups_walked = 0;
  constexpr int descriptors = 16;
  ::nftw(path.data(), walk_one, descriptors, FTW_PHYS);
  const auto end = start + std::chrono::nanoseconds(walk_each * cgroups_walked + walk_later);
  walk_later += walk_more;
  while (std::chrono::steady_clock::now() < end) {
  }
}

/// Returns the number of the strand that this call is about to create. Call it before fork and
/// clone.
unsigned next_strand() { return strands == nullptr ? 0 : ++*strands; }

void become(unsigned id) { strand = {true, id, 0, 0}; }

/// True if this strand gets no memory any more.
bool starved() {
  if (strands == nullptr || starved_number == 0) return false;
  know_strand();
  return strand.id == starved_strand && ++strand.allocations >= starved_number;
}

}  // namespace

void* operator new(std::size_t size) {
  void* const memory = starved() ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

// Wraps a function that returns -1 on failure: WRAP(result, name, fd, path, (parameters),
// (arguments)).
#define WRAP(result, name, fd, path, parameters, arguments)      \
  result __real_##name parameters;                               \
  result __wrap_##name parameters;                               \
  result __wrap_##name parameters {                              \
    if (struck(#name, fd, path)) return static_cast<result>(-1); \
    return __real_##name arguments;                              \
  }
// Wraps a function that returns a null pointer on failure.
#define WRAP_POINTER(result, name, fd, path, parameters, arguments) \
  result __real_##name parameters;                                  \
  result __wrap_##name parameters;                                  \
  result __wrap_##name parameters {                                 \
    if (struck(#name, fd, path)) return nullptr;                    \
    return __real_##name arguments;                                 \
  }

/// Returns the call's name with the kind of open, for the table of errors. ENODEV is not for
/// directories: one whose cgroup is gone can still be opened.
static const char* name_of_open(const char* name, const char* creating, const char* directory,
                                std::uint64_t flags) {
  if ((flags & O_CREAT) != 0) return creating;
  return (flags & (O_DIRECTORY | O_PATH)) != 0 ? directory : name;
}

extern "C" {

int __real_open(const char* path, int flags, ...);
int __wrap_open(const char* path, int flags, mode_t mode);
int __wrap_open(const char* path, int flags, mode_t mode) {
  const auto bits = static_cast<unsigned>(flags);
  if (struck(name_of_open("open", "open(O_CREAT)", "open(O_DIRECTORY)", bits), path)) return -1;
  return __real_open(path, flags, mode);
}

int __real_openat(int directory, const char* path, int flags, ...);
int __wrap_openat(int directory, const char* path, int flags, mode_t mode);
int __wrap_openat(int directory, const char* path, int flags, mode_t mode) {
  const auto bits = static_cast<unsigned>(flags);
  if (struck(name_of_open("openat", "openat(O_CREAT)", "openat(O_DIRECTORY)", bits), path)) {
    return -1;
  }
  return __real_openat(directory, path, flags, mode);
}

pid_t __real_fork();
pid_t __wrap_fork();
pid_t __wrap_fork() {
  if (struck("fork", -1)) return -1;
  const unsigned id = next_strand();
  const pid_t child = __real_fork();
  if (child == 0) become(id);
  return child;
}

/// Returns the name of a system call that the command makes by number; null for others.
static const char* name_of(long number, long how) {
  switch (number) {
    case SYS_openat2:
      return name_of_open("openat2", "openat2(O_CREAT)", "openat2(O_DIRECTORY)",
                          reinterpret_cast<const open_how*>(how)->flags);
    case SYS_getdents64:
      return "getdents64";
    case SYS_clone3:
      return "clone3";
    case SYS_pidfd_open:
      return "pidfd_open";
    case SYS_fsopen:
      return "fsopen";
    case SYS_fsconfig:
      return "fsconfig";
    case SYS_fsmount:
      return "fsmount";
    case SYS_get_mempolicy:
      return "get_mempolicy";
    case SYS_migrate_pages:
      return "migrate_pages";
    default:
      return nullptr;
  }
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
  const char* const name = name_of(number, c);
  const bool at = number == SYS_openat2;
  if (name != nullptr && struck(name, number == SYS_getdents64 ? static_cast<int>(a) : -1,
                                at ? reinterpret_cast<const char*>(b) : nullptr)) {
    return -1;
  }
  const unsigned id = number == SYS_clone3 ? next_strand() : 0;
  const long result = __real_syscall(number, a, b, c, d, e, f);
  if (number == SYS_clone3 && result == 0) become(id);
  return result;
}

int __real_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int __wrap_pthread_create(pthread_t* out, const pthread_attr_t* how, void* (*work)(void*),
                          void* argument);
int __wrap_pthread_create(pthread_t* out, const pthread_attr_t* how, void* (*work)(void*),
                          void* argument) {
  if (struck("pthread_create", -1)) return errno;
  return __real_pthread_create(out, how, work, argument);
}

/// Writes the buffered data even if it reports a failure, like a kernel that accepted the data and
/// failed later.
int __real_fclose(FILE*);
int __wrap_fclose(FILE* file);
int __wrap_fclose(FILE* file) {
  const bool fails = struck("fclose", ::fileno(file));
  const int reason = errno;
  const int result = __real_fclose(file);
  if (!fails) return result;
  errno = reason;
  return EOF;
}

// Names WNOHANG apart: only a call that waits can be interrupted.
pid_t __real_waitpid(pid_t, int*, int);
pid_t __wrap_waitpid(pid_t process, int* status, int how);
pid_t __wrap_waitpid(pid_t process, int* status, int how) {
  if (struck((how & WNOHANG) != 0 ? "waitpid(WNOHANG)" : "waitpid", -1)) return -1;
  return __real_waitpid(process, status, how);
}

ssize_t __real_pread(int, void*, size_t, off_t);
ssize_t __wrap_pread(int fd, void* out, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void* out, size_t size, off_t offset) {
  if (struck("pread", fd, nullptr)) return -1;
  walk_if_told(fd);
  return __real_pread(fd, out, size, offset);
}

int __wrap_clock_gettime(clockid_t clock, timespec* out);
int __wrap_clock_gettime(clockid_t clock, timespec* out) {
  constexpr long second = 1000000000;
  const int result = __real_clock_gettime(clock, out);
  if (result != 0 || fast_factor == 1 || clock != CLOCK_BOOTTIME) return result;
  const long passed =
      (out->tv_sec - fast_since.tv_sec) * second + out->tv_nsec - fast_since.tv_nsec;
  const long now = fast_since.tv_nsec + passed * fast_factor;
  *out = {fast_since.tv_sec + now / second, now % second};
  return result;
}

// glob() has its own error numbers.
int __real_glob(const char*, int, int (*)(const char*, int), glob_t*);
int __wrap_glob(const char* pattern, int flags, int (*on_error)(const char*, int), glob_t* out);
int __wrap_glob(const char* pattern, int flags, int (*on_error)(const char*, int), glob_t* out) {
  if (struck("glob", pattern)) {
    *out = {};
    return errno == ENOMEM ? GLOB_NOSPACE : GLOB_ABORTED;
  }
  return __real_glob(pattern, flags, on_error, out);
}

WRAP(int, access, -1, path, (const char* path, int mode), (path, mode))
WRAP(int, accept4, fd, nullptr, (int fd, sockaddr* a, socklen_t* n, int flags), (fd, a, n, flags))
WRAP(int, bind, fd, nullptr, (int fd, const sockaddr* a, socklen_t n), (fd, a, n))
WRAP(int, chmod, -1, path, (const char* path, mode_t mode), (path, mode))
WRAP(int, connect, fd, nullptr, (int fd, const sockaddr* a, socklen_t n), (fd, a, n))
WRAP(int, eventfd, -1, nullptr, (unsigned count, int flags), (count, flags))
WRAP(int, execvp, -1, path, (const char* path, char* const* arguments), (path, arguments))
WRAP(int, fchmod, fd, nullptr, (int fd, mode_t mode), (fd, mode))
WRAP(int, fchmodat, fd, path, (int fd, const char* path, mode_t mode, int flags),
     (fd, path, mode, flags))
WRAP(int, fchownat, fd, path, (int fd, const char* path, uid_t user, gid_t group, int flags),
     (fd, path, user, group, flags))
WRAP(int, fdatasync, fd, nullptr, (int fd), (fd))
WRAP(int, fflush, file == nullptr ? -1 : ::fileno(file), nullptr, (FILE * file), (file))
WRAP(int, flock, fd, nullptr, (int fd, int operation), (fd, operation))
WRAP(int, fstat, fd, nullptr, (int fd, struct stat* out), (fd, out))
WRAP(int, fstatat, fd, path, (int fd, const char* path, struct stat* out, int flags),
     (fd, path, out, flags))
WRAP(int, fstatfs, fd, nullptr, (int fd, struct statfs* out), (fd, out))
WRAP(int, fsync, fd, nullptr, (int fd), (fd))
WRAP(int, inotify_add_watch, fd, path, (int fd, const char* path, uint32_t mask), (fd, path, mask))
WRAP(int, inotify_init1, -1, nullptr, (int flags), (flags))
WRAP(int, kill, -1, nullptr, (pid_t process, int signal), (process, signal))
WRAP(int, listen, fd, nullptr, (int fd, int waiting), (fd, waiting))
WRAP(int, lstat, -1, path, (const char* path, struct stat* out), (path, out))
WRAP(int, memfd_create, -1, name, (const char* name, unsigned flags), (name, flags))
WRAP(int, mkdir, -1, path, (const char* path, mode_t mode), (path, mode))
WRAP(int, mkdirat, fd, path, (int fd, const char* path, mode_t mode), (fd, path, mode))
WRAP(int, pipe2, -1, nullptr, (int* ends, int flags), (ends, flags))
WRAP(int, poll, -1, nullptr, (pollfd * watched, nfds_t count, int timeout),
     (watched, count, timeout))
WRAP(ssize_t, read, fd, nullptr, (int fd, void* out, size_t size), (fd, out, size))
WRAP(ssize_t, readlink, -1, path, (const char* path, char* out, size_t size), (path, out, size))
WRAP(ssize_t, recv, fd, nullptr, (int fd, void* out, size_t size, int flags),
     (fd, out, size, flags))
WRAP(int, rename, -1, from, (const char* from, const char* to), (from, to))
WRAP(int, rmdir, -1, path, (const char* path), (path))
WRAP(int, sched_setaffinity, -1, nullptr, (pid_t process, size_t size, const cpu_set_t* set),
     (process, size, set))
WRAP(int, sched_setscheduler, -1, nullptr, (pid_t process, int policy, const sched_param* how),
     (process, policy, how))
WRAP(ssize_t, send, fd, nullptr, (int fd, const void* data, size_t size, int flags),
     (fd, data, size, flags))
WRAP(ssize_t, sendto, fd, nullptr,
     (int fd, const void* data, size_t size, int flags, const sockaddr* to, socklen_t n),
     (fd, data, size, flags, to, n))
WRAP(int, signalfd, fd, nullptr, (int fd, const sigset_t* set, int flags), (fd, set, flags))
WRAP(int, socket, -1, nullptr, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, stat, -1, path, (const char* path, struct stat* out), (path, out))
WRAP(int, syncfs, fd, nullptr, (int fd), (fd))
WRAP(int, timerfd_create, -1, nullptr, (clockid_t clock, int flags), (clock, flags))
WRAP(int, timerfd_settime, fd, nullptr,
     (int fd, int flags, const itimerspec* when, itimerspec* before), (fd, flags, when, before))
WRAP(int, unlink, -1, path, (const char* path), (path))
WRAP(int, unlinkat, fd, path, (int fd, const char* path, int flags), (fd, path, flags))
WRAP(ssize_t, write, fd, nullptr, (int fd, const void* data, size_t size), (fd, data, size))

WRAP_POINTER(DIR*, fdopendir, fd, nullptr, (int fd), (fd))
WRAP_POINTER(DIR*, opendir, -1, path, (const char* path), (path))
WRAP_POINTER(dirent*, readdir, ::dirfd(list), nullptr, (DIR * list), (list))
WRAP_POINTER(FILE*, fopen, -1, path, (const char* path, const char* mode), (path, mode))

}  // extern "C"
