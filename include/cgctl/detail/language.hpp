// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#if __cplusplus < 201703L
#error "cgctl needs C++17 or later: compile with -std=c++17"
#endif
