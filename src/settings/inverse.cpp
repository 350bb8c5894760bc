// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "settings/inverse.hpp"

#include <algorithm>
#include <array>

#include "cgctl/parse.hpp"

namespace cgctl::detail {
namespace {

struct Entry {
  std::string_view file;  ///< or its end, with a '*' in front
  Inverse inverse;
};

// The first that fits.
constexpr std::array table = {
    Entry{"cgroup.subtree_control", Inverse::switches},
    Entry{"devices.allow", Inverse::rules},
    Entry{"devices.deny", Inverse::rules},
    Entry{"cpu.idle", Inverse::share_after},
    Entry{"cpu.weight.nice", Inverse::share_alone},
    // "root invalid (Parent is not a partition root)"
    Entry{"cpuset.cpus.partition", Inverse::word},
    // Any write sets these to 0, or, in one descriptor's view, to the present.
    Entry{"*failcnt", Inverse::none},
    Entry{"*.max_usage_in_bytes", Inverse::none},
    Entry{"*.peak", Inverse::none},
    Entry{"cpuacct.usage", Inverse::none},
    // Written, it is a trigger.
    Entry{"cpu.pressure", Inverse::none},
    Entry{"memory.pressure", Inverse::none},
    Entry{"io.pressure", Inverse::none},
    Entry{"irq.pressure", Inverse::none},
    // A threaded cgroup does not become a domain again.
    Entry{"cgroup.type", Inverse::none},
    Entry{"cgroup.procs", Inverse::none},
    Entry{"cgroup.threads", Inverse::none},
    Entry{"tasks", Inverse::none},
};

bool fits(std::string_view pattern, std::string_view file) noexcept {
  if (pattern.front() != '*') return file == pattern;
  pattern.remove_prefix(1);
  return file.size() >= pattern.size() && file.substr(file.size() - pattern.size()) == pattern;
}

}  // namespace

Inverse inverse_of(std::string_view file) noexcept {
  const auto* const found = std::find_if(
      table.begin(), table.end(), [&](const Entry& entry) { return fits(entry.file, file); });
  return found == table.end() ? Inverse::text : found->inverse;
}

std::string switched_back(std::string_view before, std::string_view written) {
  std::string back;
  for (std::string_view word = parse::field(written); !word.empty(); word = parse::field(written)) {
    word.remove_prefix(word.front() == '+' || word.front() == '-' ? 1 : 0);
    back += back.empty() ? "" : " ";
    back += parse::has_word(before, word) ? '+' : '-';
    back += word;
  }
  return back;
}

}  // namespace cgctl::detail
