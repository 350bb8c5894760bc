// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/zombies.hpp"

#include "c_api/convert.hpp"
#include "cgctl/census.hpp"

struct cgctl_census {
  struct Zombie {
    std::string path;
    cgctl_zombie figures;
  };
  std::vector<Zombie> zombies;
};

namespace cgctl::c_api {
namespace {

cgctl_zombie figures_of(const census::Snapshot& snapshot, std::size_t index) noexcept {
  const census::Cgroup& one = snapshot.cgroups[index];
  const census::Memory holding = snapshot.holding(index);
  cgctl_zombie zombie{};
  zombie.held = holding.file + holding.anon + holding.unevictable;
  zombie.references = one.references;
  zombie.age_s = figure(one.age);
  return zombie;
}

Result<cgctl_census> take_census(const Host& host) {
  auto census = census::Census::open(host);
  if (!census) return fail(census.error());
  census::Snapshot snapshot;
  if (auto status = census->take(snapshot); !status) return fail(status.error());
  cgctl_census taken;
  for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
    if (snapshot.cgroups[i].live) continue;
    taken.zombies.push_back({snapshot.path(i), figures_of(snapshot, i)});
  }
  return taken;
}

}  // namespace
}  // namespace cgctl::c_api

int cgctl_zombies_count(const cgctl_host* host, struct cgctl_zombies* zombies, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(host); !status) return status;
    const auto count = zombies::count(host->host);
    if (!count) return fail(count.error());
    return c_api::deliver(cgctl_zombies{0, count->low, count->high, count->live, count->kernel},
                          zombies);
  });
}

int cgctl_census_take(const cgctl_host* host, cgctl_census** census, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(host, census); !status) return status;
    return c_api::hand_over(c_api::take_census(host->host), census);
  });
}

std::size_t cgctl_census_count(const cgctl_census* census) { return census->zombies.size(); }

int cgctl_census_get(const cgctl_census* census, std::size_t index, cgctl_zombie* zombie) {
  if (census == nullptr || index >= census->zombies.size()) return CGCTL_INVALID_ARGUMENT;
  cgctl_zombie found = census->zombies[index].figures;
  found.path = census->zombies[index].path.c_str();
  return cgctl::c_api::give(found, zombie);
}

void cgctl_census_free(cgctl_census* census) { delete census; }
