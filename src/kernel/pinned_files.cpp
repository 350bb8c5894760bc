// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/pinned_files.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <tuple>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/page_lists.hpp"
#include "kernel/file_paths.hpp"
#include "kernel/page_layout.hpp"
#include "kernel/pages.hpp"

namespace cgctl::census {
namespace {

using kernel::PageLayout;
using kernel::PageProgram;
using kernel::Words;
using FinderClock = std::chrono::steady_clock;

constexpr std::uint32_t lru_list_count = 5;
constexpr std::uint32_t unevictable_list = 4;
constexpr std::uint64_t page_struct_bytes = cgctl_folio_words * sizeof(std::uint64_t);

std::uint32_t low_half(std::uint64_t word) { return static_cast<std::uint32_t>(word); }

/// Moves the bits of the kernel's device number to where stat(2) has them.
std::uint64_t device_number(std::uint64_t word) {
  constexpr std::uint32_t minor_bits = 20;
  const std::uint32_t number = low_half(word);
  return makedev(number >> minor_bits, number & ((1U << minor_bits) - 1));
}

/// Appends pages, which come in order, to the ranges.
void append(std::vector<PageRange>& ranges, std::uint64_t first, std::uint64_t count) {
  if (!ranges.empty() && ranges.back().first + ranges.back().count == first) {
    ranges.back().count += count;
  } else {
    ranges.push_back({first, count});
  }
}

using FileOrder = std::vector<PinnedFile*>;

auto identity(const PinnedFile& file) {
  return std::tie(file.block_device, file.device, file.inode, file.generation);
}

/// Those of one file stay in the order in which they were found, which is that of the cgroups.
bool is_other_file(const PinnedFile* a, const PinnedFile* b) {
  return identity(*a) == identity(*b) ? a < b : identity(*a) < identity(*b);
}

bool holds_more(const PinnedFile* a, const PinnedFile* b) {
  if (a->holds.size() != b->holds.size()) return a->holds.size() > b->holds.size();
  return a->pages == b->pages ? a < b : a->pages > b->pages;
}

FileOrder sorted(std::vector<PinnedFile>& files,
                 bool (*is_before)(const PinnedFile*, const PinnedFile*)) {
  FileOrder order;
  for (PinnedFile& file : files) order.push_back(&file);
  std::sort(order.begin(), order.end(), is_before);
  return order;
}

void add_part(PinnedFile& file, PinnedFile& part) {
  file.pages += part.pages;
  file.dirty += part.dirty;
  file.mapped = file.mapped || part.mapped;
  if (file.path.empty()) file.path = std::move(part.path);
  for (Holding& one : part.holds) file.holds.push_back(std::move(one));
}

/// Puts the parts of each file together, and the files that hold the most cgroups first.
void arrange(std::vector<PinnedFile>& parts) {
  std::vector<PinnedFile> whole;
  for (PinnedFile* const part : sorted(parts, is_other_file)) {
    if (!whole.empty() && identity(whole.back()) == identity(*part)) {
      add_part(whole.back(), *part);
    } else {
      whole.push_back(std::move(*part));
    }
  }
  parts.clear();
  for (PinnedFile* const file : sorted(whole, holds_more)) parts.push_back(std::move(*file));
}

unsigned count_all_nodes(const Host& host) {
  unsigned nodes = 1;
  const auto text = fs::read_in_root(host.roots().sys, "devices/system/node/possible");
  if (!text) return nodes;
  parse::ranges(*text, [&](std::uint64_t, std::uint64_t end) {
    constexpr std::uint64_t most = 1023;
    nodes = static_cast<unsigned>(std::min(end, most)) + 1;
  });
  return nodes;
}

}  // namespace

class FileFinder::Pages {
 public:
  Pages(const Host& host, PageProgram program, const PageLayout& at)
      : roots_(host.roots()),
        program_(std::move(program)),
        at_(at),
        nodes_(count_all_nodes(host)) {}

  [[nodiscard]] Status take(const Snapshot& snapshot, const Limits& limits, PinnedFiles& found);
  [[nodiscard]] Result<std::vector<Mapper>> mappers(const PinnedFile& file);

 private:
  /// A removed cgroup whose pages are being looked for.
  struct Dead {
    std::size_t cgroup;  // its place in the snapshot
    std::uint64_t css;
    std::uint64_t serial;
    bool released = false;
    bool changed = false;    // its lists changed, or there was no time to read them
    bool anonymous = false;  // has anonymous pages
    bool listed = false;     // has any page
  };
  /// A folio of a file: one page or several.
  struct Folio {
    std::uint64_t address;
    std::uint64_t mapping;
    std::uint64_t index;
    std::uint64_t count;
    std::size_t dead;  // its place in the slice
    bool dirty;

