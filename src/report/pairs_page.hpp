#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "matching/pair_sample.hpp"

namespace featflow {

/// Pairs of features for people to rate, who shall not know what they are.
struct PairsPage {
  PairSample sample;  ///< In the order in which they are shown.
  std::vector<std::pair<std::string, std::string>>
      edges;  ///< (parent, child) by SampledPair::edge.
  std::map<std::string, std::filesystem::path> activations;  ///< By model.
  std::filesystem::path tokens, tokenizer;                   ///< The matching text.
  int64_t examples = 8;  ///< Of each feature: half the strongest, the others spread over the rest.
  int64_t context = 12;  ///< Tokens on either side of an example's strongest token.
};

/// Writes into `folder`
///   pairs.html   the page that raters open: one file, no network, ratings downloaded as CSV
///   pairs.jsonl  what it shows, one pair a line
///   key.csv      what it does not: edge, band, features and correlation of each pair (PairKey)
/// Neither of the first two holds a model's name, a feature's number, a correlation or a band. The
/// same input gives the same bytes. Throws Error naming the file if a stage file is malformed or
/// belongs to another text.
void write_pairs(const PairsPage& page, const std::filesystem::path& folder);

}  // namespace featflow
