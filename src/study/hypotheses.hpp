#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "activations/causal_check.hpp"
#include "features/case_study.hpp"
#include "study/settings.hpp"
#include "study/stages.hpp"

namespace featflow {

/// Folder of an artefact by its id, as in StageContext::input.
using ArtifactFolder = std::function<std::filesystem::path(const std::string& id)>;

/// "=": the tokens that are this word, or strings of tokens of the matching text `stream` that
/// spell it; "/[A-Z]+/": the tokens whose whole text matches.
TokenSet token_set_of_hypothesis(const Tokenizer& tokenizer, const std::string& hypothesis,
                                 std::span<const int32_t> stream);

/// The paper's Section 4.2 for each hypothesis, over the family.
std::vector<CaseStudy> case_studies_of(const Study& study, const ArtifactFolder& input,
                                       const std::vector<std::string>& hypotheses);

/// Definitions 18 for pairs of features of two autoencoders: of both ends of an edge of the family,
/// or of one model.
std::vector<CausalResult> causal_results(const Study& study, const ArtifactFolder& input,
                                         const AutoencoderVariant& parent,
                                         const AutoencoderVariant& child,
                                         const std::vector<CausalPair>& pairs);
CausalConfig causal_config(const Study& study, const std::string& parent, const std::string& child);

}  // namespace featflow
