// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::cgget {
namespace {

constexpr const char* name = "cgget";
constexpr const char* help =
    "usage: cgget [-nv] [-r FILE]... [-g CONTROLLERS]... [-a] PATH...\n"
    "   or: cgget [-nv] [-r FILE]... -g CONTROLLERS:PATH...\n"
    "Print values of cgroups.\n"
    "  -r, --variable FILE   print this file, such as cpu.shares\n"
    "  -g CONTROLLERS        print all files of these controllers\n"
    "  -g CONTROLLERS:PATH   print all files of these controllers in that cgroup\n"
    "  -a, --all             print all files of all controllers (default without -r and -g)\n"
    "  -n                    do not print the cgroup's path\n"
    "  -v, --values-only     do not print the names of files\n"
    "  -h, --help            print this help\n";

struct Form {
  bool path = true;
  bool names = true;
};

/// Files to print of one cgroup.
struct Question {
  std::string path;
  std::vector<std::string> files;
  std::vector<std::string> controllers;  ///< controllers whose files are all printed
  bool all = false;                      ///< true: all controllers that have the cgroup
};

std::string controller_of(const std::string& file) { return file.substr(0, file.find('.')); }

Result<std::vector<std::string>> controllers_with(const Group& group) {
  if (auto status = group.require_all(); !status) return fail(status.error());
  auto all = controllers_of(group.host(), {{"*"}, {}});
  if (!all) return all;
  all->erase(std::remove_if(all->begin(), all->end(),
                            [&](const std::string& one) { return !group.place(one); }),
             all->end());
  return all;
}

/// Returns the files, grouped by controller, with controllers in the order in which they were
/// named.
Result<std::vector<std::string>> all_files(const Group& group, const Question& question) {
  std::vector<std::string> controllers;
  const auto add = [&](const std::string& controller) {
    if (std::find(controllers.begin(), controllers.end(), controller) == controllers.end()) {
      controllers.push_back(controller);
    }
  };
  for (const std::string& file : question.files) add(controller_of(file));
  const auto whole = question.all ? controllers_with(group) : question.controllers;
  if (!whole) return fail(whole.error());
  for (const std::string& controller : *whole) add(controller);
  std::vector<std::string> all;
  for (const std::string& controller : controllers) {
    std::vector<std::string> mine;
    for (const std::string& file : question.files) {
      if (controller_of(file) == controller) mine.push_back(file);
    }
    if (std::find(whole->begin(), whole->end(), controller) != whole->end()) {
      auto files = group.files(controller);
      if (!files) return files;
      for (std::string& file : *files) {
        if (std::find(mine.begin(), mine.end(), file) == mine.end()) mine.push_back(file);
      }
    }
    all.insert(all.end(), mine.begin(), mine.end());
  }
  return all;
}

/// Indents the lines after the first.
std::string indented(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += '\t';
  }
  return out;
}

Result<std::string> answer(const Host& host, const Question& question, const Form& form) {
  const auto group = host.open(question.path);
  if (!group) return fail(group.error());
  const auto files = all_files(*group, question);
  if (!files) return fail(files.error());
  std::string text = form.path ? question.path + ":\n" : std::string();
  for (const std::string& file : *files) {
    const auto value = value_of(*group, file);
    if (!value) return fail(value.error());
    if (form.names) text += file + ": ";
    text += indented(*value) + "\n";
  }
  if (form.path) text += "\n";
  return text;
}

}  // namespace

int run(int argc, char** argv) {
  Form form;
  Question common;
  std::vector<Question> questions;
  Options options(argc, argv, "ar:hnvg:",
                  {{"variable", required_argument, nullptr, 'r'},
                   {"help", no_argument, nullptr, 'h'},
                   {"all", no_argument, nullptr, 'a'},
                   {"values-only", no_argument, nullptr, 'v'}});
  std::vector<Spec> specs;
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    switch (letter) {
      case 'h':
        fmt::print("{}", help);
        return done;
      case 'a':
        common.all = true;
        break;
      case 'n':
        form.path = false;
        break;
      case 'v':
        form.names = false;
        break;
      case 'r':
        common.files.emplace_back(optarg);
        break;
      case 'g': {
        // Without a path the controllers apply to all cgroups.
        const bool with_path = std::string_view(optarg).find(':') != std::string_view::npos;
        const auto spec = parse_spec(with_path ? std::string(optarg) : std::string(optarg) + ":/");
        if (!spec) return refuse(name, fmt::format("-g '{}': write CONTROLLERS[:PATH]", optarg));
        if (with_path) {
          specs.push_back(*spec);
        } else {
          common.controllers.insert(common.controllers.end(), spec->controllers.begin(),
                                    spec->controllers.end());
        }
        break;
      }
      default:
        return refuse(name, "no such option: " + options.refused());
    }
  }
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  for (const Spec& spec : specs) {
    Question question = common;
    question.path = spec.path;
    const auto controllers = controllers_of(*host, spec);
    if (!controllers) return report(name, controllers.error());
    question.controllers.insert(question.controllers.end(), controllers->begin(),
                                controllers->end());
    questions.push_back(std::move(question));
  }
  for (std::string& path : options.rest()) {
    questions.push_back(common);
    Question& question = questions.back();
    question.path = std::move(path);
    if (question.files.empty() && question.controllers.empty()) question.all = true;
  }
  if (questions.empty()) return refuse(name, "the path of a cgroup is missing");
  int status = done;
  for (const Question& question : questions) {
    const auto text = answer(*host, question, form);
    if (!text) {
      status = report(name, text.error());
      continue;
    }
    tool::write(stdout, *text);
  }
  return status;
}

}  // namespace cgctl::tool::dropin::cgget
