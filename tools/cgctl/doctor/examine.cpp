// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/examine.hpp"

#include "cgctl/filesystem.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"
#include "cgctl/recorder.hpp"
#include "cgctl/systemd.hpp"
#include "cli/command.hpp"
#include "cli/escape.hpp"
#include "command/dead.hpp"
#include "command/makers.hpp"
#include "doctor/cgroups.hpp"

namespace cgctl::tool::doctor_command {
namespace {

using mitigation::note_missing;

/// Reads the ids of a list such as "0-1,3".
std::vector<std::uint32_t> ids(const Host& host, std::string_view path, Unread& unread) {
  std::vector<std::uint32_t> all;
  const auto text = fs::read_in_root(host.roots().sys, path);
  if (!text) {
    note_missing(unread, text.error());
    return all;
  }
  parse::ranges(*text, [&all](std::uint64_t first, std::uint64_t last) {
    constexpr std::uint64_t most = 1U << 16U;
    for (std::uint64_t id = first; id <= last && all.size() < most; ++id) {
      all.push_back(static_cast<std::uint32_t>(id));
    }
  });
  return all;
}

Machine examine_machine(const Host& host, Unread& unread) {
  Machine machine;
  machine.mode = host.mode();
  const auto version = fs::read_in_root(host.roots().proc, "version");
  if (version) {
    std::string_view rest = *version;
    parse::field(rest);
    parse::field(rest);
    machine.kernel = parse::field(rest);
  } else {
    note_missing(unread, version.error());
  }
  const auto cpus = ids(host, "devices/system/cpu/online", unread);
  if (!cpus.empty()) machine.cpus = cpus.size();
  machine.nodes = ids(host, "devices/system/node/online", unread);
  return machine;
}

Known<Memory> examine_memory(const Host& host) {
  const auto memory = host.require("memory");
  if (!memory) return because(memory.error());
  return Memory{(*memory)->version, (*memory)->mount_point, (*memory)->whole};
}

Known<Zombies> examine_zombies(const Host& host, const std::string& state_dir, Unread& unread) {
  const auto count = zombies::count(host);
  if (!count) return because(count.error());
  Zombies found{*count, std::nullopt, {}, {}, {}};
  if (count->high == 0) return found;
  const std::string offsets_file = offsets_file_in(state_dir);
  zombies::AttributionLimits limits;
  limits.offsets_file = offsets_file.c_str();
  auto where = zombies::attribute(host, limits);
  if (!where) {
    note_missing(unread, where.error());
    return found;
  }
  if (where->failure) unread.push_back(*where->failure);
  mitigation::Observation seen;
  seen.zombies = *count;
  seen.residual = where->residual;
  seen.page_size = host.page_size();
  found.pins = mitigation::explain_pins(seen);
  found.where = std::move(*where);
  return found;
}

void examine_pressure(const Host& host, Diagnosis& found) {
  const auto io = pressure::read(host, pressure::Resource::io);
  if (io) found.io_pressure = io->some.avg10;
  if (!io) note_missing(found.unread, io.error());
  const auto memory = pressure::read(host, pressure::Resource::memory);
  if (memory && memory->full) found.memory_pressure = memory->full->avg10;
  if (!memory) note_missing(found.unread, memory.error());
}

void examine_systemd(const Host& host, const std::string& machine_root, Diagnosis& found) {
  if (!systemd::is_booted(machine_root)) return;
  auto endangered = systemd::endangered(host);
  if (!endangered) return note_missing(found.unread, endangered.error());
  found.endangered = std::move(*endangered);
}

/// Returns the bytes; 0, with a note, if they could not be read.
std::uint64_t bytes_of(const Result<std::uint64_t>& bytes, Unread& unread) {
  if (!bytes) note_missing(unread, bytes.error());
  return bytes.value_or(0);
}

/// Returns the commands to advise, with the roots and the configuration that were given to doctor.
Commands commands_of(const Roots& roots, const std::string& config) {
  const Roots usual;
  Commands commands;
  if (roots.cgroup != usual.cgroup) commands.cgctl += " --cgroup-root " + quoted(roots.cgroup);
  if (roots.proc != usual.proc) commands.cgctl += " --proc-root " + quoted(roots.proc);
  if (roots.sys != usual.sys) commands.cgctl += " --sys-root " + quoted(roots.sys);
  if (!config.empty()) commands.config = " --config " + quoted(config);
  return commands;
}

}  // namespace

tl::unexpected<std::string> because(const Error& error) {
  return tl::unexpected<std::string>(message_of(error));
}

Diagnosis examine(const Host& host, const ExamineOptions& options,
                  const Configuration& configuration, const std::string& config,
                  names::Resolver& names) {
  Diagnosis found;
  found.policy = configuration.policy;
  found.commands = commands_of(host.roots(), config);
  Unread& unread = found.unread;
  for (const Unreachable& one : host.unreachable()) unread.push_back(one.error);
  found.machine = examine_machine(host, unread);
  found.memory = examine_memory(host);
  found.zombies = examine_zombies(host, configuration.state_dir, unread);
  found.page_size = host.page_size();
  found.weights.page_cache = bytes_of(mitigation::page_cache(host), unread);
  found.weights.memory = bytes_of(mitigation::total_memory(host), unread);
  if (found.zombies) {
    const std::uint64_t zombies = found.zombies->count.low;
    const auto ledger = options.read_only ? recorder::peek(host, configuration.state_dir)
                                          : newest_ledger(host, configuration.state_dir);
    if (!ledger) note_missing(unread, ledger.error());
    if (ledger && zombies != 0) found.zombies->makers = leading_maker(*ledger, zombies);
    examine_ids(host, ledger ? &*ledger : nullptr, configuration.state_dir, found);
    found.weights.kernel_memory = bytes_of(mitigation::kernel_memory(host, zombies), unread);
  }
  examine_pressure(host, found);
  examine_cgroups(host, names, found);
  examine_systemd(host, options.machine_root, found);
  examine_memory_stat(host, found);
  examine_kernel(host, options, found);
  return found;
}

}  // namespace cgctl::tool::doctor_command
