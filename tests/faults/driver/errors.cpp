// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "errors.hpp"

#include <array>
#include <cerrno>
#include <string_view>

namespace cgctl::faults {
namespace {

struct Possible {
  std::string_view calls;  ///< the names of the calls, each between spaces
  std::vector<int> errors;
};

/// The errors that each call may give, by the manual pages and the cgroup file systems.
const std::vector<Possible>& table() {
  static const std::vector<Possible> rows = {
      {" open openat openat2 fopen opendir ", {EINTR, EIO, ENOMEM, EMFILE, EACCES, ENODEV}},
      {" open(O_DIRECTORY) openat(O_DIRECTORY) openat2(O_DIRECTORY) ",
       {EINTR, EIO, ENOMEM, EMFILE, EACCES}},
      {" open(O_CREAT) openat(O_CREAT) openat2(O_CREAT) ",
       {EINTR, EIO, ENOMEM, EMFILE, EACCES, ENOSPC}},
      {" read pread ", {EINTR, EIO, ENOMEM, EACCES, ENODEV}},
      {" write ", {EINTR, EIO, ENOMEM, EACCES, ENOSPC, ENODEV}},
      {" readdir getdents64 ", {EIO, ENOMEM}},
      {" stat lstat fstatat access readlink ", {EIO, ENOMEM, EACCES}},
      {" fstat fdopendir ", {EIO, ENOMEM}},
      {" mkdir mkdirat ", {EIO, ENOMEM, EACCES, ENOSPC, ENODEV}},
      {" rmdir unlinkat unlink ", {EIO, ENOMEM, EACCES}},
      {" fchmod fchmodat fchownat chmod ", {EIO, ENOMEM, EACCES, ENOSPC}},
      {" rename ", {EIO, ENOMEM, EACCES, ENOSPC}},
      {" fstatfs ", {EINTR, EIO, ENOMEM, EACCES}},
      {" fsync fdatasync syncfs fflush fclose ", {EINTR, EIO, ENOSPC}},
      {" flock ", {EINTR, ENOMEM}},
      {" fork ", {ENOMEM, EAGAIN}},
      {" clone3 ", {ENOMEM, EACCES, ENODEV, EAGAIN}},
      {" pthread_create ", {EAGAIN}},
      {" pipe2 socket eventfd timerfd_create signalfd inotify_init1 pidfd_open memfd_create ",
       {EMFILE, ENOMEM}},
      {" inotify_add_watch ", {EACCES, ENOMEM, ENOSPC}},
      {" accept4 ", {EINTR, EMFILE, ENOMEM}},
      {" connect bind ", {EACCES, EINTR}},
      {" send sendto recv ", {EINTR, ENOMEM, EACCES}},
      {" execvp ", {EIO, ENOMEM, EMFILE, EACCES}},
      {" poll ", {EINTR, ENOMEM}},
      {" waitpid ", {EINTR}},
      {" kill sched_setscheduler ", {EPERM}},
      {" sched_setaffinity ", {ENOMEM, EPERM}},
      {" glob ", {ENOMEM, EIO}},
      {" get_mempolicy ", {EIO}},
      {" migrate_pages ", {ENOMEM, EPERM}},
      {" fsopen fsconfig fsmount ", {ENOMEM, EPERM}},
  };
  return rows;
}

}  // namespace

std::vector<int> errors_of(const std::string& call) {
  const std::string word = " " + call + " ";
  for (const Possible& row : table()) {
    if (row.calls.find(word) != std::string_view::npos) return row.errors;
  }
  return {};
}

std::string name_of(int error) {
  constexpr std::array<std::pair<int, const char*>, 9> names = {{{EINTR, "EINTR"},
                                                                 {EIO, "EIO"},
                                                                 {ENOMEM, "ENOMEM"},
                                                                 {EMFILE, "EMFILE"},
                                                                 {EACCES, "EACCES"},
                                                                 {ENOSPC, "ENOSPC"},
                                                                 {ENODEV, "ENODEV"},
                                                                 {EAGAIN, "EAGAIN"},
                                                                 {EPERM, "EPERM"}}};
  for (const auto& [number, name] : names) {
    if (number == error) return name;
  }
  return std::to_string(error);
}

}  // namespace cgctl::faults
