// The flow of autoencoders trained on related planted models, against what was planted: every truth
// of a model is known, and so is in which other models it occurs.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "autoencoder/planted.hpp"
#include "autoencoder/trainer.hpp"
#include "flow/flow.hpp"
#include "matching/correlation.hpp"
#include "matching/null.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

constexpr int64_t kMatchingBatches = 120;
constexpr double kStandsFor =
    0.8;  // A feature stands for the truth it correlates with best, if so well.

// A tenth of the truths each, by k mod 10. Pairs that are active together, rare truths, duplicates
// and truths of one corpus alone fall into all of these.
const std::vector<std::pair<std::string, std::set<int>>> kOccursIn = {
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

FeatureActivations on_matching_text(const std::string& model, SparseRows rows,
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

void append(SparseRows& rows, const SparseRows& more) {
  rows.feature_count = more.feature_count;
  const int64_t before = rows.active();
  for (size_t row = 1; row < more.row_offsets.size(); ++row) {
    rows.row_offsets.push_back(before + more.row_offsets[row]);
  }
  rows.features.insert(rows.features.end(), more.features.begin(), more.features.end());
  rows.values.insert(rows.values.end(), more.values.begin(), more.values.end());
}

// One planted family and an autoencoder for each of its models, trained once for all tests.
class PlantedFamily {
 public:
  static PlantedFamily& instance() {
    static PlantedFamily family;
    return family;
  }

  const PlantedTruths& truths() const { return *truths_; }
  const PlantedModel& operator[](const std::string& name) const { return models_.at(name); }

  // Another autoencoder for the truths of residues `occurs`: another seed, another text.
  PlantedModel model(const std::string& name, const std::set<int>& occurs, uint64_t seed) const {
    std::vector<int32_t> present;
    for (int32_t k = 0; k < truths_->count(); ++k) {
      if (occurs.contains(k % 10)) present.push_back(k);
    }
    PlantedSource training(
        truths_,
        {.batches = 1000, .batch_rows = 512, .noise = 0.01, .seed = seed, .noise_seed = seed},
        present);
    AutoencoderTraining config;
    config.expansion = 2;
    config.learning_rate = 3e-3;
    config.l1_coefficient = 2e-3;
    config.beta2 = 0.999;
    config.decay_share = 0.2;
    config.steps = 1000;
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
  PlantedFamily()
      : truths_(std::make_shared<PlantedTruths>(PlantedOptions{.width = 64,
                                                               .truths = 120,
                                                               .mean_active = 4,
                                                               .correlated_share = 0.2,
                                                               .rare = 8,
                                                               .rare_frequency = 2e-3,
                                                               .duplicates = 8,
                                                               .domains = 3,
                                                               .domain_only_share = 0.3,
                                                               .document_rows = 64,
                                                               .seed = 3})) {
    for (uint64_t i = 0; i < kOccursIn.size(); ++i) {
      models_.emplace(kOccursIn[i].first, model(kOccursIn[i].first, kOccursIn[i].second, i + 1));
    }
  }

  std::shared_ptr<const PlantedTruths> truths_;
  std::map<std::string, PlantedModel> models_;
};

// How often the flow is right, feature by feature and truth by truth.
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

const char* kind_of(const PlantedTruths& truths, int32_t k) {
  const PlantedOptions& o = truths.options;
  if (k >= o.truths - o.duplicates) return "duplicate";
  if (k >= o.truths - o.duplicates - o.rare) return "rare";
  if (truths.domains[static_cast<size_t>(k)] >= 0) return "of one corpus";
  return truths.leaders[static_cast<size_t>(k)] >= 0 ? "with another" : "ordinary";
}

// Measured: persisting with precision 593/593 and recall 407/436 (ordinary 101/104, of one corpus
// 52/52, active with another 21/24, duplicates 18/20, rare 11/15); disappearing 95/117 and 61/61;
// emerging 111/124 and 79/79: what is wrong are truths that one autoencoder splits and the other
// does not. The dictionary is larger than the truths, and features of no truth are not the same in
// any two autoencoders: 87 of them disappear, 89 emerge, 10 persist.
TEST(PlantedFamily, FlowOfTrainedAutoencodersIsThePlantedOne) {
  const PlantedFamily& family = PlantedFamily::instance();
  Score persisting, disappearing, emerging;
  std::map<std::string, Score> persisting_kinds;
  for (const auto& [parent, child] : std::vector<std::pair<std::string, std::string>>{
           {"base", "lua"}, {"base", "stories"}, {"lua", "merged"}, {"stories", "merged"}}) {
    const PlantedModel &a = family[parent], &b = family[child];
    // What happened to the truths is read from their own, noise-free activations.
    const EdgeFlow planted = edge_flow(correlate(a.truths, b.truths));
    const EdgeFlow flow = edge_flow(correlate(a.features, b.features));
    persisting.add(a, flow.persisting_parents, planted.persisting_parents);
    persisting.add(b, flow.persisting_children, planted.persisting_children);
    disappearing.add(a, flow.disappearing, planted.disappearing);
    emerging.add(b, flow.emerging, planted.emerging);
    std::map<std::string, std::vector<int32_t>> by_kind;
    for (const int32_t k : planted.persisting_parents)
      by_kind[kind_of(family.truths(), k)].push_back(k);
    for (const auto& [kind, truths] : by_kind)
      persisting_kinds[kind].add(a, flow.persisting_parents, truths);
  }
  for (const auto& [kind, score] : persisting_kinds) EXPECT_GT(score.recall(), 0.65) << kind;
  EXPECT_GT(persisting.precision(), 0.98);
  EXPECT_GT(persisting.recall(), 0.9);
  EXPECT_LT(persisting.strays, persisting.right / 20);
  EXPECT_GT(disappearing.precision(), 0.75);
  EXPECT_GT(disappearing.recall(), 0.95);
  EXPECT_GT(emerging.precision(), 0.8);
  EXPECT_GT(emerging.recall(), 0.95);
}

// The same truths, another seed, another text. Measured: of 106 features that stand for a truth,
// 103 persist; of 21 that stand for none, 1.
TEST(PlantedFamily, IdenticalModelsPersistNearTheCeiling) {
  const PlantedFamily& family = PlantedFamily::instance();
  const PlantedModel& a = family["base"];
  const PlantedModel b = family.model("again", kOccursIn[0].second, 11);
  const EdgeFlow flow = edge_flow(correlate(a.features, b.features));
  int64_t standing = 0, lost = 0;
  for (const int32_t feature : flow.persisting_parents)
    standing += a.stands_for[static_cast<size_t>(feature)] >= 0;
  for (const int32_t feature : flow.disappearing)
    lost += a.stands_for[static_cast<size_t>(feature)] >= 0;
  EXPECT_GT(standing, 20 * lost) << lost << " are lost";
}

TEST(PlantedFamily, NullsPersistNowhere) {
  const PlantedFamily& family = PlantedFamily::instance();
  const PlantedModel& a = family["base"];
  const Matches matches = correlate(a.features, family["lua"].features);
  Rng rng(5);
  const NullControl control = null_control(a.features, family["lua"].features, matches, 0.8, rng);
  EXPECT_GT(control.observed.features_a, 50);
  EXPECT_EQ(control.permuted.features_a, 0);
  EXPECT_EQ(control.permuted.features_b, 0);
  // A model without a truth in common: only what is active on the same rows (partners and
  // duplicates) may match.
  const PlantedModel stranger = family.model("stranger", {1, 2, 3, 4}, 12);
  const EdgeFlow planted = edge_flow(correlate(a.truths, stranger.truths));
  Score persisting;
  persisting.add(a, edge_flow(correlate(a.features, stranger.features)).persisting_parents,
                 planted.persisting_parents);
  EXPECT_EQ(persisting.wrong, 0);
  EXPECT_EQ(persisting.strays, 0);
}

}  // namespace
}  // namespace featflow
