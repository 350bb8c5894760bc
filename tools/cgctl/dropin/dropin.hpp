// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <getopt.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/group.hpp"
#include "cgctl/host.hpp"

/// cgctl under the names of libcgroup's tools, with their options and their output. Exit status: 0
/// done, 1 failed, 2 usage; cgexec exits as its command does.
namespace cgctl::tool::dropin {

using Program = int (*)(int argc, char** argv);

/// Returns the tool for the name that cgctl was called by; null for cgctl's own name.
Program program_named(std::string_view name) noexcept;

namespace cgclassify {
int run(int argc, char** argv);
}
namespace cgcreate {
int run(int argc, char** argv);
}
namespace cgdelete {
int run(int argc, char** argv);
}
namespace cgexec {
int run(int argc, char** argv);
}
namespace cgget {
int run(int argc, char** argv);
}
namespace cgset {
int run(int argc, char** argv);
}
namespace cgsnapshot {
int run(int argc, char** argv);
}
namespace lscgroup {
int run(int argc, char** argv);
}
namespace lssubsys {
int run(int argc, char** argv);
}

// ---- shared by the tools ----

constexpr int done = 0;
constexpr int failed = 1;
constexpr int wrong_usage = 2;

/// Prints "NAME: TEXT" on stderr.
void say(const char* name, std::string_view text);
/// Prints the error on stderr; returns `failed`.
int report(const char* name, const Error& error);
/// Prints the reason and where to find help on stderr; returns `wrong_usage`.
int refuse(const char* name, std::string_view why);

/// "cpu,memory:/a/b".
struct Spec {
  std::vector<std::string> controllers;  ///< names; "*" means all that the host has
  std::string path;                      ///< path as it was given
};
std::optional<Spec> parse_spec(std::string_view text);

/// Returns the controllers of a spec; for "*" all that are mounted, in the order of the mounts, or
/// the error of a hierarchy that cannot be reached.
Result<std::vector<std::string>> controllers_of(const Host& host, const Spec& spec);

/// Returns the mounted controllers, in the order of /proc/cgroups; those it does not list come
/// last.
std::vector<std::string> in_kernel_order(const Host& host);

/// Reports the hierarchies that cannot be reached, if any; returns the exit status.
int report_unreachable(const char* name, const Host& host);

/// Opens the cgroup of a spec with its controllers.
Result<Group> open(const Host& host, const Spec& spec);
/// Opens the cgroups of all specs; returns the first error otherwise.
Result<std::vector<Group>> open(const Host& host, const std::vector<Spec>& specs);

/// Moves a process into one cgroup after the other. It stays in those before one that fails.
Status attach(const std::vector<Group>& groups, pid_t process);

/// Iterates over the options of one tool with getopt_long(3).
class Options {
 public:
  Options(int argc, char** argv, const char* letters, const std::vector<option>& words)
      : argc_(argc), argv_(argv), letters_(letters), words_(words) {
    words_.push_back({nullptr, 0, nullptr, 0});
    opterr = 0;
  }
  /// Returns the next option's letter, '?' for an unknown option, or -1 at the end.
  int next() { return ::getopt_long(argc_, argv_, letters_, words_.data(), nullptr); }
  /// Returns the option that next() has refused.
  [[nodiscard]] std::string refused() const { return argv_[optind - 1]; }
  [[nodiscard]] std::vector<std::string> rest() const { return {argv_ + optind, argv_ + argc_}; }

 private:
  int argc_;
  char** argv_;
  const char* letters_;
  std::vector<option> words_;
};

/// Returns the text of a file without its last newline; empty for a file that can only be written.
Result<std::string> value_of(const Group& group, std::string_view file);

}  // namespace cgctl::tool::dropin
