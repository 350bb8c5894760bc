// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cgconfig.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "detail/octal.hpp"
#include "settings/device_rules.hpp"
#include "settings/values.hpp"

namespace cgctl::cgconfig {
namespace {

using permissions::Access;
using permissions::Permissions;
using settings::Setting;
using tree::Cgroup;
using tree::Section;

/// True for the characters of words that libcgroup reads without quotes (src/lex.l).
bool is_plain(char c) {
  constexpr std::string_view others = "_-/.,%@\\";
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         others.find(c) != std::string_view::npos;
}

bool is_keyword(std::string_view text) {
  constexpr std::array<std::string_view, 9> keywords = {
      "mount", "task", "admin", "perm", "group", "namespace", "template", "default", "systemd"};
  return std::find(keywords.begin(), keywords.end(), text) != keywords.end();
}

bool is_word(char c) { return is_plain(c) || c == ':'; }

struct Token {
  enum class Kind { end, word, quoted, symbol, bad };
  Kind kind = Kind::end;
  std::string_view text;
  std::size_t line = 1;
  std::size_t column = 1;

  [[nodiscard]] bool is(char symbol) const {
    return kind == Kind::symbol && text.front() == symbol;
  }
  [[nodiscard]] bool is_name() const { return kind == Kind::word || kind == Kind::quoted; }
  [[nodiscard]] bool is_word(std::string_view word) const {
    return kind == Kind::word && text == word;
  }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) noexcept : text_(text) {}

  Token next() {
    skip_blanks();
    Token token;
    token.line = line_;
    token.column = at_ - line_start_ + 1;
    if (at_ == text_.size()) return token;
    const char c = text_[at_];
    std::size_t length = 1;
    if (c == '"') {
      const std::size_t close = text_.find('"', at_ + 1);
      token.kind = close == std::string_view::npos ? Token::Kind::bad : Token::Kind::quoted;
      if (token.kind == Token::Kind::bad) return token;
      token.text = text_.substr(at_ + 1, close - at_ - 1);
      length = close + 1 - at_;
    } else if (is_word(c)) {
      while (at_ + length < text_.size() && is_word(text_[at_ + length])) ++length;
      token.kind = Token::Kind::word;
      token.text = text_.substr(at_, length);
    } else {
      token.kind = Token::Kind::symbol;
      token.text = text_.substr(at_, 1);
    }
    advance(length);
    return token;
  }

 private:
  void advance(std::size_t length) {
    for (; length > 0; --length, ++at_) {
      if (text_[at_] != '\n') continue;
      ++line_;
      line_start_ = at_ + 1;
    }
  }

