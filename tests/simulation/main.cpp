// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cstdio>

#include "simulation.hpp"

int main() {
  constexpr unsigned days = 90;
  return std::fputs(cgctl::simulation::table(days).c_str(), stdout) < 0 ? 1 : 0;
}
