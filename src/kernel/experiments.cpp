// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/experiments.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "cgctl/detail/sys.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/unique_fd.hpp"
#include "detail/page_lists.hpp"

namespace cgctl::kernel {
namespace {

using std::uint32_t;
using std::uint64_t;

constexpr std::size_t groups = Laboratory::groups;
constexpr std::size_t word_bytes = sizeof(uint64_t);
constexpr uint32_t nowhere = CGCTL_ABSENT;

/// A copy of a part of the kernel's memory.
template <std::size_t size>
struct Copy {
  std::array<unsigned char, size> bytes{};

  [[nodiscard]] uint64_t word(std::size_t at) const { return get<uint64_t>(at); }
  [[nodiscard]] uint32_t half(std::size_t at) const { return get<uint32_t>(at); }

 private:
  template <class T>
  [[nodiscard]] T get(std::size_t at) const {
    T value = 0;
    if (at + sizeof value <= size) std::memcpy(&value, &bytes[at], sizeof value);
    return value;
  }
};

constexpr std::size_t css_room = 504;
constexpr std::size_t group_room = 8192;
using Css = Copy<css_room>;
using Whole = Copy<group_room>;  // struct mem_cgroup, which begins with its css

/// A small file of a cgroup.
struct Text {
  std::array<char, 8192> bytes{};
  std::size_t size = 0;

  Text(int directory, const char* name) {
    const UniqueFd file(sys::open_at(directory, name, O_RDONLY));
    const ssize_t got = file ? sys::pread(file.get(), bytes.data(), bytes.size(), 0) : 0;
    size = got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  [[nodiscard]] std::string_view text() const { return {bytes.data(), size}; }
};

uint64_t page_size() { return static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)); }

std::size_t page_bytes_of(uint64_t pages) { return static_cast<std::size_t>(pages * page_size()); }

/// Moves this process into the cgroup.
bool enter_group(int directory) {
  const UniqueFd file(sys::open_at(directory, "cgroup.procs", O_WRONLY));
  return file && sys::write(file.get(), "0", 1) == 1;
}

/// Charges pages to the cgroup of this process, until it ends. `fd` is a file or -1.
unsigned char* charge(uint64_t pages, int fd = -1) {
  const std::size_t bytes = page_bytes_of(pages);
  const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (memory == MAP_FAILED) return nullptr;
  ::madvise(memory, bytes, MADV_NOHUGEPAGE);
  auto* const at = static_cast<unsigned char*>(memory);
  for (std::size_t i = 0; i < bytes; i += page_bytes_of(1)) at[i] = 1;
  return at;
}

/// The known amounts, in pages, which differ between the groups.
constexpr uint64_t anonymous(std::size_t group, std::size_t round) {
  return 100 + 131 * ((group * 7 + round * 3) % 11);
}
constexpr uint64_t shared(std::size_t group) { return 300 + 70 * group; }
constexpr uint64_t mapped(std::size_t group) { return 150 + 40 * group; }
constexpr uint64_t locked(std::size_t group) { return 20 + 10 * group; }

/// The lines of memory.stat for the counters of a cgroup with those below it.
struct Stat {
  std::array<uint64_t, lru_lists> lists{};
  uint64_t mapped = 0;
  uint64_t shmem = 0;

  Stat(const Laboratory& lab, int directory) {
    const Text file(directory, "memory.stat");
    const bool v1 = lab.version == Version::v1;
    constexpr std::array<const char*, lru_lists> names{"total_inactive_anon", "total_active_anon",
                                                       "total_inactive_file", "total_active_file",
                                                       "total_unevictable"};
    const auto pages = [&](const char* name) {
      constexpr std::size_t prefix = 6;  // total_
      return parse::value_of(file.text(), v1 ? name : name + prefix).value_or(0) / page_size();
    };
    for (std::size_t i = 0; i < lists.size(); ++i) lists[i] = pages(names[i]);
    mapped = v1 ? pages("total_mapped_file") : pages("total_file_mapped");
    shmem = pages("total_shmem");
  }
  bool operator==(const Stat& other) const {
    return lists == other.lists && mapped == other.mapped && shmem == other.shmem;
  }
};

class Experiments {
 public:
  Experiments(Peek& peek, const Laboratory& lab, Layout& layout)
      : peek_(peek), lab_(lab), layout_(layout), at_(layout.fields) {}

