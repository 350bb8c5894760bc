// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/pages.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "kernel/pages_code.hpp"

namespace cgctl::kernel {
namespace {

using PageClock = std::chrono::steady_clock;

constexpr Code pages_program{pages_code, std::size(pages_code), sizeof(cgctl_pages)};

}  // namespace

Result<PageProgram> PageProgram::load() {
  auto code = LoadedProgram::load(pages_program, Way::on_demand);
  if (!code) return fail(code.error());
  PageProgram program(std::move(*code));
  // Only a run shows whether the kernel runs programs on demand.
  if (!program.run(cgctl_look_words, 0)) return fail(*program.failure_);
  return program;
}

void PageProgram::reset() noexcept {
  failure_.reset();
  runs_ = 0;
  longest_run_ = {};
}

bool PageProgram::run(cgctl_look look, std::size_t count) {
  constexpr std::chrono::microseconds long_run(60);
  constexpr std::size_t most_parts = 32;
  if (failure_) return false;
  shared().look = look;
  shared().count = static_cast<unsigned>(count);
  const auto start = PageClock::now();
  if (auto status = code_.run(); !status) {
    failure_ = status.error();
    return false;
  }
  const auto took = PageClock::now() - start;
  ++runs_;
  longest_run_ = std::max<std::chrono::nanoseconds>(longest_run_, took);
  if (took > long_run) {
    part_ = std::min(part_ * 2, most_parts);
  } else if (part_ > 1) {
    --part_;
  }
  return true;
}

Words PageProgram::words(const Words& structures, std::uint32_t offset) {
  Words out(structures.size());
  for (std::size_t done = 0; done < out.size();) {
    const std::size_t count = std::min(out.size() - done, cgctl_words / part_);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t base = structures[done + i];
      shared().at[i] = base == 0 ? 0 : base + offset;
    }
    if (!run(cgctl_look_words, count)) break;
    std::memcpy(&out[done], shared().at, count * sizeof out[done]);
    done += count;
  }
  return out;
}

std::vector<std::string> PageProgram::texts(const Words& addresses) {
  std::vector<std::string> out(addresses.size());
  for (std::size_t done = 0; done < out.size();) {
    const std::size_t count = std::min(out.size() - done, cgctl_texts / part_);
    std::memcpy(shared().at, &addresses[done], count * sizeof addresses[done]);
    if (!run(cgctl_look_texts, count)) break;
    for (std::size_t i = 0; i < count; ++i) {
      const char* const text = shared().texts[i];
      out[done + i].assign(text, ::strnlen(text, cgctl_text_bytes));
    }
    done += count;
  }
  return out;
}

PageProgram::Followed PageProgram::follow(List& list) {
  cgctl_pages& with = shared();
  with.list = list.head;
  with.next = list.next;
  with.cgroup = list.cgroup;
  with.link = list.link;
  with.owner = list.owner;
  if (!run(cgctl_look_folios, cgctl_folios / part_)) return {0, true};
  list.next = with.next;
  return {std::min<std::size_t>(with.count, cgctl_folios), with.lost != 0};
}

}  // namespace cgctl::kernel
