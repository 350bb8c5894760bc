// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/svg.hpp"

#include <fmt/format.h>

#include "cli/escape.hpp"

namespace cgctl::tool::svg {

std::string in_xml(std::string_view text) {
  std::string out;
  for (const char c : escaped(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

void add_text(std::string& out, int x, int y, const char* kind, std::string_view text) {
  out += fmt::format("<text x=\"{}\" y=\"{}\" class=\"{}\">{}</text>\n", x, y, kind, in_xml(text));
}

void add_box(std::string& out, int x, int y, int box_width, int box_height, const char* kind,
             std::string_view hint) {
  out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"{}\"", x, y,
                     box_width, box_height, kind);
  if (hint.empty()) {
    out += "/>\n";
  } else {
    out += "><title>" + in_xml(hint) + "</title></rect>\n";
  }
}

}  // namespace cgctl::tool::svg
