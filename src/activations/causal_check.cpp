#include "activations/causal_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "activations/document_blocks.hpp"
#include "activations/residual_loss.hpp"
#include "activations/tap_position.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/progress.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

constexpr int64_t kBatchTokens = 4096;

// For each feature, the blocks in which it is active at a position that counts, ascending.
using ActiveBlocks = std::map<int32_t, std::vector<int64_t>>;

ActiveBlocks active_blocks(const FeatureActivations& activations,
                           std::span<const DocumentBlock> blocks,
                           std::span<const int32_t> features) {
  std::vector<uint8_t> asked(static_cast<size_t>(activations.rows.feature_count), 0);
  for (const int32_t j : features) {
    FEATFLOW_CHECK(j >= 0 && j < std::ssize(asked), fmt::format("there is no feature {}", j));
    asked[static_cast<size_t>(j)] = 1;
  }
  ActiveBlocks found;
  const SparseRows& rows = activations.rows;
  for (int64_t r = 0; r < rows.rows(); ++r) {
    const int64_t position = activations.token_positions[static_cast<size_t>(r)];
    for (int64_t e = rows.row_offsets[static_cast<size_t>(r)];
         e < rows.row_offsets[static_cast<size_t>(r) + 1]; ++e) {
      const int32_t j = rows.features[static_cast<size_t>(e)];
      if (asked[static_cast<size_t>(j)] == 0) continue;
      const auto after = std::ranges::upper_bound(blocks, position, {}, &DocumentBlock::begin);
      const int64_t b = after - blocks.begin() - 1;
      const DocumentBlock& block = blocks[static_cast<size_t>(b)];
      if (position + 1 >= block.begin + block.size) continue;
      std::vector<int64_t>& list = found[j];
      if (list.empty() || list.back() != b) list.push_back(b);
    }
  }
  return found;
}

// At most `count` of the candidates, drawn without replacement; ascending.
std::vector<DocumentBlock> draw(std::vector<int64_t> candidates,
                                std::span<const DocumentBlock> blocks, int64_t count, Rng rng) {
  if (std::ssize(candidates) > count) {
    rng.shuffle(candidates);
    candidates.resize(static_cast<size_t>(count));
    std::ranges::sort(candidates);
  }
  std::vector<DocumentBlock> drawn;
  for (const int64_t b : candidates) drawn.push_back(blocks[static_cast<size_t>(b)]);
  return drawn;
}

// What the removal of one feature does in some blocks, one number per position of each block,
// [blocks, block_size], zero where the position does not count.
struct Changes {
  std::vector<float> change;    // Δ
  std::vector<uint8_t> active;  // f_j > 0
};

// Removes one feature from one batch of blocks. Losses are computed only where they can differ:
// where the feature is active, and, unless the tap is in the last layer, at every later position of
// the block, to which attention may carry it.
class Removal {
 public:
  Removal(const CausalModel& side, int32_t feature, const MatchingText& text,
          std::span<const DocumentBlock> blocks, const CausalConfig& config)
      : side_(side),
        feature_(feature),
        blocks_(blocks),
        tap_(config.tap),
        position_(tap_position(side.model->config(), config.tap)),
        bos_(static_cast<int32_t>(side.model->config().bos_token_id)),
        time_(config.block_size),
        ids_(padded_ids(text.tokens, blocks, config.block_size, bos_)),
        f_(ids_.size()),
        active_(ids_.size()),
        wanted_(ids_.size()) {}

  void append_to(Changes& changes) {
    const std::vector<float> change = position_.last_layer ? in_one_pass() : in_two_passes();
    changes.change.insert(changes.change.end(), change.begin(), change.end());
    changes.active.insert(changes.active.end(), active_.begin(), active_.end());
  }

 private:
  // f_j(x) = ReLU(w_j · (x − b_d) + b_j) of each row, zero at BOS; and which positions to score.
  void find(const TapValues& x) {
    const Autoencoder& a = *side_.autoencoder;
    const auto n = static_cast<size_t>(a.input_size), j = static_cast<size_t>(feature_);
    for (size_t r = 0; r < ids_.size(); ++r) {
      if (ids_[r] == bos_) continue;
      const std::span<const float> row = x.row(static_cast<int64_t>(r));
      auto sum = static_cast<double>(a.encoder_bias[j]);
      for (size_t i = 0; i < n; ++i) {
        sum += static_cast<double>(a.encoder_weight[j * n + i]) *
               (static_cast<double>(row[i]) - static_cast<double>(a.decoder_bias[i]));
      }
      f_[r] = std::max(0.0f, static_cast<float>(sum));
    }
    for (size_t b = 0; b < blocks_.size(); ++b) {
      bool before = false;
      for (int64_t t = 0; t + 1 < blocks_[b].size; ++t) {
        const size_t r = b * static_cast<size_t>(time_) + static_cast<size_t>(t);
        active_[r] = f_[r] > 0;
        before = before || f_[r] > 0;
        wanted_[r] = active_[r] != 0 || (before && !position_.last_layer);
      }
    }
  }

