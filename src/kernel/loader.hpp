// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"
#include "kernel/caller.h"

namespace cgctl::kernel {

/// The instructions of a BPF program with one map, which has one value.
struct Code {
  const std::uint64_t* instructions;
  std::size_t count;
  std::size_t value_bytes;
};

/// How a program is run.
enum class Way {
  on_demand,  ///< BPF_PROG_TEST_RUN of a raw tracepoint (Linux 5.10); the map's memory is shared
  by_rename,  ///< attached to the tracepoint of changed thread names (Linux 4.17), which the caller
              ///< triggers; the map's value is copied before and after each run
};

/// A BPF program in the kernel. It is gone with the process, however that ends, because only
/// descriptors hold and attach it.
class LoadedProgram {
 public:
  /// Needs CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8). errc::unsupported or
  /// errc::system with the cause otherwise. With Way::by_rename a program must begin with
  /// is_owner() of bpf_program.h, and its value with cgctl_caller.
  [[nodiscard]] static Result<LoadedProgram> load(const Code& code, Way way);

  /// The value of the map, which a run reads and writes.
  [[nodiscard]] void* value() noexcept { return shared_ ? shared_.get() : copy_.data(); }

  /// Runs the program once, in the calling thread. With Way::by_rename the first run attaches the
  /// program, and changes the thread's name for a moment.
  [[nodiscard]] Status run();
  /// Detaches the program until the next run.
  void detach() noexcept { attachment_.reset(); }

 private:
  struct Unmap {
    std::size_t bytes;
    void operator()(void* memory) const noexcept;
  };
  LoadedProgram() = default;
  [[nodiscard]] Status make_map(std::size_t bytes);
  [[nodiscard]] Status load_code(const Code& code);
  [[nodiscard]] Status attach();
  [[nodiscard]] Status run_renamed(const char* name);
  [[nodiscard]] Status run_on_demand();
  [[nodiscard]] Status copy_value(int command);

  Way way_ = Way::on_demand;
  UniqueFd map_;
  UniqueFd program_;
  UniqueFd attachment_;
  std::unique_ptr<void, Unmap> shared_;
  std::vector<std::uint64_t> copy_;
};

}  // namespace cgctl::kernel
