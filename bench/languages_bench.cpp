// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/cgctl.h"
#include "measure.hpp"

namespace cgctl::bench {
namespace {

constexpr std::uint64_t sampled = 1000;

/// A program that samples once for each line of its input: see languages/.
class Worker {
 public:
  explicit Worker(const std::vector<std::string>& command) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) return;
    spawn(command, in[0], out[1]);
    ::close(in[0]);
    ::close(out[1]);
    input_ = ::fdopen(in[1], "w");
    output_ = ::fdopen(out[0], "r");
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    if (input_ != nullptr) std::fclose(input_);
    if (output_ != nullptr) std::fclose(output_);
    if (process_ > 0) ::waitpid(process_, nullptr, 0);
  }

  /// Returns the seconds that a sample took; nothing if it lacks cgroups.
  [[nodiscard]] std::optional<double> sample() {
    if (input_ == nullptr || std::fputs("\n", input_) < 0 || std::fflush(input_) != 0) return {};
    std::int64_t took = 0;
    std::uint64_t seen = 0;
    const int read = std::fscanf(output_, "%" SCNd64 " %" SCNu64, &took, &seen);
    if (read != 2 || seen != sampled) return {};
    return static_cast<double>(took) * 1e-9;
  }

 private:
  void spawn(const std::vector<std::string>& command, int in, int out) {
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in, 0);
    ::posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (::posix_spawnp(&process_, words[0], &actions, nullptr, words.data(), environ) != 0)
      process_ = -1;
    ::posix_spawn_file_actions_destroy(&actions);
  }

  pid_t process_ = -1;
  FILE* input_ = nullptr;
  FILE* output_ = nullptr;
};

/// Calls `body(arena, path)` with cgroups to sample, and enough descriptors to keep all files open:
/// a sampler keeps half of the limit.
template <class Body>
void with_sampled(benchmark::State& state, Body body) {
  with_arena(state, [&](Arena& arena) {
    if (allow_descriptors(8 * sampled) < 8 * sampled) return skip(state, "too few descriptors");
    auto path = arena.groups(sampled);
    if (const std::string* const it = value_or_skip(state, path)) body(arena, *it);
  });
}

void through_cxx(benchmark::State& state) {
  with_sampled(state, [&](Arena& arena, const std::string& path) {
    auto sampler = Sampler::open(arena.host(), path);
    if (value_or_skip(state, sampler) == nullptr) return;
    measure(state, [&] {
      std::uint64_t seen = 0;
      sampler->sample([&](const Sample& one) {
        if (one.cpu.usage && one.memory_usage && one.memory_stat != nullptr) ++seen;
      });
      return seen == sampled;
    });
  });
}

std::uint64_t sample_through_c(cgctl_sampler* sampler) {
  if (cgctl_sampler_sample(sampler, nullptr, nullptr) != CGCTL_OK) return 0;
  std::uint64_t seen = 0;
  cgctl_sample one{};
  one.size = sizeof one;
  for (std::size_t i = 0; cgctl_sampler_get(sampler, i, &one) == CGCTL_OK; ++i) {
    if (one.cpu_usage_ns != CGCTL_ABSENT && one.memory_usage != CGCTL_ABSENT &&
        one.anon != CGCTL_ABSENT)
      ++seen;
  }
  return seen;
}

void through_c(benchmark::State& state) {
  with_sampled(state, [&](Arena&, const std::string& path) {
    cgctl_host* host = nullptr;
    cgctl_sampler* sampler = nullptr;
    if (cgctl_host_open(nullptr, &host, nullptr) != CGCTL_OK ||
        cgctl_sampler_open(host, path.c_str(), &sampler, nullptr) != CGCTL_OK) {
      skip(state, "the C interface has no sampler");
    } else {
      measure(state, [&] { return sample_through_c(sampler) == sampled; });
    }
    cgctl_sampler_free(sampler);
    cgctl_host_free(host);
  });
}

/// Measures a program of languages/, which is called with the cgroup's path.
void through_program(benchmark::State& state, std::vector<std::string> command) {
  if (::access(command[0].c_str(), X_OK) != 0) return skip(state, command[0] + " was not built");
  with_sampled(state, [&](Arena&, const std::string& path) {
    command.push_back(path);
    Worker worker(command);
    for (auto _ : state) {
      const auto took = worker.sample();
      if (!took) return skip(state, "the program failed, or cgroups are missing");
      state.SetIterationTime(*took);
    }
  });
}

const bool languages_registered = [] {
  add("languages_1000/cgctl", through_cxx);
  add("languages_1000/c", through_c);
  add(
      "languages_1000/go", [](auto& state) { through_program(state, {CGCTL_GO_SAMPLER}); },
      Clock::inside);
  add(
      "languages_1000/python",
      [](auto& state) {
        through_program(state, {CGCTL_PYTHON_SAMPLER, CGCTL_SHARED});
      },
      Clock::inside);
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
