// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "c_api/convert.hpp"
#include "cgctl/numa_guarded.hpp"

struct cgctl_numa {
  cgctl::numa::GuardedReader reader;
  cgctl::numa::NumaStat stat = {};
  std::uint64_t values = 0;
};

namespace cgctl::c_api {
namespace {

numa::CostGuard::Config config_of(std::uint64_t budget) noexcept {
  numa::CostGuard::Config config;
  if (budget != 0) config.budget = std::chrono::nanoseconds(static_cast<std::int64_t>(budget));
  return config;
}

std::uint64_t values_in(const numa::NumaStat& stat) noexcept {
  std::uint64_t values = 0;
  for (std::size_t row = 0; row < stat.size(); ++row) values += stat[row].count;
  return values;
}

cgctl_numa_value value_of(const numa::NumaStat& stat, std::size_t index) noexcept {
  std::size_t row = 0;
  for (; index >= stat[row].count; ++row) index -= stat[row].count;
  const numa::NodeValue& found = stat[row].first[index];
  cgctl_numa_value value{};
  copy_text(stat[row].name, value.name);
  value.bytes = stat.bytes(found.value);
  value.node = found.node;
  return value;
}

Status read_numa(cgctl_numa& numa, cgctl_numa_result* result) {
  numa.values = 0;
  if (auto status = numa.reader.read(numa.stat); !status) return status;
  numa.values = values_in(numa.stat);
  const bool from_file = numa.stat.source() == numa::Source::file;
  return deliver(cgctl_numa_result{0, numa.values, from_file ? CGCTL_FROM_FILE : CGCTL_FROM_NODES},
                 result);
}

}  // namespace
}  // namespace cgctl::c_api

int cgctl_numa_open(const cgctl_host* host, const char* path, std::uint64_t budget_ns,
                    cgctl_numa** numa, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(host, path, numa); !status) return status;
    auto reader = numa::GuardedReader::open(host->host, path, c_api::config_of(budget_ns));
    return c_api::hand_over(std::move(reader), numa);
  });
}

int cgctl_numa_read(cgctl_numa* numa, cgctl_numa_result* result, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(numa); !status) return status;
    return c_api::read_numa(*numa, result);
  });
}

int cgctl_numa_get(const cgctl_numa* numa, std::size_t index, cgctl_numa_value* value) {
  if (numa == nullptr || index >= numa->values) return CGCTL_INVALID_ARGUMENT;
  return cgctl::c_api::give(cgctl::c_api::value_of(numa->stat, index), value);
}

void cgctl_numa_free(cgctl_numa* numa) { delete numa; }
