// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cgctl/libcgroup.hpp>

int main() { return cgctl::libcgroup::is_available() ? 0 : 1; }
