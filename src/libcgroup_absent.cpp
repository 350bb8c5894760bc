// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/libcgroup.hpp"

namespace cgctl::libcgroup {
namespace {

tl::unexpected<Error> absent(const char* operation) {
  return fail(Error::make(errc::unsupported, operation, {}, "this build has no bridge to libcgroup",
                          "build cgctl with -DCGCTL_LIBCGROUP=ON"));
}

}  // namespace

bool is_available() noexcept { return false; }

void Free::operator()(::cgroup* /*group*/) const noexcept {}

Error error_of(int code, int os_errno, const char* operation, std::string path) {
  Error error = Error::make(errc::system, operation, std::move(path),
                            "libcgroup's error " + std::to_string(code));
  error.os_errno = os_errno;
  return error;
}

Result<Handle> to_libcgroup(const tree::Cgroup& /*cgroup*/) { return absent("convert"); }

Result<tree::Cgroup> from_libcgroup(::cgroup* /*group*/, std::string_view /*path*/,
                                    const std::vector<std::string>& /*names*/) {
  return absent("convert");
}

std::vector<Result<std::vector<Move>>> classify(const Host& /*host*/,
                                                const std::vector<pid_t>& processes,
                                                Purpose /*purpose*/) {
  std::vector<Result<std::vector<Move>>> results;
  for (std::size_t i = 0; i < processes.size(); ++i) results.emplace_back(absent("classify"));
  return results;
}

Result<std::vector<Move>> classify_as(const Host& /*host*/, pid_t /*process*/,
                                      const std::string& /*program*/) {
  return absent("classify");
}

Status register_with_daemon(pid_t /*process*/, Daemon /*what*/) { return absent("register"); }

}  // namespace cgctl::libcgroup
