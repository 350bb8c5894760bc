// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "systemd/sd_bus.hpp"

#include <dlfcn.h>

#include <string>

namespace cgctl::systemd {
namespace {

/// Looks up functions until one is missing.
class Symbols {
 public:
  explicit Symbols(void* library) : library_(library) {}

  template <class Function>
  void find(const char* name, Function& function) {
    void* const found = ::dlsym(library_, name);
    function = reinterpret_cast<Function>(found);
    if (found == nullptr && missing_ == nullptr) missing_ = name;
  }
  [[nodiscard]] const char* missing() const noexcept { return missing_; }

 private:
  void* library_;
  const char* missing_ = nullptr;
};

tl::unexpected<Error> unusable(std::string reason) {
  return fail(Error::make(errc::unsupported, "load", "libsystemd.so.0", std::move(reason),
                          "install libsystemd"));
}

}  // namespace

Result<SdBus> SdBus::load() {
  void* const library = ::dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return unusable(::dlerror());
  Symbols symbols(library);
  SdBus bus{};
  symbols.find("sd_bus_new", bus.create);
  symbols.find("sd_bus_set_address", bus.set_address);
  symbols.find("sd_bus_start", bus.start);
  symbols.find("sd_bus_open_system", bus.open_system);
  symbols.find("sd_bus_open_user", bus.open_user);
  symbols.find("sd_bus_flush_close_unref", bus.close);
  symbols.find("sd_bus_match_signal", bus.match_signal);
  symbols.find("sd_bus_process", bus.process);
  symbols.find("sd_bus_get_fd", bus.descriptor);
  symbols.find("sd_bus_get_events", bus.events);
  symbols.find("sd_bus_call", bus.call);
  symbols.find("sd_bus_error_free", bus.free_error);
  symbols.find("sd_bus_get_property_string", bus.property_string);
  symbols.find("sd_bus_path_encode", bus.encode_path);
  symbols.find("sd_bus_message_new_method_call", bus.new_call);
  symbols.find("sd_bus_message_append", bus.append);
  symbols.find("sd_bus_message_append_array", bus.append_array);
  symbols.find("sd_bus_message_open_container", bus.open);
  symbols.find("sd_bus_message_close_container", bus.close_container);
  symbols.find("sd_bus_message_read", bus.read);
  symbols.find("sd_bus_message_unref", bus.release);
  if (symbols.missing() != nullptr) return unusable(std::string("it lacks ") + symbols.missing());
  return bus;
}

}  // namespace cgctl::systemd