  // x ← x − f_j d_j
  void remove(const TapValues& x) const {
    const auto n = static_cast<size_t>(side_.autoencoder->input_size);
    const float* d = side_.autoencoder->decoder_weight.data() + static_cast<size_t>(feature_) * n;
    for (size_t r = 0; r < f_.size(); ++r) {
      if (f_[r] == 0) continue;
      const std::span<float> row = x.row(static_cast<int64_t>(r));
      for (size_t i = 0; i < n; ++i) row[i] -= f_[r] * d[i];
    }
  }

  std::vector<float> in_two_passes() {
    const Tap find_it{tap_, [&](TapValues x) { find(x); }};
    const Tap remove_it{tap_, [&](TapValues x) { remove(x); }};
    const auto count = std::ssize(blocks_);
    const auto whole = side_.model->loss_at(ids_, count, time_, wanted_, {&find_it, 1});
    auto change = side_.model->loss_at(ids_, count, time_, wanted_, {&remove_it, 1});
    for (size_t r = 0; r < change.size(); ++r) change[r] -= whole[r];
    return change;
  }

  // Behind the last layer the residual stream is linear in the tap and no position sees another:
  // without the feature, a row is what it was minus f_j v_j.
  std::vector<float> in_one_pass() {
    const auto width = static_cast<size_t>(side_.model->config().hidden_size);
    const std::vector<float> v =
        residual_directions(*side_.checkpoint, *side_.autoencoder, tap_, {&feature_, 1});
    std::vector<size_t> rows;
    std::vector<int32_t> targets;
    std::vector<float> whole, without;  // [rows, hidden]
    const auto collect = [&](const TapValues& x) {
      for (size_t r = 0; r < wanted_.size(); ++r) {
        if (wanted_[r] == 0) continue;
        const std::span<const float> row = x.row(static_cast<int64_t>(r));
        rows.push_back(r);
        targets.push_back(ids_[r + 1]);
        whole.insert(whole.end(), row.begin(), row.end());
        for (size_t i = 0; i < width; ++i) without.push_back(row[i] - f_[r] * v[i]);
      }
    };
    const Tap taps[] = {{tap_, [&](TapValues x) { find(x); }},
                        {fmt::format("blocks.{}.hook_resid_post", position_.layer), collect}};
    side_.model->run_to_taps(ids_, std::ssize(blocks_), time_, taps);
    std::vector<float> change(ids_.size(), 0.0f);
    const std::vector<float> loss = residual_loss(*side_.checkpoint, whole, targets);
    const std::vector<float> loss_without = residual_loss(*side_.checkpoint, without, targets);
    for (size_t i = 0; i < rows.size(); ++i) change[rows[i]] = loss_without[i] - loss[i];
    return change;
  }

  const CausalModel& side_;
  int32_t feature_;
  std::span<const DocumentBlock> blocks_;
  std::string tap_;
  TapPosition position_;
  int32_t bos_;
  int64_t time_;
  std::vector<int32_t> ids_;  // [blocks, block_size], as are the next three
  std::vector<float> f_;      // f_j
  std::vector<uint8_t> active_, wanted_;
};

Changes remove_feature(const CausalModel& side, int32_t feature, const MatchingText& text,
                       std::span<const DocumentBlock> blocks, const CausalConfig& config) {
  const auto at_once = static_cast<size_t>(std::max<int64_t>(1, kBatchTokens / config.block_size));
  Changes changes;
  for (size_t first = 0; first < blocks.size(); first += at_once) {
    const auto batch = blocks.subspan(first, std::min(at_once, blocks.size() - first));
    Removal(side, feature, text, batch, config).append_to(changes);
  }
  return changes;
}

RemovalEffect summarise(const Changes& changes, std::span<const DocumentBlock> blocks) {
  RemovalEffect effect;
  double sum = 0;
  for (size_t i = 0; i < changes.change.size(); ++i) {
    const auto change = static_cast<double>(changes.change[i]);
    effect.total_change += change;
    if (changes.active[i] == 0) continue;
    sum += change;
    ++effect.active_tokens;
  }
  for (const DocumentBlock& block : blocks) effect.positions += block.size - 1;
  if (effect.active_tokens > 0)
    effect.mean_change = sum / static_cast<double>(effect.active_tokens);
  return effect;
}

// In two passes, since effects are small; unknown without variance, that of rounding included.
double pearson(std::span<const float> x, std::span<const float> y) {
  const auto n = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mean_x += static_cast<double>(x[i]) / n;
    mean_y += static_cast<double>(y[i]) / n;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const double a = static_cast<double>(x[i]) - mean_x, b = static_cast<double>(y[i]) - mean_y;
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  const bool x_varies = xx > 1e-10 * (xx + n * mean_x * mean_x);
  const bool y_varies = yy > 1e-10 * (yy + n * mean_y * mean_y);
  return x_varies && y_varies ? std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0) : kUnknown;
}

double cosine(std::span<const float> x, std::span<const float> y) {
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto a = static_cast<double>(x[i]), b = static_cast<double>(y[i]);
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  return xx > 0 && yy > 0 ? std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0) : kUnknown;
}

