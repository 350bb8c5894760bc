// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/sampler.hpp"

#include "c_api/convert.hpp"

struct cgctl_sampler {
  cgctl::Sampler sampler;
  std::vector<cgctl_sample> samples = {};
};

namespace cgctl::c_api {
namespace {

/// Converts a sample, whose path ends with a NUL.
cgctl_sample sample_of(const Sample& sample) noexcept {
  cgctl_sample out{};
  out.path = sample.path.data();
  out.cpus = sample.cpus.value_or(-1);
  out.cpu_usage_ns = figure(sample.cpu.usage);
  out.throttled_periods = figure(sample.cpu.nr_throttled);
  out.throttled_ns = figure(sample.cpu.throttled);
  out.memory_usage = figure(sample.memory_usage);
  out.working_set = out.anon = out.file = CGCTL_ABSENT;
  if (sample.memory_stat == nullptr) return out;
  out.working_set = working_set_of(sample.memory_usage, *sample.memory_stat);
  out.anon = anon_of(*sample.memory_stat);
  out.file = file_of(*sample.memory_stat);
  return out;
}

/// Makes room for the next samples, so that sampling does not allocate.
Status make_room(cgctl_sampler& sampler) {
  sampler.samples.clear();
  sampler.samples.reserve(sampler.sampler.size());
  return {};
}

}  // namespace
}  // namespace cgctl::c_api

int cgctl_sampler_open(const cgctl_host* host, const char* path, cgctl_sampler** sampler,
                       cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(host, path, sampler); !status) return status;
    return c_api::hand_over(Sampler::open(host->host, path), sampler);
  });
}

int cgctl_sampler_refresh(cgctl_sampler* sampler, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(sampler); !status) return status;
    sampler->samples.clear();
    return sampler->sampler.refresh();
  });
}

int cgctl_sampler_sample(cgctl_sampler* sampler, std::uint64_t* unread, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(sampler); !status) return status;
    if (auto status = c_api::make_room(*sampler); !status) return status;
    const std::size_t missed = sampler->sampler.sample(
        [sampler](const Sample& sample) { sampler->samples.push_back(c_api::sample_of(sample)); });
    if (unread != nullptr) *unread = missed;
    return {};
  });
}

std::size_t cgctl_sampler_count(const cgctl_sampler* sampler) { return sampler->samples.size(); }

int cgctl_sampler_get(const cgctl_sampler* sampler, std::size_t index, cgctl_sample* sample) {
  if (sampler == nullptr || index >= sampler->samples.size()) return CGCTL_INVALID_ARGUMENT;
  return cgctl::c_api::give(sampler->samples[index], sample);
}

void cgctl_sampler_free(cgctl_sampler* sampler) { delete sampler; }
