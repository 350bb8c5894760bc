// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "measure.hpp"

namespace cgctl::bench {
namespace {

/// Returns how many descriptors may be kept: four for each cgroup, or as many as the process may
/// have.
std::size_t budget(std::uint64_t groups) { return allow_descriptors(4 * groups); }

std::size_t allocated_bytes() { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; }

/// Calls `body(arena, path)` with a `path` that has `size` cgroups at and below it.
template <class Body>
void with_groups(benchmark::State& state, std::uint64_t size, Body body) {
  with_arena(state, [&](Arena& arena) {
    auto path = arena.groups(size);
    if (const std::string* const it = value_or_skip(state, path)) body(arena, *it);
  });
}

template <class Body>
void with_sampler(benchmark::State& state, std::uint64_t size,
                  std::optional<std::size_t> descriptors, Body body,
                  Sampler::Config::Memory memory = Sampler::Config::Memory::files) {
  with_groups(state, size, [&](Arena& arena, const std::string& path) {
    const std::size_t before = allocated_bytes();
    auto sampler = Sampler::open(arena.host(), path, {descriptors.value_or(budget(size)), memory});
    if (value_or_skip(state, sampler) == nullptr) return;
    state.counters["bytes_a_group"] =
        static_cast<double>(allocated_bytes() - before) / static_cast<double>(size);
    state.counters["descriptors"] = static_cast<double>(sampler->descriptors());
    body(arena, path, *sampler);
  });
}

/// Counts the cgroups of a part that have all figures.
std::size_t count(Sampler& sampler, Sampler::Scratch& scratch, std::size_t part,
                  std::size_t parts) {
  std::size_t seen = 0;
  sampler.sample(scratch, part, parts, [&](const Sample& sample) {
    if (sample.memory_usage && sample.memory_stat != nullptr && sample.cpu.usage) ++seen;
  });
  return seen;
}

void one_thread(benchmark::State& state, std::uint64_t size,
                std::optional<std::size_t> descriptors) {
  with_sampler(state, size, descriptors, [&](Arena&, const std::string&, Sampler& sampler) {
    Sampler::Scratch scratch;
    if (count(sampler, scratch, 0, 1) != size) return skip(state, "cgroups are missing");
    const std::size_t before = allocated_bytes();
    measure(state, [&] { return count(sampler, scratch, 0, 1) == size; });
    state.counters["allocated"] = static_cast<double>(allocated_bytes() - before);
  });
}

/// Takes the memory figures from a census.
void by_census(benchmark::State& state, std::uint64_t size) {
  const auto body = [&](Arena&, const std::string&, Sampler& sampler) {
    Sampler::Scratch scratch;
    measure(state, [&] { return sampler.gather() && count(sampler, scratch, 0, 1) == size; });
  };
  with_sampler(state, size, {}, body, Sampler::Config::Memory::census);
}

/// Helper thread that takes the second half of each round.
class Helper {
 public:
  explicit Helper(Sampler& sampler) : thread_([this, &sampler] { run(sampler); }) {}
  ~Helper() {
    start(true);
    thread_.join();
  }
  void start(bool end = false) {
    const std::lock_guard lock(mutex_);
    end_ = end;
    working_ = true;
    changed_.notify_all();
  }
  /// Waits for the end of the round; returns the number of cgroups that the thread has seen.
  std::size_t wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !working_; });
    return seen_;
  }

 private:
  void run(Sampler& sampler) {
    Sampler::Scratch scratch;
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return working_; });
      if (end_) return;
      lock.unlock();
      const std::size_t seen = count(sampler, scratch, 1, 2);
      lock.lock();
      seen_ = seen;
      working_ = false;
      changed_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool working_ = false;
  bool end_ = false;
  std::size_t seen_ = 0;
  std::thread thread_;
};

void two_threads(benchmark::State& state, std::uint64_t size,
                 std::optional<std::size_t> descriptors) {
  with_sampler(state, size, descriptors, [&](Arena&, const std::string&, Sampler& sampler) {
    Helper helper(sampler);
    Sampler::Scratch scratch;
    measure(state, [&] {
      helper.start();
      const std::size_t seen = count(sampler, scratch, 0, 2);
      return seen + helper.wait() == size;
    });
  });
}

/// Measures rounds in which ten cgroups are created or removed, with the refresh() that notices.
/// The time to create and remove them does not count.
void churn(benchmark::State& state, std::uint64_t size) {
  with_sampler(state, size, {}, [&](Arena& arena, const std::string& path, Sampler& sampler) {
    const auto each = [&](auto work) {
      bool done = true;
      for (int i = 0; i < 10; ++i) {
        done = (arena.*work)(path + "/churn" + std::to_string(i)).has_value() && done;
      }
      return done;
    };
    bool there = false;
    Sampler::Scratch scratch;
    for (auto _ : state) {
      state.PauseTiming();
      const bool changed = each(there ? &Arena::remove : &Arena::add);
      there = !there;
      state.ResumeTiming();
      const bool done =
          sampler.refresh() && count(sampler, scratch, 0, 1) == size + (there ? 10 : 0);
      if (!changed || !done) {
        skip(state, "a cgroup was missed");
        break;
      }
    }
    if (there) (void)each(&Arena::remove);
  });
}

