// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <utility>

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

inline double in_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace cgctl::tool
