// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "simulation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <deque>
#include <optional>

namespace cgctl::simulation {
namespace {

using mitigation::Action;
using mitigation::Decision;
using mitigation::Effect;
using mitigation::End;
using mitigation::History;
using mitigation::Observation;
using mitigation::Policy;
using mitigation::Rung;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr unsigned minutes_a_day = 24 * 60;
constexpr double full_cache = 20;         // GiB
constexpr double refill = 2.0 / 60;       // GiB per minute
constexpr double bytes_a_zombie = 16384;  // memory that one zombie holds
constexpr double gibibyte = 1024.0 * 1024 * 1024;

constexpr double bytes_in_cache = 4096;  // of these, in the page cache

/// The share of the zombies kept by page cache that a rung frees, and the share of the live page
/// cache that it costs. Measured with 1,000 and 2,000 zombies: evict and squeeze on Linux 6.18,
/// reclaim on 6.1.
struct Mild {
  double frees = 0;
  double costs = 0;
};

std::optional<Mild> mild_rung(Rung rung) {
  if (rung == Rung::evict) return Mild{0.936, 0};
  if (rung == Rung::squeeze) return Mild{0.93, 0.003};
  if (rung == Rung::reclaim) return Mild{0.93, 0.002};
  return std::nullopt;
}

/// The state of one simulated node.
class Node {
 public:
  explicit Node(const Model& model) : model_(model) {}

  void pass_minute(minutes now) {
    const Births births = model_.births(now);
    const double stays = 1 - model_.decay;
    // On a kernel that hands pages to the parent, page cache keeps a zombie only until it is
    // written back.
    const double kept = model_.pages_reparented ? 0.5 : 1;
    cache_ = (cache_ + births.cache) * stays * kept;
    slab_ = (slab_ + births.slab) * stays;
    tmpfs_ = (tmpfs_ + births.tmpfs) * stays;
    page_cache_ = std::min(page_cache_ + refill, full_cache);
    if (busy_ > 0) --busy_;
  }

  [[nodiscard]] std::uint64_t zombies() const {
    return static_cast<std::uint64_t>(cache_ + slab_ + tmpfs_);
  }
  [[nodiscard]] std::uint64_t memcgs() const { return model_.live + zombies(); }
  [[nodiscard]] bool busy() const { return busy_ > 0; }
  [[nodiscard]] double given_up() const { return given_up_; }
  [[nodiscard]] double freed() const { return freed_; }

  [[nodiscard]] nanoseconds read_cost() const {
    constexpr nanoseconds flat = std::chrono::microseconds(10);
    return flat + model_.cost_each * static_cast<std::int64_t>(memcgs());
  }

  void take(Rung rung) {
    if (const auto mild = mild_rung(rung)) {
      const double freed = cache_ * mild->frees;
      const double lost = freed * bytes_in_cache / gibibyte + page_cache_ * mild->costs;
      given_up_ += std::min(lost, page_cache_);
      cache_ -= freed;
      freed_ += freed;
      return;
    }
    freed_ += rung == Rung::drop_slab ? 0 : cache_;
    freed_ += rung == Rung::drop_page_cache ? 0 : slab_;
    if (rung != Rung::drop_slab) {
      cache_ = 0;
      given_up_ += page_cache_;
      page_cache_ = 0;
      busy_ = model_.busy_after;
    }
    if (rung != Rung::drop_page_cache) slab_ = 0;
  }

  [[nodiscard]] Observation look(const History& history, const Policy& policy, seconds now) const {
    Observation seen;
    seen.zombies.low = seen.zombies.high = zombies();
    seen.zombies.live = model_.live;
    seen.zombies.kernel = memcgs();
    seen.read_cost_measured = mitigation::probe_due(history, policy, now);
    seen.read_cost =
        seen.read_cost_measured ? read_cost() : mitigation::predicted_cost(history, memcgs());
    if (model_.tells_pins) {
      zombies::Residual left;
      left.file = static_cast<std::uint64_t>(cache_ * bytes_a_zombie);
      left.shmem = static_cast<std::uint64_t>(tmpfs_ * bytes_a_zombie);
      seen.residual = left;
      seen.slab = slab_ >= 1 ? zombies::SlabPins::yes : zombies::SlabPins::no;
    }
    seen.can_evict = model_.can_evict;
    if (model_.can_squeeze) seen.squeezable.push_back({"/pods", std::nullopt, 0});
    seen.can_reclaim = model_.can_reclaim;
    seen.pages_reparented = model_.pages_reparented;
    seen.io_pressure = busy() ? 80 : 3;
    seen.disk_busy = busy() ? 100 : 10;
    seen.page_cache = static_cast<std::uint64_t>(page_cache_ * gibibyte);
    return seen;
  }

