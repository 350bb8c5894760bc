// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/cgroup_series.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cli/command.hpp"
#include "mitigate/metrics_writer.hpp"

namespace cgctl::tool {
namespace {

struct Series {
  std::string path;  ///< "/a/b"
  std::uint64_t memory;
  cpu::Stat cpu = {};
  std::string labels = {};
};

/// Reads files of cgroups, and keeps the first error of a file that exists.
class SeriesFiles {
 public:
  explicit SeriesFiles(const Host& host) : host_(host) {}

  /// Returns the hierarchy of a controller, null if there is none.
  const Hierarchy* hierarchy_of(const char* controller) {
    const auto found = host_.require(controller);
    if (found) return *found;
    if (found.error().kind != errc::unsupported) note(found.error());
    return nullptr;
  }
  std::optional<std::string> read(const char* controller, const std::string& path,
                                  const char* file) {
    const Hierarchy* const hierarchy = hierarchy_of(controller);
    if (hierarchy == nullptr) return std::nullopt;
    const std::string place = fs::join(path.substr(1), file);
    auto text = fs::read_beneath(hierarchy->directory.get(), place,
                                 fs::join(hierarchy->mount_point, place), hierarchy->open_flags);
    if (text) return std::move(*text);
    note(text.error());
    return std::nullopt;
  }
  std::optional<std::uint64_t> read_number(const char* controller, const std::string& path,
                                           const char* file) {
    const auto text = read(controller, path, file);
    return text ? parse::whole_number(*text) : std::nullopt;
  }
  void note(const Error& error) {
    const bool gone = error.os_errno == ENOENT || error.os_errno == ENODEV;
    if (!gone && !unread_) unread_ = error;
  }
  [[nodiscard]] const std::optional<Error>& unread() const noexcept { return unread_; }

 private:
  const Host& host_;
  std::optional<Error> unread_;
};

std::vector<Series> all_with_memory(const Hierarchy& memory, SeriesFiles& files) {
  std::vector<std::string> paths;
  const auto status = add_paths_below(memory.directory.get(), memory.mount_point, paths);
  if (!status) files.note(status.error());
  const char* const file =
      memory.version == Version::v1 ? "memory.usage_in_bytes" : "memory.current";
  std::vector<Series> all;
  for (std::string& path : paths) {
    const auto usage = files.read_number("memory", path, file);
    if (usage) all.push_back({std::move(path), *usage});
  }
  return all;
}

/// Keeps the cgroups that use most memory, in the order of their paths.
void keep_largest(std::vector<Series>& all, std::uint64_t most) {
  std::sort(all.begin(), all.end(), [](const Series& a, const Series& b) {
    return std::tie(b.memory, a.path) < std::tie(a.memory, b.path);
  });
  if (all.size() > most) all.erase(all.begin() + static_cast<std::ptrdiff_t>(most), all.end());
  std::sort(all.begin(), all.end(),
            [](const Series& a, const Series& b) { return a.path < b.path; });
}

void read_cpu(SeriesFiles& files, Series& one) {
  const Hierarchy* const cpu = files.hierarchy_of("cpu");
  const auto text = files.read("cpu", one.path, "cpu.stat");
  if (text) (void)cpu::parse(*text, cpu->version, one.cpu);
  const auto usage = files.read_number("cpuacct", one.path, "cpuacct.usage");
  if (usage) one.cpu.usage = std::chrono::nanoseconds(*usage);
}

void add_cpu_time(MetricsWriter& text, const std::vector<Series>& all, const char* name,
                  const char* help, std::optional<std::chrono::nanoseconds> cpu::Stat::*figure) {
  text.head(name, "counter", help);
  for (const Series& one : all) {
    if (one.cpu.*figure) text.value(one.labels, in_seconds(*(one.cpu.*figure)));
  }
}

std::string series_text(const std::vector<Series>& all, std::size_t left_out) {
  MetricsWriter text;
  text.gauge("cgctl_cgroups_without_series",
             "Cgroups that have no series because of the limit cgroup_series.", left_out);
  text.head("cgctl_cgroup_memory_usage_bytes", "gauge", "Memory charged to a cgroup.");
  for (const Series& one : all) text.value(one.labels, one.memory);
  add_cpu_time(text, all, "cgctl_cgroup_cpu_seconds_total", "CPU time of a cgroup.",
               &cpu::Stat::usage);
  add_cpu_time(text, all, "cgctl_cgroup_cpu_throttled_seconds_total",
               "Time that a cgroup waited for its CPU quota.", &cpu::Stat::throttled);
  return text.take();
}

}  // namespace

std::string cgroup_series(const Host& host, std::uint64_t most, names::Resolver& names) {
  if (most == 0) return {};
  SeriesFiles files(host);
  const Hierarchy* const memory = files.hierarchy_of("memory");
  auto all = memory == nullptr ? std::vector<Series>() : all_with_memory(*memory, files);
  const std::size_t found = all.size();
  keep_largest(all, most);
  for (Series& one : all) {
    read_cpu(files, one);
    one.labels = cgroup_labels(one.path, names.names_of(one.path));
  }
  if (files.unread()) warn(message_of(*files.unread()));
  return memory == nullptr ? std::string() : series_text(all, found - all.size());
}

}  // namespace cgctl::tool
