// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/btf.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../support/result.hpp"

namespace btf_test {

using namespace cgctl;
using kernel::Btf;

/// Writes type information as a compiler does.
class Writer {
 public:
  void type(std::string_view name, std::uint32_t kind, std::uint32_t members,
            std::uint32_t size_or_type) {
    word(types_, string(name));
    word(types_, kind << 24 | members);
    word(types_, size_or_type);
  }
  void member(std::string_view name, std::uint32_t type, std::uint32_t bits) {
    word(types_, string(name));
    word(types_, type);
    word(types_, bits);
  }
  void array(std::uint32_t of, std::uint32_t elements) {
    type("", 3, 0, 0);
    word(types_, of);
    word(types_, 1);
    word(types_, elements);
  }
  void enumerator(std::string_view name, std::uint32_t value) {
    word(types_, string(name));
    word(types_, value);
  }
  void integer(std::string_view name, std::uint32_t bytes) {
    type(name, 1, 0, bytes);
    word(types_, bytes * 8);
  }

  [[nodiscard]] std::string text() const {
    std::string out;
    word(out, 0x1eb9f);
    word(out, 24);
    word(out, 0);
    word(out, static_cast<std::uint32_t>(types_.size()));
    word(out, static_cast<std::uint32_t>(types_.size()));
    word(out, static_cast<std::uint32_t>(strings_.size()));
    return out + types_ + strings_;
  }

 private:
  static void word(std::string& out, std::uint32_t value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  std::uint32_t string(std::string_view text) {
    if (text.empty()) return 0;
    const auto at = static_cast<std::uint32_t>(strings_.size());
    strings_.append(text).push_back('\0');
    return at;
  }

  std::string types_;
  std::string strings_ = std::string(1, '\0');
};

/// struct inner { int low; union { int *pointer; long many[3]; }; };
/// struct outer { int before; struct inner inside; alias last; };
std::string example() {
  Writer writer;
  writer.integer("int", 4);   // 1
  writer.integer("long", 8);  // 2
  writer.type("", 2, 0, 1);   // 3: int *
  writer.array(2, 3);         // 4: long[3]
  writer.type("", 5, 2, 24);  // 5: the union
  writer.member("pointer", 3, 0);
  writer.member("many", 4, 0);
  writer.type("inner", 4, 2, 32);  // 6
  writer.member("low", 1, 0);
  writer.member("", 5, 64);
  writer.type("alias", 8, 0, 6);   // 7: typedef struct inner alias
  writer.type("outer", 4, 3, 72);  // 8
  writer.member("before", 1, 0);
  writer.member("inside", 6, 64);
  writer.member("last", 7, 320);
  writer.type("numbers", 6, 2, 4);  // 9
  writer.enumerator("FIRST", 3);
  writer.enumerator("SECOND", 0xffffffff);
  return writer.text();
}

Btf parsed() { return test::must(Btf::parse(example())); }

TEST(Btf, HasTheOffsetAndSizeOfAMember) {
  const Btf btf = parsed();
  const auto before = btf.field("outer", "before");
  ASSERT_TRUE(before);
  EXPECT_EQ(before->offset, 0);
  EXPECT_EQ(before->size, 4);
  EXPECT_FALSE(before->pointer);
  EXPECT_EQ(btf.size("outer"), 72);
}

TEST(Btf, FindsMembersOfMembersAndOfAnonymousUnions) {
  const Btf btf = parsed();
  const auto many = btf.field("outer", "inside.many");
  ASSERT_TRUE(many);
  EXPECT_EQ(many->offset, 16);
  EXPECT_EQ(many->size, 24);
  const auto pointer = btf.field("outer", "last.pointer");
  ASSERT_TRUE(pointer);
  EXPECT_EQ(pointer->offset, 48);
  EXPECT_EQ(pointer->size, 8);
  EXPECT_TRUE(pointer->pointer);
}

TEST(Btf, HasNothingForNamesThatTheKernelLacks) {
  const Btf btf = parsed();
  EXPECT_FALSE(btf.field("outer", "absent"));
  EXPECT_FALSE(btf.field("outer", "inside.absent"));
  EXPECT_FALSE(btf.field("outer", "before.low"));
  EXPECT_FALSE(btf.field("absent", "before"));
  EXPECT_FALSE(btf.size("absent"));
  EXPECT_FALSE(btf.value("numbers", "THIRD"));
}

TEST(Btf, HasTheValuesOfEnumerators) {
  EXPECT_EQ(parsed().value("numbers", "FIRST"), 3);
  EXPECT_EQ(parsed().value("numbers", "SECOND"), -1);
}

TEST(Btf, TruncatedAnywhereIsMalformed) {
  const std::string whole = example();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto btf = Btf::parse(whole.substr(0, size));
    ASSERT_FALSE(btf) << size;
    EXPECT_EQ(btf.error().kind, errc::malformed);
  }
}

TEST(Btf, WithAnUnknownTypeIsMalformed) {
  Writer writer;
  writer.type("new", 20, 0, 0);
  EXPECT_FALSE(Btf::parse(writer.text()));
}

TEST(Btf, EndsSearchesInTypesThatContainThemselves) {
  Writer writer;
  writer.type("endless", 4, 2, 8);  // 1: two anonymous members of this very type
  writer.member("", 1, 0);
  writer.member("", 1, 0);
  writer.type("loop", 8, 0, 2);  // 2: an alias of itself
  writer.type("user", 4, 1, 8);
  writer.member("looped", 2, 0);
  const auto btf = Btf::parse(writer.text());
  ASSERT_TRUE(btf);
  EXPECT_FALSE(btf->field("endless", "absent"));
  EXPECT_TRUE(btf->field("user", "looped"));
  EXPECT_FALSE(btf->field("user", "looped.more"));
}

}  // namespace btf_test
