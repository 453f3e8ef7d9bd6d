#include "matching/one_to_one.hpp"

#include <algorithm>
#include <limits>
#include <queue>
#include <tuple>

#include "core/error.hpp"
#include "core/interrupt.hpp"

namespace featflow {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Minimum-cost assignment of every a, where a pair costs −r and staying single costs 0 (each a
/// has a private partner of its own for that). Potentials keep every reduced cost
/// cost(a, b) − u(a) − v(b) ≥ 0, with equality on the assigned pairs; v is 0 for a free b.
class Assignment {
 public:
  Assignment(std::vector<FeaturePair> pairs) : pairs_(std::move(pairs)) {
    std::sort(pairs_.begin(), pairs_.end(), [](const FeaturePair& x, const FeaturePair& y) {
      return std::tie(x.feature_a, x.feature_b) < std::tie(y.feature_a, y.feature_b);
    });
    int32_t a_count = 0, b_count = 0;
    for (const FeaturePair& pair : pairs_) {
      FEATFLOW_CHECK(pair.feature_a >= 0 && pair.feature_b >= 0, "feature index");
      a_count = std::max(a_count, pair.feature_a + 1);
      b_count = std::max(b_count, pair.feature_b + 1);
    }
    offsets_.assign(a_count + 1, 0);
    for (const FeaturePair& pair : pairs_) ++offsets_[pair.feature_a + 1];
    for (int32_t a = 0; a < a_count; ++a) offsets_[a + 1] += offsets_[a];
    pair_of_a_.assign(a_count, -1);
    pair_of_b_.assign(b_count, -1);
    u_.assign(a_count, 0);
    v_.assign(b_count, 0);
    distance_.assign(b_count, kInfinity);
    reached_by_.assign(b_count, -1);
    done_.assign(b_count, 0);
  }

  std::vector<FeaturePair> solve() {
    for (int32_t a = 0; a < std::ssize(pair_of_a_); ++a) {
      if (a % 256 == 0) throw_if_interrupted();
      if (offsets_[a] < offsets_[a + 1]) insert(a);
    }
    std::vector<FeaturePair> result;
    for (const int64_t pair : pair_of_a_) {
      if (pair >= 0) result.push_back(pairs_[pair]);
    }
    return result;
  }

 private:
  using Entry = std::pair<double, int32_t>;  // distance of a b, and b: ties by index

  double cost(int64_t pair) const { return -static_cast<double>(pairs_[pair].correlation); }

  // Dijkstra from the new a over alternating paths, to the nearest free b or to an a that is
  // better left single.
  void insert(int32_t root) {
    u_[root] = 0;
    for (int64_t pair = offsets_[root]; pair < offsets_[root + 1]; ++pair) {
      u_[root] = std::min(u_[root], cost(pair) - v_[pairs_[pair].feature_b]);
    }
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    std::vector<int32_t> touched;                     // b with a distance
    std::vector<std::pair<int32_t, double>> visited;  // a with its distance
    int32_t single = -1, free_b = -1;
    double single_distance = kInfinity, total = 0;
    for (int32_t a = root;;) {
      visited.emplace_back(a, total);
      if (total - u_[a] < single_distance) {
        single_distance = total - u_[a];
        single = a;
      }
      for (int64_t pair = offsets_[a]; pair < offsets_[a + 1]; ++pair) {
        const int32_t b = pairs_[pair].feature_b;
        if (done_[b]) continue;
        const double distance = total + std::max(0.0, cost(pair) - u_[a] - v_[b]);
        if (distance >= distance_[b] || distance >= single_distance) continue;
        if (distance_[b] == kInfinity) touched.push_back(b);
        distance_[b] = distance;
        reached_by_[b] = pair;
        queue.emplace(distance, b);
      }
      while (!queue.empty() &&
             (done_[queue.top().second] || queue.top().first > distance_[queue.top().second])) {
        queue.pop();
      }
      if (queue.empty() || queue.top().first >= single_distance) {
        total = single_distance;
        break;
      }
      const int32_t b = queue.top().second;
      total = queue.top().first;
      queue.pop();
      if (pair_of_b_[b] < 0) {
        free_b = b;
        break;
      }
      done_[b] = 1;
      a = pairs_[pair_of_b_[b]].feature_a;
    }

    for (const auto& [a, distance] : visited) u_[a] += total - distance;
    for (const int32_t b : touched) {
      if (done_[b]) v_[b] -= total - distance_[b];
    }
    if (free_b < 0) {
      if (single != root) free_b = pairs_[pair_of_a_[single]].feature_b;
      pair_of_a_[single] = -1;
    }
    if (free_b >= 0) augment(root, free_b);
    for (const int32_t b : touched) {
      distance_[b] = kInfinity;
      done_[b] = 0;
    }
  }

  void augment(int32_t root, int32_t b) {
    while (true) {
      const int64_t pair = reached_by_[b];
      const int32_t a = pairs_[pair].feature_a;
      const int64_t former = pair_of_a_[a];
      pair_of_a_[a] = pair;
      pair_of_b_[b] = pair;
      if (a == root) return;
      b = pairs_[former].feature_b;
    }
  }

  std::vector<FeaturePair> pairs_;              // by a, then b
  std::vector<int64_t> offsets_;                // pairs of a: [offsets_[a], offsets_[a + 1])
  std::vector<int64_t> pair_of_a_, pair_of_b_;  // the assignment, −1: single
  std::vector<double> u_, v_;
  std::vector<double> distance_;  // per search, reset after it
  std::vector<int64_t> reached_by_;
  std::vector<uint8_t> done_;
};

}  // namespace

std::vector<FeaturePair> one_to_one(std::span<const FeaturePair> pairs, double threshold) {
  FEATFLOW_CHECK(threshold > 0, "a match has a positive correlation");
  std::vector<FeaturePair> candidates;
  for (const FeaturePair& pair : pairs) {
    if (pair.correlation >= threshold) candidates.push_back(pair);
  }
  return Assignment(std::move(candidates)).solve();
}

}  // namespace featflow