 private:
  const Model& model_;
  double cache_ = 0;
  double slab_ = 0;
  double tmpfs_ = 0;
  double page_cache_ = full_cache;
  double given_up_ = 0;
  double freed_ = 0;
  unsigned busy_ = 0;
};

/// Collects the figures of a strategy on a node.
class Ledger {
 public:
  void note_minute(const Node& node) {
    result_.worst_read = std::max(result_.worst_read, node.read_cost());
    result_.most_zombies = std::max(result_.most_zombies, node.zombies());
  }
  void note_action(const Node& node, seconds now, bool useless) {
    ++actions_;
    if (useless) ++result_.useless;
    if (node.busy()) ++result_.while_busy;
    if (last_) result_.longest_pause = std::max(result_.longest_pause, now - *last_);
    last_ = now;
    recent_.push_back(now);
    while (now - recent_.front() >= std::chrono::hours(24)) recent_.pop_front();
    result_.most_in_24_hours = std::max<std::uint64_t>(result_.most_in_24_hours, recent_.size());
  }
  void note_rungs(const std::vector<Action>& actions) {
    result_.drops += static_cast<std::uint64_t>(
        std::count_if(actions.begin(), actions.end(),
                      [](const Action& action) { return !mild_rung(action.rung); }));
  }
  void note_refusal() { ++result_.refused; }
  [[nodiscard]] Result close(const Node& node, unsigned days) const {
    Result result = result_;
    result.actions_a_day = static_cast<double>(actions_) / days;
    result.gibibytes_a_day = node.given_up() / days;
    constexpr double kibibytes = 1024 * 1024;
    if (node.freed() >= 1) result.kibibytes_a_zombie = node.given_up() * kibibytes / node.freed();
    return result;
  }

