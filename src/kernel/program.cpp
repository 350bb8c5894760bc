// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/program.hpp"

#include <cstddef>
#include <iterator>
#include <utility>

#include "kernel/walk_code.hpp"

namespace cgctl::kernel {
namespace {

constexpr Code walk_on_demand{walk_code, std::size(walk_code), sizeof(cgctl_walk)};
constexpr Code walk_by_rename{
    walk_old_code, std::size(walk_old_code),
    offsetof(cgctl_walk, records) + cgctl_old_steps * sizeof(cgctl_record)};

}  // namespace

Result<Program> Program::load(const cgctl_layout& layout, Way way) {
  auto code = LoadedProgram::load(way == Way::on_demand ? walk_on_demand : walk_by_rename, way);
  if (!code) return fail(code.error());
  Program program(std::move(*code));
  program.shared().layout = layout;
  // Only a run shows whether the kernel has this way.
  if (auto status = program.run(); !status) return fail(status.error());
  program.detach();
  return program;
}

Result<Program> Program::load(const cgctl_layout& layout) {
  auto program = load(layout, Way::on_demand);
  if (program || program.error().kind != errc::unsupported) return program;
  return load(layout, Way::by_rename);
}

}  // namespace cgctl::kernel
