#include "report/text_payload.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "report/synthetic_study.hpp"

namespace featflow {
namespace {

using namespace synthetic;  // NOLINT(google-build-using-namespace): the family of these tests

TEST(ReportText, SamplesAreOfEveryCorpusAndWithinTheirDocuments) {
  const std::vector<TextSample> samples =
      choose_samples(study().activations(0), study().text(), 3, 20);
  ASSERT_EQ(samples.size(), 6U);
  std::map<int, std::set<int64_t>> documents;
  for (const TextSample& sample : samples) {
    documents[sample.corpus].insert(sample.document);
    EXPECT_EQ(sample.document % 2, sample.corpus);  // as the family deals out its corpora
    EXPECT_EQ(study().text().document_of(sample.window.begin), sample.document);
    EXPECT_EQ(study().text().document_of(sample.window.end - 1), sample.document);
    EXPECT_EQ(sample.window.end - sample.window.begin, 20);
  }
  for (const auto& [corpus, chosen] : documents) EXPECT_EQ(chosen.size(), 3U);

  FeatureActivations unknown = study().activations(0);
  unknown.corpora.clear();
  const auto all = choose_samples(unknown, study().text(), 100, 1'000'000);
  ASSERT_EQ(std::ssize(all), study().text().document_count());  // each of them, whole
  for (const TextSample& sample : all) EXPECT_EQ(sample.corpus, -1);
  EXPECT_EQ(all.back().window.end, study().text().size());
}

TEST(ReportText, EveryActiveFeatureOfATokenIsThere) {
  const Json& sample = overview().at("samples").at(1);
  const Json chunk = report().chunk(sample.at("chunk").get<int64_t>());
  const auto ids = chunk.at("tokens").get<std::vector<int32_t>>();
  ASSERT_EQ(chunk.at("models").size(), 4U);
  for (size_t m = 0; m < 4; ++m) {
    const FeatureActivations& activations = study().activations(m);
    EXPECT_EQ(chunk.at("models").at(m).at(0), m);
    const Json& tokens = chunk.at("models").at(m).at(1);
    ASSERT_EQ(tokens.size(), ids.size());
    std::vector<float> maximum(static_cast<size_t>(kFeatures));
    for (size_t i = 0; i < activations.rows.features.size(); ++i) {
      float& most = maximum[static_cast<size_t>(activations.rows.features[i])];
      most = std::max(most, activations.rows.values[i]);
    }
    // Where in the text it is: the sample begins in the middle of its document, as its ids say.
    const auto document = sample.at("document").get<size_t>();
    const int64_t start = study().text().document_starts[document];
    const int64_t end = study().text().document_starts[document + 1];
    const int64_t begin = start + std::max<int64_t>(0, end - start - std::ssize(ids)) / 2;
    for (size_t t = 0; t < ids.size(); ++t) {
      const int64_t position = begin + static_cast<int64_t>(t);
      EXPECT_EQ(ids[t], study().text().tokens[static_cast<size_t>(position)]);
      const auto& positions = activations.token_positions;
      const auto at = std::lower_bound(positions.begin(), positions.end(), position);
      if (at == positions.end() || *at != position) {
        EXPECT_TRUE(tokens.at(t).is_null());
        continue;
      }
      const auto row = static_cast<size_t>(at - positions.begin());
      const int64_t first = activations.rows.row_offsets[row];
      const auto pairs = tokens.at(t).get<std::vector<int32_t>>();
      ASSERT_EQ(std::ssize(pairs), 2 * (activations.rows.row_offsets[row + 1] - first));
      std::map<int32_t, int32_t> levels;
      for (size_t i = 0; i < pairs.size(); i += 2) {
        levels[pairs[i]] = pairs[i + 1];
        if (i > 0) {
          EXPECT_LE(pairs[i + 1], pairs[i - 1]);  // the strongest first
        }
      }
      for (int64_t i = first; i < activations.rows.row_offsets[row + 1]; ++i) {
        const int32_t j = activations.rows.features[static_cast<size_t>(i)];
        ASSERT_TRUE(levels.contains(j));
        EXPECT_NEAR(
            levels[j],
            255 * activations.rows.values[static_cast<size_t>(i)] / maximum[static_cast<size_t>(j)],
            1.0);
      }
    }
  }
}

}  // namespace
}  // namespace featflow
