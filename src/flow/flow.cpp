#include "flow/flow.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"

namespace featflow {
namespace {

using ModelPair = std::pair<int, int>;

/// The links at τ of one pair of models, by feature of the ancestor.
class Links {
 public:
  Links(std::vector<FeaturePair> pairs, int64_t ancestor_features)
      : pairs_(std::move(pairs)), offsets_(ancestor_features + 1, 0) {
    for (const FeaturePair& pair : pairs_) ++offsets_[pair.feature_a + 1];
    for (int64_t j = 0; j < ancestor_features; ++j) offsets_[j + 1] += offsets_[j];
  }

  std::span<const FeaturePair> all() const { return pairs_; }
  std::span<const FeaturePair> of(int32_t ancestor_feature) const {
    return std::span(pairs_).subspan(offsets_[ancestor_feature],
                                     offsets_[ancestor_feature + 1] - offsets_[ancestor_feature]);
  }
  bool contains(int32_t ancestor_feature, int32_t descendant_feature) const {
    const auto links = of(ancestor_feature);
    const auto found = std::lower_bound(
        links.begin(), links.end(), descendant_feature,
        [](const FeaturePair& pair, int32_t feature) { return pair.feature_b < feature; });
    return found != links.end() && found->feature_b == descendant_feature;
  }

 private:
  std::vector<FeaturePair> pairs_;
  std::vector<int64_t> offsets_;
};

/// Correlation of one pair if it is at or above the floor.
std::optional<float> stored_correlation(const Matches& matches, int32_t a, int32_t b) {
  const auto found = std::lower_bound(matches.pairs.begin(), matches.pairs.end(), std::pair(a, b),
                                      [](const FeaturePair& pair, const std::pair<int, int>& key) {
                                        return std::pair(pair.feature_a, pair.feature_b) < key;
                                      });
  if (found == matches.pairs.end() || found->feature_a != a || found->feature_b != b) return {};
  return found->correlation;
}

std::vector<int32_t> set_features(const std::vector<uint8_t>& flags) {
  std::vector<int32_t> features;
  for (size_t j = 0; j < flags.size(); ++j) {
    if (flags[j]) features.push_back(static_cast<int32_t>(j));
  }
  return features;
}

class FlowBuilder {
 public:
  FlowBuilder(const Family& family, const MatchesByModels& matches, const FlowOptions& options)
      : family_(family), options_(options), sides_(family.size(), nullptr) {
    for (const auto& [ancestor, descendant] : family.ancestries()) {
      const Matches& pair = find(matches, ancestor, descendant);
      set_side(ancestor, pair.a);
      set_side(descendant, pair.b);
      if (!first_) first_ = &pair;
      if (pair.corpus != first_->corpus || pair.row_count != first_->row_count) {
        throw Error(fmt::format(
            "flow: matches of {} and {} count {} rows of text {}, others {} "
            "rows of text {}; expected the same rows for the whole family",
            in_quotes(family.name(ancestor)), in_quotes(family.name(descendant)), pair.row_count,
            in_quotes(pair.corpus), first_->row_count, in_quotes(first_->corpus)));
      }
      floor_ = std::max(floor_, pair.floor);
      matches_.emplace(ModelPair(ancestor, descendant), &pair);
      links_.emplace(
          ModelPair(ancestor, descendant),
          Links(measurable_pairs(pair, options.threshold, options.limits), pair.a.feature_count()));
    }
    for (int model = 0; model < family.size(); ++model) {
      const MatchSide* side = sides_[model];
      measurable_.push_back(
          side ? measurable(side->active_tokens, side->active_documents, options.limits)
               : std::vector<uint8_t>());
    }
    find_reach();
  }

  double floor() const { return floor_; }