void compare_effects(const Changes& parent, const Changes& child, CausalResult& result) {
  std::vector<float> x, y;
  for (size_t i = 0; i < parent.change.size(); ++i) {
    if (parent.active[i] == 0 && child.active[i] == 0) continue;
    x.push_back(parent.change[i]);
    y.push_back(child.change[i]);
  }
  result.tokens = std::ssize(x);
  if (result.tokens >= kFewestEffectTokens) result.effect_correlation = pearson(x, y);
}

void require_fit(const CausalModel& side, const std::string& content_hash,
                 const CausalConfig& config) {
  require_width_of_tap(side.model->config(), *side.autoencoder, config.tap);
  const FeatureActivations& activations = *side.activations;
  if (activations.corpus != content_hash) {
    throw Error(fmt::format(
        "causal check of {}: its activations are of text {}, expected {}; both must be "
        "of the same matching text",
        in_quotes(activations.model), in_quotes(activations.corpus), in_quotes(content_hash)));
  }
  if (activations.rows.feature_count != side.autoencoder->feature_count) {
    throw Error(
        fmt::format("causal check of {}: its activations have {} features, its autoencoder {}; "
                    "they were made with another autoencoder",
                    in_quotes(activations.model), activations.rows.feature_count,
                    side.autoencoder->feature_count));
  }
}

void require_same_width(const CausalModel& parent, const CausalModel& child) {
  const ModelConfig &a = parent.model->config(), &b = child.model->config();
  if (a.hidden_size == b.hidden_size) return;
  throw Error(
      fmt::format("causal check of {} → {}: hidden_size {} against {}; expected models of one "
                  "family, whose residual streams can be compared",
                  in_quotes(parent.activations->model), in_quotes(child.activations->model),
                  a.hidden_size, b.hidden_size));
}

// Over the tokens that both have: a fine-tune may have added some.
double logit_correlation(std::vector<float> a, std::vector<float> b) {
  const size_t common = std::min(a.size(), b.size());
  a.resize(common);
  b.resize(common);
  return pearson(a, b);
}

}  // namespace

std::vector<CausalResult> causal_check(const CausalModel& parent, const CausalModel& child,
                                       const MatchingText& text, std::span<const CausalPair> pairs,
                                       const CausalConfig& config) {
  const std::string hash = text.content_hash();
  require_fit(parent, hash, config);
  require_fit(child, hash, config);
  require_same_width(parent, child);
  std::vector<int32_t> parents, children;
  for (const CausalPair& pair : pairs) {
    parents.push_back(pair.parent);
    children.push_back(pair.child);
  }
  const std::vector<DocumentBlock> blocks = document_blocks(text.tokens, config.block_size);
  ActiveBlocks in_parent = active_blocks(*parent.activations, blocks, parents);
  ActiveBlocks in_child = active_blocks(*child.activations, blocks, children);
  const auto tokens_of_parents =
      top_logit_tokens(*parent.checkpoint, *parent.autoencoder, config.tap, parents);
  const auto tokens_of_children =
      top_logit_tokens(*child.checkpoint, *child.autoencoder, config.tap, children);

  std::vector<CausalResult> results;
  Progress progress(
      fmt::format("causal check {} → {}", parent.activations->model, child.activations->model),
      std::ssize(pairs), "pairs");
  for (size_t i = 0; i < pairs.size(); ++i) {
    throw_if_interrupted();
    const CausalPair& pair = pairs[i];
    CausalResult result;
    result.pair = pair;
    std::vector<int64_t> either;
    std::ranges::set_union(in_parent[pair.parent], in_child[pair.child],
                           std::back_inserter(either));
    const std::vector<DocumentBlock> drawn =
        draw(std::move(either), blocks, config.blocks,
             Rng(config.seed, fmt::format("pair {} {}", pair.parent, pair.child)));
    result.blocks = std::ssize(drawn);
    const Changes of_parent = remove_feature(parent, pair.parent, text, drawn, config);
    const Changes of_child = remove_feature(child, pair.child, text, drawn, config);
    result.parent = summarise(of_parent, drawn);
    result.child = summarise(of_child, drawn);
    result.parent.tokens = tokens_of_parents[i];
    result.child.tokens = tokens_of_children[i];
    compare_effects(of_parent, of_child, result);

    const std::span<const int32_t> j(&pair.parent, 1), k(&pair.child, 1);
    result.cosine =
        cosine(residual_directions(*parent.checkpoint, *parent.autoencoder, config.tap, j),
               residual_directions(*child.checkpoint, *child.autoencoder, config.tap, k));
    result.logit_correlation =
        logit_correlation(logit_weights(*parent.checkpoint, *parent.autoencoder, config.tap, j),
                          logit_weights(*child.checkpoint, *child.autoencoder, config.tap, k));
    // What is unknown (NaN) compares false, and so raises no flag.
    result.matched = pair.correlation >= config.threshold;
    result.flagged = result.matched && (result.effect_correlation < kEffectCorrelationBar ||
                                        result.cosine < kCosineBar);
    results.push_back(std::move(result));
    progress.update(static_cast<int64_t>(i) + 1);
  }
  return results;
}

}  // namespace featflow