    bool operator<(const Folio& other) const noexcept {
      return std::tie(mapping, dead, index, address) <
             std::tie(other.mapping, other.dead, other.index, other.address);
    }
  };
  using Slice = std::vector<Dead>;
  void examine(Slice& slice, PinnedFiles& found);
  void mark_released(Slice& slice);
  void read_lists(Slice& slice);
  void read_node(Slice& slice, const Words& infos);
  void read_list(Slice& slice, std::size_t dead, std::uint64_t head, std::uint64_t next);
  [[nodiscard]] bool read_to_end(Slice& slice, std::size_t dead, std::uint64_t head,
                                 std::uint64_t next);
  void add(const unsigned long long* page, std::uint64_t address, Dead& one, std::size_t dead);
  void measure_large(Slice& slice);
  void identify(const Words& mappings, std::vector<PinnedFile>& files);
  void name_files(Words dentries, std::vector<PinnedFile>& files);
  void check(const Slice& slice, const std::vector<const Folio*>& witnesses,
             std::vector<PinnedFile>& files);
  void collect(Slice& slice, const std::vector<const Folio*>& witnesses,
               std::vector<PinnedFile>& files);
  [[nodiscard]] Words memories_of(std::uint64_t mapping, std::uint64_t root);

  Roots roots_;
  PageProgram program_;
  PageLayout at_;
  unsigned nodes_;
  FinderClock::time_point end_{};
  std::vector<Folio> folios_;
  std::vector<std::size_t> large_;  // places in folios_ whose size is not known yet
};

// ---- the lists of a slice of removed cgroups

void FileFinder::Pages::mark_released(Slice& slice) {
  constexpr std::uint32_t css_released = 4;  // include/linux/cgroup-defs.h
  Words addresses;
  for (const Dead& one : slice) addresses.push_back(one.css);
  const Words serials = program_.words(addresses, at_.serial);
  const Words flags = program_.words(addresses, at_.flags);
  for (std::size_t i = 0; i < slice.size(); ++i) {
    if (serials[i] != slice[i].serial || (low_half(flags[i]) & css_released) != 0) {
      slice[i].released = true;
    }
  }
}

void FileFinder::Pages::read_lists(Slice& slice) {
  constexpr std::uint32_t pointer_bytes = sizeof(std::uint64_t);
  folios_.clear();
  large_.clear();
  Words addresses;
  for (const Dead& one : slice) addresses.push_back(one.released ? 0 : one.css);
  for (unsigned node = 0; node < nodes_; ++node) {
    read_node(slice, program_.words(addresses, at_.nodeinfo + pointer_bytes * node));
  }
  measure_large(slice);
}

void FileFinder::Pages::read_node(Slice& slice, const Words& infos) {
  // Many machines have fewer nodes than they may have.
  if (std::count(infos.begin(), infos.end(), 0) == static_cast<std::ptrdiff_t>(infos.size())) {
    return;
  }
  constexpr std::uint32_t head_bytes = 2 * sizeof(std::uint64_t);
  const std::uint32_t lists = lru_list_count + at_.generations_bytes / head_bytes;
  for (std::uint32_t list = 0; list < lists; ++list) {
    const std::uint32_t offset = list < lru_list_count
                                     ? at_.lists + list * head_bytes
                                     : at_.generations + (list - lru_list_count) * head_bytes;
    const Words nexts = program_.words(infos, offset);
    for (std::size_t i = 0; i < slice.size(); ++i) {
      const std::uint64_t head = infos[i] + offset;
      if (infos[i] == 0 || nexts[i] == head || nexts[i] == 0) continue;
      // Since Linux 5.18 the list of unevictable pages is not linked: its head leads nowhere.
      if (list == unevictable_list && program_.words({nexts[i]}, 0)[0] == 0) continue;
      read_list(slice, i, head, nexts[i]);
    }
  }
}

/// Reads a list, again if it changes meanwhile.
void FileFinder::Pages::read_list(Slice& slice, std::size_t dead, std::uint64_t head,
                                  std::uint64_t next) {
  constexpr unsigned tries = 3;
  const std::size_t before = folios_.size();
  const std::size_t large_before = large_.size();
  for (unsigned i = 0; i < tries; ++i) {
    if (read_to_end(slice, dead, head, next)) return;
    folios_.resize(before);
    large_.resize(large_before);
    next = program_.words({head}, 0)[0];
  }
  slice[dead].changed = true;
}

/// Returns false if the list changed, or if time was up.
bool FileFinder::Pages::read_to_end(Slice& slice, std::size_t dead, std::uint64_t head,
                                    std::uint64_t next) {
  constexpr std::uint32_t word = sizeof(std::uint64_t);
  PageProgram::List list{head, next, slice[dead].css, at_.link / word, at_.owner / word};
  while (list.next != head) {
    if (FinderClock::now() >= end_) return false;
    std::uint64_t entry = list.next;
    const PageProgram::Followed followed = program_.follow(list);
    for (std::size_t i = 0; i < followed.pages; ++i) {
      const unsigned long long* const page = program_.page(i);
      add(page, entry - at_.link, slice[dead], dead);
      entry = page[list.link];
    }
    if (followed.lost) return false;
  }
  return true;
}

void FileFinder::Pages::add(const unsigned long long* page, std::uint64_t address, Dead& one,
                            std::size_t dead) {
  constexpr std::uint64_t no_file = 3;  // bits of page.mapping, in include/linux/page-flags.h
  const auto word = [&](std::uint32_t offset) { return page[offset / sizeof *page]; };
  one.listed = true;
  const std::uint64_t mapping = word(at_.mapping);
  if ((mapping & no_file) != 0) one.anonymous = true;
  if (mapping == 0 || (mapping & no_file) != 0 || address % page_struct_bytes != 0) return;
  const auto flag = [&](std::uint32_t bit) { return (page[0] >> bit & 1) != 0; };
  if (flag(at_.head_bit)) large_.push_back(folios_.size());
  // The pages of a tmpfs are always dirty, and never written back.
  const bool dirty = flag(at_.dirty_bit) && !flag(at_.swappable_bit);
  folios_.push_back({address, mapping, word(at_.index), 1, dead, dirty});
}

/// Asks how many pages the large folios have.
void FileFinder::Pages::measure_large(Slice& slice) {
  constexpr std::uint64_t order_bits = 0xff;
  constexpr std::uint64_t most = 18;  // 1 GiB in pages of 4 KiB
  Words addresses;
  for (const std::size_t place : large_) addresses.push_back(folios_[place].address);
  const Words orders = program_.words(addresses, at_.order);
  for (std::size_t i = 0; i < large_.size(); ++i) {
    Folio& folio = folios_[large_[i]];
    const std::uint64_t order = orders[i] & order_bits;
    if (order > most) slice[folio.dead].changed = true;
    folio.count = order > most ? 0 : std::uint64_t{1} << order;
  }
}

// ---- the files that pages belong to

/// Reads which file each mapping belongs to. A mapping that is none gets 0 for its address.
void FileFinder::Pages::identify(const Words& mappings, std::vector<PinnedFile>& files) {
  Words inodes = program_.words(mappings, at_.host);
  const Words own = program_.words(inodes, at_.inode_mapping);
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (own[i] != mappings[i]) inodes[i] = 0;
  }
  const Words areas = program_.words(mappings, at_.mapped);
  const Words numbers = program_.words(inodes, at_.inode);
  const Words generations = program_.words(inodes, at_.generation);
  const Words links = program_.words(inodes, at_.links);
  const Words own_devices = program_.words(inodes, at_.device);
  const Words supers = program_.words(inodes, at_.super);
  const Words devices = program_.words(supers, at_.super_device);
  std::vector<std::string> types =
      program_.texts(program_.words(program_.words(supers, at_.type), at_.type_name));
  Words dentries = program_.words(inodes, at_.dentry);
  for (std::size_t i = 0; i < files.size(); ++i) {
    PinnedFile& file = files[i];
    file.mapping = inodes[i] == 0 ? 0 : mappings[i];
    file.mapped = areas[i] != 0;
    file.inode = numbers[i];
    file.generation = low_half(generations[i]);
    file.file_system = std::move(types[i]);
    file.block_device = file.file_system == "bdev";
    file.deleted = !file.block_device && low_half(links[i]) == 0;
    file.device = device_number(file.block_device ? own_devices[i] : devices[i]);
    dentries[i] = file.block_device || dentries[i] == 0 ? 0 : dentries[i] - at_.alias;
  }
  name_files(std::move(dentries), files);
}