  /// Skips blanks and comments.
  void skip_blanks() {
    for (; at_ < text_.size(); advance(1)) {
      if (text_[at_] == '#') {
        advance(std::min(text_.find('\n', at_), text_.size()) - at_);
        if (at_ == text_.size()) return;
      }
      if (std::isspace(static_cast<unsigned char>(text_[at_])) == 0) return;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t line_start_ = 0;
};

std::string position(const Token& token) {
  return "line " + std::to_string(token.line) + ", column " + std::to_string(token.column);
}

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// Returns the words for a token in a message.
std::string name_of(const Token& token) {
  if (token.kind == Token::Kind::end) return "the end of the file";
  if (token.kind == Token::Kind::bad) return "a quote that is not closed";
  const auto byte = static_cast<unsigned char>(token.text.empty() ? 'x' : token.text.front());
  if (token.kind == Token::Kind::symbol && (byte < 0x20 || byte >= 0x7f)) return "a strange byte";
  return quoted(token.text);
}

class Parser {
 public:
  Parser(std::string_view text, std::string_view shown) : lexer_(text), shown_(shown) {
    token_ = lexer_.next();
  }

  Result<Configuration> parse() {
    while (token_.kind != Token::Kind::end) {
      if (auto status = parse_section(); !status) return fail(status.error());
    }
    for (Cgroup& cgroup : out_.tree) {
      if (cgroup.permissions.empty()) cgroup.permissions = default_;
    }
    std::stable_sort(out_.tree.begin(), out_.tree.end(),
                     [](const Cgroup& a, const Cgroup& b) { return a.path < b.path; });
    return std::move(out_);
  }

 private:
  [[nodiscard]] tl::unexpected<Error> refuse(const Token& at, std::string reason,
                                             std::string hint = {},
                                             errc kind = errc::malformed) const {
    return fail(Error::make(kind, "parse", shown_, position(at) + ": " + std::move(reason),
                            std::move(hint)));
  }

  [[nodiscard]] tl::unexpected<Error> unexpected(const std::string& expected) const {
    return refuse(token_, name_of(token_) + " where " + expected + " was expected");
  }

  Token take() { return std::exchange(token_, lexer_.next()); }

  Status expect(char symbol) {
    if (!token_.is(symbol)) return unexpected(quoted(std::string(1, symbol)));
    take();
    return {};
  }

  Status parse_section() {
    const Token start = take();
    if (start.is_word("group")) return parse_group();
    if (start.is_word("mount")) return pass_over(start, "mount");
    // libcgroup 3: the default slice and scope of its tools.
    if (start.is_word("systemd")) return pass_over(start, "systemd");
    if (start.is_word("template")) {
      if (!token_.is_name()) return unexpected("the name of a cgroup");
      take();
      return pass_over(start, "template");
    }
    if (start.is_word("default")) return parse_default();
    if (start.is_word("namespace")) {
      return refuse(start, "a namespace section is not supported",
                    "write the whole path after each `group`", errc::unsupported);
    }
    token_ = start;
    return unexpected("'group', 'default', 'mount', 'template' or 'systemd'");
  }

  /// Skips a section in braces with any content.
  Status pass_over(const Token& start, const char* name) {
    const Token open = token_;
    if (auto status = expect('{'); !status) return status;
    std::size_t depth = 1;
    while (depth > 0) {
      if (token_.kind == Token::Kind::end || token_.kind == Token::Kind::bad) {
        return refuse(token_, name_of(token_) +
                                  " where the '}' was expected that closes the '{' at " +
                                  position(open));
      }
      if (token_.is('{')) ++depth;
      if (token_.is('}')) --depth;
      take();
    }
    out_.passed_over.push_back("line " + std::to_string(start.line) + ": " + name);
    return {};
  }

  Status parse_group() {
    if (!token_.is_name()) return unexpected("the name of a cgroup");
    const Token name = take();
    if (name.text.empty()) return refuse(name, "a name is empty", "the root is .");
    const auto clean = fs::clean_relative_path(name.text);
    if (!clean) {
      return refuse(name, quoted(name.text.substr(0, 60)) +
                              " is no path of a cgroup: " + clean.error().reason);
    }
    Cgroup& cgroup = cgroup_at(*clean == "." ? "/" : "/" + *clean);
    if (auto status = expect('{'); !status) return status;
    while (!token_.is('}')) {
      if (!token_.is_name()) return unexpected("a controller or '}'");
      const Token controller = take();
      if (controller.is_word("perm")) {
        if (auto status = parse_perm(cgroup.permissions); !status) return status;
        continue;
      }
      if (auto status = parse_settings(cgroup, controller); !status) return status;
    }
    take();
    return {};
  }

  Status parse_settings(Cgroup& cgroup, const Token& controller) {
    if (auto status = expect('{'); !status) return status;
    Section& section = section_of(cgroup, controller.text);
    while (!token_.is('}')) {
      if (!token_.is_name()) return unexpected("the name of a file or '}'");
      const Token file = take();
      if (auto status = expect('='); !status) return status;
      if (!token_.is_name()) return unexpected("a value");
      const Token value = take();
      if (auto status = expect(';'); !status) return status;
      Setting setting{std::string(file.text), std::string(value.text)};
      if (!cgctl::detail::kernel_file(setting.file).is_keyed() &&
          !named_.insert({cgroup.path, setting.file}).second) {
        return refuse(file, setting.file + " of " + cgroup.path + " is set twice");
      }
      section.settings.push_back(std::move(setting));
    }
    take();
    return {};
  }

  Status parse_default() {
    if (auto status = expect('{'); !status) return status;
    if (!token_.is_word("perm")) return unexpected("'perm'");
    take();
    if (auto status = parse_perm(default_); !status) return status;
    return expect('}');
  }

  Status parse_perm(Permissions& out) {
    if (auto status = expect('{'); !status) return status;
    while (!token_.is('}')) {
      const bool tasks = token_.is_word("task");
      if (!tasks && !token_.is_word("admin")) return unexpected("'admin', 'task' or '}'");
      take();
      if (auto status = expect('{'); !status) return status;
      while (!token_.is('}')) {
        if (auto status = parse_right(tasks ? out.tasks : out.files, tasks, out); !status) {
          return status;
        }
      }
      take();
    }
    take();
    return {};
  }

  Status parse_right(Access& access, bool tasks, Permissions& out) {
    const Token key = token_;
    if (!key.is_name()) return unexpected("'uid', 'gid', 'fperm' or '}'");
    take();
    if (auto status = expect('='); !status) return status;
    const Token value = token_;
    if (!value.is_name()) return unexpected("a value");
    take();
    const std::string text(value.text);
    bool known = true;
    bool valid = true;
    if (key.text == "uid" || key.text == "tuid") {
      const auto user = permissions::find_user(text);
      if (user) access.user = user->user;
      valid = user.has_value();
    } else if (key.text == "gid" || key.text == "tgid") {
      access.group = permissions::find_group(text);
      valid = access.group.has_value();
    } else if (key.text == "fperm") {
      // 0777: set-user-ID and set-group-ID bits make no sense on the kernel's files.
      access.mode = mode_of(text, 0777);
      valid = access.mode.has_value();
    } else if (key.text == "dperm" && !tasks) {
      out.directory_mode = mode_of(text, 07777);
      valid = out.directory_mode.has_value();
    } else {
      known = false;
    }
    if (!known) {
      return refuse(key, quoted(key.text) + " where a right was expected",
                    "uid, gid, fperm or dperm");
    }
    if (!valid) {
      const char* const hint = key.text.back() == 'm' ? "octal, such as 0775"
                                                      : "not listed in /etc/passwd or /etc/group";
      return refuse(value, quoted(value.text) + " is no " + std::string(key.text), hint);
    }
    return expect(';');
  }

  static std::optional<mode_t> mode_of(std::string_view text, mode_t most) {
    constexpr std::size_t longest = 5;
    if (text.empty() || text.size() > longest) return std::nullopt;
    mode_t mode = 0;
    for (const char c : text) {
      if (c < '0' || c > '7') return std::nullopt;
      mode = mode * 8 + static_cast<mode_t>(c - '0');
    }
    return mode <= most ? std::optional(mode) : std::nullopt;
  }

  Cgroup& cgroup_at(const std::string& path) {
    const auto [known, is_new] = index_.emplace(path, out_.tree.size());
    if (is_new) out_.tree.push_back({path, {}});
    return out_.tree[known->second];
  }

  static Section& section_of(Cgroup& cgroup, std::string_view controller) {
    for (Section& section : cgroup.sections) {
      if (section.controller == controller) return section;
    }
    return cgroup.sections.emplace_back(Section{std::string(controller), {}});
  }

  Lexer lexer_;
  std::string shown_;
  Token token_;
  Configuration out_;
  Permissions default_;
  std::map<std::string, std::size_t> index_;
  std::set<std::pair<std::string, std::string>> named_;
};

void add_access(const char* name, const Access& access, const std::optional<mode_t>& directory,
                std::string& out) {
  if (access.empty() && !directory) return;
  const auto add = [&](const char* key, const std::string& value) {
    out += std::string("\t\t\t") + key + " = " + value + ";\n";
  };
  out += std::string("\t\t") + name + " {\n";
  if (access.user) add("uid", std::to_string(*access.user));
  if (access.group) add("gid", std::to_string(*access.group));
  if (directory) add("dperm", cgctl::detail::octal(*directory));
  if (access.mode) add("fperm", cgctl::detail::octal(*access.mode));
  out += "\t\t}\n";
}

void add_permissions(const Permissions& permissions, std::string& out) {
  if (permissions.empty()) return;
  out += "\tperm {\n";
  add_access("task", permissions.tasks, {}, out);
  add_access("admin", permissions.files, permissions.directory_mode, out);
  out += "\t}\n";
}

tl::unexpected<Error> not_to_be_written(std::string_view text, const char* reason) {
  return fail(Error::make(errc::invalid_argument, "write", std::string(text), reason,
                          "write JSON instead"));
}

/// Formats a name or a value, with quotes if needed.
Result<std::string> text_of(std::string_view text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), is_plain);
  if (plain && !is_keyword(text)) return std::string(text);
  if (text.find('"') != std::string_view::npos) {
    return not_to_be_written(text, "cgconfig.conf cannot hold a double quote");
  }
  return "\"" + std::string(text) + "\"";
}

/// Joins the settings of a file with a line per key to one value of several lines, because
/// libcgroup accepts each file only once. This may change the order, which matters only for device
/// rules: they go to two files.
Result<std::vector<Setting>> joined(const std::vector<Setting>& settings) {
  std::vector<Setting> all;
  for (const Setting& setting : settings) {
    const auto file = cgctl::detail::kernel_file(setting.file);
    const bool keyed = file.is_keyed();
    if (!keyed && setting.value.find('\n') != std::string::npos) {
      return not_to_be_written(setting.value, "cgconfig.conf has one line for a value");
    }
    const auto same = std::find_if(all.begin(), all.end(), [&](const Setting& one) {
      return keyed && one.file == setting.file;
    });
    if (same == all.end()) {
      all.push_back(setting);
    } else if (&*same != &all.back() && file.is_device_rule()) {
      return not_to_be_written(setting.file, "cgconfig.conf cannot hold rules in this order");
    } else {
      same->value += "\n" + setting.value;
    }
  }
  return all;
}

/// False for a "cgroup" section: libcgroup finds no hierarchy for it and refuses the whole text.
bool is_loadable(const Section& section) { return section.controller != "cgroup"; }

Status add(const Section& section, std::string& out) {
  const auto controller = text_of(section.controller);
  if (!controller) return fail(controller.error());
  out += "\t" + *controller + " {\n";
  const auto settings = joined(section.settings);
  if (!settings) return fail(settings.error());
  for (const Setting& setting : *settings) {
    const auto value = text_of(setting.value);
    if (!value) return fail(value.error());
    out += "\t\t" + setting.file + " = " + *value + ";\n";
  }
  out += "\t}\n";
  return {};
}

}  // namespace

