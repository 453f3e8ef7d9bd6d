#include "tokens/block_mixture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

// Shares of `total` in whole numbers that sum to it, each within one of exact: the largest
// remainders are rounded up, the earlier of two equal ones first.
std::vector<int64_t> apportion(const std::vector<double>& shares, int64_t total) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::vector<int64_t> counts;
  std::vector<double> remainders;
  int64_t left = total;
  for (const double share : shares) {
    const double exact = share / sum * static_cast<double>(total);
    counts.push_back(std::min(static_cast<int64_t>(exact), left));
    remainders.push_back(exact - static_cast<double>(counts.back()));
    left -= counts.back();
  }
  std::vector<size_t> by_remainder(shares.size());
  std::iota(by_remainder.begin(), by_remainder.end(), size_t{0});
  std::stable_sort(by_remainder.begin(), by_remainder.end(),
                   [&](size_t a, size_t b) { return remainders[a] > remainders[b]; });
  for (size_t i = 0; left > 0; i = (i + 1) % by_remainder.size(), --left) ++counts[by_remainder[i]];
  return counts;
}

// The blocks of one component in the order of their use: one permutation an epoch.
std::vector<int64_t> block_order(int64_t blocks, int64_t count, uint64_t seed, size_t component) {
  std::vector<int64_t> order, epoch(static_cast<size_t>(blocks));
  order.reserve(static_cast<size_t>(count));
  for (int64_t e = 0; static_cast<int64_t>(order.size()) < count; ++e) {
    std::iota(epoch.begin(), epoch.end(), int64_t{0});
    Rng(seed, fmt::format("blocks of component {} in epoch {}", component, e)).shuffle(epoch);
    const auto needed = std::min<int64_t>(blocks, count - static_cast<int64_t>(order.size()));
    order.insert(order.end(), epoch.begin(), epoch.begin() + needed);
  }
  return order;
}

}  // namespace

BlockMixture::BlockMixture(std::vector<MixtureComponent> components, int64_t block_size,
                           int64_t block_count, uint64_t seed)
    : components_(std::move(components)), block_size_(block_size) {
  if (block_size < 1 || block_count < 0) {
    throw Error(fmt::format("{} blocks of {} tokens: expected at least 0 of at least 1",
                            block_count, block_size));
  }
  if (components_.empty()) throw Error("a mixture of no corpora, expected at least one");
  std::vector<double> shares;
  for (const MixtureComponent& component : components_) {
    FEATFLOW_CHECK(component.shard != nullptr, "a mixture component without its tokens");
    const std::string name = in_quotes(component.corpus);
    if (!(component.share > 0) || !std::isfinite(component.share)) {
      throw Error(
          fmt::format("corpus {}: its share is {}, expected above 0", name, component.share));
    }
    if (component.shard->size() < block_size) {
      throw Error(
          fmt::format("corpus {}: {} tokens are less than one block of {}: add text, or "
                      "lower block_size",
                      name, component.shard->size(), block_size));
    }
    if (component.shard->vocab_size != components_[0].shard->vocab_size) {
      throw Error(
          fmt::format("corpus {}: a vocabulary of {}, but {} has {}: expected tokens of "
                      "one tokenizer",
                      name, component.shard->vocab_size, in_quotes(components_[0].corpus),
                      components_[0].shard->vocab_size));
    }
    shares.push_back(component.share);
  }

  const std::vector<int64_t> counts = apportion(shares, block_count);
  std::vector<int32_t> turns;  // Which component each block comes from.
  turns.reserve(static_cast<size_t>(block_count));
  std::vector<std::vector<int64_t>> blocks;
  for (size_t c = 0; c < counts.size(); ++c) {
    turns.insert(turns.end(), static_cast<size_t>(counts[c]), static_cast<int32_t>(c));
    blocks.push_back(block_order(components_[c].shard->size() / block_size, counts[c], seed, c));
  }
  Rng(seed, "order of components").shuffle(turns);
  std::vector<size_t> used(counts.size(), 0);
  order_.reserve(turns.size());
  for (const int32_t c : turns) {
    const auto component = static_cast<size_t>(c);
    order_.push_back({c, blocks[component][used[component]++] * block_size});
  }
}

std::vector<int32_t> BlockMixture::tokens(int64_t first, int64_t count) const {
  FEATFLOW_CHECK(first >= 0 && count >= 0, "blocks are counted from 0");
  const int64_t end = first + std::min(count, std::max<int64_t>(block_count() - first, 0));
  std::vector<int32_t> ids;  // [end - first, block_size]
  ids.reserve(static_cast<size_t>((end - first) * block_size_));
  for (int64_t i = first; i < end; ++i) {
    const Block& at = block(i);
    const auto begin =
        components_[static_cast<size_t>(at.component)].shard->tokens.begin() + at.position;
    ids.insert(ids.end(), begin, begin + block_size_);
  }
  return ids;
}

std::vector<double> BlockMixture::epochs() const {
  std::vector<double> seen(components_.size(), 0);
  for (const Block& at : order_) ++seen[static_cast<size_t>(at.component)];
  for (size_t c = 0; c < seen.size(); ++c) {
    seen[c] /= static_cast<double>(components_[c].shard->size() / block_size_);
  }
  return seen;
}

}  // namespace featflow
