// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "c_api/convert.hpp"

namespace cgctl::c_api {
namespace {

Roots roots_of(const cgctl_roots& given) {
  cgctl_roots known{};
  std::memcpy(&known, &given, std::min(given.size, sizeof known));
  Roots roots;
  if (known.cgroup != nullptr) roots.cgroup = known.cgroup;
  if (known.proc != nullptr) roots.proc = known.proc;
  if (known.sys != nullptr) roots.sys = known.sys;
  return roots;
}

}  // namespace
}  // namespace cgctl::c_api

int cgctl_host_open(const cgctl_roots* roots, cgctl_host** host, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(host); !status) return status;
    if (roots == nullptr) return c_api::hand_over(Host::detect(), host);
    if (!c_api::has_size(roots)) {
      return fail(
          Error::make(errc::invalid_argument, "detect", {}, "the roots have no valid size"));
    }
    return c_api::hand_over(Host::detect(c_api::roots_of(*roots)), host);
  });
}

int cgctl_host_mode(const cgctl_host* host) {
  switch (host->host.mode()) {
    case cgctl::Mode::v1:
      return CGCTL_V1;
    case cgctl::Mode::v2:
      return CGCTL_V2;
    case cgctl::Mode::hybrid:
      return CGCTL_HYBRID;
  }
  return 0;
}

void cgctl_host_free(cgctl_host* host) { delete host; }