 private:
  Result result_;
  std::uint64_t actions_ = 0;
  std::optional<seconds> last_;
  std::deque<seconds> recent_;
};

/// Climbs the ladder as carry_out() does.
std::vector<Action> climb(Node& node, const mitigation::Plan& plan, const Observation& before,
                          const Policy& policy) {
  std::vector<Action> actions;
  for (const Rung rung : plan.ladder) {
    if (!mitigation::climb_on(before, actions, rung, policy)) continue;
    const std::uint64_t had = node.zombies();
    node.take(rung);
    actions.push_back({rung, End::done, seconds(1), had, node.zombies()});
  }
  return actions;
}

}  // namespace

std::vector<Model> models() {
  const auto steady = [](minutes) { return Births{0.5, 0, 0}; };
  const auto bursts = [](minutes now) {
    return Births{
        now.count() % minutes_a_day >= 720 && now.count() % minutes_a_day < 730 ? 300.0 : 0, 0, 0};
  };
  const auto crash_loop = [](minutes now) {
    return Births{now.count() % (3 * minutes_a_day) < 360 ? 6.0 : 0, 0, 0};
  };
  const auto slab = [](minutes) { return Births{0.1, 0.3, 0}; };
  const auto tmpfs = [](minutes) { return Births{0, 0, 1}; };
  const auto healthy = [](minutes) { return Births{0.05, 0, 0}; };
  std::vector<Model> all;
  all.push_back({"healthy node", "72 cgroups a day, which do not stay", healthy, 0.005});
  all.push_back({"steady leak", "30 zombies an hour", steady});
  all.push_back({"bursts", "3,000 zombies in ten minutes at noon", bursts});
  all.push_back(
      {"crash loop", "a zombie every ten seconds for six hours, every third day", crash_loop});
  all.push_back({"dentries pin", "6 zombies an hour by cache, 18 by dentries", slab});
  Model v2{"leak on v2", "60 zombies an hour; fixed kernel, memory.reclaim", [](minutes) {
             return Births{1, 0, 0};
           }};
  v2.cost_each = nanoseconds(0);
  v2.tells_pins = false;
  v2.can_reclaim = true;
  all.push_back(v2);
  all.push_back({"tmpfs pins", "60 zombies an hour that nothing frees; v2, fixed kernel", tmpfs, 0,
                 50, nanoseconds(0), false, false, true});
  all.push_back({"cache pins nothing", "Linux 7.1: 30 an hour, gone with the writeback", steady, 0,
                 50, nanoseconds(0), false, true, true});
  all.push_back({"slow disk", "the steady leak, where a drop keeps the disks busy for four hours",
                 steady, 0, 50, std::chrono::microseconds(70), true, false, false, 240});
  return all;
}

Result run_policy(const Model& model, const Policy& policy, unsigned days) {
  Node node(model);
  Ledger ledger;
  History history;
  for (unsigned minute = 0; minute < days * minutes_a_day; ++minute) {
    const seconds now = minutes(minute);
    node.pass_minute(minutes(minute));
    ledger.note_minute(node);
    const Observation before = node.look(history, policy, now);
    mitigation::note(history, before, policy, now);
    const auto plan = mitigation::decide(before, history, policy, now);
    if (plan.decision == Decision::refused) ledger.note_refusal();
    if (plan.decision != Decision::act) continue;
    const Node as_found = node;
    mitigation::begin(history, now);
    const auto actions = climb(node, plan, before, policy);
    const Effect effect = mitigation::effect_of(actions, policy);
    mitigation::end(history, actions, effect, policy, now);
    mitigation::note(history, node.look({}, policy, now), policy, now);
    ledger.note_action(as_found, now, effect == Effect::ineffective);
    ledger.note_rungs(actions);
  }
  return ledger.close(node, days);
}

Result run_cron(const Model& model, std::chrono::hours every, unsigned days) {
  Node node(model);
  Ledger ledger;
  for (unsigned minute = 1; minute <= days * minutes_a_day; ++minute) {
    node.pass_minute(minutes(minute));
    ledger.note_minute(node);
    if (minutes(minute) % every != minutes(0)) continue;
    const Node as_found = node;
    node.take(Rung::drop_all);
    const Action dropped{Rung::drop_all, End::done, seconds(1), as_found.zombies(), node.zombies()};
    const bool useless = mitigation::share_freed(dropped) < Policy{}.min_effect;
    ledger.note_action(as_found, minutes(minute), useless);
  }
  return ledger.close(node, days);
}

Model with_evict(Model model) {
  model.can_evict = true;
  return model;
}

Model with_squeeze(Model model) {
  model.can_squeeze = true;
  return model;
}

namespace {

std::string text_of(const char* form, double a, double b) {
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(), form, a, b);
  return text.data();
}

std::string actions_of(const Result& result) {
  return text_of("%.1f; %.1f ms", result.actions_a_day,
                 std::chrono::duration<double, std::milli>(result.worst_read).count());
}

/// Formats "48 GiB", or "38 MiB" if it is less than one GiB.
std::string loss_of(const Result& result) {
  constexpr double mebibytes = 1024;
  const double lost = result.gibibytes_a_day;
  return lost >= 1 ? text_of("%.0f GiB", lost, 0) : text_of("%.1f MiB", lost * mebibytes, 0);
}

std::string cell(const Result& result) {
  return " " + actions_of(result) + "; " + loss_of(result) + " |";
}

}  // namespace

std::string table(unsigned days) {
  std::string text =
      "| churn | cgctl | cache given up by cgctl: a day; for each zombie | cgctl with squeeze, "
      "without evict | cgctl without both | `echo 3` every 12 hours | `echo 3` every hour "
      "|\n|---|---|---|---|---|---|---|\n";
  for (const Model& model : models()) {
    const Result best = run_policy(with_evict(model), Policy{}, days);
    text += std::string("| ") + model.name + ": " + model.what + " | " + actions_of(best) + " | ";
    text += loss_of(best) + (best.kibibytes_a_zombie > 0
                                 ? text_of("; %.1f KiB |", best.kibibytes_a_zombie, 0)
                                 : "; - |");
    text += cell(run_policy(with_squeeze(model), Policy{}, days));
    text += cell(run_policy(model, Policy{}, days));
    text += cell(run_cron(model, std::chrono::hours(12), days));
    text += cell(run_cron(model, std::chrono::hours(1), days)) + "\n";
  }
  return text;
}

}  // namespace cgctl::simulation
