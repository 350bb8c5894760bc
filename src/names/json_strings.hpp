// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cgctl::names {

/// Goes through the strings of a JSON text, one by one, and passes over everything else. Objects
/// and arrays may be nested 32 deep.
class JsonStrings {
 public:
  explicit JsonStrings(std::string_view text) : rest_(text) {}

  /// Goes to the next string that is a value. Returns false at the end of the text.
  bool next();
  /// Returns the keys that lead to the value, outermost first; "" for an element of an array.
  [[nodiscard]] const std::vector<std::string>& keys() const noexcept { return keys_; }
  [[nodiscard]] const std::string& value() const noexcept { return value_; }
  /// True if the text is no JSON or ends too early. What next() found before is then worthless.
  [[nodiscard]] bool broken() const noexcept { return broken_; }
  /// True if the value is at these keys.
  [[nodiscard]] bool at(std::initializer_list<std::string_view> keys) const noexcept;

 private:
  bool step();
  bool open(char bracket);
  bool close(char bracket);
  bool take_string();
  bool take_escape(std::string& out);
  bool take_code(unsigned& out);
  bool take_key();
  bool pass_literal();

  std::string_view rest_;
  std::vector<std::string> keys_;
  std::string kinds_;  // '{' or '[' for each level
  std::string value_;
  bool expects_key_ = false;
  bool broken_ = false;
  bool found_ = false;
};

}  // namespace cgctl::names
