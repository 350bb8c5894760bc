// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "churn.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include "mitigation/settling.hpp"

namespace cgctl::simulation {
namespace {

using detail::Counted;
using detail::Settling;
using mitigation::Action;
using mitigation::Decision;
using mitigation::End;
using mitigation::History;
using mitigation::Observation;
using mitigation::Policy;
using mitigation::Rung;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds step(100);

class ChurningNode {
 public:
  explicit ChurningNode(const Churn& churn)
      : churn_(churn), removed_(churn.removals * std::chrono::duration<double>(step).count()) {}

  void pass() {
    now_ += step;
    pinned_ += removed_(random_);
    if (now_ >= released_) going_ = 0;
    most_ = std::max(most_, zombies());
  }
  void drop_page_cache() {
    if (!churn_.freeable) return;
    going_ += pinned_;
    pinned_ = 0;
    released_ = now_ + churn_.delay;
  }

  [[nodiscard]] milliseconds now() const { return now_; }
  [[nodiscard]] std::uint64_t zombies() const { return pinned_ + going_; }
  [[nodiscard]] std::uint64_t most() const { return most_; }
  [[nodiscard]] Observation look() const {
    Observation seen;
    seen.zombies.low = seen.zombies.high = zombies();
    seen.zombies.live = 50;
    seen.zombies.kernel = zombies() + 50;
    return seen;
  }

 private:
  const Churn& churn_;
  std::minstd_rand random_{1};
  std::poisson_distribution<std::uint64_t> removed_;
  milliseconds now_{};
  milliseconds released_{};
  std::uint64_t pinned_ = 0;
  std::uint64_t going_ = 0;
  std::uint64_t most_ = 0;
};

/// Simulates carry_out().
std::vector<Action> act(ChurningNode& node, const mitigation::Plan& plan, const Observation& before,
                        const Policy& policy) {
  const Counted first{{}, node.zombies()};
  const auto start = node.now();
  while (node.now() - start < policy.still_for / 2) node.pass();
  double rate = detail::rise(first, {node.now() - start, node.zombies()});
  std::vector<Action> actions;
  for (const Rung rung : plan.ladder) {
    if (!mitigation::climb_on(before, actions, rung, policy)) continue;
    Action action{rung, End::done, seconds(1), node.zombies(), 0};
    Settling settling(policy, node.zombies(), rate);
    const auto began = node.now();
    if (rung == Rung::drop_page_cache) node.drop_page_cache();
    do {
      node.pass();
      settling.note({node.now() - began, node.zombies()});
    } while (!settling.over());
    rate = settling.rate();
    action.zombies_after = settling.after();
    action.made = settling.made();
    actions.push_back(action);
  }
  return actions;
}

}  // namespace

ChurnResult run_churn(const Churn& churn, const Policy& policy) {
  constexpr std::chrono::hours whole(1);
  constexpr seconds interval(5);
  ChurningNode node(churn);
  ChurnResult result;
  History history;
  while (node.now() < whole) {
    const auto next = node.now() + interval;
    while (node.now() < next) node.pass();
    const auto now = [&node] { return std::chrono::duration_cast<seconds>(node.now()); };
    const Observation before = node.look();
    mitigation::note(history, before, policy, now());
    const auto plan = mitigation::decide(before, history, policy, now());
    if (plan.decision != Decision::act) continue;
    mitigation::begin(history, now());
    const auto actions = act(node, plan, before, policy);
    const auto effect = mitigation::effect_of(actions, policy);
    mitigation::end(history, actions, effect, policy, now());
    mitigation::note(history, node.look(), policy, now());
    ++result.actions;
    if (effect == mitigation::Effect::effective) ++result.effective;
    result.slab_drops += static_cast<std::uint64_t>(
        std::count_if(actions.begin(), actions.end(),
                      [](const Action& action) { return action.rung == Rung::drop_slab; }));
  }
  result.most_zombies = node.most();
  return result;
}

}  // namespace cgctl::simulation
