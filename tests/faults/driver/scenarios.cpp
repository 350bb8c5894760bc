// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "scenarios.hpp"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "cgctl/trend.hpp"

namespace cgctl::faults {
namespace {

using Arguments = std::vector<std::string>;

constexpr std::initializer_list<const char*> trees = {
    "linux-6.18-hybrid/2-zombies", "linux-5.4-v1-numa2/2-zombies", "linux-6.12-v2-numa2/2-zombies"};

/// Adds commands that read the captured trees.
void add_reads(std::vector<Scenario>& out) {
  const std::initializer_list<std::pair<const char*, Arguments>> commands = {
      {"info", {"info"}},
      {"info --json", {"info", "--json"}},
      {"ls", {"ls"}},
      {"zombies", {"zombies"}},
      {"zombies --json", {"zombies", "--json"}},
      {"snapshot", {"snapshot", "/"}},
      {"snapshot --json", {"--json", "snapshot", "/"}},
      {"numa-stat", {"numa-stat", "--budget", "1h"}},
      {"pressure", {"pressure"}},
      {"metrics", {"metrics", "--state-dir", "@T/state"}},
      {"doctor", {"doctor"}},
      {"doctor --json", {"doctor", "--json"}},
      {"mitigate --dry-run",
       {"mitigate", "--once", "--dry-run", "--read-cost-limit", "1h", "--high", "20", "--state-dir",
        "@T/state"}},
  };
  for (const char* const tree : trees) {
    const std::string version = std::string(tree).substr(0, std::string(tree).find('/'));
    for (const auto& [name, arguments] : commands) {
      out.push_back({std::string(name) + " on " + version, tree, arguments});
      // doctor looks for throttled and killed cgroups, mitigate for those that squeeze can reach.
      out.back().leaves_out_gone = arguments.front() == "doctor" || arguments.front() == "mitigate";
    }
  }
  const char* const v1 = "linux-5.4-v1-numa2/2-zombies";
  const char* const v2 = "linux-6.12-v2-numa2/2-zombies";
  out.push_back({"cpu on v1", v1, {"cpu", "/kubepods/pod-a"}});
  out.push_back({"memory on v1", v1, {"memory", "/kubepods/pod-a"}});
  out.push_back({"numa-stat PATH on v1", v1, {"numa-stat", "/kubepods/pod-a", "--budget", "1h"}});
  out.push_back({"cpu on v2", v2, {"cpu", "/kubepods.slice/pod-a"}});
  out.push_back({"memory on v2", v2, {"memory", "/kubepods.slice/pod-a"}});
  out.push_back({"memory --json on v2", v2, {"--json", "memory", "/kubepods.slice/pod-a"}});
  out.push_back({"io on v2", v2, {"io", "/"}});
  out.push_back({"cpuset on v2", v2, {"cpuset", "/"}});
  out.push_back({"pressure PATH on v2", v2, {"pressure", "/kubepods.slice/pod-a"}});
  out.push_back(
      {"stat on v2", v2, {"stat", "--watch", "1ms", "--count", "2", "/kubepods.slice/pod-a"}});
}

constexpr const char* tree_file = R"(group @S/a {
  cpu { cpu.shares = 700; }
  memory { memory.limit_in_bytes = 33554432; }
}
group @S/new {
  cpu { cpu.shares = 300; }
}
group @S/new/deep {
  memory { memory.limit_in_bytes = 16777216; }
}
)";

void add_reads_of_this_host(std::vector<Scenario>& out) {
  out.push_back({"ls @G", "", {"ls", "@G"}});
  out.push_back(
      {"get", "", {"get", "@G/a", "cpu.shares", "memory.limit_in_bytes", "cgroup.procs"}});
  out.push_back({"get --json", "", {"--json", "get", "@G/a", "cpu.shares", "pids.max"}});
  out.push_back({"snapshot @G", "", {"snapshot", "@G"}});
  out.push_back({"cpu", "", {"cpu", "@G/a"}});
  out.push_back({"memory", "", {"memory", "@G/a"}});
  out.push_back({"pids", "", {"pids", "@G/a"}});
  out.push_back({"stat", "", {"stat", "--watch", "1ms", "--count", "2", "@G/a"}});
  // The column of zombies is left out: top would take a census of the whole host for it.
  constexpr const char* columns =
      "cpu,limit,throttled,memory,working-set,tasks,max,swap,read,write,memory-some,oom,anon,file";
  Scenario top{"top", "", {"top", "-o", columns, "--interval", "10ms", "--count", "2", "@G"}};
  top.leaves_out_gone = true;
  out.push_back(std::move(top));
  out.push_back({"numa-stat", "", {"numa-stat", "@G/a", "--budget", "1h"}});
  out.push_back({"pressure", "", {"pressure", "@G/a"}});
  out.push_back({"apply --plan", "", {"apply", "--plan", "@T/tree"}, {{"tree", tree_file}}});
}

