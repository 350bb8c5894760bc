// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

/// Elements of an SVG picture. All lengths are pixels; `kind` is a class of the picture's style
/// sheet.
namespace cgctl::tool::svg {

/// Returns the text for an element or an attribute; control characters are escaped.
std::string in_xml(std::string_view text);

void add_text(std::string& out, int x, int y, const char* kind, std::string_view text);

/// Adds a rectangle; `hint`, if not empty, shows when the pointer is on it.
void add_box(std::string& out, int x, int y, int box_width, int box_height, const char* kind,
             std::string_view hint = {});

}  // namespace cgctl::tool::svg
