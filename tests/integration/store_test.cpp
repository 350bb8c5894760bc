// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "../support/child.hpp"
#include "../support/skip.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/mitigation.hpp"
#include "mitigation/history_text.hpp"

namespace store_test {

using namespace cgctl;
using namespace std::chrono_literals;
using mitigation::History;
using mitigation::Store;

class RealStore : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!host_) return test::skip(host_.error().message());
  }
  [[nodiscard]] Result<Store> open() const { return Store::open(*host_, directory_); }

  /// Returns a valid history whose last action lies in the future.
  [[nodiscard]] static std::string of_the_future() {
    std::string boot_id = test::file_text("/proc/sys/kernel/random/boot_id");
    boot_id.pop_back();
    History history;
    history.actions.assign(24, mitigation::uptime() + 1h);
    return detail::to_text(history, detail::moment(boot_id));
  }

  const test::TempDirectory temp_;
  const std::string directory_ = temp_ / "state";
  const std::string history_ = directory_ + "/history";
  const Result<Host> host_ = Host::detect();
};

TEST_F(RealStore, IsEmptyAtFirstAndPeekingMakesNothing) {
  const auto history = Store::peek(*host_, directory_);
  ASSERT_TRUE(history) << history.error().message();
  EXPECT_FALSE(history->last_action);
  EXPECT_EQ(history->ineffective, 0);
  EXPECT_FALSE(std::filesystem::exists(directory_));
}

TEST_F(RealStore, LoadsTheSavedHistory) {
  const auto store = open();
  ASSERT_TRUE(store) << store.error().message();
  for (const History& history :
       {History{mitigation::uptime(), 0}, History{0s, 4'000'000}, History{std::nullopt, 2}}) {
    const auto saved = store->save(history);
    ASSERT_TRUE(saved) << saved.error().message();
    for (const auto& back : {store->load(), Store::peek(*host_, directory_)}) {
      ASSERT_TRUE(back) << back.error().message();
      EXPECT_EQ(back->last_action, history.last_action);
      EXPECT_EQ(back->ineffective, history.ineffective);
    }
  }
  EXPECT_EQ(store->warning(), "");
}

TEST_F(RealStore, IsBusyForASecondInstance) {
  const auto first = open();
  ASSERT_TRUE(first);
  const auto same_process = open();
  ASSERT_FALSE(same_process);
  EXPECT_EQ(same_process.error().kind, errc::busy);
  EXPECT_EQ(test::in_child([&]() -> std::string {
              const auto second = open();
              if (second) return "it was opened";
              return second.error().kind == errc::busy ? "" : second.error().message();
            }),
            "");
}

TEST_F(RealStore, IsFreeAgainWhenTheFirstInstanceEndsHoweverItEnds) {
  { const auto first = open(); }
  EXPECT_TRUE(open());
  const std::string killed = test::in_child([&]() -> std::string {
    const auto first = open();
    ::raise(SIGKILL);
    return {};
  });
  ASSERT_NE(killed, "");
  EXPECT_TRUE(open());
}

TEST_F(RealStore, KeepsTheActionsOfAnotherBootAndForgetsWhatDependsOnItsKernel) {
  const auto store = open();
  ASSERT_TRUE(store);
  const auto then = mitigation::uptime();
  History history{then, 3};
  history.actions = {then - 1h, then};
  history.of(mitigation::Rung::drop_page_cache) = {then, 2, 5, 6, 7};
  test::put_file(history_, detail::to_text(history, detail::moment("another-boot")));
  const auto back = store->load();
  ASSERT_TRUE(back) << back.error().message();
  ASSERT_EQ(back->actions.size(), 2U);
  EXPECT_EQ(back->actions[1] - back->actions[0], 1h);
  EXPECT_NEAR(static_cast<double>((*back->last_action - then).count()), 0, 2);
  EXPECT_EQ(back->ineffective, 0);
  const auto& rung = back->of(mitigation::Rung::drop_page_cache);
  EXPECT_EQ(rung.useless, 0);
  EXPECT_EQ(rung.effective, 5);
  EXPECT_EQ(store->warning(), "") << "a reboot is nothing to warn about";
}

