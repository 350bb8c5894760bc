// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "measure.hpp"
#include "programs.hpp"

namespace cgctl::bench {
namespace {

using Command = std::vector<std::string>;

/// Measures a command on the host as it is; no cgroups are created first.
void command(benchmark::State& state, const Command& words) {
  with_arena(state, [&](const Arena&) {
    if (!run(words)) return skip(state, words[0] + " failed, or is not installed");
    measure(state, [&] { return run(words); });
  });
}

Command one_value(const char* program) {
  const Arena& arena = Arena::instance();
  const bool v2 = arena.problem().empty() && arena.memory().version == Version::v2;
  const std::string file = v2 ? "memory.current" : "memory.usage_in_bytes";
  if (std::string(program) == "cgget") return {"cgget", "-n", "-v", "-r", file, "cgctl-bench"};
  return {program, "get", "/cgctl-bench", file};
}

/// Counts with `find | wc`, as a person at a shell does.
Command find_and_count() {
  const Arena& arena = Arena::instance();
  const std::string top = arena.problem().empty() ? arena.memory().mount_point : "/";
  return {"sh", "-c", "find '" + top + "' -type d | wc -l"};
}

/// Compiles an empty program that includes these headers; also records the size of the object.
void header(benchmark::State& state, const std::string& name, const std::string& includes) {
  const auto folder = std::filesystem::temp_directory_path() / ("cgctl-bench-" + name);
  std::filesystem::create_directories(folder);
  const std::string source = folder / "source.cpp";
  const std::string object = folder / "object.o";
  std::ofstream(source) << includes << "int main() {}\n";
  const Command compile{CGCTL_COMPILER, "-std=c++17", "-O2", "-I" CGCTL_INCLUDE,
                        "-c",           source,       "-o",  object};
  measure(state, [&] { return run(compile); });
  std::error_code error;
  state.counters["object_bytes"] = static_cast<double>(std::filesystem::file_size(object, error));
  std::filesystem::remove_all(folder, error);
}

const bool command_registered = [] {
  add("zombies_command/cgctl", [](auto& state) { command(state, {CGCTL_TOOL, "zombies"}); });
  add("zombies_command/cgctl_count_alone", [](auto& state) {
    command(state, {CGCTL_TOOL, "zombies", "--top", "0"});
  });
  add("zombies_command/cgget_one_value", [](auto& state) { command(state, one_value("cgget")); });
  add("zombies_command/find_wc", [](auto& state) { command(state, find_and_count()); });
  add("zombies_command/systemd_cgtop", [](auto& state) {
    command(state, {"systemd-cgtop", "-b", "-n1"});
  });
  add("zombies_command/true", [](auto& state) { command(state, {"true"}); });
  add("get_command/cgctl", [](auto& state) { command(state, one_value(CGCTL_TOOL)); });
  add("get_command/cgget", [](auto& state) { command(state, one_value("cgget")); });
  for (const auto& [name, includes] :
       {std::pair("cgctl", "#include <cgctl/cgctl.hpp>\n"),
        std::pair("fmt_and_expected", "#include <fmt/core.h>\n#include <tl/expected.hpp>\n"),
        std::pair("standard_headers",
                  "#include <chrono>\n#include <optional>\n#include <string>\n#include "
                  "<string_view>\n#include <vector>\n")}) {
    add(std::string("header/") + name, [name = name, includes = includes](auto& state) {
      header(state, name, includes);
    })->Repetitions(9);
  }
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
