// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "recorder/instance.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory.hpp"
#include "recorder/tracefs.hpp"

namespace cgctl::recorder {
namespace {

constexpr std::array<const char*, 3> events = {"cgroup_mkdir", "cgroup_rmdir", "cgroup_release"};

/// Opens the directory of the instances.
Result<Tracefs> open_instances(const Host& host) {
  auto tracefs = open_tracefs(host);
  if (!tracefs) return fail(tracefs.error());
  auto directory =
      open_file(tracefs->directory.get(), tracefs->shown, "instances", O_RDONLY | O_DIRECTORY);
  if (!directory) return fail(directory.error());
  return Tracefs{std::move(*directory), fs::join(tracefs->shown, "instances")};
}

Error not_recording(const std::string& shown, const char* reason) {
  return Error::make(errc::vanished, "open", shown, reason, "start the recording first");
}

Status check_name(const std::string& name) {
  if (!name.empty() && name.front() != '.' && name.find('/') == std::string::npos) return {};
  return fail(Error::make(errc::invalid_argument, "record", name,
                          "the name of a tracing instance is one word without a slash"));
}

/// Opens the instance's directory.
Result<Tracefs> open_instance(const Host& host, const std::string& name) {
  if (auto status = check_name(name); !status) return fail(status.error());
  auto instances = open_instances(host);
  if (!instances) return fail(instances.error());
  const std::string shown = fs::join(instances->shown, name);
  auto directory =
      fs::open_beneath(instances->directory.get(), name, O_RDONLY | O_DIRECTORY, shown);
  if (!directory && directory.error().os_errno == ENOENT) {
    return fail(not_recording(shown, "removed memory cgroups are not recorded"));
  }
  if (!directory) return fail(explain(directory.error()));
  return Tracefs{std::move(*directory), shown};
}

/// Returns the number of the memory controller's hierarchy in the events: 0 for v2.
Result<std::uint32_t> hierarchy_number(const Host& host) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  if ((*memory)->version == Version::v2) return 0;
  for (const SubsystemRow& row : host.subsystems()) {
    if (row.name == "memory") return row.hierarchy;
  }
  return fail(Error::make(errc::malformed, "read", fs::join(host.roots().proc, "cgroups"),
                          "there is no row for memory"));
}

std::string event_file(const char* event, const char* file) {
  return std::string("events/cgroup/") + event + "/" + file;
}

/// Returns the size of one CPU's buffer.
std::uint64_t buffer_kib(std::size_t cpus) {
  constexpr std::uint64_t total = 8192;
  constexpr std::uint64_t least = 64;
  constexpr std::uint64_t most = 256;
  return std::clamp(total / std::max<std::size_t>(cpus, 1), least, most);
}

/// Returns the names of the folders of the CPUs, "cpu0", ...
Result<std::vector<std::string>> cpu_folders(int instance, const std::string& shown) {
  const auto directory = open_file(instance, shown, "per_cpu", O_RDONLY | O_DIRECTORY);
  if (!directory) return fail(directory.error());
  std::vector<std::string> names;
  const auto buffer = cgctl::detail::make_entries();
  const int status = cgctl::detail::each_subdirectory(
      directory->get(), *buffer,
      [&](const char* name, const struct ::stat&) { names.emplace_back(name); });
  if (status < 0) return fail(fs::system_error("list", fs::join(shown, "per_cpu"), -status));
  return names;
}

/// A file of the instance and the text to write, unless the file shows `done` already.
struct Setting {
  const char* file;
  const char* value;
  const char* done;
};

/// Writes the settings that the instance does not have yet. An event's filter makes the kernel
/// record one hierarchy only.
Status set_up(const Tracefs& instance, const std::string& size, const std::string& filter) {
  // Writing the clock empties the buffers, even if the clock stays the same.
  const Setting settings[] = {
      {"trace_clock", "boot", "[boot]"},
      {"buffer_size_kb", size.c_str(), nullptr},
      {"events/cgroup/cgroup_mkdir/filter", filter.c_str(), filter.c_str()},
      {"events/cgroup/cgroup_rmdir/filter", filter.c_str(), filter.c_str()},
      {"events/cgroup/cgroup_release/filter", filter.c_str(), filter.c_str()},
      {"events/cgroup/cgroup_mkdir/enable", "1", "1"},
      {"events/cgroup/cgroup_rmdir/enable", "1", "1"},
      {"events/cgroup/cgroup_release/enable", "1", "1"},
      {"tracing_on", "1", "1"}};
  // Without the first option, the newest records would be lost; the second would record which
  // process runs on a CPU at each switch. Not every kernel has them in an instance.
  (void)write_file(instance, "trace_options", "overwrite");
  (void)write_file(instance, "trace_options", "norecord-cmd");
  for (const Setting& one : settings) {
    if (one.done != nullptr) {
      const auto present = read_file(instance.directory.get(), instance.shown, one.file);
      if (!present) return fail(present.error());
      if (present->find(one.done) != std::string::npos) continue;
    }
    if (auto status = write_file(instance, one.file, one.value); !status) return status;
  }
  return {};
}

std::chrono::nanoseconds clock_now(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// Returns the time of a directory's making, in CLOCK_BOOTTIME.
std::chrono::seconds made_at(const struct ::stat& directory) {
  const std::chrono::seconds made(directory.st_ctim.tv_sec);
  const auto at = clock_now(CLOCK_BOOTTIME) - (clock_now(CLOCK_REALTIME) - made);
  return std::max(std::chrono::duration_cast<std::chrono::seconds>(at), std::chrono::seconds(0));
}

}  // namespace

Status start(const Host& host, const Settings& settings) {
  const auto hierarchy = hierarchy_number(host);
  if (!hierarchy) return fail(hierarchy.error());
  if (auto status = check_name(settings.instance); !status) return status;
  const auto instances = open_instances(host);
  if (!instances) return fail(instances.error());
  constexpr mode_t mode = 0700;
  const int made =
      sys::make_directory_at(instances->directory.get(), settings.instance.c_str(), mode);
  if (made < 0 && made != -EEXIST) {
    const std::string shown = fs::join(instances->shown, settings.instance);
    return fail(explain(fs::system_error("make tracing instance", shown, -made)));
  }
  const auto instance = open_instance(host, settings.instance);
  if (!instance) return fail(instance.error());
  const auto cpus = cpu_folders(instance->directory.get(), instance->shown);
  if (!cpus) return fail(cpus.error());
  return set_up(*instance, std::to_string(buffer_kib(cpus->size())),
                "root == " + std::to_string(*hierarchy) + "\n");
}

Result<bool> stop(const Host& host, const Settings& settings) {
  if (auto status = check_name(settings.instance); !status) return fail(status.error());
  const auto instances = open_instances(host);
  if (!instances) return fail(instances.error());
  const int status =
      sys::remove_directory_at(instances->directory.get(), settings.instance.c_str());
  if (status == -ENOENT) return false;
  if (status == 0) return true;
  Error error = fs::system_error("remove tracing instance",
                                 fs::join(instances->shown, settings.instance), -status);
  if (status == -EBUSY) error.hint = "another program reads it; end that one first";
  return fail(explain(std::move(error)));
}

Result<Instance> Instance::open(const Host& host, const std::string& name) {
  auto opened = open_instance(host, name);
  if (!opened) return fail(opened.error());
  Instance instance;
  instance.directory_ = std::move(opened->directory);
  instance.shown_ = std::move(opened->shown);
  struct ::stat about {};
  if (const int status = sys::stat(instance.directory_.get(), about); status < 0) {
    return fail(fs::system_error("stat", instance.shown_, -status));
  }
  instance.identity_ = about.st_ino;
  instance.made_ = made_at(about);
  auto cpus = cpu_folders(instance.directory_.get(), instance.shown_);
  if (!cpus) return fail(cpus.error());
  instance.cpus_ = std::move(*cpus);
  if (auto status = instance.read_formats(); !status) return fail(status.error());
  return instance;
}

bool Instance::inodes() const noexcept { return formats_[0].id_size == sizeof(std::uint64_t); }

Status Instance::read_formats() {
  const auto malformed = [this](const std::string& path) {
    return fail(Error::make(errc::malformed, "read", fs::join(shown_, path),
                            "the kernel's records have an unknown form"));
  };
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto enabled = read_file(directory_.get(), shown_, event_file(events[i], "enable"));
    if (!enabled) return fail(enabled.error());
    if (enabled->empty() || enabled->front() != '1') {
      return fail(not_recording(shown_, "the tracing instance does not record all events"));
    }
    const std::string path = event_file(events[i], "format");
    const auto text = read_file(directory_.get(), shown_, path);
    if (!text) return fail(text.error());
    const auto format = parse_format(*text);
    if (!format) return malformed(path);
    formats_[i] = *format;
  }
  const auto text = read_file(directory_.get(), shown_, "events/header_page");
  if (!text) return fail(text.error());
  const auto page = parse_header_page(*text);
  if (!page) return malformed("events/header_page");
  page_ = *page;
  return {};
}

