// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cgctl/cgctl.hpp>
#include <cinttypes>
#include <cstdio>

int main() {
  const auto host = cgctl::Host::detect();
  if (!host) {
    std::fprintf(stderr, "%s\n", host.error().message().c_str());
    return 1;
  }
  std::printf("mode %s\n", cgctl::to_string(host->mode()).data());

  const auto counted = cgctl::zombies::count(*host);
  if (counted) {
    std::printf("zombies %" PRIu64 "\n", counted->zombies());
  } else {
    std::printf("zombies unknown: %s\n", counted.error().message().c_str());
  }
}
