// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "holds/symbols.hpp"

#include <cerrno>
#include <optional>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "holds/hexadecimal.hpp"

namespace cgctl::holds {
namespace {

/// A function by its name, or by the beginning of its name if that ends with '*'.
struct Pattern {
  std::string_view name;
  Cause cause;
};

// Functions that charge or uncharge pages are left out: they are short, and every program runs
// them.
constexpr Pattern patterns[] = {
    {"memcg_numa_stat_show", Cause::numa_stat},
    {"memory_numa_stat_show", Cause::numa_stat},
    {"memcg_stat_show", Cause::memory_stat},
    {"memory_stat_show", Cause::memory_stat},
    {"drop_caches_sysctl_handler", Cause::drop_caches},
    {"drop_slab*", Cause::drop_caches},
    {"drop_pagecache_sb", Cause::drop_caches},
    {"shrink_slab*", Cause::slab_shrinker},
    {"do_shrink_slab", Cause::slab_shrinker},
    {"css_rstat_flush*", Cause::flush},
    {"cgroup_rstat_flush*", Cause::flush},
    {"mem_cgroup_css_rstat_flush", Cause::flush},
    {"mem_cgroup_flush_stats*", Cause::flush},
    {"__mem_cgroup_flush_stats", Cause::flush},
    {"mem_cgroup_iter", Cause::memory_cgroup},
    {"mem_cgroup_force_empty*", Cause::memory_cgroup},
    {"mem_cgroup_resize_*", Cause::memory_cgroup},
    {"mem_cgroup_scan_tasks", Cause::memory_cgroup},
    {"mem_cgroup_css_offline", Cause::memory_cgroup},
    {"mem_cgroup_css_free", Cause::memory_cgroup},
    {"mem_cgroup_usage", Cause::memory_cgroup},
    {"mem_cgroup_out_of_memory", Cause::memory_cgroup},
    {"mem_cgroup_print_oom_*", Cause::memory_cgroup},
    {"memcg_reparent_*", Cause::memory_cgroup},
    {"memcg_drain_all_list_lrus", Cause::memory_cgroup},
    {"try_to_free_mem_cgroup_pages", Cause::memory_cgroup},
    {"kernfs_seq_show", Cause::cgroup_file},
    {"kernfs_fop_read*", Cause::cgroup_file},
    {"kernfs_fop_write*", Cause::cgroup_file},
    {"proc_cgroupstats_show", Cause::cgroup_file},
    // The entries of system calls that call these in their place.
    {"ksys_*", Cause::other},
    {"do_preadv", Cause::other},
    {"do_readv", Cause::other},
    {"do_pwritev", Cause::other},
    {"do_writev", Cause::other},
};

bool fits(std::string_view name, std::string_view pattern) noexcept {
  if (pattern.back() != '*') return name == pattern;
  pattern.remove_suffix(1);
  return parse::starts_with(name, pattern);
}

/// True for "__x64_sys_read", "__arm64_sys_read", "__se_sys_read", ...
bool is_call(std::string_view name) noexcept {
  return parse::starts_with(name, "__") && name.find("_sys_") < std::string_view("__riscv").size();
}

std::optional<Cause> cause_of(std::string_view name) noexcept {
  for (const Pattern& one : patterns) {
    if (fits(name, one.name)) return one.cause;
  }
  if (is_call(name)) return Cause::other;
  return std::nullopt;
}

/// Returns "read" for "__x64_sys_read", "ksys_read" and "do_readv" likewise.
std::string_view call_name(std::string_view name) noexcept {
  for (const std::string_view head : {"_sys_", "ksys_", "do_"}) {
    const std::size_t at = name.find(head);
    if (at != std::string_view::npos) return name.substr(at + head.size());
  }
  return name;
}

Error refused(const std::string& path) {
  return Error::make(errc::unsupported, "read", path,
                     "the kernel shows no addresses of its functions",
                     "run as root with CAP_SYSLOG, and with sysctl kernel.kptr_restrict below 2");
}

bool is_code(std::string_view type) noexcept {
  return type == "t" || type == "T" || type == "w" || type == "W";
}

/// Calls visit(line) for each line of /proc/kallsyms.
template <class Visit>
Status each_line(const Host& host, Visit visit) {
  const auto file = fs::open_in_root(host.roots().proc, "kallsyms", O_RDONLY);
  if (!file) return fail(file.error());
  std::vector<char> buffer(std::size_t{1} << 16U);
  std::size_t kept = 0;
  for (;;) {
    const ssize_t got = sys::read(file->get(), buffer.data() + kept, buffer.size() - kept);
    if (got == -EINTR) continue;
    if (got < 0) {
      return fail(fs::system_error("read", fs::join(host.roots().proc, "kallsyms"),
                                   static_cast<int>(-got)));
    }
    if (got == 0) return {};
    std::string_view text(buffer.data(), kept + static_cast<std::size_t>(got));
    while (text.find('\n') != std::string_view::npos) visit(parse::line(text));
    kept = text.size() == buffer.size() ? 0 : text.size();
    std::copy_n(text.data(), kept, buffer.data());
  }
}

}  // namespace

void Symbols::add_line(std::string_view line) {
  const std::uint64_t address = hexadecimal(line);
  if (address == 0) return;
  shown_ = true;
  for (; open_ < functions_.size() && functions_[open_].start != address; ++open_) {
    // Addresses fall where the functions of modules follow; a function there has no end.
    functions_[open_].end = std::max(address, functions_[open_].start);
  }
  const std::string_view type = parse::field(line);
  std::string_view name = parse::field(line);
  // The compiler's variants of a function have a suffix: "shrink_slab.constprop.0".
  name = name.substr(0, name.find('.'));
  const auto cause = is_code(type) ? cause_of(name) : std::nullopt;
  if (!cause || functions_.size() >= none) return;
  if (*cause == Cause::other) name = call_name(name);
  Function one;
  one.start = address;
  one.name_at = static_cast<std::uint32_t>(names_.size());
  one.name_size = static_cast<std::uint16_t>(name.size());
  one.cause = *cause;
  names_ += name;
  functions_.push_back(one);
}

void Symbols::finish() {
  constexpr std::uint64_t usual_size = 4096;
  for (; open_ < functions_.size(); ++open_) {
    functions_[open_].end = functions_[open_].start + usual_size;
  }
  std::sort(functions_.begin(), functions_.end(),
            [](const Function& a, const Function& b) { return a.start < b.start; });
}

std::uint16_t Symbols::find(std::uint64_t address) const noexcept {
  const auto above =
      std::upper_bound(functions_.begin(), functions_.end(), address,
                       [](std::uint64_t at, const Function& one) { return at < one.start; });
  if (above == functions_.begin() || address >= (above - 1)->end) return none;
  return static_cast<std::uint16_t>(above - 1 - functions_.begin());
}

std::string_view Symbols::name(std::uint16_t place) const noexcept {
  const Function& one = functions_[place];
  return std::string_view(names_).substr(one.name_at, one.name_size);
}

Result<Symbols> Symbols::read(const Host& host) {
  Symbols symbols;
  const auto status =
      each_line(host, [&symbols](std::string_view line) { symbols.add_line(line); });
  if (!status) return fail(status.error());
  symbols.finish();
  if (!symbols.shown()) return fail(refused(fs::join(host.roots().proc, "kallsyms")));
  return symbols;
}

Status FunctionNames::read(const Host& host) {
  if (asked_.empty()) return {};
  begin();
  auto status = each_line(host, [this](std::string_view line) { add_line(line); });
  finish();
  return status;
}

void FunctionNames::begin() {
  const auto lower = [](const Asked& a, const Asked& b) { return a.address < b.address; };
  // These are smaller than std::sort.
  std::make_heap(asked_.begin(), asked_.end(), lower);
  std::sort_heap(asked_.begin(), asked_.end(), lower);
  const auto same = [](const Asked& a, const Asked& b) { return a.address == b.address; };
  asked_.erase(std::unique(asked_.begin(), asked_.end(), same), asked_.end());
}

void FunctionNames::add_line(std::string_view line) noexcept {
  const std::uint64_t start = hexadecimal(line);
  const std::string_view type = parse::field(line);
  const std::string_view name = parse::field(line);
  if (!is_code(type) || start == 0) return;
  const auto above = std::lower_bound(asked_.begin(), asked_.end(), start, is_lower);
  if (above == asked_.end() || start < above->start) return;
  above->start = start;
  above->name = name.substr(0, name.find('.'));
}

void FunctionNames::finish() noexcept {
  // Each function was noted at the first address above its start; later addresses may be in it too.
  for (std::size_t i = 1; i < asked_.size(); ++i) {
    if (asked_[i].start >= asked_[i - 1].start) continue;
    asked_[i].start = asked_[i - 1].start;
    asked_[i].name = asked_[i - 1].name;
  }
}

Text<48> FunctionNames::at(std::uint64_t address) const noexcept {
  const auto found = std::lower_bound(asked_.begin(), asked_.end(), address, is_lower);
  return found != asked_.end() && found->address == address ? found->name : Text<48>();
}

}  // namespace cgctl::holds
