#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tokens/token_shard.hpp"

namespace featflow {

struct MixtureComponent {
  std::string corpus;
  std::shared_ptr<const TokenShard> shard;
  double share = 1.0;  ///< Of tokens; shares are normalised to sum 1.
};

/// Where a block of consecutive tokens lies.
struct Block {
  int32_t component = 0;
  int64_t position = 0;  ///< Of its first token in the component's shard.
};

/// A seeded, endless-by-epochs order of the non-overlapping blocks of several corpora, in given
/// proportions (D5). Block i of the order depends only on (components, block_size, block_count,
/// seed): the state of a training run is its step number. Within a component each epoch is a new
/// permutation of its blocks; which component comes next is a permutation of exact counts.
class BlockMixture {
 public:
  /// Throws Error naming the corpus if it is shorter than one block.
  BlockMixture(std::vector<MixtureComponent> components, int64_t block_size, int64_t block_count,
               uint64_t seed);

  int64_t block_size() const { return block_size_; }
  int64_t block_count() const { return static_cast<int64_t>(order_.size()); }
  const std::vector<MixtureComponent>& components() const { return components_; }
  const Block& block(int64_t index) const { return order_.at(static_cast<size_t>(index)); }
  /// ids [count, block_size] of blocks first … first+count-1 (fewer at the end).
  std::vector<int32_t> tokens(int64_t first, int64_t count) const;
  /// How often the text of each component is seen, e.g. 2.3 epochs.
  std::vector<double> epochs() const;

 private:
  std::vector<MixtureComponent> components_;
  int64_t block_size_;
  std::vector<Block> order_;
};

}  // namespace featflow
