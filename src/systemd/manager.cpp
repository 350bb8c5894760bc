// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

#include "cgctl/systemd.hpp"
#include "systemd/sd_bus.hpp"

namespace cgctl::systemd {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* service = "org.freedesktop.systemd1";
constexpr const char* manager_path = "/org/freedesktop/systemd1";
constexpr const char* manager_interface = "org.freedesktop.systemd1.Manager";
constexpr std::chrono::seconds longest_job(30);

/// Calls of systemd's manager about one unit.
class Manager {
 public:
  Manager(SdBus api, std::string unit)
      : api_(api), unit_(std::move(unit)), bus_(nullptr, api.close) {}
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  ~Manager() { api_.free_error(&error_); }

  Status connect();
  Status start(const std::vector<Property>& properties, const Scope* scope, int stop);
  Status set(const std::vector<Property>& properties);
  Result<Unit> started(const char* interface);

  /// True if the last call failed because the unit exists.
  [[nodiscard]] bool exists() const {
    return error_.name != nullptr && std::string(error_.name) == exists_error;
  }

 private:
  using Message = std::unique_ptr<sd_bus_message, decltype(&::sd_bus_message_unref)>;
  static constexpr const char* exists_error = "org.freedesktop.systemd1.UnitExists";

  struct Removed {
    std::string job;
    std::string result;
  };

  [[nodiscard]] Error failure(const char* operation, int status);
  bool connect_as_root();
  Result<Message> new_call(const char* method);
  Result<Message> call(const char* operation, sd_bus_message* message);
  int append(sd_bus_message* message, const Property& property);
  int append_all(sd_bus_message* message, const std::vector<Property>& properties,
                 const Scope* scope);
  int append_scope(sd_bus_message* message, const Scope& scope);
  Status wait_for(const std::string& job, int stop);
  static int note_removed(sd_bus_message* message, void* self, sd_bus_error* error);

  SdBus api_;
  std::string unit_;
  std::unique_ptr<sd_bus, decltype(&::sd_bus_flush_close_unref)> bus_;
  sd_bus_error error_{};
  std::vector<Removed> removed_;
  bool through_daemon_ = true;
};

Error Manager::failure(const char* operation, int status) {
  Error error = Error::system(operation, unit_, -status);
  if (error_.message != nullptr) error.reason = std::string("systemd: ") + error_.message;
  if (status == -EACCES || status == -EPERM) error.hint = "run it as root";
  return error;
}

/// Connects without a D-Bus daemon, as systemctl does.
bool Manager::connect_as_root() {
  sd_bus* bus = nullptr;
  if (api_.create(&bus) < 0) return false;
  bus_.reset(bus);
  through_daemon_ = false;
  return api_.set_address(bus, "unix:path=/run/systemd/private") >= 0 && api_.start(bus) >= 0;
}

Status Manager::connect() {
  const bool root = ::geteuid() == 0;
  if (root && connect_as_root()) return {};
  through_daemon_ = true;
  sd_bus* bus = nullptr;
  const int status = root ? api_.open_system(&bus) : api_.open_user(&bus);
  bus_.reset(bus);
  if (status >= 0) return {};
  Error error = failure("connect to systemd for", status);
  error.hint = root ? "is systemd the first process of this machine?"
                    : "a user needs a session with a systemd of its own; or run it as root";
  return fail(std::move(error));
}

Result<Manager::Message> Manager::new_call(const char* method) {
  sd_bus_message* message = nullptr;
  const int status =
      api_.new_call(bus_.get(), &message, service, manager_path, manager_interface, method);
  if (status < 0) return fail(failure("start", status));
  return Message(message, api_.release);
}

Result<Manager::Message> Manager::call(const char* operation, sd_bus_message* message) {
  sd_bus_message* reply = nullptr;
  api_.free_error(&error_);
  const int status = api_.call(bus_.get(), message, 0, &error_, &reply);
  if (status < 0) return fail(failure(operation, status));
  return Message(reply, api_.release);
}

int Manager::append(sd_bus_message* message, const Property& property) {
  const char* const name = property.name.c_str();
  if (const auto* const number = std::get_if<std::uint64_t>(&property.value)) {
    return api_.append(message, "(sv)", name, "t", *number);
  }
  const auto* const mask = std::get_if<std::vector<std::uint8_t>>(&property.value);
  const auto* const rates = std::get_if<std::vector<DeviceRate>>(&property.value);
  const char* const type = mask != nullptr ? "ay" : "a(st)";
  int status = api_.open(message, 'r', "sv");
  if (status >= 0) status = api_.append(message, "s", name);
  if (status >= 0) status = api_.open(message, 'v', type);
  if (status >= 0 && mask != nullptr) {
    status = api_.append_array(message, 'y', mask->data(), mask->size());
  }
  if (status >= 0 && rates != nullptr) {
    status = api_.open(message, 'a', "(st)");
    for (const DeviceRate& one : *rates) {
      if (status >= 0) status = api_.append(message, "(st)", one.device.c_str(), one.rate);
    }
    if (status >= 0) status = api_.close_container(message);
  }
  if (status >= 0) status = api_.close_container(message);
  return status < 0 ? status : api_.close_container(message);
}

int Manager::append_scope(sd_bus_message* message, const Scope& scope) {
  int status = api_.append(message, "(sv)(sv)(sv)", "Delegate", "b", 1, "CollectMode", "s",
                           "inactive-or-failed", "Description", "s", scope.description.c_str());
  if (status >= 0 && !scope.slice.empty()) {
    status = api_.append(message, "(sv)", "Slice", "s", scope.slice.c_str());
  }
  std::vector<std::uint32_t> processes(scope.processes.begin(), scope.processes.end());
  if (status >= 0) status = api_.open(message, 'r', "sv");
  if (status >= 0) status = api_.append(message, "s", "PIDs");
  if (status >= 0) status = api_.open(message, 'v', "au");
  if (status >= 0) {
    status = api_.append_array(message, 'u', processes.data(),
                               processes.size() * sizeof processes.front());
  }
  if (status >= 0) status = api_.close_container(message);
  return status < 0 ? status : api_.close_container(message);
}

int Manager::append_all(sd_bus_message* message, const std::vector<Property>& properties,
                        const Scope* scope) {
  int status = api_.open(message, 'a', "(sv)");
  if (status >= 0 && scope != nullptr) status = append_scope(message, *scope);
  for (const Property& property : properties) {
    if (status >= 0) status = append(message, property);
  }
  return status < 0 ? status : api_.close_container(message);
}

int Manager::note_removed(sd_bus_message* message, void* self, sd_bus_error* /*error*/) {
  auto* const manager = static_cast<Manager*>(self);
  std::uint32_t id = 0;
  const char* job = nullptr;
  const char* unit = nullptr;
  const char* result = nullptr;
  if (manager->api_.read(message, "uoss", &id, &job, &unit, &result) >= 0) {
    manager->removed_.push_back({job, result});
  }
  return 0;
}

Status Manager::wait_for(const std::string& job, int stop) {
  const auto end = Clock::now() + longest_job;
  for (;;) {
    const int status = api_.process(bus_.get(), nullptr);
    if (status < 0) return fail(failure("start", status));
    for (const Removed& one : removed_) {
      if (one.job != job) continue;
      if (one.result == "done") return {};
      return fail(Error::make(errc::system, "start", unit_, "systemd's job ended as " + one.result,
                              "see systemctl status " + unit_));
    }
    if (status > 0) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) {
      return fail(Error::make(errc::timed_out, "start", unit_, "systemd did not end the job",
                              "see systemctl list-jobs"));
    }
    std::array<pollfd, 2> watched{
        {{api_.descriptor(bus_.get()), static_cast<short>(api_.events(bus_.get())), 0},
         {stop, POLLIN, 0}}};
    (void)::poll(watched.data(), watched.size(), static_cast<int>(left));
    if (watched[1].revents != 0) {
      return fail(Error::make(errc::cancelled, "start", unit_, "a signal came"));
    }
  }
}

