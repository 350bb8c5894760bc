// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/mitigation.hpp"
#include "real_eviction.hpp"

namespace evict_test {

const Left* left_for(const std::vector<Left>& all, Obstacle why) {
  const auto found =
      std::find_if(all.begin(), all.end(), [why](const Left& one) { return one.why == why; });
  return found == all.end() ? nullptr : &*found;
}

TEST_F(RealEviction, TakesThePagesOfRemovedCgroupsAndLeavesThoseOfTheLiving) {
  constexpr unsigned number = 300;
  read_inode_tables(*files_, number);
  const UniqueFd shared = new_file(file("shared"));
  ASSERT_EQ(::ftruncate(shared.get(), static_cast<off_t>(number * page_size())), 0);
  const std::uint64_t others = settled();
  in_cgroup(
      "live",
      [&] {
        int error = 0;
        for (std::size_t i = 1; i < number; i += 2) error |= write_pages(shared.get(), i, 1, false);
        return error | ::fdatasync(shared.get());
      },
      true);
  for (unsigned i = 0; i < number; i += 2) {
    // Half of the pages are dirty.
    in_cgroup(std::to_string(i), [&] {
      const UniqueFd own = new_file(file(std::to_string(i)));
      return write_pages(shared.get(), i, 1, i % 4 == 0) | write_pages(own.get(), 0, 2, false);
    });
  }
  ASSERT_GT(settled(), others + number / 2 * 9 / 10);
  const std::vector<Left> left = evict();
  std::string living;
  for (unsigned i = 0; i < number; i += 2) living += ".x";
  EXPECT_EQ(cached(shared.get(), number), living);
  if (!inodes_hold()) {
    EXPECT_LE(falls_to(others + number / 2 / 10), others + number / 2 / 10);
  }
  for (unsigned i = 0; i < number; i += 2) {
    const UniqueFd own(::open(file(std::to_string(i)).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(cached(own.get(), 2), "..");
    std::string content(2 * page_size(), 0);
    ASSERT_EQ(::pread(own.get(), content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    EXPECT_EQ(content, std::string(content.size(), 'a'));
    char byte = 0;
    ASSERT_EQ(::pread(shared.get(), &byte, 1, static_cast<off_t>(i * page_size())), 1);
    EXPECT_EQ(byte, 'a' + static_cast<char>(i % 26));
  }
}

TEST_F(RealEviction, SaysWhatItLeavesAndWhy) {
  const auto memory = folder(Pin::tmpfs);
  if (!memory) return test::skip("no tmpfs");
  const UniqueFd mapped = new_file(file("mapped"));
  const UniqueFd in_memory = new_file(*memory / "in-memory");
  const UniqueFd deleted = new_file(file("deleted"));
  in_cgroup("a", [&] { return write_pages(mapped.get(), 0, 1); });
  in_cgroup("b", [&] { return write_pages(in_memory.get(), 0, 1); });
  in_cgroup("c", [&] { return write_pages(deleted.get(), 0, 1); });
  std::filesystem::remove(file("deleted"));
  make(top_ + "/home");
  const test::Tenant one(directory(top_ + "/home"), [&] { return map_and_read(mapped.get(), 1); });
  const test::Tenant another(directory(top_ + "/home"),
                             [&] { return map_and_read(mapped.get(), 1); });
  const std::vector<Left> left = evict();
  const Left* const by_mapping = left_for(left, Obstacle::mapped);
  ASSERT_NE(by_mapping, nullptr);
  EXPECT_GE(by_mapping->zombies, 1);
  EXPECT_NE(by_mapping->remedy.find("is mapped by"), std::string::npos) << by_mapping->remedy;
  const Left* const by_tmpfs = left_for(left, Obstacle::memory_file);
  ASSERT_NE(by_tmpfs, nullptr);
  EXPECT_GE(by_tmpfs->pages, 1);
  EXPECT_EQ(cached(mapped.get(), 1), "x");
  EXPECT_EQ(cached(deleted.get(), 1), ".") << "a process has it open";
}

TEST_F(RealEviction, TakesPagesThatOneProcessMaps) {
  const UniqueFd mapped = new_file(file("mapped"));
  in_cgroup("a", [&] { return write_pages(mapped.get(), 1, 2); });
  ASSERT_EQ(write_pages(mapped.get(), 0, 1), 0);
  ASSERT_EQ(write_pages(mapped.get(), 3, 1), 0);
  make(top_ + "/home");
  const test::Tenant tenant(directory(top_ + "/home"),
                            [&] { return map_and_read(mapped.get(), 4); });
  ASSERT_EQ(cached(mapped.get(), 4), "xxxx");
  const std::vector<Left> left = evict();
  EXPECT_EQ(cached(mapped.get(), 4), "x..x") << "pages of the living are left";
  EXPECT_EQ(find().files.size(), 0U);
  for (const Left& one : left) EXPECT_EQ(one.remedy.find(file("mapped")), std::string::npos);
}

TEST_F(RealEviction, LeavesMappedPagesThatTheConfigurationProtects) {
  const UniqueFd mapped = pinning_file(file("mapped"), 2);
  make(top_ + "/home");
  const test::Tenant tenant(directory(top_ + "/home"),
                            [&] { return map_and_read(mapped.get(), 2); });
  Policy policy;
  policy.evict_mapped = false;
  const std::vector<Left> left = evict(policy);
  EXPECT_NE(left_for(left, Obstacle::mapped), nullptr);
  EXPECT_EQ(cached(mapped.get(), 2), "xx");
}

TEST_F(RealEviction, LeavesMappedPagesThatAreLocked) {
  const UniqueFd other = pinning_file(file("other"), 1);  // without any, evict refuses
  const UniqueFd mapped = pinning_file(file("mapped"), 2);
  make(top_ + "/home");
  const test::Tenant tenant(directory(top_ + "/home"),
                            [&] { return map_and_read(mapped.get(), 2, MAP_LOCKED); });
  (void)evict();
  EXPECT_EQ(cached(mapped.get(), 2), "xx");
}

/// Sends a file's descriptor through a pair of sockets, so that no process has the file open until
/// it is received.
class InFlight {
 public:
  explicit InFlight(UniqueFd file) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_), 0);
    char byte = 'x';
    ::iovec part{&byte, 1};
    alignas(::cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    ::msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ::cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = file.get();
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    EXPECT_EQ(::sendmsg(ends_[0], &message, 0), 1);
  }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  ~InFlight() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }

 private:
  int ends_[2] = {-1, -1};
};

TEST_F(RealEviction, LeavesDeletedFilesThatNoProcessIsKnownToHave) {
  const UniqueFd other = pinning_file(file("other"), 1);  // without any, evict refuses
  UniqueFd deleted = pinning_file(file("deleted"), 2);
  std::filesystem::remove(file("deleted"));
  const InFlight sent(std::move(deleted));
  const std::vector<Left> left = evict();
  const Left* const found = left_for(left, Obstacle::deleted);
  ASSERT_NE(found, nullptr);
  EXPECT_GE(found->zombies, 1);
  EXPECT_GE(found->pages, 2);
  EXPECT_NE(found->remedy.find(" is deleted, but still open or mapped"), std::string::npos)
      << found->remedy;
}

TEST_F(RealEviction, LeavesFilesThatNoMountShows) {
  const std::string refused = test::cannot_mount();
  if (!refused.empty()) return test::skip(refused);
  const UniqueFd hidden = pinning_file(file("hidden"), 2);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              // This process stands for the first one, and tmpfs covers the files of both.
              const std::string self = "/proc/" + std::to_string(::getpid());
              if (::mount(self.c_str(), "/proc/1", nullptr, MS_BIND, nullptr) != 0) {
                return "no first process";
              }
              const std::string over = files_->path();
              if (::mount("none", over.c_str(), "tmpfs", 0, nullptr) != 0) return "no mount";
              std::vector<Left> left;
              (void)detail::evict(host(), {}, {60s, -1, "", {}}, left);
              const Left* const found = left_for(left, Obstacle::unreachable);
              if (found == nullptr) return "the reason is missing";
              if (found->zombies == 0 || found->pages < 2) return "the zombie is missing";
              const bool told = found->remedy.find("in no mount") != std::string::npos;
              return told ? "" : found->remedy;
            }),
            "");
  EXPECT_EQ(cached(hidden.get(), 2), "xx");
}