Result<std::uint64_t> Instance::consumed() const {
  std::uint64_t total = 0;
  for (const std::string& cpu : cpus_) {
    const auto text = read_file(directory_.get(), shown_, "per_cpu/" + cpu + "/stats");
    if (!text) return fail(text.error());
    constexpr std::string_view key = "read events: ";
    std::string_view rest = *text;
    rest.remove_prefix(std::min(rest.find(key), rest.size()));
    rest.remove_prefix(std::min(key.size(), rest.size()));
    std::uint64_t read = 0;
    parse::number(rest, read);
    total += read;
  }
  return total;
}

Status Instance::drain_cpu(const std::string& cpu, Batch& batch) const {
  const std::string path = "per_cpu/" + cpu + "/trace_pipe_raw";
  const auto pipe = open_file(directory_.get(), shown_, path, O_RDONLY | O_NONBLOCK);
  if (!pipe) return fail(pipe.error());
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  Page page;
  for (;;) {
    std::string bytes(size, '\0');
    const ssize_t got = sys::read(pipe->get(), bytes.data(), bytes.size());
    if (got == -EINTR) continue;
    // A CPU that was never there has no buffer (ENODEV).
    if (got == 0 || got == -EAGAIN || got == -ENODEV) break;
    if (got < 0) {
      return fail(
          explain(fs::system_error("read", fs::join(shown_, path), static_cast<int>(-got))));
    }
    batch.pages.push_back(std::move(bytes));
    parse_page(std::string_view(batch.pages.back()).substr(0, static_cast<std::size_t>(got)), page_,
               formats_, page);
  }
  batch.lost += page.lost;
  batch.events.insert(batch.events.end(), page.events.begin(), page.events.end());
  if (page.whole) return {};
  return fail(Error::make(errc::malformed, "read", fs::join(shown_, path),
                          "the kernel's records have an unknown form"));
}

Result<Batch> Instance::drain() const {
  Batch batch;
  for (const std::string& cpu : cpus_) {
    if (auto status = drain_cpu(cpu, batch); !status) return fail(status.error());
  }
  // Records of one CPU with the same time keep their order.
  std::vector<std::pair<std::chrono::nanoseconds, std::size_t>> order;
  for (const Event& event : batch.events) order.emplace_back(event.at, order.size());
  std::sort(order.begin(), order.end());
  std::vector<Event> sorted;
  sorted.reserve(order.size());
  for (const auto& [at, place] : order) sorted.push_back(batch.events[place]);
  batch.events.swap(sorted);
  return batch;
}

}  // namespace cgctl::recorder
