// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cerrno>
#include <string>
#include <system_error>

#include "c_api/convert.hpp"

namespace cgctl::c_api {
namespace {

constexpr int c_kind(errc kind) noexcept { return static_cast<int>(kind) + 1; }
static_assert(c_kind(errc::system) == CGCTL_SYSTEM);
static_assert(c_kind(errc::invalid_argument) == CGCTL_INVALID_ARGUMENT);
static_assert(c_kind(errc::over_budget) == CGCTL_OVER_BUDGET);
static_assert(c_kind(errc::cancelled) == CGCTL_CANCELLED);

std::string reason_of(const Error& error) {
  if (!error.reason.empty()) return error.reason;
  if (error.os_errno != 0) return std::generic_category().message(error.os_errno);
  return std::string(to_string(error.kind));
}

}  // namespace

int report(const Error& error, cgctl_error* out) {
  cgctl_error described{};
  described.kind = c_kind(error.kind);
  described.os_errno = error.os_errno;
  copy_text(error.operation, described.operation);
  copy_text(error.path, described.path);
  copy_text(reason_of(error), described.reason);
  copy_text(error.hint, described.remedy);
  (void)give(described, out);
  return described.kind;
}

int report_no_memory(cgctl_error* out) noexcept {
  cgctl_error described{};
  described.kind = CGCTL_SYSTEM;
  described.os_errno = ENOMEM;
  copy_text("allocate", described.operation);
  copy_text("Cannot allocate memory", described.reason);
  (void)give(described, out);
  return described.kind;
}

}  // namespace cgctl::c_api

std::uint32_t cgctl_abi_version() { return CGCTL_ABI_VERSION; }