Status Manager::start(const std::vector<Property>& properties, const Scope* scope, int stop) {
  int status = api_.match_signal(bus_.get(), nullptr, through_daemon_ ? service : nullptr,
                                 manager_path, manager_interface, "JobRemoved", note_removed, this);
  if (status < 0) return fail(failure("start", status));
  const auto message = new_call("StartTransientUnit");
  if (!message) return fail(message.error());
  status = api_.append(message->get(), "ss", unit_.c_str(), "fail");
  if (status >= 0) status = append_all(message->get(), properties, scope);
  if (status >= 0) status = api_.append(message->get(), "a(sa(sv))", 0);
  if (status < 0) return fail(failure("start", status));
  const auto reply = call("start", message->get());
  if (!reply) return fail(reply.error());
  const char* job = nullptr;
  status = api_.read(reply->get(), "o", &job);
  if (status < 0) return fail(failure("start", status));
  return wait_for(job, stop);
}

Status Manager::set(const std::vector<Property>& properties) {
  const auto message = new_call("SetUnitProperties");
  if (!message) return fail(message.error());
  int status = api_.append(message->get(), "sb", unit_.c_str(), 1);
  if (status >= 0) status = append_all(message->get(), properties, nullptr);
  if (status < 0) return fail(failure("change", status));
  const auto reply = call("change", message->get());
  return reply ? Status{} : fail(reply.error());
}

Result<Unit> Manager::started(const char* interface) {
  char* path = nullptr;
  char* cgroup = nullptr;
  int status = api_.encode_path("/org/freedesktop/systemd1/unit", unit_.c_str(), &path);
  if (status >= 0) {
    api_.free_error(&error_);
    status = api_.property_string(bus_.get(), service, path, interface, "ControlGroup", &error_,
                                  &cgroup);
  }
  std::free(path);
  if (status < 0) return fail(failure("find the cgroup of", status));
  Unit unit{unit_, cgroup};
  std::free(cgroup);
  return unit;
}

}  // namespace

bool is_available() noexcept { return true; }

Result<Unit> start_scope(const Scope& scope, int stop) {
  const auto api = SdBus::load();
  if (!api) return fail(api.error());
  Manager manager(*api, scope.name);
  if (auto status = manager.connect(); !status) return fail(std::move(status.error()));
  auto status = manager.start(scope.properties, &scope, stop);
  if (!status) return fail(std::move(status.error()));
  return manager.started("org.freedesktop.systemd1.Scope");
}

Result<Unit> start_slice(const std::string& name, const std::vector<Property>& properties,
                         int stop) {
  const auto api = SdBus::load();
  if (!api) return fail(api.error());
  Manager manager(*api, name);
  if (auto status = manager.connect(); !status) return fail(std::move(status.error()));
  auto status = manager.start(properties, nullptr, stop);
  if (!status && manager.exists()) status = manager.set(properties);
  if (!status) return fail(std::move(status.error()));
  return manager.started("org.freedesktop.systemd1.Slice");
}

}  // namespace cgctl::systemd