/// Reads the path of each file within its file system, from its name upwards.
void FileFinder::Pages::name_files(Words dentries, std::vector<PinnedFile>& files) {
  constexpr unsigned most_levels = 128;
  for (unsigned level = 0; level < most_levels; ++level) {
    bool done = true;
    const Words parents = program_.words(dentries, at_.parent);
    const std::vector<std::string> names = program_.texts(program_.words(dentries, at_.name));
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (dentries[i] == 0) continue;
      const bool top = parents[i] == dentries[i];
      // A file without a directory, such as a memfd, has only a name.
      if (top && level == 0) files[i].path = names[i];
      if (!top) files[i].path.insert(0, "/" + names[i]);
      dentries[i] = top ? 0 : parents[i];
      done = done && top;
    }
    if (done) return;
  }
  // Deeper than any path that a program can open.
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (dentries[i] != 0) files[i].path.clear();
  }
}

/// Looks at one page of each file again: if it still belongs to the file and to the removed cgroup,
/// the file has been the same all the time, because a removed cgroup gets no new pages. Other files
/// lose their mapping.
void FileFinder::Pages::check(const Slice& slice, const std::vector<const Folio*>& witnesses,
                              std::vector<PinnedFile>& files) {
  constexpr std::uint64_t owner_flags = 7;
  Words addresses;
  for (const Folio* one : witnesses) addresses.push_back(one->address);
  const Words owners = program_.words(addresses, at_.owner);
  const Words mappings = program_.words(addresses, at_.mapping);
  const Words indexes = program_.words(addresses, at_.index);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Folio& one = *witnesses[i];
    if ((owners[i] & ~owner_flags) != slice[one.dead].css || mappings[i] != one.mapping ||
        indexes[i] != one.index) {
      files[i].mapping = 0;
    }
  }
}