  const char* run() {
    at_.birth = at_.css_reference_data = at_.reference_count = nowhere;
    stay_on_one_processor();
    peek_.adopt();
    task_ = peek_.task();
    if (task_ == 0) return "the running task";
    if (!find_memory_css()) return "task_struct.cgroups";
    if (!find_groups()) return "css_set.subsys";
    if (!find_parent()) return "cgroup_subsys_state.parent";
    if (!find_siblings()) return "cgroup_subsys_state.sibling";
    if (!find_serial()) return "cgroup_subsys_state.serial_nr";
    if (!find_name()) return "kernfs_node.name";
    if (!find_inode()) return "kernfs_node.id";
    if (!find_usage()) return "mem_cgroup.memory.usage";
    if (!charge_kinds()) return "memory of each kind";
    const bool lists = find_lists();
    if (!find_counters() && !lists) return "mem_cgroup_per_node.lru_zone_size";
    if (!find_removed()) return "cgroup_subsys_state.flags";
    return nullptr;
  }

 private:
  static void stay_on_one_processor() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
    ::sched_setaffinity(0, sizeof one, &one);
  }

  /// True for an address of the kernel's linear map of memory. The task is in it, at some distance
  /// below the size of the memory.
  [[nodiscard]] bool in_memory(uint64_t address) const {
    return address + lab_.memory > task_ && address < task_ + lab_.memory;
  }
  [[nodiscard]] bool is_object(uint64_t address) const {
    return address % word_bytes == 0 && in_memory(address);
  }
  /// True for an address of the kernel's code and data (Documentation/arch/x86/x86_64/mm.rst).
  static bool in_image(uint64_t address) {
    return address >= 0xffffffff80000000 && address < 0xffffffffff000000;
  }

  template <std::size_t size>
  bool copy(uint64_t from, Copy<size>& to) {
    return peek_.read(from, to.bytes.data(), size);
  }
  bool is_text(uint64_t address, std::string_view text) {
    std::array<char, 16> found{};
    return peek_.read(address, found.data(), found.size()) &&
           std::string_view(found.data(), ::strnlen(found.data(), found.size())) == text;
  }

  /// Calls `look(offset, word)` for the words of a copy until it returns true.
  template <std::size_t size, class Look>
  static bool any_word(const Copy<size>& words, std::size_t from, Look look) {
    for (std::size_t at = from; at + word_bytes <= size; at += word_bytes) {
      if (look(static_cast<uint32_t>(at), words.word(at))) return true;
    }
    return false;
  }

  /// A pointer in the task leads to pointers, one of which leads to a css, whose second word leads
  /// to a controller with the name "memory".
  bool find_memory_css() {
    Copy<8192> task;
    if (!enter_group(lab_.directories[0]) || !copy(task_, task)) return false;
    return any_word(
        task, 0, [&](uint32_t at, uint64_t set) { return is_object(set) && is_css_set(at, set); });
  }
  bool is_css_set(uint32_t place, uint64_t set) {
    Copy<128> subsystems;
    if (!copy(set, subsystems)) return false;
    const auto pointer = [&](uint64_t word) { return is_object(word) || in_image(word); };
    if (!pointer(subsystems.word(0)) || !pointer(subsystems.word(word_bytes))) return false;
    return any_word(subsystems, 0, [&](uint32_t at, uint64_t css) {
      if (!is_object(css) || !is_memory(peek_.word(css + word_bytes))) return false;
      at_.task_cgroups = place;
      at_.cset_memory = at;
      return true;
    });
  }
  bool is_memory(uint64_t controller) {
    Copy<512> words;
    if (!in_image(controller) || !copy(controller, words)) return false;
    return any_word(words, 0, [&](uint32_t /*at*/, uint64_t word) {
      return in_image(word) && is_text(word, "memory");
    });
  }

  uint64_t current_css() {
    return peek_.word(peek_.word(task_ + at_.task_cgroups) + at_.cset_memory);
  }

