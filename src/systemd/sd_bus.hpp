// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <systemd/sd-bus.h>

#include <memory>

#include "cgctl/error.hpp"

namespace cgctl::systemd {

/// The functions of libsystemd that are used. The library is loaded at run time: linking with it
/// would make every start of a program slower, and the program would not start without it.
struct SdBus {
  decltype(&::sd_bus_new) create;
  decltype(&::sd_bus_set_address) set_address;
  decltype(&::sd_bus_start) start;
  decltype(&::sd_bus_open_system) open_system;
  decltype(&::sd_bus_open_user) open_user;
  decltype(&::sd_bus_flush_close_unref) close;
  decltype(&::sd_bus_match_signal) match_signal;
  decltype(&::sd_bus_process) process;
  decltype(&::sd_bus_get_fd) descriptor;
  decltype(&::sd_bus_get_events) events;
  decltype(&::sd_bus_call) call;
  decltype(&::sd_bus_error_free) free_error;
  decltype(&::sd_bus_get_property_string) property_string;
  decltype(&::sd_bus_path_encode) encode_path;
  decltype(&::sd_bus_message_new_method_call) new_call;
  decltype(&::sd_bus_message_append) append;
  decltype(&::sd_bus_message_append_array) append_array;
  decltype(&::sd_bus_message_open_container) open;
  decltype(&::sd_bus_message_close_container) close_container;
  decltype(&::sd_bus_message_read) read;
  decltype(&::sd_bus_message_unref) release;

  /// Loads libsystemd.so.0, which then stays loaded. errc::unsupported if it is absent or too old.
  [[nodiscard]] static Result<SdBus> load();
};

}  // namespace cgctl::systemd