TEST_F(RealEviction, LeavesPagesThatCannotBeWrittenBackForTheNextAction) {
  const UniqueFd kept = pinning_file(file("kept"), 2);
  EXPECT_EQ(test::in_child([&]() -> std::string {
              test::refuse_call(SYS_sync_file_range, EIO);
              std::vector<Left> left;
              const auto took = detail::evict(host(), {}, {60s, -1, "", {}}, left);
              if (!took) return took.error().message();
              const Left* const found = left_for(left, Obstacle::busy);
              if (found == nullptr) return "the reason is missing";
              if (found->zombies == 0 || found->pages < 2) return "the zombie is missing";
              const bool told = found->remedy.find("the next action tries") != std::string::npos;
              return told ? "" : found->remedy;
            }),
            "");
  EXPECT_EQ(cached(kept.get(), 2), "xx");
}

TEST_F(RealEviction, LeavesMemoryOfProcessesThatLeftTheCgroup) {
  const UniqueFd other = pinning_file(file("other"), 1);  // without any, evict refuses
  make(top_ + "/left");
  make(top_ + "/home");
  const test::Tenant tenant(directory(top_ + "/left"), [&] {
    void* const memory = ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? errno : test::enter(directory(top_ + "/home"));
  });
  remove(top_ + "/left");
  const std::vector<Left> left = evict();
  const Left* const found = left_for(left, Obstacle::process_memory);
  ASSERT_NE(found, nullptr);
  EXPECT_GE(found->zombies, 1);
  EXPECT_EQ(found->files, 0);
  EXPECT_NE(found->remedy.find("restart the processes that left the cgroup"), std::string::npos)
      << found->remedy;
}

