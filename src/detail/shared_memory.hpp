// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <new>
#include <type_traits>

namespace cgctl::detail {

/// Holds a T in memory that children of this process share, so that an isolated child can hand
/// figures to its parent. What a child wrote stays if it is killed.
template <class T>
class SharedMemory {
  static_assert(std::is_trivially_destructible_v<T>, "two processes hold it");

 public:
  SharedMemory()
      : memory_(
            ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ != MAP_FAILED) new (memory_) T{};
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() {
    if (memory_ != MAP_FAILED) ::munmap(memory_, sizeof(T));
  }

  /// Returns the T; null if the kernel gave no memory (errno).
  [[nodiscard]] T* get() const noexcept {
    return memory_ == MAP_FAILED ? nullptr : static_cast<T*>(memory_);
  }

 private:
  void* memory_;
};

}  // namespace cgctl::detail