  bool find_groups() {
    for (std::size_t i = 0; i < groups; ++i) {
      if (!enter_group(lab_.directories[i])) return false;
      places_[i] = current_css();
      if (!is_object(places_[i]) || !copy(places_[i], css_[i])) return false;
      if (i != 0 && places_[i] == places_[i - 1]) return false;
    }
    if (!enter_group(lab_.root)) return false;
    root_place_ = current_css();
    return copy(root_place_, root_);
  }

  template <class True>
  static bool in_all(True is_true) {
    for (std::size_t i = 0; i < groups; ++i) {
      if (!is_true(i)) return false;
    }
    return true;
  }

  bool find_parent() {
    constexpr std::size_t after_controller = 2 * word_bytes;
    return any_word(css_[0], after_controller, [&](uint32_t at, uint64_t parent) {
      if (!is_object(parent) || root_.word(at) != 0) return false;
      if (!in_all([&](std::size_t i) { return css_[i].word(at) == parent; })) return false;
      if (!copy(parent, base_) || base_.word(at) != root_place_) return false;
      if (base_.word(word_bytes) != css_[0].word(word_bytes)) return false;
      at_.css_parent = at;
      base_place_ = parent;
      return true;
    });
  }

  /// The list of the parent's children goes through all four and back.
  bool find_siblings() {
    return any_word(base_, 0, [&](uint32_t children, uint64_t first) {
      const uint64_t sibling = first - places_[0];
      if (sibling >= css_room || base_.word(children + word_bytes) != places_.back() + sibling) {
        return false;
      }
      const bool linked = in_all([&](std::size_t i) {
        const uint64_t next = i + 1 == groups ? base_place_ + children : places_[i + 1] + sibling;
        return css_[i].word(static_cast<std::size_t>(sibling)) == next;
      });
      at_.css_children = children;
      at_.css_sibling = static_cast<uint32_t>(sibling);
      return linked;
    });
  }

  /// A number that grows from each cgroup to the next one. Pointers do so too, but are larger.
  bool find_serial() {
    constexpr uint64_t most_meanwhile = 1000;
    constexpr uint64_t most = uint64_t{1} << 40;
    return any_word(css_[0], 2 * word_bytes, [&](uint32_t at, uint64_t first) {
      if (root_.word(at) >= base_.word(at) || base_.word(at) >= first || first >= most) {
        return false;
      }
      at_.css_serial = at;
      return in_all([&](std::size_t i) {
        const uint64_t grown = i == 0 ? 1 : css_[i].word(at) - css_[i - 1].word(at);
        return grown != 0 && grown < most_meanwhile;
      });
    });
  }

  /// The first word of a css is its cgroup, in which a pointer leads to the kernfs node, in which a
  /// pointer leads to the name.
  bool find_name() {
    Copy<2048> cgroup;
    at_.css_cgroup = 0;
    if (!copy(css_[0].word(0), cgroup)) return false;
    return any_word(cgroup, 0, [&](uint32_t kn, uint64_t node) {
      Copy<256> words;
      if (!is_object(node) || !copy(node, words)) return false;
      return any_word(words, 0, [&](uint32_t name, uint64_t text) {
        if (!in_memory(text) || !is_text(text, Laboratory::names[0])) return false;
        at_.cgroup_kn = kn;
        at_.kn_name = name;
        return in_all([&](std::size_t i) {
          return is_text(peek_.word(node_of(i) + name), Laboratory::names[i]);
        });
      });
    });
  }
  uint64_t node_of(std::size_t group) { return peek_.word(css_[group].word(0) + at_.cgroup_kn); }

  bool find_inode() {
    std::array<Copy<256>, groups> nodes;
    std::array<uint32_t, groups> inodes{};
    for (std::size_t i = 0; i < groups; ++i) {
      struct ::stat about {};
      if (sys::stat(lab_.directories[i], about) < 0 || !copy(node_of(i), nodes[i])) return false;
      inodes[i] = static_cast<uint32_t>(about.st_ino);
    }
    return any_word(nodes[0], 0, [&](uint32_t at, uint64_t /*word*/) {
      at_.kn_id = at;
      return in_all([&](std::size_t i) { return nodes[i].half(at) == inodes[i]; });
    });
  }

