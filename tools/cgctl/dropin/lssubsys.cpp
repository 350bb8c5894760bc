// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cgctl/filesystem.hpp"
#include "cli/command.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::lssubsys {
namespace {

constexpr const char* name = "lssubsys";
constexpr const char* help =
    "usage: lssubsys [-imM] [CONTROLLER]...\n"
    "   or: lssubsys [-aimM]\n"
    "List the controllers of each hierarchy: of all that are mounted, or of those named.\n"
    "  -a, --all               also list controllers that are not mounted\n"
    "  -i, --hierarchies       also print the hierarchy's number\n"
    "  -m, --mount-points      also print the hierarchy's mount point\n"
    "  -M, --all-mount-points  print a line for each mount point of the hierarchy\n"
    "  -h, --help              print this help\n";

struct Form {
  bool number = false;
  bool mount_point = false;
  bool all_mount_points = false;
};

std::uint32_t number_of(const Host& host, const Hierarchy& hierarchy) {
  if (hierarchy.version == Version::v2) return 0;
  for (const SubsystemRow& row : host.subsystems()) {
    if (hierarchy.has(row.name)) return row.hierarchy;
  }
  return 0;
}

std::vector<std::string> mount_points(const Host& host, const Hierarchy& hierarchy) {
  const auto text = fs::read_in_root(host.roots().proc, "self/mountinfo");
  std::vector<std::string> found;
  for (const MountRow& row : parse_mountinfo(text ? *text : std::string())) {
    const bool same = row.version == hierarchy.version &&
                      (row.version == Version::v2 ||
                       std::find(row.options.begin(), row.options.end(),
                                 hierarchy.controllers.front()) != row.options.end());
    if (same) found.push_back(row.mount_point);
  }
  if (found.empty()) found.push_back(hierarchy.mount_point);
  return found;
}

void show(const Host& host, const Hierarchy& hierarchy, const Form& form) {
  const std::string controllers = fmt::format("{}", fmt::join(hierarchy.controllers, ","));
  const std::string number =
      form.number ? fmt::format(" {}", number_of(host, hierarchy)) : std::string();
  if (!form.mount_point) {
    fmt::print("{}{}\n", controllers, number);
    return;
  }
  const auto points = form.all_mount_points ? mount_points(host, hierarchy)
                                            : std::vector<std::string>{hierarchy.mount_point};
  // libcgroup prints no number where it prints mount points.
  for (const std::string& point : points)
    tool::write(stdout, fmt::format("{} {}\n", controllers, point));
}

}  // namespace

int run(int argc, char** argv) {
  Form form;
  bool all = false;
  Options options(argc, argv, "mMhai",
                  {{"help", no_argument, nullptr, 'h'},
                   {"mount-points", no_argument, nullptr, 'm'},
                   {"all-mount-points", no_argument, nullptr, 'M'},
                   {"all", no_argument, nullptr, 'a'},
                   {"hierarchies", no_argument, nullptr, 'i'}});
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    switch (letter) {
      case 'h':
        fmt::print("{}", help);
        return done;
      case 'a':
        all = true;
        break;
      case 'i':
        form.number = true;
        break;
      case 'M':
        form.all_mount_points = true;
        form.mount_point = true;
        break;
      case 'm':
        form.mount_point = true;
        break;
      default:
        return refuse(name, "no such option: " + options.refused());
    }
  }
  const auto wanted = options.rest();
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  int status = wanted.empty() ? report_unreachable(name, *host) : done;
  for (const std::string& controller : wanted) {
    const auto hierarchy = host->require(controller);
    if (!hierarchy) status = report(name, hierarchy.error());
  }
  for (const SubsystemRow& row : host->subsystems()) {
    if (all && host->find(row.name) == nullptr) fmt::print("{}\n", row.name);
  }
  std::vector<const Hierarchy*> shown;
  for (const std::string& controller : in_kernel_order(*host)) {
    const Hierarchy* const hierarchy = host->find(controller);
    const bool named = std::any_of(wanted.begin(), wanted.end(),
                                   [&](const std::string& one) { return hierarchy->has(one); });
    const bool again = std::find(shown.begin(), shown.end(), hierarchy) != shown.end();
    if (again || (!wanted.empty() && !named)) continue;
    shown.push_back(hierarchy);
    show(*host, *hierarchy, form);
  }
  return status;
}

}  // namespace cgctl::tool::dropin::lssubsys
