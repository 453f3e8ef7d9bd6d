#pragma once

#include "study/settings.hpp"

namespace featflow {

/// Inclusive bounds of a number.
struct Range {
  double low = -1e300, high = 1e300;
};
inline constexpr Range kPositive{1, 1e18};
inline constexpr Range kNotNegative{0, 1e18};
inline constexpr Range kShare{0, 1};
inline constexpr Range kSomeShare{1e-9, 1};
inline constexpr Range kSize{1, 1 << 20};  // of what is multiplied with other sizes

/// fields(settings, visit) calls visit(key, member, range) for every key of a table of the study,
/// once and here only: the TOML reader, the canonical JSON of fingerprints and the command line's
/// flags are visitors. What has no influence on results (paths, checkpoint intervals) is
/// marked by visit.without_influence(key, member).

template <typename Visit>
void fields(CorpusConfig& s, Visit& visit) {
  visit.without_influence("sources", s.sources);  // their content is fingerprinted instead
  visit("text_key", s.text_key);
  visit("validation_share", s.validation_share, kSomeShare);
  visit("matching_share", s.matching_share, kSomeShare);
  visit("max_bytes", s.max_bytes, kNotNegative);
}

template <typename Visit>
void fields(TokenizerSettings& s, Visit& visit) {
  visit("vocab_size", s.training.vocab_size, Range{300, 1e6});
  visit("max_training_bytes", s.training.max_training_bytes, kPositive);
  visit.without_influence("path", s.path);
}

template <typename Visit>
void fields(ModelConfig& s, Visit& visit) {
  visit("model_type", s.model_type);
  visit("hidden_size", s.hidden_size, kSize);
  visit("intermediate_size", s.intermediate_size, kSize);
  visit("num_hidden_layers", s.num_hidden_layers, kSize);
  visit("num_attention_heads", s.num_attention_heads, kSize);
  visit("num_key_value_heads", s.num_key_value_heads, kSize);
  visit("head_dim", s.head_dim, Range{0, 1 << 20});
  visit("max_position_embeddings", s.max_position_embeddings, kPositive);
  visit("sliding_window", s.sliding_window, kNotNegative);
  visit("initializer_range", s.initializer_range, Range{0, 1});
  visit("rms_norm_eps", s.rms_norm_eps, Range{0, 1});
  visit("rope_theta", s.rope_theta, Range{1, 1e12});
  visit("tie_word_embeddings", s.tie_word_embeddings);
}

template <typename Visit>
void fields(TrainingConfig& s, Visit& visit) {
  visit("tokens", s.tokens, kPositive);
  visit("block_size", s.block_size, Range{2, 1e6});
  visit("batch_blocks", s.batch_blocks, kSize);
  visit("learning_rate", s.learning_rate, Range{0, 10});
  visit("warmup_steps", s.warmup_steps, kNotNegative);
  visit("minimum_rate_share", s.minimum_rate_share, kShare);
  visit("weight_decay", s.weight_decay, kNotNegative);
  visit("beta1", s.beta1, kShare);
  visit("beta2", s.beta2, kShare);
  visit("epsilon", s.epsilon, kShare);
  visit("clip_norm", s.clip_norm, kNotNegative);
  visit("evaluate_every", s.evaluate_every, kNotNegative);
  visit.without_influence("checkpoint_every", s.checkpoint_every, kPositive);
}

template <typename Visit>
void fields(AutoencoderSettings& s, Visit& visit) {
  visit("expansion", s.training.expansion, kSize);
  visit("l1_coefficient", s.training.l1_coefficient, kNotNegative);
  visit("learning_rate", s.training.learning_rate, Range{0, 10});
  visit("beta1", s.training.beta1, kShare);
  visit("beta2", s.training.beta2, kShare);
  visit("epsilon", s.training.epsilon, kShare);
  visit("warmup_steps", s.training.warmup_steps, kNotNegative);
  visit("decay_share", s.training.decay_share, kShare);
  visit("l1_warmup_share", s.training.l1_warmup_share, kShare);
  visit("normalize", s.training.normalize);
  visit("center_elements", s.training.center_elements);
  visit("resample", s.training.resample);
  visit("tap", s.tap);
  visit("block_size", s.block_size, Range{2, 4096});
  visit("batch_blocks", s.batch_blocks, kSize);
  visit("tokens", s.tokens, kPositive);
  visit("mixture", s.mixture);
  visit.evaluation("evaluation_tokens", s.evaluation_tokens, kPositive);
  visit.evaluation("explained_loss_tokens", s.explained_loss_tokens, kPositive);
  visit.without_influence("checkpoint_every", s.training.checkpoint_every, kPositive);
  visit.without_influence("l1_table", s.l1_table);  // each value is an autoencoder of its own
}

template <typename Visit>
void fields(EvaluationSettings& s, Visit& visit) {
  visit("tokens", s.tokens, kNotNegative);
  visit("sweep_tokens", s.sweep_tokens, kNotNegative);
}

template <typename Visit>
void fields(MatchingSettings& s, Visit& visit) {
  visit("tokens", s.tokens, kPositive);
  visit("threshold", s.threshold, kSomeShare);
  visit("floor", s.floor, kShare);
  visit.without_influence("memory", s.memory);  // results are the same for every block size
  visit("minimum_tokens", s.minimum_tokens, kPositive);
  visit("minimum_documents", s.minimum_documents, kPositive);
  visit("permutations", s.permutations, kNotNegative);
  visit("groups", s.groups, Range{0, 100'000});
  visit("resamples", s.resamples, Range{0, 1e6});
}

template <typename Visit>
void fields(ControlSettings& s, Visit& visit) {
  visit("causal_features", s.causal_features, Range{0, 1e6});
  visit("causal_blocks", s.causal_blocks, Range{1, 1e6});
}

template <typename Visit>
void fields(CaseStudySettings& s, Visit& visit) {
  visit("tokens", s.tokens);
}

template <typename Visit>
void fields(ReportSettings& s, Visit& visit) {
  visit("examples", s.examples, Range{1, 1000});
  visit("context_tokens", s.context_tokens, Range{1, 1000});
}

}  // namespace featflow
