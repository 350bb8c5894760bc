// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/glob.hpp"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>

#include "cgctl/detail/sys.hpp"
#include "cgctl/unique_fd.hpp"
#include "detail/directory.hpp"

namespace cgctl::detail {
namespace {

/// Adds the paths of the entries of a directory whose names match; `top` is the directory's path
/// with its slash, or empty for the working directory.
void add_matching(const std::string& top, const std::string& pattern, Entries& buffer,
                  std::vector<std::string>& paths) {
  const int fd =
      sys::open_at(AT_FDCWD, top.empty() ? "." : top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  const UniqueFd directory(fd);
  each_entry(fd, buffer, [&](const char* name, unsigned char) {
    if (::fnmatch(pattern.c_str(), name, FNM_PERIOD) == 0) paths.push_back(top + name);
    return 0;
  });
}

bool exists(const std::string& path) {
  struct ::stat found {};
  return sys::stat_at(AT_FDCWD, path.c_str(), found) == 0;
}

}  // namespace

std::vector<std::string> files_matching(std::string_view pattern) {
  const auto buffer = make_entries();
  std::vector<std::string> paths{""};
  while (!pattern.empty()) {
    const std::size_t end = std::min(pattern.find('/'), pattern.size());
    const std::string name(pattern.substr(0, end));
    const std::size_t next = std::min(pattern.find_first_not_of('/', end), pattern.size());
    const std::string slashes(pattern.substr(end, next - end));
    pattern.remove_prefix(next);
    const bool plain = name.find_first_of("*?[\\") == std::string::npos;
    std::vector<std::string> longer;
    for (const std::string& path : paths) {
      if (plain) {
        longer.push_back(path + name);
      } else {
        add_matching(path, name, *buffer, longer);
      }
    }
    for (std::string& path : longer) path += slashes;
    paths = std::move(longer);
  }
  paths.erase(std::remove_if(paths.begin(), paths.end(),
                             [](const std::string& path) { return !exists(path); }),
              paths.end());
  return paths;
}

}  // namespace cgctl::detail