void add_writes(std::vector<Scenario>& out) {
  out.push_back({"create", "", {"create", "@G/new/deep"}});
  out.push_back({"create -c", "", {"create", "-c", "cpu,memory", "@G/new"}});
  out.push_back({"delete", "", {"delete", "@G/c"}, {}, true});
  out.push_back({"delete -r --kill", "", {"delete", "-r", "--kill", "@G/a"}, {}, true});
  out.push_back({"delete --empty-first", "", {"delete", "--empty-first", "@G/c"}, {}, true});
  out.push_back({"move", "", {"move", "@G/c", "@P"}});
  out.push_back({"set", "", {"set", "@G/a", "cpu.shares=300", "memory.swappiness=20"}});
  out.push_back({"cpu --cpus", "", {"cpu", "@G/a", "--cpus", "0.25", "--period", "50ms"}});
  out.push_back({"pids --max", "", {"pids", "@G/a", "--max", "50"}});
  out.push_back({"memory --max", "", {"memory", "@G/a", "--max", "32M", "--low", "16M"}});
  out.push_back({"apply", "", {"apply", "@T/tree"}, {{"tree", tree_file}}});
  out.push_back(
      {"apply --prune", "", {"apply", "--prune", "@T/tree"}, {{"tree", tree_file}}, true});
  out.push_back({"run", "", {"run", "--below", "@G", "--", "true"}});
  out.push_back({"run with limits",
                 "",
                 {"run", "--below", "@G", "--cpus", "0.5", "--max", "64M", "--report", "--", "sh",
                  "-c", "echo out; exit 5"}});
  out.push_back(
      {"run with other limits", "", {"run", "--below", "@G", "--pids-max", "50", "--", "true"}});
  out.push_back({"run --init", "", {"run", "--init", "@G/new", "--", "sh", "-c", "sleep 9 &"}});
  out.push_back({"metrics -o",
                 "linux-6.18-hybrid/2-zombies",
                 {"metrics", "--state-dir", "@T/state", "-o", "@T/cgctl.prom"}});
  out.push_back({"metrics of cgroups",
                 "linux-6.18-hybrid/2-zombies",
                 {"metrics", "--state-dir", "@T/state", "--config", "@T/series.toml"},
                 {{"series.toml", "[daemon]\ncgroup_series = 3\n"}}});
  // The files of a cgroup that is gone are left out.
  out.back().leaves_out_gone = true;
}

/// Adds commands of the recorder.
void add_recorder(std::vector<Scenario>& out) {
  const std::initializer_list<std::pair<const char*, bool>> options = {
      {"--start", false}, {"", true}, {"--stop", true}};
  for (const auto& [option, recording] : options) {
    Scenario one{std::string("record ") + option,
                 "",
                 {"record", "--instance", "@S", "--state-dir", "@T/state"}};
    if (*option != '\0') one.arguments.emplace_back(option);
    // A later start completes one that was begun.
    one.may_stop_half_way = true;
    one.traces = true;
    one.recording = recording;
    out.push_back(std::move(one));
  }
}

/// Returns the file of the daemon's history, with a point for each of the last three hours.
std::string trend_file() {
  const auto directory =
      std::filesystem::temp_directory_path() / ("cgctl-" + std::to_string(::getpid()));
  std::filesystem::create_directory(directory);
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all);
  const auto ring = trend::Ring::open(directory);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  for (const unsigned hours : {3U, 2U, 1U}) {
    trend::Point point;
    point.at = now - std::chrono::hours(hours);
    point.zombies = 1000 * hours;
    point.maker = "/kubepods/pod-a";
    if (!ring || !ring->add(point)) throw std::runtime_error("the history cannot be made");
  }
  std::ostringstream text;
  text << std::ifstream(directory / "trend", std::ios::binary).rdbuf();
  std::filesystem::remove_all(directory);
  return text.str();
}

void add_history(std::vector<Scenario>& out) {
  const std::pair<std::string, std::string> file{"trend", trend_file()};
  out.push_back(
      {"history", "", {"--json", "history", "--since", "7d", "--state-dir", "@T"}, {file}});
}

/// Adds commands that are called by the names of libcgroup's tools.
void add_drop_ins(std::vector<Scenario>& out) {
  const std::initializer_list<std::pair<const char*, Arguments>> commands = {
      {"cgget", {"-r", "cpu.shares", "-r", "memory.limit_in_bytes", "@S/a"}},
      {"cgset", {"-r", "cpu.shares=300", "-r", "memory.swappiness=20", "@S/a"}},
      {"cgcreate", {"-g", "cpu,memory:@S/new"}},
      {"cgdelete", {"-r", "-g", "cpu,memory:@S/c"}},
      {"cgclassify", {"-g", "cpu,memory:@S/c", "@P"}},
      {"lscgroup", {"cpu:@S"}},
      {"cgexec", {"-g", "cpu,memory:@S/c", "true"}},
  };
  for (const auto& [name, arguments] : commands) {
    out.push_back({name, "", arguments, {}, std::string(name) == "cgdelete", name});
  }
}

}  // namespace

std::vector<Scenario> all_scenarios() {
  std::vector<Scenario> out;
  add_reads(out);
  add_reads_of_this_host(out);
  add_writes(out);
  add_drop_ins(out);
  add_recorder(out);
  add_history(out);
  return out;
}

}  // namespace cgctl::faults
