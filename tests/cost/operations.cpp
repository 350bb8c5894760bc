// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// usage: cgctl_cost OPERATION TIMES
//
// Repeats one operation on a captured machine, for a tool that counts instructions.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "../support/captures.hpp"
#include "../support/result.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/cgctl.hpp"

namespace {

using namespace cgctl;

/// An operation to repeat. True if it succeeded.
using Operation = std::function<bool()>;

struct Machine {
  Host host = test::captured("linux-6.1-v1-numa2/2-zombies");
  Group group = test::must(host.open("/kubepods/pod-a"));
};

Operation parse_of_64_nodes() {
  std::string text;
  for (const char* name : {"total", "file", "anon", "unevictable"}) {
    text += std::string(name) + "=6400000";
    for (int node = 0; node < 64; ++node) text += " N" + std::to_string(node) + "=100000";
    text += "\n";
  }
  return [text, out = numa::NumaStat()]() mutable {
    return numa::parse(text, Version::v1, out).has_value();
  };
}

Operation numa_stat(const Machine& machine) {
  auto reader = std::make_shared<numa::Reader>(test::must(numa::Reader::open(machine.group)));
  return [reader, out = numa::NumaStat()]() mutable { return reader->read(out).has_value(); };
}

Operation memory_snapshot(const Machine& machine) {
  auto reader = std::make_shared<memory::SnapshotReader>(
      test::must(memory::SnapshotReader::open(machine.group)));
  return [reader, out = memory::Snapshot()]() mutable { return reader->read(out).has_value(); };
}

Operation cpu_snapshot(const Machine& machine) {
  auto reader = std::make_shared<cpu::StatReader>(test::must(cpu::StatReader::open(machine.group)));
  return [reader, out = cpu::Stat()]() mutable { return reader->read(out).has_value(); };
}

Operation sample(const Machine& machine) {
  auto sampler = std::make_shared<Sampler>(test::must(Sampler::open(machine.host, "/", {1000})));
  return [sampler] {
    std::size_t seen = 0;
    sampler->sample([&](const Sample&) { ++seen; });
    return seen > 1;
  };
}

Operation plan_a_bandwidth() {
  cpu::State state;
  state.bandwidth = cpu::Bandwidth{};
  return [state] {
    const auto settings = cpu::plan(state, cpu::change_to(cpu::Bandwidth::cpus(0.5)));
    return settings && !settings->empty();
  };
}

/// A tree of 201 directories: the top, 100 pods, and a container in each pod.
class Pods {
 public:
  Pods() {
    for (int i = 0; i < 100; ++i) {
      std::filesystem::create_directories(tree_.path() / ("pod" + std::to_string(i)) / "container");
    }
    top_ = test::must(fs::open_trusted(tree_.path().string(), O_RDONLY | O_DIRECTORY));
  }
  [[nodiscard]] bool counted_by(zombies::DirectoryCounter& counter) const {
    return counter.count(top_.get(), "pods") == 201;
  }

 private:
  test::TempDirectory tree_;
  UniqueFd top_;
};

Operation walk() {
  auto pods = std::make_shared<Pods>();
  return [pods] {
    zombies::DirectoryCounter counter;
    return pods->counted_by(counter);
  };
}

Operation recount() {
  auto pods = std::make_shared<Pods>();
  auto counter = std::make_shared<zombies::DirectoryCounter>();
  return [pods, counter] { return pods->counted_by(*counter); };
}

Operation operation_named(const std::string& name) {
  static const Machine machine;
  const std::map<std::string, std::function<Operation()>> operations = {
      {"parse_of_64_nodes", parse_of_64_nodes},
      {"numa_stat", [] { return numa_stat(machine); }},
      {"memory_snapshot", [] { return memory_snapshot(machine); }},
      {"cpu_snapshot", [] { return cpu_snapshot(machine); }},
      {"sample", [] { return sample(machine); }},
      {"plan_a_bandwidth", plan_a_bandwidth},
      {"walk", walk},
      {"recount", recount},
  };
  const auto found = operations.find(name);
  return found == operations.end() ? Operation() : found->second();
}

}  // namespace

int main(int argc, char** argv) {
  const Operation operation = argc == 3 ? operation_named(argv[1]) : Operation();
  if (!operation) {
    std::fputs("usage: cgctl_cost OPERATION TIMES\n", stderr);
    return 2;
  }
  for (long left = std::strtol(argv[2], nullptr, 10); left > 0; --left) {
    if (!operation()) {
      std::fprintf(stderr, "cgctl_cost: %s failed\n", argv[1]);
      return 1;
    }
  }
  return 0;
}
