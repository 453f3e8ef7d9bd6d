#include "study/hypotheses.hpp"

#include <algorithm>

#include "activations/matching_text.hpp"
#include "autoencoder/saelens.hpp"
#include "core/rng.hpp"
#include "study/matching_options.hpp"

namespace featflow {
namespace {

// A model with one of its autoencoders, read from their artefacts.
struct LoadedModel {
  Checkpoint checkpoint;
  Model model;
  Autoencoder autoencoder;
  FeatureActivations activations;

  LoadedModel(const ArtifactFolder& input, const AutoencoderVariant& which)
      : checkpoint(load_checkpoint(input("model/" + which.model))),
        model(checkpoint),
        autoencoder(load_saelens(input("autoencoder/" + which.name)).autoencoder),
        activations(load_feature_activations(input("activations/" + which.name))) {}
  CausalModel borrowed() const { return {&checkpoint, &model, &autoencoder, &activations}; }
};

}  // namespace

TokenSet token_set_of_hypothesis(const Tokenizer& tokenizer, const std::string& hypothesis,
                                 std::span<const int32_t> stream) {
  if (hypothesis.size() > 2 && hypothesis.front() == '/' && hypothesis.back() == '/') {
    return token_set_of_pattern(tokenizer, hypothesis.substr(1, hypothesis.size() - 2));
  }
  return token_set_of_word(tokenizer, hypothesis, stream);
}

std::vector<CaseStudy> case_studies_of(const Study& study, const ArtifactFolder& input,
                                       const std::vector<std::string>& hypotheses) {
  const std::vector<ModelSettings> members = study.family();
  const MatchingText text = load_matching_text(input("matching_text/matching_text"));
  const Tokenizer tokenizer = Tokenizer::load(input("tokenizer/tokenizer"));
  std::vector<TokenSet> sets;  // first, so that a mistake in one costs nothing
  for (const std::string& hypothesis : hypotheses) {
    sets.push_back(token_set_of_hypothesis(tokenizer, hypothesis, text.tokens.tokens));
  }
  std::vector<FeatureActivations> activations;
  std::vector<FeatureStatistics> statistics;
  for (const ModelSettings& model : members) {
    activations.push_back(load_feature_activations(input("activations/" + model.name)));
    statistics.push_back(feature_statistics(activations.back()));
  }
  std::vector<CaseStudyModel> models;
  std::vector<std::pair<int, int>> family;
  for (size_t child = 0; child < members.size(); ++child) {
    models.push_back({members[child].name, &activations[child], &statistics[child]});
    for (size_t parent = 0; parent < child; ++parent) {
      const auto parents = members[child].parents();
      if (std::ranges::find(parents, members[parent].name) != parents.end()) {
        family.emplace_back(static_cast<int>(parent), static_cast<int>(child));
      }
    }
  }
  std::vector<CaseStudy> all;
  for (const TokenSet& set : sets) {
    all.push_back(case_study(set, models, family, text.tokens.tokens,
                             {study.matching.threshold, measurable_limits(study)}));
  }
  return all;
}

CausalConfig causal_config(const Study& study, const std::string& parent,
                           const std::string& child) {
  CausalConfig config;
  config.tap = study.autoencoder.tap;
  config.block_size = study.autoencoder.block_size;
  config.blocks = study.controls.causal_blocks;
  config.threshold = study.matching.threshold;
  config.seed = derive_seed(study.seed, "causal/" + parent + "--" + child);
  return config;
}

std::vector<CausalResult> causal_results(const Study& study, const ArtifactFolder& input,
                                         const AutoencoderVariant& parent,
                                         const AutoencoderVariant& child,
                                         const std::vector<CausalPair>& pairs) {
  const LoadedModel a(input, parent), b(input, child);
  return causal_check(a.borrowed(), b.borrowed(),
                      load_matching_text(input("matching_text/matching_text")), pairs,
                      causal_config(study, parent.name, child.name));
}

}  // namespace featflow
