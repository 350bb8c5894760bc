// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// Scanners for kernel text that look at sixteen bytes at a time, with the instructions that every
/// x86_64 CPU has (SSE2). They read some bytes before or after the text.
namespace cgctl::detail {

inline __m128i sixteen_bytes(const char* at) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

/// Returns the bit of each byte that is not 0.
inline std::uint32_t bits_of(__m128i bytes) noexcept {
  return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
}

inline std::uint32_t where_equal(const char* at, char wanted) noexcept {
  return bits_of(_mm_cmpeq_epi8(sixteen_bytes(at), _mm_set1_epi8(wanted)));
}

/// Gives the positions of all ' ' and '\n' from a start on, one after the other; also those of
/// other control characters and of bytes above 127, which one comparison does not tell apart. Reads
/// up to 63 bytes after the last one that it gives.
class FieldEnds {
 public:
  explicit FieldEnds(const char* start) noexcept : block_(start), left_(ends_in(start)) {}

  /// The caller guarantees that there is another one.
  const char* next() noexcept {
    while (left_ == 0) {
      block_ += block_size;
      left_ = ends_in(block_);
    }
    const char* const at = block_ + __builtin_ctzll(left_);
    left_ &= left_ - 1;
    return at;
  }

 private:
  static constexpr std::size_t block_size = 64;

  /// Returns the bits of the ends among sixteen bytes, moved by `at`.
  static std::uint64_t ends_at(const char* block, unsigned at) noexcept {
    const __m128i ends = _mm_cmpgt_epi8(_mm_set1_epi8(' ' + 1), sixteen_bytes(block + at));
    return std::uint64_t{bits_of(ends)} << at;
  }
  static std::uint64_t ends_in(const char* block) noexcept {
    return ends_at(block, 0) | ends_at(block, 16) | ends_at(block, 32) | ends_at(block, 48);
  }

  const char* block_;
  std::uint64_t left_;
};

/// Reads numbers of at most sixteen decimal digits, and remembers whether all were numbers.
class Digits {
 public:
  static constexpr std::size_t most = 16;

  /// Returns the value of the `size` digits before `end`, 1 to `most`. The sixteen bytes before
  /// `end` must be readable.
  std::uint64_t value(const char* end, std::size_t size) noexcept {
    constexpr int ten = 10;
    constexpr int ten_and_one = ten << 8 | 1;  // the first digit is in the lower byte
    constexpr int hundred = 100;
    constexpr int ten_thousand = 10'000;
    constexpr std::uint64_t hundred_million = 100'000'000;
    constexpr int half = 16;
    const __m128i window = sixteen_bytes(ones_at_the_end.data() + size);
    const __m128i digits =
        _mm_and_si128(_mm_xor_si128(sixteen_bytes(end - most), _mm_set1_epi8('0')), window);
    others_ = _mm_or_si128(others_, _mm_subs_epu8(digits, _mm_set1_epi8(ten - 1)));
    const __m128i twos = _mm_srli_epi16(_mm_mullo_epi16(digits, _mm_set1_epi16(ten_and_one)), 8);
    const __m128i fours = _mm_madd_epi16(twos, _mm_set1_epi32(hundred | 1 << half));
    const __m128i eights =
        _mm_madd_epi16(_mm_packs_epi32(fours, fours), _mm_set1_epi32(ten_thousand | 1 << half));
    const auto both = static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights));
    return (both & 0xffffffff) * hundred_million + (both >> 32);
  }

  /// True if all bytes that value() was given were digits.
  [[nodiscard]] bool all_good() const noexcept {
    return bits_of(_mm_cmpeq_epi8(others_, _mm_setzero_si128())) == 0xffff;
  }

 private:
  static constexpr std::array<char, 2 * most> ones_at_the_end = [] {
    std::array<char, 2 * most> all{};
    for (std::size_t i = most; i < all.size(); ++i) all[i] = '\xff';
    return all;
  }();

  __m128i others_ = _mm_setzero_si128();
};

/// A word that a line may begin with, of at most 31 bytes.
class Start {
 public:
  static constexpr std::size_t most = 31;

  constexpr Start() = default;
  constexpr explicit Start(std::string_view word) : mask_((std::uint32_t{1} << word.size()) - 1) {
    for (std::size_t i = 0; i < word.size(); ++i) text_[i] = word[i];
  }

  /// True if the text begins with the word; reads 32 bytes.
  [[nodiscard]] bool is_at(const char* text) const noexcept {
    const auto same = [&](std::size_t at) {
      return bits_of(_mm_cmpeq_epi8(sixteen_bytes(text + at), sixteen_bytes(text_.data() + at)));
    };
    return ((same(0) | same(sizeof(__m128i)) << 16) & mask_) == mask_;
  }

 private:
  std::array<char, most + 1> text_{};
  std::uint32_t mask_ = 0;
};

}  // namespace cgctl::detail
