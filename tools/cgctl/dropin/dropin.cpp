// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "dropin.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "cli/command.hpp"

namespace cgctl::tool::dropin {
namespace {

struct Named {
  std::string_view name;
  Program program;
};

constexpr std::array programs = {
    Named{"cgclassify", cgclassify::run}, Named{"cgcreate", cgcreate::run},
    Named{"cgdelete", cgdelete::run},     Named{"cgexec", cgexec::run},
    Named{"cgget", cgget::run},           Named{"cgset", cgset::run},
    Named{"cgsnapshot", cgsnapshot::run}, Named{"lscgroup", lscgroup::run},
    Named{"lssubsys", lssubsys::run}};

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> found;
  for (;;) {
    const std::size_t end = text.find(by);
    found.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return found;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Program program_named(std::string_view name) noexcept {
  name.remove_prefix(name.rfind('/') + 1);  // npos + 1 is 0
  for (const Named& one : programs) {
    if (one.name == name) return one.program;
  }
  return nullptr;
}

void say(const char* name, std::string_view text) {
  tool::write(stderr, fmt::format("{}: {}\n", name, escaped(text)));
}

int report(const char* name, const Error& error) {
  say(name, message_of(error));
  return failed;
}

int refuse(const char* name, std::string_view why) {
  say(name, fmt::format("{} (see {} --help)", why, name));
  return wrong_usage;
}

std::optional<Spec> parse_spec(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  Spec spec{split(text.substr(0, colon), ','), std::string(text.substr(colon + 1))};
  const bool empty_name = std::any_of(spec.controllers.begin(), spec.controllers.end(),
                                      [](const std::string& one) { return one.empty(); });
  if (empty_name || spec.path.empty()) return std::nullopt;
  return spec;
}

std::vector<std::string> in_kernel_order(const Host& host) {
  std::vector<std::string> all;
  for (const SubsystemRow& row : host.subsystems()) {
    if (host.find(row.name) != nullptr) all.push_back(row.name);
  }
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    for (const std::string& controller : hierarchy.controllers) {
      if (std::find(all.begin(), all.end(), controller) == all.end()) all.push_back(controller);
    }
  }
  return all;
}

int report_unreachable(const char* name, const Host& host) {
  int status = done;
  for (const Unreachable& one : host.unreachable()) status = report(name, one.error);
  return status;
}

Result<std::vector<std::string>> controllers_of(const Host& host, const Spec& spec) {
  if (spec.controllers != std::vector<std::string>{"*"}) return spec.controllers;
  if (!host.unreachable().empty()) return fail(host.unreachable().front().error);
  std::vector<std::string> all;
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    all.insert(all.end(), hierarchy.controllers.begin(), hierarchy.controllers.end());
  }
  return all;
}

Result<Group> open(const Host& host, const Spec& spec) {
  const auto controllers = controllers_of(host, spec);
  if (!controllers) return fail(controllers.error());
  return Group::open(host, spec.path, *controllers);
}

Result<std::vector<Group>> open(const Host& host, const std::vector<Spec>& specs) {
  std::vector<Group> groups;
  for (const Spec& spec : specs) {
    auto group = open(host, spec);
    if (!group) return fail(group.error());
    groups.push_back(std::move(*group));
  }
  return groups;
}

Status attach(const std::vector<Group>& groups, pid_t process) {
  for (const Group& group : groups) {
    if (auto status = group.attach(process); !status) return status;
  }
  return {};
}

namespace {

/// True if nobody may read the file: EACCES then says nothing about the caller.
bool is_write_only(const Group& group, std::string_view file) {
  const auto fd = group.open_file(file, O_PATH);
  struct ::stat found {};
  constexpr mode_t readable = S_IRUSR | S_IRGRP | S_IROTH;
  return fd && ::fstat(fd->get(), &found) == 0 && (found.st_mode & readable) == 0;
}

}  // namespace

Result<std::string> value_of(const Group& group, std::string_view file) {
  auto text = group.read(file);
  if (!text && text.error().os_errno == EINVAL) return std::string();  // no read method
  if (!text && text.error().os_errno == EACCES && is_write_only(group, file)) {
    return std::string();
  }
  if (!text) return text;
  if (!text->empty() && text->back() == '\n') text->pop_back();
  return text;
}

}  // namespace cgctl::tool::dropin