  ModelFlow model_flow(int model) const {
    const FamilyModel& given = family_.models()[model];
    ModelFlow flow{given.name, given.parents, given.merged, {}};
    if (!sides_[model]) return flow;
    const std::vector<int64_t>& active = sides_[model]->active_tokens;
    flow.counts.features = std::ssize(active);
    flow.counts.silent = std::count(active.begin(), active.end(), 0);
    flow.counts.measurable = std::count(measurable_[model].begin(), measurable_[model].end(), 1);
    flow.counts.unmeasurable = flow.counts.features - flow.counts.silent - flow.counts.measurable;
    return flow;
  }

  std::optional<RootFlow> root_flow(int root) const {
    RootFlow flow;
    flow.root = family_.name(root);
    std::vector<int64_t> fine_tunes_reached(measurable_[root].size(), 0);
    for (const int child : family_.children(root)) {
      if (family_.models()[child].merged) continue;
      std::vector<uint8_t> persists(measurable_[root].size(), 0);
      for (const FeaturePair& link : links(root, child).all()) persists[link.feature_a] = 1;
      for (size_t j = 0; j < persists.size(); ++j) fine_tunes_reached[j] += persists[j];
      flow.fine_tunes.push_back(family_.name(child));
      flow.persisting.push_back(std::count(persists.begin(), persists.end(), 1));
    }
    if (flow.fine_tunes.empty()) return {};
    for (size_t j = 0; j < fine_tunes_reached.size(); ++j) {
      if (fine_tunes_reached[j] > 0) flow.features.push_back(static_cast<int32_t>(j));
      flow.into_all += fine_tunes_reached[j] == std::ssize(flow.fine_tunes);
    }
    flow.into_any = std::ssize(flow.features);
    return flow;
  }

  MergeFlow merge_flow(int model) const {
    MergeFlow flow;
    flow.model = family_.name(model);
    const size_t m = measurable_[model].size();
    flow.measurable = std::count(measurable_[model].begin(), measurable_[model].end(), 1);
    std::vector<uint8_t> traced(m, 0), from_base(m, 0);
    for (const int parent : family_.parents(model)) {
      std::vector<uint8_t> here(m, 0), base_here(m, 0);
      for (const FeaturePair& link : links(parent, model).all()) {
        here[link.feature_b] = 1;
        if (from_base_[parent][link.feature_a]) base_here[link.feature_b] = 1;
      }
      MergeFlow::Parent row{family_.name(parent), 0, 0, 0};
      for (size_t j = 0; j < m; ++j) {
        row.traced += here[j];
        row.from_base += base_here[j];
        traced[j] |= here[j];
        from_base[j] |= base_here[j];
      }
      row.emerged_in_fine_tuning = row.traced - row.from_base;
      flow.parents.push_back(row);
    }
    for (size_t j = 0; j < m; ++j) {
      if (!measurable_[model][j]) continue;
      (from_base[j] ? flow.from_base
       : traced[j]  ? flow.emerged_in_fine_tuning
                    : flow.emerged_at_merge)
          .push_back(static_cast<int32_t>(j));
    }
    return flow;
  }

  PathFlow path_flow(const std::vector<int>& path) const {
    PathFlow flow;
    for (const int model : path) flow.models.push_back(family_.name(model));
    count_distinct(path, flow);
    count_chains(path, flow);
    std::vector<int32_t> chain;
    for (const int32_t feature : set_features(measurable_[path[0]])) {
      chain = {feature};
      count_every_pair(path, chain, flow.every_pair);
    }
    list_chains(path, flow);
    return flow;
  }

 private:
  const Matches& find(const MatchesByModels& matches, int ancestor, int descendant) const {
    const std::string& a = family_.name(ancestor);
    const std::string& b = family_.name(descendant);
    const auto found = matches.find({a, b});
    if (found == matches.end()) {
      throw Error(
          fmt::format("flow: no matches of {} with its descendant {}; expected those of "
                      "every model with all its ancestors",
                      in_quotes(a), in_quotes(b)));
    }
    const Matches& result = *found->second;
    if (result.a.model != a || result.b.model != b) {
      throw Error(fmt::format("flow: the matches given for {} and {} are those of {} and {}",
                              in_quotes(a), in_quotes(b), in_quotes(result.a.model),
                              in_quotes(result.b.model)));
    }
    return result;
  }

