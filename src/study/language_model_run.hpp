#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "explaining/language_model_explanations.hpp"
#include "study/run_folder.hpp"

namespace featflow {

/// Which features of a run a language model explains, and how.
struct LanguageModelRunOptions {
  std::string model;              ///< Of the family.
  std::vector<int32_t> features;  ///< Empty: drawn by class.
  /// Of each class (persisting, disappearing, emerging) on each edge of the model; at most.
  int64_t per_class = 10;
  /// `model.replies`, `out` and the seed are the run's.
  LanguageModelExplainOptions explain;
  /// Called with the estimate before anything is sent; nothing is unless it gives true.
  std::function<bool(const LanguageModelEstimate&)> confirm;
};

/// RUN/language_model: explanations of no artefact's fingerprint, for the model's answers are not
/// FeatFlow's. MODEL/language_model_explanations.json there, and replies.jsonl of all models.
std::filesystem::path language_model_folder(const std::filesystem::path& run);
std::filesystem::path language_model_explanations_file(const std::filesystem::path& run,
                                                       const std::string& model);

/// That file, if it is there and of the activations that the run has of `model` now; else empty.
/// Warns if an autoencoder made anew has left it behind.
std::filesystem::path current_language_model_explanations(const std::filesystem::path& run,
                                                          const std::string& model);

/// Features of `model` drawn from flow.json: on each of its edges as a parent `per_class`
/// persisting and as many disappearing ones, on each as a child emerging ones. Ascending, each
/// once.
std::vector<int32_t> features_by_class(const std::filesystem::path& flow_json,
                                       const std::string& model, int64_t per_class, Rng& rng);

/// Explains features of one model of a run that has its activations (and its flow, to draw by
/// class). Nothing is computed of what is missing: Error says how to make it. Throws as
/// explain_by_language_model does. Without confirmation the result is empty.
LanguageModelExplanations run_language_model_explanations(const SavedStudy& saved,
                                                          const std::filesystem::path& run,
                                                          const LanguageModelRunOptions& options);

}  // namespace featflow
