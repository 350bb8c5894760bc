// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/watch_words.hpp"

#include <fmt/format.h>

#include "cli/command.hpp"

namespace cgctl::tool::doctor_command {

std::string who(const Task& task) {
  if (task.pid == 0) return "a process of another PID namespace";
  std::string text =
      task.comm.empty() ? std::string("a process that has ended") : printable(task.comm.view());
  text += fmt::format(" (pid {}", task.pid);
  if (!task.cgroup.empty()) text += ", " + printable(task.cgroup.view());
  return text + ")";
}

std::string work(const Task& task) {
  const bool writes = task.call.view().find("write") != std::string_view::npos;
  const auto file = [&](const char* usual) {
    const std::string_view path = task.file.view();
    return (writes ? "writing " : "reading ") + (path.empty() ? usual : printable(path));
  };
  const auto function = [&](const char* what) {
    return fmt::format("{} ({})", what, task.function.view());
  };
  switch (task.cause) {
    case Cause::numa_stat:
      return file("memory.numa_stat");
    case Cause::memory_stat:
      return file("memory.stat");
    case Cause::cgroup_file:
      return file("a file of cgroupfs or sysfs");
    case Cause::drop_caches:
      return function("dropping caches");
    case Cause::slab_shrinker:
      return function("reclaiming slab memory");
    case Cause::flush:
      return function("summing up cgroup statistics");
    case Cause::memory_cgroup:
      return function("working on memory cgroups");
    case Cause::other:
      break;
  }
  const std::string in = task.function.empty() ? "" : fmt::format(" ({})", task.function.view());
  if (task.call.empty()) return "doing other work in the kernel" + in;
  return fmt::format("in the system call {}{}", task.call.view(), in);
}

}  // namespace cgctl::tool::doctor_command
