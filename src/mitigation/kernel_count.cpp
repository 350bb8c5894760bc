// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/kernel_count.hpp"

#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/memory_row.hpp"

namespace cgctl::detail {

Result<KernelCount> KernelCount::open(const Host& host, std::uint64_t zombies) {
  const Hierarchy* const memory = host.find("memory");
  const bool v2 = memory != nullptr && memory->version == Version::v2;
  auto file =
      v2 ? fs::open_beneath(memory->directory.get(), "cgroup.stat", O_RDONLY | memory->open_flags,
                            fs::join(memory->mount_point, "cgroup.stat"))
         : fs::open_in_root(host.roots().proc, "cgroups", O_RDONLY);
  if (!file) return fail(file.error());
  KernelCount count(std::move(*file), v2);
  count.last_ = static_cast<std::int64_t>(zombies);
  count.above_ = std::max<std::int64_t>(count.read(), 0) - count.last_;
  return count;
}

KernelCount::KernelCount(UniqueFd stat) noexcept : KernelCount(std::move(stat), true) {
  last_ = std::max<std::int64_t>(read(), 0);
}

std::int64_t KernelCount::read() const noexcept {
  std::array<char, 4096> text{};
  ssize_t got = 0;
  do {
    got = sys::pread(file_.get(), text.data(), text.size(), 0);
  } while (got == -EINTR);
  if (got <= 0) return -1;
  const std::string_view view(text.data(), static_cast<std::size_t>(got));
  auto number = v2_ ? parse::value_of(view, "nr_dying_subsys_memory") : memory_cgroups(view);
  if (v2_ && !number) number = parse::value_of(view, "nr_dying_descendants");
  return number ? static_cast<std::int64_t>(*number) : -1;
}

std::int64_t KernelCount::left() noexcept {
  const std::int64_t now = read();
  if (now >= 0) last_ = std::max<std::int64_t>(now - above_, 0);
  return last_;
}

std::int64_t KernelCount::settle(std::chrono::nanoseconds still_for) noexcept {
  constexpr std::int64_t most_looks = 100;
  constexpr std::int64_t enough = most_looks / 10;
  constexpr std::int64_t shortest = 1'000'000;
  constexpr std::int64_t longest = 500'000'000;
  const timespec pause{0, static_cast<long>(std::clamp<std::int64_t>(still_for.count() / most_looks,
                                                                     shortest, longest))};
  const std::int64_t first = last_;
  std::int64_t lowest = left();
  std::int64_t since = 0;
  for (std::int64_t look = 0; look < most_looks && since < (lowest < first ? enough : 3 * enough);
       ++look) {
    ::nanosleep(&pause, nullptr);
    const std::int64_t now = left();
    since = now < lowest ? 0 : since + 1;
    lowest = std::min(lowest, now);
  }
  return lowest;
}

}  // namespace cgctl::detail