Result<Configuration> parse(std::string_view text, std::string_view shown) {
  return Parser(text, shown).parse();
}

Result<std::string> format(const tree::Tree& tree) {
  std::string out;
  for (const Cgroup& cgroup : tree) {
    if (std::none_of(cgroup.sections.begin(), cgroup.sections.end(), is_loadable)) continue;
    if (cgroup.path.find('\n') != std::string::npos) {
      return not_to_be_written(cgroup.path, "cgconfig.conf cannot hold a name with a newline");
    }
    const auto name = text_of(cgroup.path == "/" ? "." : cgroup.path.substr(1));
    if (!name) return fail(name.error());
    out += "group " + *name + " {\n";
    add_permissions(cgroup.permissions, out);
    for (const Section& section : cgroup.sections) {
      if (!is_loadable(section)) continue;
      if (auto status = add(section, out); !status) return fail(status.error());
    }
    out += "}\n\n";
  }
  if (!out.empty()) out.pop_back();
  return out;
}

std::vector<std::string> left_out(const tree::Tree& tree) {
  std::vector<std::string> paths;
  for (const Cgroup& cgroup : tree) {
    const bool all = std::all_of(cgroup.sections.begin(), cgroup.sections.end(), is_loadable);
    if (!all || cgroup.sections.empty()) paths.push_back(cgroup.path);
  }
  return paths;
}

}  // namespace cgctl::cgconfig
