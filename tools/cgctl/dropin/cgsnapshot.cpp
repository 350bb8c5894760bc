// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/permissions.hpp"
#include "cli/command.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::cgsnapshot {
namespace {

constexpr const char* name = "cgsnapshot";
constexpr const char* help =
    "usage: cgsnapshot [-st] [-b FILE] [-w FILE] [-f FILE] [CONTROLLER]...\n"
    "Print the settings of all cgroups as cgconfig.conf, for all controllers or those named.\n"
    "  -b, --blacklist FILE  list of files to leave out (default /etc/cgsnapshot_blacklist.conf)\n"
    "  -w, --whitelist FILE  list of files that cause no warning\n"
    "  -t, --strict          leave out files that are not in the whitelist\n"
    "  -s, --silent          print no warnings\n"
    "  -f, --file FILE       write to FILE\n"
    "  -h, --help            print this help\n";
constexpr const char* default_blacklist = "/etc/cgsnapshot_blacklist.conf";

using Names = std::set<std::string>;

struct Form {
  Names blacklist;
  Names whitelist;
  bool strict = false;
  bool silent = false;
};

/// Reads the first word of each line that is not a comment.
Result<Names> read_names(const std::string& file) {
  const auto text = fs::read_trusted(file);
  if (!text) return fail(text.error());
  Names names;
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::string_view line = parse::line(rest);
    const std::string_view word = parse::field(line);
    if (!word.empty() && word.front() != '#') names.emplace(word);
  }
  return names;
}

/// Returns the `perm` section; empty if root owns both.
std::string permissions_text(const struct ::stat& directory, const struct ::stat& tasks) {
  const bool roots =
      directory.st_uid == 0 && directory.st_gid == 0 && tasks.st_uid == 0 && tasks.st_gid == 0;
  if (roots) return {};
  const auto section = [](const char* key, const struct ::stat& of) {
    return fmt::format("\t\t{} {{\n\t\t\tuid = {};\n\t\t\tgid = {};\n\t\t}}\n", key,
                       permissions::user_name(of.st_uid), permissions::group_name(of.st_gid));
  };
  return "\tperm {\n" + section("admin", directory) + section("task", tasks) + "\t}\n";
}

/// Writes the cgroups of one hierarchy.
class Writer {
 public:
  Writer(const Host& host, const Hierarchy& hierarchy, const Form& form, std::FILE* out)
      : host_(host), hierarchy_(hierarchy), form_(form), out_(out) {}

  /// Writes all cgroups below the root.
  Status write() {
    std::vector<std::string> paths;
    auto status = add_paths_below(hierarchy_.directory.get(), hierarchy_.mount_point, paths);
    for (const std::string& path : paths) {
      const auto group = Group::open(host_, path, hierarchy_.controllers);
      if (!group && group.error().kind == errc::vanished) continue;
      if (!group) return fail(group.error());
      if (auto written = one(*group); !written) return written;
    }
    return status;
  }

 private:
  Status one(const Group& group) {
    const std::string path = group.path().substr(1);
    const bool plain = path.find_first_of(" \t") == std::string::npos;
    std::string text = fmt::format(plain ? "group {} {{\n" : "group \"{}\" {{\n", path);
    for (const std::string& controller : hierarchy_.controllers) {
      const auto owners = permissions(group);
      if (!owners) return fail(owners.error());
      text += *owners;
      text += fmt::format("\t{} {{\n", controller);
      const auto files = group.files(controller);
      if (!files) return fail(files.error());
      for (const std::string& file : *files) {
        const auto wanted = is_wanted(file);
        if (!wanted) return fail(wanted.error());
        if (!*wanted) continue;
        const auto value = value_of(group, file);
        if (!value) return fail(value.error());
        if (file == "devices.list") text += "\t\tdevices.deny=\"a *:* rwm\";\n";
        text += fmt::format("\t\t{}=\"{}\";\n", file == "devices.list" ? "devices.allow" : file,
                            *value);
      }
      text += "\t}\n";
    }
    tool::write(out_, text + "}\n\n");
    return {};
  }

  static Result<std::string> permissions(const Group& group) {
    struct ::stat directory {};
    struct ::stat tasks {};
    const Group::Place& place = group.places().front();
    const char* const file = place.hierarchy->version == Version::v1 ? "tasks" : "cgroup.procs";
    if (::fstat(place.directory.get(), &directory) != 0 ||
        ::fstatat(place.directory.get(), file, &tasks, 0) != 0) {
      return fail(fs::system_error("stat", group.path(), errno));
    }
    return permissions_text(directory, tasks);
  }