/// Adds the files of a slice of removed cgroups.
void FileFinder::Pages::examine(Slice& slice, PinnedFiles& found) {
  mark_released(slice);
  read_lists(slice);
  mark_released(slice);
  const auto of_released = [&](const Folio& one) { return slice[one.dead].released; };
  folios_.erase(std::remove_if(folios_.begin(), folios_.end(), of_released), folios_.end());
  std::sort(folios_.begin(), folios_.end());
  std::vector<const Folio*> witnesses;
  Words mappings;
  for (const Folio& one : folios_) {
    if (!mappings.empty() && mappings.back() == one.mapping) continue;
    mappings.push_back(one.mapping);
    witnesses.push_back(&one);
  }
  std::vector<PinnedFile> files(mappings.size());
  identify(mappings, files);
  check(slice, witnesses, files);
  collect(slice, witnesses, files);
  for (PinnedFile& file : files) {
    if (file.pages != 0) found.files.push_back(std::move(file));
  }
  for (const Dead& one : slice) {
    ++(one.released ? found.released : one.changed ? found.skipped : found.examined);
    if (one.released) continue;
    found.anonymous += one.anonymous ? 1 : 0;
    found.unlisted += one.listed ? 0 : 1;
  }
}

/// Gives the files their pages. `witnesses` are the first pages of the files in folios_.
void FileFinder::Pages::collect(Slice& slice, const std::vector<const Folio*>& witnesses,
                                std::vector<PinnedFile>& files) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    PinnedFile& file = files[i];
    const Folio* const end =
        i + 1 < files.size() ? witnesses[i + 1] : folios_.data() + folios_.size();
    for (const Folio* one = witnesses[i]; one != end; ++one) {
      if (file.mapping == 0) slice[one->dead].changed = true;
      if (file.mapping == 0 || one->count == 0) continue;
      if (one != witnesses[i] && one[-1].address == one->address) continue;  // it moved meanwhile
      const std::size_t cgroup = slice[one->dead].cgroup;
      if (file.holds.empty() || file.holds.back().cgroup != cgroup) {
        file.holds.push_back({cgroup, {}});
      }
      append(file.holds.back().pages, one->index, one->count);
      file.pages += one->count;
      file.dirty += one->dirty ? one->count : 0;
    }
  }
}

Status FileFinder::Pages::take(const Snapshot& snapshot, const Limits& limits, PinnedFiles& found) {
  constexpr std::size_t slice_size = 64;
  constexpr int share = 4;  // of the time, kept for the proof of the paths
  found = {};
  program_.reset();
  if (limits.drain) detail::drain_page_lists();
  const auto start = FinderClock::now();
  end_ = start + limits.time - limits.time / share;
  std::vector<std::size_t> wanted = limits.cgroups;
  for (std::size_t i = 0; limits.cgroups.empty() && i < snapshot.cgroups.size(); ++i) {
    if (!snapshot.cgroups[i].live) wanted.push_back(i);
  }
  for (std::size_t done = 0; done < wanted.size(); done += slice_size) {
    Slice slice;
    for (std::size_t i = done; i < std::min(done + slice_size, wanted.size()); ++i) {
      const Cgroup& one = snapshot.cgroups[wanted[i]];
      if (!one.live) slice.push_back({wanted[i], one.address, one.serial});
    }
    if (FinderClock::now() >= end_) {
      found.skipped += wanted.size() - done;
      break;
    }
    examine(slice, found);
    if (program_.failure()) return fail(*program_.failure());
  }
  found.runs = program_.runs();
  found.longest_run = program_.longest_run();
  arrange(found.files);
  const kernel::FilePaths paths(roots_);
  for (PinnedFile& file : found.files) {
    if (FinderClock::now() >= start + limits.time) break;
    paths.resolve(file);
  }
  return {};
}