TEST_F(RealEviction, ReachesFilesInTheMountsOfTheFirstProcess) {
  const std::string refused = test::cannot_mount();
  if (!refused.empty()) return test::skip(refused);
  const UniqueFd hidden = pinning_file(file("hidden"), 1);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              // This process has other mounts than the first one, as a service may have; the
              // test's own process stands for the first one, which may be out of reach.
              const std::string first = "/proc/" + std::to_string(::getppid());
              if (::mount(first.c_str(), "/proc/1", nullptr, MS_BIND, nullptr) != 0) {
                return "no first process";
              }
              const std::string over = files_->path();
              if (::mount("none", over.c_str(), "tmpfs", 0, nullptr) != 0) return "no mount";
              std::vector<Left> left;
              const auto took = detail::evict(host(), {}, {60s, -1, "", {}}, left);
              return took ? "" : took.error().message();
            }),
            "");
  EXPECT_EQ(cached(hidden.get(), 1), ".");
}

/// Drops this machine's dentries and inodes, and with them the names of files that are not open.
TEST_F(RealEviction, ReachesFilesWhoseNamesWereDroppedWithSlab) {
  { const UniqueFd nameless = pinning_file(file("nameless"), 3); }
  ASSERT_TRUE(test::ok(mitigation::drop_caches(host(), mitigation::Rung::drop_slab, 60s)));
  const census::PinnedFiles found = find();
  const auto target = std::find_if(found.files.begin(), found.files.end(),
                                   [](const census::PinnedFile& one) { return !one.block_device; });
  // Old kernels drop the pages with the inode.
  if (target == found.files.end()) return;
  EXPECT_EQ(target->path, "");
  Eviction eviction(host(), found, 100, Eviction::Clock::now() + 1s);
  Evicted figures;
  EXPECT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
  EXPECT_EQ(figures.opened, 1);
  const UniqueFd again(::open(file("nameless").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(cached(again.get(), 3), "...");
}

TEST_F(RealEviction, DoesNotReportWhatItFreed) {
  if (inodes_hold()) return test::skip("inodes hold removed cgroups before Linux 5.14");
  constexpr unsigned number = 100;
  read_inode_tables(*files_, number);
  const auto unlisted = [](const std::vector<Left>& left) {
    const Left* const found = left_for(left, Obstacle::no_page);
    return found == nullptr ? 0 : found->zombies;
  };
  const UniqueFd first = pinning_file(file("first"), 1);  // without any, evict refuses
  const std::size_t others = unlisted(evict());
  for (unsigned i = 0; i < number; ++i) {
    in_cgroup("a",
              [&] { return write_pages(new_file(file(std::to_string(i))).get(), 0, 1, false); });
  }
  EXPECT_LT(unlisted(evict()), others + number / 5);
}

TEST_F(RealEviction, LeavesFilesBeyondTheLimit) {
  for (const char* const name : {"a", "b", "c"}) {
    in_cgroup(name, [&] { return write_pages(new_file(file(name)).get(), 0, 1); });
  }
  const census::PinnedFiles found = find();
  Eviction some(host(), found, 1, Eviction::Clock::now() + 1s);
  EXPECT_TRUE(some.cut());
  Evicted figures;
  EXPECT_EQ(some.run(Eviction::Clock::now() + 10s, figures), 0);
  EXPECT_EQ(figures.opened, 1);
  Eviction late(host(), found, 100, Eviction::Clock::now() + 1s);
  EXPECT_EQ(late.run(Eviction::Clock::now(), figures), 0);
  EXPECT_TRUE(figures.stopped);
  Policy policy;
  policy.evict_files = 1;
  const std::vector<Left> left = evict(policy);
  const Left* const beyond = left_for(left, Obstacle::limit);
  ASSERT_NE(beyond, nullptr);
  EXPECT_GE(beyond->zombies, 1) << "one file of two that were left";
}

TEST_F(RealEviction, KeepsPagesThatTheDiskFailedToWrite) {
  UniqueFd kept = new_file(file("kept"));
  in_cgroup("a", [&] { return write_pages(kept.get(), 0, 2, false); });
  const census::PinnedFiles found = find();
  Eviction eviction(host(), found, 100, Eviction::Clock::now() + 1s);
  EXPECT_EQ(test::in_child([&]() -> std::string {
              test::refuse_call(SYS_sync_file_range, EIO);
              Evicted figures;
              const int error = eviction.run(Eviction::Clock::time_point::max(), figures);
              return error == 0 ? "" : std::to_string(error);
            }),
            "");
  EXPECT_EQ(cached(kept.get(), 2), "xx");
}

TEST_F(RealEviction, TakesFilesThatCannotBeWrittenTo) {
  const std::string refused = test::cannot_mount();
  if (!refused.empty()) return test::skip(refused);
  const UniqueFd pinning = pinning_file(file("read-only"), 2);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              const std::string folder = files_->path();
              constexpr unsigned long read_only = MS_REMOUNT | MS_BIND | MS_RDONLY;
              if (::mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
                  ::mount(nullptr, folder.c_str(), nullptr, read_only, nullptr) != 0) {
                return "no mount";
              }
              std::vector<Left> left;
              const auto took = detail::evict(host(), {}, {60s, -1, "", {}}, left);
              return took ? "" : took.error().message();
            }),
            "");
  EXPECT_EQ(cached(pinning.get(), 2), "..");
}

TEST_F(RealEviction, IsNotFooledByAFileThatGotTheInodeNumber) {
  const std::string target = file("target");
  const UniqueFd found_file = pinning_file(target, 1);
  census::PinnedFiles found = find();
  // As if the number had been given to another file since.
  for (census::PinnedFile& one : found.files) ++one.generation;
  Eviction eviction(host(), found, 100, Eviction::Clock::now() + 1s);
  Evicted figures;
  EXPECT_EQ(eviction.run(Eviction::Clock::time_point::max(), figures), 0);
  EXPECT_EQ(figures.opened, 0);
  EXPECT_EQ(cached(found_file.get(), 1), "x");
}

}  // namespace evict_test
