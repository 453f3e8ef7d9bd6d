#include "tokens/block_mixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "core/error.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;

// Tokens that tell where they stand: component · 100,000 + position.
std::shared_ptr<const TokenShard> shard(int32_t component, int64_t size) {
  auto made = std::make_shared<TokenShard>();
  made->vocab_size = 1'000'000;
  for (int64_t i = 0; i < size; ++i) {
    made->tokens.push_back(component * 100'000 + static_cast<int32_t>(i));
  }
  made->document_starts = {0};
  return made;
}

std::vector<MixtureComponent> three_corpora() {
  return {{"a", shard(0, 1000), 0.5}, {"b", shard(1, 333), 0.3}, {"c", shard(2, 57), 0.2}};
}

std::vector<Block> blocks_of(const BlockMixture& mixture, int32_t component) {
  std::vector<Block> found;
  for (int64_t i = 0; i < mixture.block_count(); ++i) {
    if (mixture.block(i).component == component) found.push_back(mixture.block(i));
  }
  return found;
}

TEST(BlockMixture, ProportionsAreExact) {
  for (const int64_t count : {0, 1, 7, 100, 1003}) {
    const BlockMixture mixture(three_corpora(), 10, count, 42);
    EXPECT_EQ(mixture.block_count(), count);
    const double shares[] = {0.5, 0.3, 0.2};
    for (int32_t c = 0; c < 3; ++c) {
      EXPECT_LT(std::abs(static_cast<double>(blocks_of(mixture, c).size()) -
                         shares[c] * static_cast<double>(count)),
                1.0);
    }
  }
  const BlockMixture hundred(three_corpora(), 10, 100, 42);
  EXPECT_EQ(blocks_of(hundred, 0).size(), 50u);
  EXPECT_EQ(blocks_of(hundred, 1).size(), 30u);
  EXPECT_EQ(blocks_of(hundred, 2).size(), 20u);
}

TEST(BlockMixture, SharesAreNormalised) {
  std::vector<MixtureComponent> components = three_corpora();
  for (MixtureComponent& component : components) component.share *= 40;
  const BlockMixture scaled(components, 10, 100, 42), plain(three_corpora(), 10, 100, 42);
  EXPECT_EQ(scaled.tokens(0, 100), plain.tokens(0, 100));
}

TEST(BlockMixture, EveryEpochUsesEveryBlockOnce) {
  const BlockMixture mixture(three_corpora(), 10, 400, 7);
  const std::vector<int64_t> blocks = {100, 33, 5};
  std::set<std::vector<int64_t>> epochs_of_c;
  for (int32_t c = 0; c < 3; ++c) {
    const std::vector<Block> found = blocks_of(mixture, c);
    const auto epoch = static_cast<size_t>(blocks[static_cast<size_t>(c)]);
    for (size_t begin = 0; begin < found.size(); begin += epoch) {
      std::vector<int64_t> positions;
      for (size_t i = begin; i < std::min(begin + epoch, found.size()); ++i) {
        EXPECT_EQ(found[i].position % 10, 0) << "blocks do not overlap";
        EXPECT_LT(found[i].position / 10, blocks[static_cast<size_t>(c)]);
        positions.push_back(found[i].position);
      }
      EXPECT_EQ(std::set(positions.begin(), positions.end()).size(), positions.size());
      if (c == 2) epochs_of_c.insert(positions);
    }
  }
  EXPECT_GT(epochs_of_c.size(), 8u) << "16 epochs of 5 blocks in orders of their own";
  EXPECT_THAT(mixture.epochs(),
              testing::ElementsAre(testing::DoubleEq(2), testing::DoubleEq(120. / 33),
                                   testing::DoubleEq(80. / 5)));
}

TEST(BlockMixture, IsMixedAndFollowsTheSeed) {
  const BlockMixture mixture(three_corpora(), 10, 200, 1), same(three_corpora(), 10, 200, 1),
      other(three_corpora(), 10, 200, 2);
  EXPECT_EQ(mixture.tokens(0, 200), same.tokens(0, 200));
  EXPECT_NE(mixture.tokens(0, 200), other.tokens(0, 200));
  // In any 50 blocks about 25 are of the first corpus: five standard deviations are 16.
  for (int64_t begin = 0; begin < 200; begin += 50) {
    int64_t first = 0;
    for (int64_t i = begin; i < begin + 50; ++i) first += mixture.block(i).component == 0;
    EXPECT_NEAR(static_cast<double>(first), 25, 16);
  }
}

TEST(BlockMixture, TokensAreThoseOfTheBlocks) {
  const BlockMixture mixture(three_corpora(), 10, 45, 5);
  const std::vector<int32_t> ids = mixture.tokens(13, 20);
  ASSERT_EQ(ids.size(), 200u);
  for (int64_t i = 0; i < 20; ++i) {
    const Block& block = mixture.block(13 + i);
    for (int64_t t = 0; t < 10; ++t) {
      EXPECT_EQ(ids[static_cast<size_t>(i * 10 + t)],
                block.component * 100'000 + block.position + t);
    }
  }
  EXPECT_EQ(mixture.tokens(40, 20).size(), 50u) << "fewer at the end";
  EXPECT_TRUE(mixture.tokens(45, 20).empty());
  EXPECT_TRUE(mixture.tokens(99, 20).empty());
  EXPECT_THROW(mixture.tokens(-1, 2), InternalError);
}

TEST(BlockMixture, ErrorsNameTheCorpus) {
  const auto message = [](std::vector<MixtureComponent> components, int64_t block_size = 10) {
    try {
      BlockMixture(std::move(components), block_size, 5, 1);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("(no error)");
  };
  EXPECT_THAT(message(three_corpora(), 58),
              HasSubstr("corpus 'c': 57 tokens are less than one block of 58"));
  EXPECT_EQ(message(three_corpora(), 57), "(no error)");
  EXPECT_THAT(message({{"a", shard(0, 50), 0.0}}), HasSubstr("corpus 'a': its share is 0"));
  EXPECT_THAT(message({{"a", shard(0, 50), std::nan("")}}), HasSubstr("its share is nan"));
  EXPECT_THAT(message({}), HasSubstr("no corpora"));
  EXPECT_THAT(message(three_corpora(), 0), HasSubstr("blocks of 0 tokens"));
  auto other = std::make_shared<TokenShard>(*shard(0, 50));
  other->vocab_size = 7;
  EXPECT_THAT(message({{"a", shard(0, 50), 1.0}, {"b", other, 1.0}}),
              HasSubstr("corpus 'b': a vocabulary of 7, but 'a' has 1000000"));
}

}  // namespace
}  // namespace featflow
