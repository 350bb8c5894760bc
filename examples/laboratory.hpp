// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <utility>

#include "cgctl/error.hpp"

namespace cgctl::lab {

/// Ends a laboratory.
struct Failure {
  Error error;
};

template <class T>
T need(Result<T> result) {
  if (!result) throw Failure{result.error()};
  return std::move(*result);
}

inline void need(const Status& status) {
  if (!status) throw Failure{status.error()};
}

/// Parses the command line and returns the exit status of `run`; 1 after an error, which is
/// printed, 2 for a wrong command line.
template <class Run>
int run(const char* name, CLI::App& app, int argc, char** argv, Run run) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return run();
  } catch (const Failure& failure) {
    std::fprintf(stderr, "%s: %s\n", name, failure.error.message().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
  }
  return 1;
}

}  // namespace cgctl::lab