int open(int directory, const std::string& path) {
  return ::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC);
}

/// Makes the reads alone. Files beyond the budget are opened and closed each time.
void raw_preads(benchmark::State& state, std::uint64_t size) {
  with_groups(state, size, [&](Arena& arena, const std::string& path) {
    struct File {
      int hierarchy;
      std::string path;
      UniqueFd kept;
    };
    std::vector<File> files;
    std::size_t left = budget(size);
    const bool v1 = arena.memory().version == Version::v1;
    const auto add = [&](const std::string& group) {
      for (const auto& [controller, file] :
           {std::pair("cpu", "cpu.stat"), std::pair("cpuacct", "cpuacct.usage"),
            std::pair("memory", v1 ? "memory.usage_in_bytes" : "memory.current"),
            std::pair("memory", "memory.stat")}) {
        const Hierarchy* const hierarchy = arena.host().find(controller);
        if (hierarchy == nullptr) continue;
        const int directory = hierarchy->directory.get();
        files.push_back({directory, fs::join(group, file).substr(1), {}});
        if (left == 0) continue;
        files.back().kept = UniqueFd(open(directory, files.back().path));
        --left;
      }
    };
    add(path);
    const auto top = arena.host().open(path);
    const auto names = top->children();
    for (const std::string& name : *names) add(fs::join(path, name));
    std::vector<char> text(8192);
    measure(state, [&] {
      for (const File& file : files) {
        const UniqueFd opened(file.kept ? -1 : open(file.hierarchy, file.path));
        const int fd = file.kept ? file.kept.get() : opened.get();
        if (::pread(fd, text.data(), text.size(), 0) <= 0) return false;
        benchmark::DoNotOptimize(text.data());
        benchmark::ClobberMemory();
      }
      return files.size() >= 3 * size;
    });
  });
}

/// Reads as a plain C++ agent does.
void ifstreams(benchmark::State& state, std::uint64_t size) {
  with_groups(state, size, [&](Arena& arena, const std::string& path) {
    const auto top = arena.host().open(path);
    const auto names = top->children();
    const bool v1 = arena.memory().version == Version::v1;
    std::vector<std::string> directories{path};
    for (const std::string& name : *names) directories.push_back(fs::join(path, name));
    std::vector<std::string> paths;
    for (const std::string& directory : directories) {
      for (const auto& [controller, file] :
           {std::pair("cpu", "cpu.stat"), std::pair("cpuacct", "cpuacct.usage"),
            std::pair("memory", v1 ? "memory.usage_in_bytes" : "memory.current"),
            std::pair("memory", "memory.stat")}) {
        const Hierarchy* const hierarchy = arena.host().find(controller);
        if (hierarchy != nullptr) {
          paths.push_back(fs::join(fs::join(hierarchy->mount_point, directory), file));
        }
      }
    }
    measure(state, [&] {
      for (const std::string& file_path : paths) {
        std::map<std::string, std::uint64_t> values;
        std::ifstream file(file_path);
        for (std::string line; std::getline(file, line);) {
          const std::size_t space = line.find(' ');
          values[line.substr(0, space)] = std::strtoull(
              line.c_str() + (space == std::string::npos ? 0 : space + 1), nullptr, 10);
        }
        benchmark::DoNotOptimize(values);
        if (values.empty()) return false;
      }
      return true;
    });
  });
}

const bool sampler_registered = [] {
  for (const std::uint64_t size : {1'000U, 10'000U}) {
    const std::string subject = "sampler_" + std::to_string(size);
    add(subject + "/cgctl", [size](auto& state) { one_thread(state, size, {}); });
    add(subject + "/cgctl_by_census", [size](auto& state) { by_census(state, size); });
    add(subject + "/raw_preads", [size](auto& state) { raw_preads(state, size); });
    add(subject + "/ifstream_map", [size](auto& state) { ifstreams(state, size); });
    add(subject + "/cgctl_two_threads", [size](auto& state) { two_threads(state, size, {}); });
    add(subject + "/cgctl_two_threads_a_fourth_kept",
        [size](auto& state) { two_threads(state, size, size); });
    add(subject + "/cgctl_a_fourth_kept", [size](auto& state) { one_thread(state, size, size); });
    add(subject + "/cgctl_none_kept", [size](auto& state) { one_thread(state, size, 0); });
    add(subject + "/cgctl_refresh_and_churn", [size](auto& state) { churn(state, size); });
  }
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
