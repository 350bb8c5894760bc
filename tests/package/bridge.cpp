// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cgctl/libcgroup.hpp>
#include <cgctl/systemd.hpp>

int main() { return cgctl::libcgroup::is_available() && cgctl::systemd::is_available() ? 0 : 1; }
