// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// usage: numa_stat_random RUNS SEED
//
// Gives the checks of numa_stat_fuzz.cpp RUNS random texts in the form of memory.numa_stat, most of
// them slightly damaged. Without measuring coverage this is 50 times as fast as libFuzzer. An input
// that fails is kept in the working directory, as numa_stat-SEED.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::string text;
std::string kept_as;

/// Writes the present input to a file; the default action of the signal then ends the program.
void keep(int signal) {
  const int file = ::open(kept_as.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const bool kept = file >= 0 && ::write(file, text.data(), text.size()) >= 0;
  const std::string_view said = kept ? "numa_stat_random: this input fails: "
                                     : "numa_stat_random: cannot keep the input that fails in ";
  for (const std::string_view part : {said, std::string_view(kept_as), std::string_view("\n")})
    (void)!::write(STDERR_FILENO, part.data(), part.size());
  (void)std::signal(signal, SIG_DFL);
  (void)std::raise(signal);
}

/// The generator xorshift64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15U | 1U) {}
  std::uint64_t next() noexcept {
    state_ ^= state_ << 13U;
    state_ ^= state_ >> 7U;
    state_ ^= state_ << 17U;
    return state_;
  }
  /// Returns a number below `end`.
  std::size_t below(std::size_t end) noexcept { return next() % end; }
  template <class T, std::size_t N>
  const T& one_of(const std::array<T, N>& all) noexcept {
    return all[below(N)];
  }
  /// Returns a number of 1 to 64 bits; each length is as likely as the others.
  std::uint64_t number() noexcept { return next() >> below(64); }

 private:
  std::uint64_t state_;
};

constexpr std::array<std::string_view, 8> names = {
    "total",
    "file",
    "anon",
    "unevictable",
    "hierarchical_total",
    "hierarchical_file",
    "hierarchical_anon",
    "hierarchical_unevictable",
};
constexpr std::array<std::string_view, 5> other_names = {"slab", "inactive_anon", "file_thp", "a",
                                                         "anon"};
constexpr std::array<std::string_view, 17> pieces = {" ",
                                                     "=",
                                                     "\n",
                                                     " N0=",
                                                     "N",
                                                     "0",
                                                     "9",
                                                     " N1=5",
                                                     "=7 N0=7",
                                                     "12345678",
                                                     "1234567890123456",
                                                     "99999999999999999999",
                                                     "total=",
                                                     "file",
                                                     "a",
                                                     "\x7f",
                                                     "\x80"};
constexpr std::string_view bytes = "0123456789 =\nN";

void add_row(Random& random, std::string_view name, bool v1, std::size_t nodes) {
  text += name;
  if (v1) text += '=' + std::to_string(random.number());
  const std::size_t step = nodes == 3 ? 517 : 1;
  for (std::size_t node = 0; node < nodes; ++node) {
    text += " N" + std::to_string(node * step) + '=' + std::to_string(random.number());
  }
  text += '\n';
}

/// Makes a text as the kernel would; v1's may have rows of a vendor.
void make(Random& random) {
  text.clear();
  const bool v1 = random.below(2) == 0;
  const std::size_t nodes = 1 + random.below(3);
  const std::size_t rows = v1 ? 4 + random.below(2) * 4 : 1 + random.below(5);
  for (std::size_t row = 0; row < rows; ++row) {
    add_row(random, v1 ? names.at(row) : random.one_of(other_names), v1, nodes);
    if (v1 && random.below(16) == 0) {
      add_row(random, random.one_of(other_names), v1, random.below(8) == 0 ? 1 : nodes);
    }
  }
}

void damage(Random& random) {
  const std::size_t at = random.below(text.size());
  switch (random.below(6)) {
    case 0:
      text[at] = static_cast<char>(random.next());
      break;
    case 1:
      text.erase(at, 1 + random.below(6));
      break;
    case 2:
      text.insert(at, random.one_of(pieces));
      break;
    case 3:
      text.replace(at, 1, random.one_of(pieces));
      break;
    case 4:
      text[at] = bytes[random.below(bytes.size())];
      break;
    default:
      if (random.below(4) == 0) text.resize(at);
      break;
  }
}

bool parse(std::string_view argument, std::uint64_t& out) {
  const auto read = std::from_chars(argument.begin(), argument.end(), out);
  return read.ec == std::errc() && read.ptr == argument.end();
}

}  // namespace

int main(int count, char** arguments) {
  std::uint64_t runs = 0;
  std::uint64_t seed = 0;
  if (count != 3 || !parse(arguments[1], runs) || !parse(arguments[2], seed)) {
    (void)std::fputs("usage: numa_stat_random RUNS SEED\n", stderr);
    return 2;
  }
  kept_as = "numa_stat-" + std::to_string(seed);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) (void)std::signal(signal, keep);
  Random random(seed);
  for (std::uint64_t run = 0; run < runs; ++run) {
    make(random);
    for (std::size_t left = random.below(4); left > 0 && !text.empty(); --left) damage(random);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  }
  (void)std::printf("%ju texts, no difference\n", static_cast<std::uintmax_t>(runs));
}