TEST_F(RealStore, SetsAsideAMalformedFileAndWarns) {
  const auto whole = [&] {
    const auto store = open();
    EXPECT_TRUE(store->save({1s, 3}));
    return test::file_text(history_);
  }();
  for (const std::string& corrupt :
       {std::string(), std::string("nonsense\n"), std::string(5000, '\0'),
        whole.substr(0, whole.size() / 2),
        "cgctl mitigation history 1\n" + whole.substr(whole.find('\n') + 1),
        std::string(std::size_t{300} << 10, '1'), of_the_future(),
        std::string(whole).replace(whole.find("ineffective 3"), 13, "ineffective 4")}) {
    test::put_file(history_, corrupt);
    const auto store = open();
    ASSERT_TRUE(store);
    const auto history = store->load();
    ASSERT_TRUE(history) << history.error().message();
    EXPECT_FALSE(history->last_action);
    EXPECT_NE(store->warning().find(history_), std::string::npos) << store->warning();
    EXPECT_FALSE(std::filesystem::exists(history_));
    EXPECT_EQ(test::file_text(history_ + ".corrupt"), corrupt);
    EXPECT_TRUE(store->save({1s, 0})) << "the store goes on";
  }
}

TEST_F(RealStore, SetsAsideWhatIsNotARegularFileAndWarns) {
  const auto make = [this](const std::string& what, const std::string& path) {
    if (what == "directory") return std::filesystem::create_directories(path + "/full");
    if (what == "FIFO") return ::mkfifo(path.c_str(), 0600) == 0;
    std::filesystem::create_symlink(what == "loop" ? path : std::string(temp_ / "victim"), path);
    return true;
  };
  test::put_file(temp_ / "victim", "precious");
  for (const char* const what : {"directory", "FIFO", "loop", "link"}) {
    const auto store = open();
    ASSERT_TRUE(store);
    ASSERT_TRUE(make(what, history_));
    EXPECT_FALSE(Store::peek(*host_, directory_)->last_action) << what;
    const auto history = store->load();
    ASSERT_TRUE(history) << history.error().message();
    EXPECT_FALSE(history->last_action);
    EXPECT_NE(store->warning().find(history_ + ".corrupt"), std::string::npos) << store->warning();
    EXPECT_TRUE(store->save({1s, 0})) << what;
    EXPECT_EQ(store->load()->last_action, 1s);
    std::filesystem::remove(history_);
  }
  EXPECT_EQ(test::file_text(temp_ / "victim"), "precious");
}

TEST_F(RealStore, GoesOnWhereDirectoriesAreInTheWay) {
  const auto store = open();
  ASSERT_TRUE(store);
  for (const char* const name : {".corrupt", ".new", ".new.corrupt"}) {
    ASSERT_TRUE(std::filesystem::create_directories(history_ + name + "/full"));
  }
  test::put_file(history_, "nonsense\n");
  ASSERT_TRUE(store->load());
  EXPECT_EQ(test::file_text(history_ + ".corrupt.1"), "nonsense\n");
  const auto saved = store->save({1s, 2});
  ASSERT_TRUE(saved) << saved.error().message();
  EXPECT_EQ(store->load()->ineffective, 2);
  EXPECT_TRUE(std::filesystem::is_directory(history_ + ".new.corrupt.1"));
}

TEST_F(RealStore, IsLockedByItsOwnerAlone) {
  if (!test::is_root()) return test::skip("giving privileges up needs root");
  ASSERT_EQ(::mkdir(directory_.c_str(), 0755), 0);
  test::put_file(directory_ + "/lock", "");
  ASSERT_EQ(::chmod((directory_ + "/lock").c_str(), 0644), 0);
  { ASSERT_TRUE(open()); }
  const std::string above = temp_ / ".";
  ASSERT_EQ(::chmod(above.c_str(), 0755), 0);
  EXPECT_EQ(test::in_child([&]() -> std::string {
              if (::setresuid(65534, 65534, 65534) != 0) return "setresuid failed";
              const int fd = ::open((directory_ + "/lock").c_str(), O_RDONLY);
              return fd < 0 && errno == EACCES ? "" : "anybody can hold the lock";
            }),
            "");
}