  void set_side(int model, const MatchSide& side) {
    if (!sides_[model]) sides_[model] = &side;
    if (sides_[model]->active_tokens == side.active_tokens &&
        sides_[model]->active_documents == side.active_documents) {
      return;
    }
    throw Error(
        fmt::format("flow: the matches of {} come from different feature activations; "
                    "match all pairs again from the same files",
                    in_quotes(family_.name(model))));
  }

  const Links& links(int ancestor, int descendant) const {
    return links_.at({ancestor, descendant});
  }

  // from_base_[model][j]: feature j goes back to a root, link by link.
  void find_reach() {
    for (int model = 0; model < family_.size(); ++model) {
      if (family_.parents(model).empty()) {
        from_base_.push_back(measurable_[model]);
        continue;
      }
      std::vector<uint8_t> reached(measurable_[model].size(), 0);
      for (const int parent : family_.parents(model)) {
        for (const FeaturePair& link : links(parent, model).all()) {
          reached[link.feature_b] |= from_base_[parent][link.feature_a];
        }
      }
      from_base_.push_back(std::move(reached));
    }
  }

  // A feature lies on a chain if it is reached from the root and from the leaf.
  void count_distinct(const std::vector<int>& path, PathFlow& flow) const {
    const size_t last = path.size() - 1;
    std::vector<std::vector<uint8_t>> forward, backward(path.size());
    forward.push_back(measurable_[path[0]]);
    for (size_t i = 0; i < last; ++i) {
      forward.emplace_back(measurable_[path[i + 1]].size(), 0);
      for (const FeaturePair& link : links(path[i], path[i + 1]).all()) {
        forward[i + 1][link.feature_b] |= forward[i][link.feature_a];
      }
    }
    backward[last] = measurable_[path[last]];
    for (size_t i = last; i-- > 0;) {
      backward[i].assign(measurable_[path[i]].size(), 0);
      for (const FeaturePair& link : links(path[i], path[i + 1]).all()) {
        backward[i][link.feature_a] |= backward[i + 1][link.feature_b];
      }
    }
    for (size_t i = 0; i <= last; ++i) {
      int64_t count = 0;
      for (size_t j = 0; j < forward[i].size(); ++j) count += forward[i][j] & backward[i][j];
      flow.distinct.push_back(count);
    }
  }

  // Chains between each root feature and each leaf feature, by propagating counts along links:
  // their number can be far greater than that of the links.
  void count_chains(const std::vector<int>& path, PathFlow& flow) const {
    for (const int32_t feature : set_features(measurable_[path[0]])) {
      std::map<int32_t, int64_t> chains = {{feature, 1}};
      for (size_t i = 0; i + 1 < path.size(); ++i) {
        std::map<int32_t, int64_t> next;
        for (const auto& [j, count] : chains) {
          for (const FeaturePair& link : links(path[i], path[i + 1]).of(j)) {
            next[link.feature_b] += count;
          }
        }
        chains = std::move(next);
      }
      for (const auto& [leaf, count] : chains) {
        flow.chains += count;
        if (links(path.front(), path.back()).contains(feature, leaf)) flow.direct += count;
      }
    }
  }

  bool linked_to_all(const std::vector<int>& path, const std::vector<int32_t>& chain,
                     int32_t next) const {
    const int model = path[chain.size()];
    for (size_t i = 0; i + 1 < chain.size(); ++i) {
      if (!links(path[i], model).contains(chain[i], next)) return false;
    }
    return true;
  }

