// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cstdlib>
#include <exception>

// Replaces libstdc++'s handler of exceptions that nobody catches. That one names the exception's
// type, for which it needs a demangler: 49 KB of the static command.
namespace __gnu_cxx {

void __verbose_terminate_handler() {
  static constexpr char message[] = "cgctl: internal error: an exception was not caught\n";
  (void)!::write(STDERR_FILENO, message, sizeof message - 1);
  std::abort();
}

}  // namespace __gnu_cxx
