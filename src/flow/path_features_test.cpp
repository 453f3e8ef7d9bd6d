#include "flow/path_features.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/rng.hpp"

namespace featflow {
namespace {

using Links = std::vector<std::pair<int32_t, int32_t>>;

// Against chains counted one by one.
TEST(PathFeatures, AreThoseOfEveryChain) {
  const std::vector<std::string> models = {"a", "b", "c", "d"};
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed, "links");
    std::map<std::string, Links> links;
    for (const char* edge : {"ab", "bc", "cd", "ac"}) {  // the last is no part of the path
      for (int32_t x = 0; x < 12; ++x) {
        for (int32_t y = 0; y < 12; ++y) {
          if (rng.uniform() < 0.06) links[edge].emplace_back(x, y);
        }
      }
    }
    std::vector<std::set<int32_t>> expected(4);
    for (const auto& [a, b] : links["ab"]) {
      for (const auto& [b2, c] : links["bc"]) {
        for (const auto& [c2, d] : links["cd"]) {
          if (b != b2 || c != c2) continue;
          expected[0].insert(a);
          expected[1].insert(b);
          expected[2].insert(c);
          expected[3].insert(d);
        }
      }
    }
    const auto links_of = [&](const std::string& parent, const std::string& child) {
      return links[parent + child];
    };
    for (size_t at = 0; at < 4; ++at) {
      EXPECT_THAT(features_on_path(models, at, links_of), ::testing::ElementsAreArray(expected[at]))
          << at << " seed " << seed;
    }
  }
}

TEST(PathFeatures, OfAPathWithoutLinksAreNone) {
  const std::vector<std::string> models = {"a", "b", "c"};
  const auto no_links = [](const std::string&, const std::string&) { return Links(); };
  for (size_t at = 0; at < 3; ++at) EXPECT_TRUE(features_on_path(models, at, no_links).empty());
}

}  // namespace
}  // namespace featflow