  void count_every_pair(const std::vector<int>& path, std::vector<int32_t>& chain,
                        int64_t& count) const {
    if (chain.size() == path.size()) {
      if (++count % 65'536 == 0) throw_if_interrupted();
      return;
    }
    const Links& next = links(path[chain.size() - 1], path[chain.size()]);
    for (const FeaturePair& link : next.of(chain.back())) {
      if (!linked_to_all(path, chain, link.feature_b)) continue;
      chain.push_back(link.feature_b);
      count_every_pair(path, chain, count);
      chain.pop_back();
    }
  }

  void list_chains(const std::vector<int>& path, PathFlow& flow) const {
    for (const int32_t feature : set_features(measurable_[path[0]])) {
      extend({{feature}, 1, {}, true}, path, flow.listed);
    }
    std::ranges::sort(flow.listed, {}, &Chain::features);
    const ModelPair ends(path.front(), path.back());
    std::vector<FeaturePair> unknown;
    for (Chain& chain : flow.listed) {
      chain.direct =
          stored_correlation(*matches_.at(ends), chain.features.front(), chain.features.back());
      if (!chain.direct) unknown.push_back({chain.features.front(), chain.features.back(), 0});
    }
    if (unknown.empty() || !options_.correlate) return;
    const std::vector<double> known =
        options_.correlate(flow.models.front(), flow.models.back(), unknown);
    FEATFLOW_CHECK(known.size() == unknown.size(), "a correlation for each pair");
    size_t i = 0;
    for (Chain& chain : flow.listed) {
      if (!chain.direct) chain.direct = static_cast<float>(known[i++]);
    }
  }

  // `strongest` is a heap with the weakest chain in front; of equals the first found stays.
  void extend(const Chain& chain, const std::vector<int>& path,
              std::vector<Chain>& strongest) const {
    const auto stronger = [](const Chain& a, const Chain& b) {
      return std::pair(a.weakest_link, b.features) > std::pair(b.weakest_link, a.features);
    };
    const bool full = std::ssize(strongest) >= options_.max_listed_chains;
    if (full && chain.weakest_link <= strongest.front().weakest_link) return;
    const size_t length = chain.features.size();
    if (length == path.size()) {
      if (full) {
        std::ranges::pop_heap(strongest, stronger);
        strongest.pop_back();
      }
      strongest.push_back(chain);
      std::ranges::push_heap(strongest, stronger);
      return;
    }
    for (const FeaturePair& link :
         links(path[length - 1], path[length]).of(chain.features.back())) {
      Chain longer = chain;
      longer.every_pair = chain.every_pair && linked_to_all(path, chain.features, link.feature_b);
      longer.features.push_back(link.feature_b);
      longer.weakest_link = std::min(chain.weakest_link, link.correlation);
      extend(longer, path, strongest);
    }
  }

  const Family& family_;
  const FlowOptions& options_;
  std::vector<const MatchSide*> sides_;
  const Matches* first_ = nullptr;
  double floor_ = 0;
  std::map<ModelPair, const Matches*> matches_;
  std::map<ModelPair, Links> links_;
  std::vector<std::vector<uint8_t>> measurable_, from_base_;  // [model][feature]
};

}  // namespace

Flow compute_flow(const Family& family, const MatchesByModels& family_matches,
                  const MatchesByModels& intersection_matches, const FlowOptions& options) {
  const FlowBuilder builder(family, family_matches, options);
  Flow flow;
  flow.threshold = options.threshold;
  flow.limits = options.limits;
  flow.floor = builder.floor();
  for (const auto& [parent, child] : family.edges()) {
    const std::pair key(family.name(parent), family.name(child));
    flow.family.push_back(edge_flow(*family_matches.at(key), options));
    const auto intersection = intersection_matches.find(key);
    if (intersection != intersection_matches.end()) {
      flow.intersection.push_back(edge_flow(*intersection->second, options));
    }
  }
  for (int model = 0; model < family.size(); ++model) {
    flow.models.push_back(builder.model_flow(model));
    if (family.parents(model).empty()) {
      if (auto root = builder.root_flow(model)) flow.roots.push_back(std::move(*root));
    }
    if (family.models()[model].merged) flow.merges.push_back(builder.merge_flow(model));
  }
  for (const std::vector<int>& path : family.paths()) {
    throw_if_interrupted();
    flow.paths.push_back(builder.path_flow(path));
  }
  return flow;
}

}  // namespace featflow
