// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "holds/counters.hpp"

#include <fcntl.h>

#include <cerrno>
#include <string>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory.hpp"
#include "holds/hexadecimal.hpp"

namespace cgctl::holds {
namespace {

/// Returns the place of a CPU; the size if it is not watched.
std::size_t place_of(const std::vector<Cpu>& cpus, std::uint64_t number) noexcept {
  const auto found =
      std::lower_bound(cpus.begin(), cpus.end(), number,
                       [](const Cpu& one, std::uint64_t wanted) { return one.cpu < wanted; });
  const bool there = found != cpus.end() && found->cpu == number;
  return there ? static_cast<std::size_t>(found - cpus.begin()) : cpus.size();
}

/// Returns the line with this first field, without it.
std::string_view row_of(std::string_view text, std::string_view name) noexcept {
  while (!text.empty()) {
    std::string_view row = parse::line(text);
    if (parse::field(row) == name) return row;
  }
  return {};
}

/// Reads one line of softnet_stat; `row` is its place.
void read_softnet(std::string_view line, std::size_t row, const std::vector<Cpu>& cpus,
                  std::vector<Counted>& out) noexcept {
  constexpr std::size_t columns = 13;
  constexpr std::size_t dropped = 1;
  constexpr std::size_t squeezed = 2;
  constexpr std::size_t backlog = 11;
  constexpr std::size_t cpu = 12;
  std::array<std::uint64_t, columns> values{};
  std::size_t seen = 0;
  for (; seen < columns; ++seen) {
    std::string_view field = parse::field(line);
    if (field.empty()) break;
    values[seen] = hexadecimal(field);
  }
  const std::size_t place = seen > cpu ? place_of(cpus, values[cpu]) : row;
  if (place >= out.size() || seen <= squeezed) return;
  out[place].softnet = true;
  out[place].dropped = values[dropped];
  out[place].time_squeeze = values[squeezed];
  if (seen > cpu) out[place].backlog = values[backlog];
}

std::uint64_t since(std::uint64_t now, std::uint64_t before) noexcept {
  return now > before ? now - before : 0;
}

}  // namespace

bool parse_softirqs(std::string_view text, const std::vector<Cpu>& cpus,
                    std::vector<Counted>& out) noexcept {
  std::string_view heading = parse::line(text);
  std::string_view row = row_of(text, "NET_RX:");
  if (row.empty()) return false;
  for (;;) {
    std::string_view column = parse::field(heading);
    std::string_view figure = parse::field(row);
    if (column.size() <= 3 || figure.empty()) return true;
    column.remove_prefix(3);  // "CPU"
    std::uint64_t number = 0;
    const bool numbered = parse::number(column, number);
    const std::size_t place = numbered ? place_of(cpus, number) : cpus.size();
    if (place < out.size()) parse::number(figure, out[place].net_rx);
  }
}

void parse_softnet(std::string_view text, const std::vector<Cpu>& cpus,
                   std::vector<Counted>& out) noexcept {
  for (std::size_t row = 0; !text.empty(); ++row) {
    read_softnet(parse::line(text), row, cpus, out);
  }
}

/// Reads a file from its start; its end is left out if the buffer is too small.
std::string_view Counters::read(const UniqueFd& file) noexcept {
  std::size_t size = 0;
  while (size < text_.size()) {
    const ssize_t got =
        sys::pread(file.get(), text_.data() + size, text_.size() - size, static_cast<off_t>(size));
    if (got == -EINTR) continue;
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  return {text_.data(), size};
}

/// Reads all counters into `now_`; false without those of the softirqs.
bool Counters::look(const std::vector<Cpu>& cpus) noexcept {
  const bool read_all = parse_softirqs(read(softirqs_), cpus, now_);
  if (softnet_) parse_softnet(read(softnet_), cpus, now_);
  for (std::size_t i = 0; i < ksoftirqd_.size(); ++i) {
    if (!ksoftirqd_[i]) continue;
    std::string_view text = read(ksoftirqd_[i]);
    parse::field(text);
    std::string_view waited = parse::field(text);
    std::uint64_t value = 0;
    if (parse::number(waited, value)) now_[i].ksoftirqd_wait = value;
  }
  return read_all;
}

/// Opens the schedstat of each CPU's ksoftirqd. It is a thread of the kernel, which only the first
/// PID namespace shows.
void Counters::find_ksoftirqd(const Host& host, const std::vector<Cpu>& cpus) {
  ksoftirqd_.resize(cpus.size());
  const auto proc = fs::open_trusted(host.roots().proc, O_RDONLY | O_DIRECTORY);
  if (!proc) return;
  const auto buffer = cgctl::detail::make_entries();
  constexpr std::size_t most_looked = 8192;  // the kernel's own threads come first
  std::size_t looked = 0;
  std::size_t left = cpus.size();
  cgctl::detail::each_entry(proc->get(), *buffer, [&](const char* name, unsigned char) {
    constexpr std::string_view head = "ksoftirqd/";
    if (looked++ == most_looked) return -ECANCELED;
    const std::string_view directory(name);
    if (directory.empty() || directory.front() < '0' || directory.front() > '9') return 0;
    const std::string path = std::string(directory);
    const UniqueFd comm(sys::open_at(proc->get(), (path + "/comm").c_str(), O_RDONLY));
    std::string_view text = comm ? read(comm) : std::string_view();
    if (!parse::starts_with(text, head)) return 0;
    text.remove_prefix(head.size());
    const auto number = parse::whole_number(text);
    const std::size_t place = number ? place_of(cpus, *number) : cpus.size();
    if (place == cpus.size()) return 0;
    ksoftirqd_[place] =
        UniqueFd(sys::open_at(proc->get(), (path + "/schedstat").c_str(), O_RDONLY));
    return --left == 0 ? -ECANCELED : 0;
  });
}

Result<Counters> Counters::open(const Host& host, const std::vector<Cpu>& cpus) {
  constexpr std::size_t least = 65536;
  constexpr std::size_t for_each_cpu = 512;  // a column of softirqs has 11 bytes in 11 lines
  const std::string& proc = host.roots().proc;
  Counters counters;
  counters.now_.resize(cpus.size());
  counters.text_.resize(std::max(least, for_each_cpu * (cpus.empty() ? 1 : cpus.back().cpu + 1)));
  auto softirqs = fs::open_in_root(proc, "softirqs", O_RDONLY);
  if (!softirqs) return fail(softirqs.error());
  counters.softirqs_ = std::move(*softirqs);
  if (auto softnet = fs::open_in_root(proc, "net/softnet_stat", O_RDONLY)) {
    counters.softnet_ = std::move(*softnet);
  }
  counters.find_ksoftirqd(host, cpus);
  if (!counters.look(cpus)) {
    return fail(Error::make(errc::malformed, "read", fs::join(proc, "softirqs"),
                            "there is no line for NET_RX"));
  }
  counters.before_ = counters.now_;
  return counters;
}

void Counters::update(std::vector<Cpu>& cpus) noexcept {
  if (!softirqs_ || !look(cpus)) return;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    const Counted& before = before_[i];
    const Counted& now = now_[i];
    cpus[i].net_rx = since(now.net_rx, before.net_rx);
    if (now.softnet) cpus[i].time_squeeze = since(now.time_squeeze, before.time_squeeze);
    if (now.softnet) cpus[i].dropped = since(now.dropped, before.dropped);
    if (now.backlog) cpus[i].backlog = std::max(*now.backlog, cpus[i].backlog.value_or(0));
    if (now.ksoftirqd_wait && before.ksoftirqd_wait) {
      cpus[i].ksoftirqd_wait =
          Time(static_cast<Time::rep>(since(*now.ksoftirqd_wait, *before.ksoftirqd_wait)));
    }
  }
}

}  // namespace cgctl::holds