  uint64_t usage(std::size_t group) const {
    const Text file(lab_.directories[group],
                    lab_.version == Version::v1 ? "memory.usage_in_bytes" : "memory.current");
    return parse::whole_number(file.text()).value_or(0) / page_size();
  }

  /// The word that is what the file says, after several charges.
  bool find_usage() {
    constexpr std::size_t rounds = 3;
    std::array<bool, group_room / word_bytes> differs{};
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < groups; ++i) {
        if (!enter_group(lab_.directories[i])) return false;
        if (charge(anonymous(i, round)) == nullptr || !enter_group(lab_.root)) return false;
        if (!compare_usage(i, differs)) return false;
      }
    }
    const auto found = std::find(differs.begin(), differs.end(), false);
    at_.usage = static_cast<uint32_t>((found - differs.begin()) * std::ptrdiff_t{word_bytes});
    return found != differs.end();
  }
  bool compare_usage(std::size_t group, std::array<bool, group_room / word_bytes>& differs) {
    constexpr unsigned tries = 20;
    for (unsigned i = 0; i < tries; ++i) {
      const uint64_t pages = usage(group);
      if (!copy(places_[group], room_)) return false;
      if (usage(group) != pages) continue;
      for (std::size_t k = 0; k < differs.size(); ++k) {
        if (room_.word(k * word_bytes) != pages) differs[k] = true;
      }
      return true;
    }
    return false;
  }

  /// Charges pages of tmpfs, of which only some stay mapped, and locked pages.
  bool charge_kinds() {
    for (std::size_t i = 0; i < groups; ++i) {
      if (!enter_group(lab_.directories[i])) return false;
      const int file = static_cast<int>(::syscall(SYS_memfd_create, "probe", 0));  // kept open
      const std::size_t bytes = page_bytes_of(shared(i));
      if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes)) != 0) return false;
      unsigned char* const pages = charge(shared(i), file);
      if (pages == nullptr) return false;
      const std::size_t kept = page_bytes_of(mapped(i));
      ::munmap(pages + kept, bytes - kept);
      unsigned char* const fixed = charge(locked(i));
      if (fixed == nullptr || ::mlock(fixed, page_bytes_of(locked(i))) != 0) return false;
    }
    detail::drain_page_lists();
    return enter_group(lab_.root);
  }

  /// The array of each node's zones, each with the sizes of five lists. The zones have memory up to
  /// the highest one.
  bool find_lists() {
    if (lab_.nodes == 0 || lab_.zones == 0 || lab_.zones * lru_lists > cgctl_lists) return false;
    constexpr std::size_t after_usage = 2 * word_bytes;
    if (!copy(places_[0], room_)) return false;
    return any_word(room_, at_.usage + after_usage, [&](uint32_t info, uint64_t /*word*/) {
      for (unsigned node = 0; node < lab_.nodes; ++node) {
        const uint64_t place = room_.word(info + word_bytes * node);
        // A node that is possible, but not there, has none.
        if (!is_object(place) && (node == 0 || place != 0)) return false;
      }
      return find_lists_at(info);
    });
  }
  bool find_lists_at(uint32_t info) {
    const std::size_t bytes = lab_.zones * lru_lists * word_bytes;
    if (!copy(room_.word(info), node_)) return false;
    for (std::size_t lists = 0; lists + bytes <= node_room; lists += word_bytes) {
      if (lab_.nodes == 1 && !may_be_lists(node_, lists)) continue;
      if (!in_all([&](std::size_t i) { return are_lists(i, info, lists); })) continue;
      at_.nodeinfo = info;
      at_.lists = static_cast<uint32_t>(lists);
      at_.lists_bytes = static_cast<uint32_t>(bytes);
      layout_.zones = lab_.zones;
      return true;
    }
    return false;
  }

  static constexpr std::size_t node_room = 2560;
  using Node = Copy<node_room>;

  bool may_be_lists(const Node& node, std::size_t lists) const {
    std::array<uint64_t, lru_lists> sums{};
    return add_lists(node, lists, sums) && sums[4] == locked(0);
  }
  /// Adds the sizes of a node's lists. Returns false if a zone without memory has pages.
  bool add_lists(const Node& node, std::size_t lists, std::array<uint64_t, lru_lists>& sums) const {
    for (std::size_t i = 0; i < lab_.zones * lru_lists; ++i) {
      const uint64_t pages = node.word(lists + i * word_bytes);
      if (pages != 0 && i / lru_lists > lab_.highest) return false;
      sums[i % lru_lists] += pages;
    }
    return true;
  }
  bool are_lists(std::size_t group, uint32_t info, std::size_t lists) {
    constexpr uint64_t held_back = 64;  // new pages on per-CPU lists
    constexpr uint64_t of_the_process = 600;
    std::array<uint64_t, lru_lists> sums{};
    for (unsigned i = 0; i < lab_.nodes; ++i) {
      const uint64_t place = peek_.word(places_[group] + info + word_bytes * i);
      if (place == 0) continue;
      if (!is_object(place) || !copy(place, node_) || !add_lists(node_, lists, sums)) return false;
    }
    uint64_t expected = shared(group);
    for (std::size_t round = 0; round < 3; ++round) expected += anonymous(group, round);
    const uint64_t found = sums[0] + sums[1];
    return sums[4] == locked(group) && found + held_back >= expected &&
           found <= expected + of_the_process;
  }

  /// The counters begin with the sizes of the five lists, in all kernels. They are in the
  /// mem_cgroup itself or, since Linux 5.20, where a pointer leads to.
  bool find_counters() {
    if (!copy(places_[0], room_)) return false;
    const std::array<Stat, groups> stats{
        Stat(lab_, lab_.directories[0]), Stat(lab_, lab_.directories[1]),
        Stat(lab_, lab_.directories[2]), Stat(lab_, lab_.directories[3])};
    const Stat all(lab_, lab_.base);
    return any_word(room_, at_.usage, [&](uint32_t at, uint64_t word) {
      at_.vmstats = at;
      at_.state = 0;
      at_.vmstats_is_pointer = is_object(word) ? 1 : 0;
      if (!is_counters(places_[0], stats[0])) return false;
      return is_counters(base_place_, all) &&
             in_all([&](std::size_t i) { return is_counters(places_[i], stats[i]); }) &&
             find_slots(stats);
    });
  }
  bool copy_counters(uint64_t group) {
    uint64_t place = group + at_.vmstats;
    if (at_.vmstats_is_pointer != 0) place = peek_.word(place);
    return is_object(place) && copy(place, counters_);
  }
  bool is_counters(uint64_t group, const Stat& stat) {
    if (at_.vmstats_is_pointer == 0 && group == places_[0] &&
        room_.word(at_.vmstats) != stat.lists[0]) {
      return false;
    }
    if (!copy_counters(group)) return false;
    for (std::size_t i = 0; i < lru_lists; ++i) {
      if (counters_.word(i * word_bytes) != stat.lists[i]) return false;
    }
    return true;
  }

  void set_slot(Counter counter, std::size_t index, bool bytes = false) {
    layout_.slots[static_cast<std::size_t>(counter)] = {index, bytes};
  }
  /// The counter of mapped pages is followed by those of page cache, of dirty pages and of pages
  /// under writeback, and by that of tmpfs; before Linux 6.10 there is one more in between.
  bool find_slots(const std::array<Stat, groups>& stats) {
    for (std::size_t mapped = lru_lists; mapped < most_slots; ++mapped) {
      for (const std::size_t shmem : {mapped + 4, mapped + 5}) {
        if (!in_all([&](std::size_t i) { return has_slots(i, stats[i], mapped, shmem); })) continue;
        set_slots(mapped, shmem);
        return true;
      }
    }
    return false;
  }
  bool has_slots(std::size_t group, const Stat& stat, std::size_t mapped, std::size_t shmem) {
    return copy_counters(places_[group]) && stat.mapped != 0 &&
           counters_.word(mapped * word_bytes) == stat.mapped &&
           counters_.word(shmem * word_bytes) == stat.shmem;
  }
  void set_slots(std::size_t mapped, std::size_t shmem) {
    for (std::size_t i = 0; i < lru_lists; ++i) {
      set_slot(static_cast<Counter>(static_cast<std::size_t>(Counter::inactive_anon) + i), i);
    }
    set_slot(Counter::mapped, mapped);
    set_slot(Counter::dirty, mapped + 2);
    set_slot(Counter::writeback, mapped + 3);
    set_slot(Counter::shmem, shmem);
    at_.state_bytes = static_cast<uint32_t>((shmem + 1) * word_bytes);
    // Not known for Linux 5.13 to 5.19, which are treated as older ones.
    layout_.coarse_counters = at_.vmstats_is_pointer == 0;
    // Slab objects hold a cgroup while they are counted in pages: before Linux 5.9.
    layout_.slab_holds = slab_in_pages();
    set_slot(Counter::slab_reclaimable, lru_lists, !layout_.slab_holds);
    set_slot(Counter::slab_unreclaimable, lru_lists + 1, !layout_.slab_holds);
  }
  bool slab_in_pages() {
    if (lab_.version == Version::v1) {
      return enter_group(lab_.directories[0]) &&
             Text(lab_.directories[0], "memory.kmem.slabinfo").size != 0 && enter_group(lab_.root);
    }
    const Text file(lab_.base, "memory.stat");
    const uint64_t bytes = parse::value_of(file.text(), "slab_unreclaimable").value_or(0);
    return bytes != 0 && copy_counters(base_place_) &&
           counters_.word((lru_lists + 1) * word_bytes) * page_size() == bytes;
  }

  /// Removes the last group, which has pages: its flags change, and its references are counted.
  bool find_removed() {
    constexpr unsigned tries = 200;
    constexpr unsigned pause = 10000;  // microseconds
    const Css before = css_.back();
    if (sys::remove_directory_at(lab_.base, Laboratory::names.back()) < 0) return false;
    for (unsigned i = 0; i < tries; ++i, ::usleep(pause)) {
      if (!copy(places_.back(), css_.back())) return false;
      if (find_flags(before) && find_references()) return true;
    }
    return false;
  }
  bool find_flags(const Css& before) {
    constexpr uint32_t online = 2;  // CSS_ONLINE, CSS_DYING of include/linux/cgroup-defs.h
    constexpr uint32_t dying = 16;
    constexpr uint32_t no_others = 64;
    for (uint32_t at = 2 * word_bytes; at + sizeof(uint32_t) <= css_room; at += sizeof(uint32_t)) {
      const uint32_t was = before.half(at);
      const uint32_t is = css_.back().half(at);
      const bool removed = (was & online) != 0 && (is & online) == 0 && (is & dying) != 0;
      if (!removed || (was | is) >= no_others || css_[0].half(at) != was) continue;
      at_.css_flags = at;
      return true;
    }
    return false;
  }

  /// Each page refers to its cgroup. The count is in the css or, since Linux 5.11, the first word
  /// where a pointer leads to.
  bool find_references() {
    constexpr uint64_t others = 2000;
    uint64_t pages = shared(groups - 1) + locked(groups - 1);
    for (std::size_t round = 0; round < 3; ++round) pages += anonymous(groups - 1, round);
    const auto counts = [&](uint64_t count) { return count >= pages && count < pages + others; };
    return any_word(css_.back(), 2 * word_bytes,
                    [&](uint32_t at, uint64_t word) {
                      if (at >= at_.css_sibling) return true;  // not found
                      const bool pointer = is_object(word);
                      if (!counts(pointer ? peek_.word(word) : word)) return false;
                      at_.css_reference_data = pointer ? at : nowhere;
                      at_.reference_count = pointer ? 0 : at;
                      return true;
                    }) &&
           at_.reference_count != nowhere;
  }

  static constexpr std::size_t most_slots = cgctl_states - 6;

  Peek& peek_;
  const Laboratory& lab_;
  Layout& layout_;
  cgctl_layout& at_;
  uint64_t task_ = 0;
  std::array<uint64_t, groups> places_{};
  uint64_t root_place_ = 0;
  uint64_t base_place_ = 0;
  std::array<Css, groups> css_;
  Css root_;
  Css base_;
  Whole room_;
  Node node_;
  Copy<512> counters_;
};

}  // namespace

const char* find_by_experiment(Peek& peek, const Laboratory& laboratory, Layout& layout) {
  return Experiments(peek, laboratory, layout).run();
}

}  // namespace cgctl::kernel