// ---- the processes that map a file

/// Returns the address spaces of the processes that map a file, from the tree of their memory
/// areas.
Words FileFinder::Pages::memories_of(std::uint64_t mapping, std::uint64_t root) {
  constexpr std::size_t most_areas = 4096;
  Words memories;
  Words nodes{root};
  for (std::size_t seen = 0; !nodes.empty() && seen < most_areas; seen += nodes.size()) {
    Words areas = nodes;
    for (std::uint64_t& area : areas) area -= at_.node;
    const Words mappings = program_.words(program_.words(areas, at_.area_file), at_.file_mapping);
    const Words owners = program_.words(areas, at_.area_memory);
    const Words left = program_.words(nodes, at_.left);
    const Words right = program_.words(nodes, at_.right);
    nodes.clear();
    for (std::size_t i = 0; i < areas.size(); ++i) {
      if (mappings[i] != mapping) continue;  // the tree has changed
      memories.push_back(owners[i]);
      if (left[i] != 0) nodes.push_back(left[i]);
      if (right[i] != 0) nodes.push_back(right[i]);
    }
  }
  std::sort(memories.begin(), memories.end());
  memories.erase(std::unique(memories.begin(), memories.end()), memories.end());
  return memories;
}

Result<std::vector<Mapper>> FileFinder::Pages::mappers(const PinnedFile& file) {
  program_.reset();
  const Words mapping{file.mapping};
  const Words own = program_.words(program_.words(mapping, at_.host), at_.inode_mapping);
  const std::uint64_t root = program_.words(mapping, at_.mapped)[0];
  Words tasks;
  if (own[0] == file.mapping && root != 0) {
    tasks = program_.words(memories_of(file.mapping, root), at_.memory_owner);
  }
  const Words numbers = program_.words(tasks, at_.process);
  for (std::uint64_t& task : tasks) task += task == 0 ? 0 : at_.process_name;
  std::vector<std::string> names = program_.texts(tasks);
  if (program_.failure()) return fail(*program_.failure());
  std::vector<Mapper> found;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto pid = static_cast<pid_t>(low_half(numbers[i]));
    if (pid > 0) found.push_back({pid, std::move(names[i])});
  }
  return found;
}

FileFinder::FileFinder(std::unique_ptr<Pages> pages) noexcept : pages_(std::move(pages)) {}
FileFinder::FileFinder(FileFinder&&) noexcept = default;
FileFinder& FileFinder::operator=(FileFinder&&) noexcept = default;
FileFinder::~FileFinder() = default;

Status FileFinder::take(const Snapshot& snapshot, const Limits& limits, PinnedFiles& found) {
  return pages_->take(snapshot, limits, found);
}

Result<std::vector<Mapper>> FileFinder::mappers(const PinnedFile& file) {
  return pages_->mappers(file);
}

namespace {

constexpr const char* type_information = "kernel/btf/vmlinux";

Error with_hint(Error error) {
  if (error.os_errno != ENOENT) return error;
  error.kind = errc::unsupported;
  error.hint = "only a kernel with type information (CONFIG_DEBUG_INFO_BTF) tells its files";
  return error;
}

}  // namespace

Status FileFinder::supported(const Host& host) {
  const auto file = fs::open_in_root(host.roots().sys, type_information, O_RDONLY);
  if (!file) return fail(with_hint(file.error()));
  const auto program = PageProgram::load();
  if (!program) return fail(program.error());
  return {};
}

Result<FileFinder> FileFinder::open(const Host& host) {
  auto content = fs::read_in_root(host.roots().sys, type_information);
  if (!content) return fail(with_hint(content.error()));
  const auto btf = kernel::Btf::parse(std::move(*content));
  if (!btf) return fail(btf.error());
  const auto layout = kernel::page_layout_of(*btf);
  if (!layout) return fail(layout.error());
  auto program = PageProgram::load();
  if (!program) return fail(program.error());
  return FileFinder(std::make_unique<Pages>(host, std::move(*program), *layout));
}

}  // namespace cgctl::census