  /// Returns true if the file is written: it is not read-only (in the root, because modes elsewhere
  /// may have been changed) and the lists allow it. Warns once of a file that is in no list.
  Result<bool> is_wanted(const std::string& file) {
    const auto known = wanted_.find(file);
    if (known != wanted_.end()) return known->second;
    struct ::stat root {};
    const bool in_root = ::fstatat(hierarchy_.directory.get(), file.c_str(), &root, 0) == 0;
    if (!in_root && errno != ENOENT) return fail(fs::system_error("stat", file, errno));
    const bool read_only = in_root && (root.st_mode & S_IWUSR) == 0 && file != "devices.list";
    const bool listed = form_.whitelist.count(file) != 0;
    const bool wanted = !read_only && form_.blacklist.count(file) == 0 &&
                        (listed || !form_.strict) && file != "devices.allow" &&
                        file != "devices.deny";
    if (wanted && !listed && !form_.silent) {
      fmt::print(stderr, "WARNING: variable {} is neither blacklisted nor whitelisted\n", file);
    }
    return wanted_[file] = wanted;
  }

  const Host& host_;
  const Hierarchy& hierarchy_;
  const Form& form_;
  std::FILE* out_;
  std::map<std::string, bool> wanted_;
};

/// Returns the hierarchies that have one of the wanted controllers; all if none is named.
std::vector<const Hierarchy*> chosen(const Host& host, const std::vector<std::string>& wanted) {
  std::vector<const Hierarchy*> found;
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    const bool named = std::any_of(wanted.begin(), wanted.end(),
                                   [&](const std::string& one) { return hierarchy.has(one); });
    if (!hierarchy.controllers.empty() && (wanted.empty() || named)) found.push_back(&hierarchy);
  }
  return found;
}

int write(const std::vector<std::string>& wanted, const Form& form, std::FILE* out) {
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  int status = wanted.empty() ? report_unreachable(name, *host) : done;
  for (const std::string& controller : wanted) {
    const auto hierarchy = host->require(controller);
    if (!hierarchy) status = report(name, hierarchy.error());
  }
  fmt::print(out, "# Configuration file generated by cgsnapshot\nmount {{\n");
  for (const std::string& controller : in_kernel_order(*host)) {
    const bool named = std::find(wanted.begin(), wanted.end(), controller) != wanted.end();
    if (!wanted.empty() && !named) continue;
    tool::write(out, fmt::format("\t{} = {};\n", controller, host->find(controller)->mount_point));
  }
  fmt::print(out, "}}\n\n");
  for (const Hierarchy* const hierarchy : chosen(*host, wanted)) {
    const auto written = Writer(*host, *hierarchy, form, out).write();
    if (!written) status = report(name, written.error());
  }
  return status;
}

}  // namespace

int run(int argc, char** argv) {
  Form form;
  std::string blacklist;
  std::string whitelist;
  std::string file;
  Options options(argc, argv, "hsb:w:tf:",
                  {{"help", no_argument, nullptr, 'h'},
                   {"silent", no_argument, nullptr, 's'},
                   {"blacklist", required_argument, nullptr, 'b'},
                   {"whitelist", required_argument, nullptr, 'w'},
                   {"strict", no_argument, nullptr, 't'},
                   {"file", required_argument, nullptr, 'f'}});
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    switch (letter) {
      case 'h':
        fmt::print("{}", help);
        return done;
      case 's':
        form.silent = true;
        break;
      case 't':
        form.strict = true;
        break;
      case 'b':
        blacklist = optarg;
        break;
      case 'w':
        whitelist = optarg;
        break;
      case 'f':
        file = optarg;
        break;
      default:
        return refuse(name, "no such option: " + options.refused());
    }
  }
  for (const auto& [path, names] :
       {std::pair{blacklist, &form.blacklist}, std::pair{whitelist, &form.whitelist}}) {
    if (path.empty()) continue;
    auto read = read_names(path);
    if (!read) return report(name, read.error());
    *names = std::move(*read);
  }
  if (blacklist.empty()) {
    if (auto read = read_names(default_blacklist)) form.blacklist = std::move(*read);
  }
  if (file.empty()) return write(options.rest(), form, stdout);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(file.c_str(), "we"),
                                                            std::fclose);
  if (!out) return report(name, Error::system("open", file, errno));
  const int status = write(options.rest(), form, out.get());
  const bool flushed = std::fflush(out.get()) == 0;
  if (flushed && std::ferror(out.get()) == 0) return status;
  return report(name, Error::system("write", file, flushed ? EIO : errno));
}

}  // namespace cgctl::tool::dropin::cgsnapshot
