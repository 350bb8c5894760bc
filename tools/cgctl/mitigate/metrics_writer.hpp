// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "cgctl/names.hpp"

namespace cgctl::tool {

/// Writes Prometheus' text format.
class MetricsWriter {
 public:
  void head(const char* name, const char* type, const char* help) {
    name_ = name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <class Value>
  void value(Value value) {
    text_ += fmt::format("{} {}\n", name_, value);
  }
  /// Adds a sample; `labels` is name="value",...
  template <class Value>
  void value(const std::string& labels, Value value) {
    text_ += fmt::format("{}{{{}}} {}\n", name_, labels, value);
  }
  template <class Value>
  void gauge(const char* name, const char* help, Value value) {
    head(name, "gauge", help);
    this->value(value);
  }
  std::string take() { return std::move(text_); }

 private:
  const char* name_ = "";
  std::string text_;
};

/// Returns the value of a label: in UTF-8, with backslash, quote and newline escaped
/// (exposition_formats.md). Other bytes of a cgroup's name are escaped as on a terminal.
std::string label_value(std::string_view text);

/// Returns the labels of a cgroup: its path, and those of its names that are known.
std::string cgroup_labels(const std::string& path, const names::Names& names);

inline double in_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace cgctl::tool
