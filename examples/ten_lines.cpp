// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cgctl/cgctl.hpp>
#include <cstdio>

int main() {
  const auto host = cgctl::Host::detect();
  if (!host) return std::puts(host.error().message().c_str()), 1;
  if (const auto zombies = cgctl::zombies::count(*host)) {
    std::printf("%ju zombies\n", static_cast<std::uintmax_t>(zombies->low));
  }
  const auto reader = host->open("/").and_then(cgctl::numa::Reader::open);
  cgctl::numa::NumaStat out;  // reused: the next read allocates nothing
  if (!reader || !reader->read(out)) return 1;
  for (const auto& node : out[0]) {
    std::printf("node %u: %ju bytes\n", node.node,
                static_cast<std::uintmax_t>(out.bytes(node.value)));
  }
}
