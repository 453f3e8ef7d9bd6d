#pragma once

// For tests: autoencoders trained on related planted models, of which every truth is known, and so
// is in which other models it occurs.

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "autoencoder/planted.hpp"
#include "autoencoder/trainer.hpp"
#include "matching/correlation.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {

inline constexpr int64_t kMatchingBatches = 120;
/// A feature stands for the truth it correlates with best, if so well.
inline constexpr double kStandsFor = 0.8;

/// A tenth of the truths each, by k mod 10. Pairs that are active together, rare truths, duplicates
/// and truths of one corpus alone fall into all of these.
inline const std::vector<std::pair<std::string, std::set<int>>> kOccursIn = {
    {"base", {0, 5, 6, 7, 8, 9}},  // 0: disappears on every edge
    {"lua", {1, 2, 5, 7, 8, 9}},   // 1 emerges, and is gone after the merge; 5 too is gone then
    {"stories", {3, 6, 7, 8, 9}},  // 3 emerges
    {"merged", {2, 3, 4, 6, 7, 8, 9}},  // 4 emerges at the merge
};

struct PlantedModel {
  FeatureActivations truths;        // what is there to be found, noise-free; feature k is truth k
  FeatureActivations features;      // what the autoencoder found, on the same rows
  std::vector<int32_t> stands_for;  // [m] truth, or -1
  std::vector<uint8_t> measurable_truth, measurable_feature;
};

inline FeatureActivations on_matching_text(const std::string& model, SparseRows rows,
                                           const PlantedSource& source) {
  FeatureActivations result;
  result.model = model;
  result.corpus = "planted";
  result.corpus_names = {"english", "lua", "stories"};
  for (int64_t row = 0; row < rows.rows(); ++row) {
    result.token_positions.push_back(row);
    result.documents.push_back(source.document(row));
    result.corpora.push_back(static_cast<uint8_t>(source.domain(row)));
  }
  result.rows = std::move(rows);
  return result;
}

inline void append(SparseRows& rows, const SparseRows& more) {
  rows.feature_count = more.feature_count;
  const int64_t before = rows.active();
  for (size_t row = 1; row < more.row_offsets.size(); ++row) {
    rows.row_offsets.push_back(before + more.row_offsets[row]);
  }
  rows.features.insert(rows.features.end(), more.features.begin(), more.features.end());
  rows.values.insert(rows.values.end(), more.values.begin(), more.values.end());
}

/// Models that share some of the same truths, and autoencoders trained on them.
class PlantedText {
 public:
  explicit PlantedText(const PlantedOptions& options)
      : truths_(std::make_shared<PlantedTruths>(options)) {}

  const PlantedTruths& truths() const { return *truths_; }

  /// An autoencoder for the truths k with k mod 10 in `occurs`: by seed another start and another
  /// text to learn from.
  PlantedModel model(const std::string& name, const std::set<int>& occurs, uint64_t seed,
                     int64_t steps = 1000) const {
    std::vector<int32_t> present;
    for (int32_t k = 0; k < truths_->count(); ++k) {
      if (occurs.contains(k % 10)) present.push_back(k);
    }
    PlantedSource training(
        truths_,
        {.batches = steps, .batch_rows = 512, .noise = 0.01, .seed = seed, .noise_seed = seed},
        present);
    AutoencoderTraining config;
    config.expansion = 2;
    config.learning_rate = 3e-3;
    config.l1_coefficient = 2e-3;
    config.beta2 = 0.999;
    config.decay_share = 0.2;
    config.steps = steps;
    config.seed = seed;
    const TemporaryFolder folder;
    const Autoencoder autoencoder = train_autoencoder(config, training, folder.path(), name);

    PlantedSource text(truths_,
                       {.batches = kMatchingBatches,
                        .batch_rows = 512,
                        .noise = 0.01,
                        .seed = 99,
                        .noise_seed = seed},
                       present);
    SparseRows truths, features;
    std::vector<float> x;
    for (int64_t step = 0; step < kMatchingBatches; ++step) {
      append(truths, text.true_activations(step));
      const int64_t rows = text.batch(step, x);
      append(features, encode(autoencoder, x, rows));
    }
    PlantedModel result{on_matching_text(name, std::move(truths), text),
                        on_matching_text(name, std::move(features), text),
                        {},
                        {},
                        {}};
    result.measurable_truth = measurable(feature_statistics(result.truths));
    result.measurable_feature = measurable(feature_statistics(result.features));
    result.stands_for.assign(static_cast<size_t>(autoencoder.feature_count), -1);
    for (const FeaturePair& best : correlate(result.truths, result.features).best_of_b) {
      if (best.correlation >= kStandsFor)
        result.stands_for[static_cast<size_t>(best.feature_b)] = best.feature_a;
    }
    return result;
  }

 private:
  std::shared_ptr<const PlantedTruths> truths_;
};

/// The family of kOccursIn, each autoencoder trained once for all tests.
class PlantedFamily : public PlantedText {
 public:
  static PlantedFamily& instance() {
    static PlantedFamily family;
    return family;
  }

  const PlantedModel& operator[](const std::string& name) const { return models_.at(name); }

 private:
  PlantedFamily()
      : PlantedText({.width = 64,
                     .truths = 120,
                     .mean_active = 4,
                     .correlated_share = 0.2,
                     .rare = 8,
                     .rare_frequency = 2e-3,
                     .duplicates = 8,
                     .domains = 3,
                     .domain_only_share = 0.3,
                     .document_rows = 64,
                     .seed = 3}) {
    for (uint64_t i = 0; i < kOccursIn.size(); ++i) {
      models_.emplace(kOccursIn[i].first, model(kOccursIn[i].first, kOccursIn[i].second, i + 1));
    }
    // Second autoencoders, on the truths of the base and of Lua.
    models_.emplace("base again", model("base again", kOccursIn[0].second, 11));
    models_.emplace("lua again", model("lua again", kOccursIn[1].second, 12));
  }

  std::map<std::string, PlantedModel> models_;
};

/// How often the flow is right, feature by feature and truth by truth.
struct Score {
  int64_t right = 0,
          wrong = 0;   // features given this class that stand for a truth of it, of another
  int64_t strays = 0;  // features given this class that stand for no truth
  int64_t found = 0, planted = 0;  // truths of this class with a right feature, and all

  double precision() const { return ratio(right, right + wrong); }
  double recall() const { return ratio(found, planted); }

  void add(const PlantedModel& model, const std::vector<int32_t>& features,
           const std::vector<int32_t>& truths) {
    const std::set<int32_t> expected(truths.begin(), truths.end());
    std::set<int32_t> hit;
    for (const int32_t feature : features) {
      const int32_t truth = model.stands_for[static_cast<size_t>(feature)];
      if (truth < 0) {
        ++strays;
      } else if (expected.contains(truth)) {
        ++right;
        hit.insert(truth);
      } else {
        ++wrong;
      }
    }
    found += std::ssize(hit);
    planted += std::ssize(expected);
  }

 private:
  static double ratio(int64_t part, int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  }
};

}  // namespace featflow
