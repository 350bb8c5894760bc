// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/offsets_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <type_traits>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/fnv1a.hpp"
#include "detail/kernel_release.hpp"

namespace cgctl::kernel {
namespace {

constexpr std::string_view first_line = "cgctl offsets 1\n";
constexpr const char* loading = "read offsets from";

std::string hexadecimal(std::string_view bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text.append(1, digits[byte >> 4]).append(1, digits[byte & 0xf]);
  }
  return text;
}

/// Calls `visit(name, value)` for every number of a layout that a file has. It has none that no
/// comparison with the running kernel proves, and none that follows from others or from the
/// kernel's release.
template <class Visit>
void each_number(Layout& layout, Visit visit) {
  cgctl_layout& at = layout.fields;
  visit("task_struct.cgroups", at.task_cgroups);
  visit("css_set.memory", at.cset_memory);
  visit("css.cgroup", at.css_cgroup);
  visit("css.sibling", at.css_sibling);
  visit("css.children", at.css_children);
  visit("css.flags", at.css_flags);
  visit("css.serial_nr", at.css_serial);
  visit("css.parent", at.css_parent);
  visit("css.refcnt.data", at.css_reference_data);
  visit("references", at.reference_count);
  visit("usage", at.usage);
  visit("vmstats", at.vmstats);
  visit("vmstats.pointer", at.vmstats_is_pointer);
  visit("state", at.state);
  visit("state.bytes", at.state_bytes);
  visit("nodeinfo", at.nodeinfo);
  visit("lists", at.lists);
  visit("lists.bytes", at.lists_bytes);
  visit("generations", at.generations);
  visit("generations.bytes", at.generations_bytes);
  visit("cgroup.kn", at.cgroup_kn);
  visit("kernfs_node.name", at.kn_name);
  visit("kernfs_node.id", at.kn_id);
  for (Slot& slot : layout.slots) visit("counter", slot.index);
}

/// Fills in what follows from the other numbers and from the kernel's release. Returns false if the
/// release is not one of Linux.
bool complete(Layout& layout, std::string_view build) {
  constexpr detail::KernelRelease slab_moves(5, 9);
  constexpr detail::KernelRelease counters_are_summed(5, 13);
  constexpr detail::KernelRelease pages_move(7, 1);
  const auto release = detail::kernel_release(build);
  if (!release) return false;
  layout.fields.birth = CGCTL_ABSENT;
  layout.zones = layout.fields.lists_bytes / (sizeof(std::uint64_t) * lru_lists);
  layout.slab_holds = *release < slab_moves;
  layout.coarse_counters = *release < counters_are_summed;
  layout.pages_move = *release >= pages_move;
  for (const Counter slab : {Counter::slab_reclaimable, Counter::slab_unreclaimable}) {
    layout.slots[static_cast<std::size_t>(slab)].bytes = !layout.slab_holds;
  }
  return true;
}

/// True if a record has room for what the offsets tell to read.
bool is_possible(const Layout& layout) {
  const cgctl_layout& at = layout.fields;
  const bool slots = std::all_of(layout.slots.begin(), layout.slots.end(), [&](const Slot& slot) {
    return slot.index == Slot::absent || slot.index < at.state_bytes / sizeof(std::int64_t);
  });
  return slots && at.state_bytes < sizeof cgctl_record::state &&
         at.lists_bytes <= sizeof(std::uint64_t) * cgctl_lists &&
         at.generations_bytes < sizeof(std::uint64_t) * cgctl_generations;
}

Error not_ours(errc kind, std::string reason) {
  return Error::make(kind, loading, {}, std::move(reason));
}

}  // namespace

std::string build_of(const Host& host) {
  constexpr std::string_view owner("GNU\0", 4);  // of the note that has the build ID
  ::utsname names{};
  ::uname(&names);
  std::string build = std::string(names.release) + " " + names.version;
  const auto notes = fs::read_in_root(host.roots().sys, "kernel/notes");
  const std::size_t at = notes ? notes->find(owner) : std::string::npos;
  if (at == std::string::npos) return build;
  constexpr std::size_t longest = 20;
  return build + " " + hexadecimal(notes->substr(at + owner.size(), longest));
}

std::string to_text(const Layout& layout, std::string_view build) {
  std::string text(first_line);
  text.append("kernel ").append(build).append(1, '\n');
  Layout copy = layout;
  each_number(copy, [&](const char* name, auto value) {
    text.append(name).append(1, ' ').append(std::to_string(value)).append(1, '\n');
  });
  return text.append("checksum ").append(std::to_string(detail::fnv1a(text))).append(1, '\n');
}

Result<Layout> layout_from_text(std::string_view text, std::string_view build) {
  const std::string_view whole = text;
  if (!parse::starts_with(text, first_line))
    return fail(not_ours(errc::malformed, "the file is damaged"));
  text.remove_prefix(first_line.size());
  std::string_view kernel = parse::line(text);
  (void)parse::field(kernel);
  if (kernel.empty() || kernel.substr(1) != build) {
    return fail(not_ours(errc::unsupported, "the offsets are of another kernel"));
  }
  Layout layout;
  each_number(layout, [&](const char* /*name*/, auto& value) {
    std::string_view row = parse::line(text);
    (void)parse::field(row);
    value = static_cast<std::decay_t<decltype(value)>>(
        parse::whole_number(parse::field(row)).value_or(0));
  });
  if (to_text(layout, build) != whole || !complete(layout, build) || !is_possible(layout)) {
    return fail(not_ours(errc::malformed, "the file is damaged"));
  }
  return layout;
}

Result<Layout> load_offsets(const std::string& path, std::string_view build) {
  constexpr off_t largest = 16384;
  auto file = fs::open_trusted(path, O_RDONLY);
  if (!file) return fail(file.error());
  struct ::stat about {};
  if (const int status = sys::stat(file->get(), about); status < 0) {
    return fail(fs::system_error(loading, path, -status));
  }
  if (!S_ISREG(about.st_mode) || about.st_size > largest) {
    return fail(Error::make(errc::malformed, loading, path, "the file is damaged"));
  }
  const bool own = about.st_uid == 0 || about.st_uid == ::geteuid();
  if (!own || (about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(Error::make(errc::outside, loading, path, "other users can write to the file"));
  }
  const auto text = fs::read_all(file->get(), path);
  if (!text) return fail(text.error());
  auto layout = layout_from_text(*text, build);
  if (!layout) layout.error().path = path;
  return layout;
}

Status save_offsets(const std::string& path, const Layout& layout, std::string_view build) {
  const std::string directory = fs::parent(path);
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail(fs::system_error("make directory", directory, errno));
  }
  return fs::replace_file(path, path + ".new", to_text(layout, build), fs::Sync::to_disk);
}

}  // namespace cgctl::kernel