TEST_F(RealStore, PeekingIgnoresAMalformedFileAndLeavesIt) {
  test::put_file(history_, "nonsense\n");
  const auto history = Store::peek(*host_, directory_);
  ASSERT_TRUE(history) << history.error().message();
  EXPECT_FALSE(history->last_action);
  EXPECT_EQ(test::file_text(history_), "nonsense\n");
}

TEST_F(RealStore, KeepsTheOldHistoryWholeWhenTheDiskIsFull) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              // The file system has a page for the directory's files, which the history uses; the
              // filler uses the rest.
              if (::mkdir(directory_.c_str(), 0755) != 0) return "mkdir failed";
              if (::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=16k,mode=755") != 0)
                return "mount failed";
              const auto store = open();
              if (!store) return store.error().message();
              if (const auto saved = store->save({1s, 1}); !saved) return saved.error().message();
              const std::string before = test::file_text(history_);
              {
                std::ofstream filler(directory_ + "/filler");
                for (int i = 0; i < 100 && filler; ++i)
                  filler << std::string(4096, 'x') << std::flush;
              }
              const auto full = store->save({2s, 2});
              if (full) return "saved on a full disk";
              if (full.error().os_errno != ENOSPC) return full.error().message();
              if (full.error().hint.find("a state directory") == std::string::npos)
                return full.error().message();
              if (test::file_text(history_) != before) return "the old history is gone";
              if (std::filesystem::exists(history_ + ".new")) return "half a history stays";
              std::filesystem::remove(directory_ + "/filler");
              if (!store->save({2s, 2})) return "cannot save with room again";
              return store->load()->last_action == 2s ? "" : "the new history is not there";
            }),
            "");
}

TEST_F(RealStore, CreatesMissingParentDirectories) {
  const auto store = Store::open(*host_, temp_ / "above/between/state");
  ASSERT_TRUE(store) << store.error().message();
  EXPECT_TRUE(std::filesystem::is_directory(temp_ / "above/between/state"));
}

TEST_F(RealStore, NamesTheOptionWhereItCannotWrite) {
  const auto missing = Store::open(*host_, "/proc/no/such/parent");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().os_errno, ENOENT);
  EXPECT_NE(missing.error().hint.find("a state directory"), std::string::npos)
      << missing.error().message();

  test::put_file(temp_ / "file", "");
  const auto no_directory = Store::open(*host_, temp_ / "file");
  ASSERT_FALSE(no_directory);
  EXPECT_NE(no_directory.error().hint.find("a state directory"), std::string::npos);

  if (!test::is_root()) return;
  ASSERT_EQ(::mkdir(directory_.c_str(), 0755), 0);
  EXPECT_EQ(test::in_child([&]() -> std::string {
              if (::setresuid(65534, 65534, 65534) != 0) return "setresuid failed";
              const auto forbidden = open();
              if (forbidden) return "it was opened";
              if (forbidden.error().os_errno != EACCES) return forbidden.error().message();
              const bool named =
                  forbidden.error().hint.find("a state directory") != std::string::npos;
              return named ? "" : forbidden.error().message();
            }),
            "");
}

TEST_F(RealStore, DoesNotFollowASymbolicLink) {
  test::put_file(temp_ / "victim", "precious");
  ASSERT_EQ(::mkdir(directory_.c_str(), 0755), 0);
  std::filesystem::create_symlink(temp_ / "victim", history_ + ".new");
  const auto store = open();
  ASSERT_TRUE(store) << store.error().message();
  EXPECT_TRUE(store->save({1s, 1})) << "the link is replaced";
  EXPECT_EQ(test::file_text(temp_ / "victim"), "precious");
  EXPECT_FALSE(std::filesystem::is_symlink(history_));
}

}  // namespace store_test
