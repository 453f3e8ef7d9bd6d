#include "matching/pair_ratings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/nearest.hpp"
#include "storage/csv.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

std::optional<PairRating> parse_rating(std::string_view text) {
  const auto* found = std::ranges::find(kPairRatings, text);
  if (found == kPairRatings.end()) return {};
  return static_cast<PairRating>(found - kPairRatings.begin());
}

/// How often two raters gave each combination, over the pairs that both have rated.
struct Agreement {
  std::array<std::array<int64_t, 4>, 4> counts{};
  int64_t pairs = 0;

  Agreement(const PairRatings& a, const PairRatings& b) {
    for (const auto& [id, rating] : a) {
      const auto other = b.find(id);
      if (other == b.end()) continue;
      ++counts[static_cast<size_t>(rating)][static_cast<size_t>(other->second)];
      ++pairs;
    }
  }
  double observed() const {
    int64_t equal = 0;
    for (size_t i = 0; i < 4; ++i) equal += counts[i][i];
    return static_cast<double>(equal) / static_cast<double>(pairs);
  }
  /// Of raters with these frequencies of ratings who do not look at the pairs.
  double expected() const {
    double sum = 0;
    for (size_t i = 0; i < 4; ++i) {
      int64_t of_a = 0, of_b = 0;
      for (size_t k = 0; k < 4; ++k) of_a += counts[i][k], of_b += counts[k][i];
      sum += static_cast<double>(of_a) * static_cast<double>(of_b);
    }
    return sum / (static_cast<double>(pairs) * static_cast<double>(pairs));
  }
};

}  // namespace

PairRatings load_pair_ratings(const std::filesystem::path& csv) {
  const CsvTable table = CsvTable::load(csv);
  const size_t id = table.column("id"), column = table.column("rating");
  PairRatings ratings;
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string& text = table.at(row, column);
    if (text.empty()) continue;
    const std::optional<PairRating> rating = parse_rating(text);
    if (!rating) {
      const std::string near = nearest(text, kPairRatings);
      throw Error(
          fmt::format("{}:{}: rating {}, expected same, similar, different, cannot tell or "
                      "nothing{}",
                      table.where(), table.line(row), in_quotes(text),
                      near.empty() ? "" : "; did you mean " + in_quotes(near) + "?"));
    }
    if (!ratings.emplace(table.at(row, id), *rating).second) {
      throw Error(fmt::format("{}:{}: pair {} is rated twice", table.where(), table.line(row),
                              in_quotes(table.at(row, id))));
    }
  }
  return ratings;
}

void save_pair_keys(const std::vector<PairKey>& keys, const std::filesystem::path& csv) {
  std::string text = "id,edge,band,feature_parent,feature_child,correlation,left\n";
  for (const PairKey& key : keys) {
    text += fmt::format("{},{},{},{},{},{},{}\n", csv_field(key.id), csv_field(key.edge), key.band,
                        key.feature_parent, key.feature_child, key.correlation,
                        key.parent_left ? "parent" : "child");
  }
  write_file_atomic(csv, text);
}

std::map<std::string, std::string> load_pair_bands(const std::filesystem::path& csv) {
  const CsvTable table = CsvTable::load(csv);
  const size_t id = table.column("id"), band = table.column("band");
  std::map<std::string, std::string> bands;
  for (size_t row = 0; row < table.size(); ++row) {
    if (!bands.emplace(table.at(row, id), table.at(row, band)).second) {
      throw Error(fmt::format("{}:{}: pair {} stands twice in the key", table.where(),
                              table.line(row), in_quotes(table.at(row, id))));
    }
  }
  return bands;
}

ShareInterval wilson_interval(int64_t k, int64_t n) {
  FEATFLOW_CHECK(0 <= k && k <= n && n > 0, "a share of k in n");
  constexpr double z = 1.959963984540054;
  const auto size = static_cast<double>(n);
  const double p = static_cast<double>(k) / size;
  const double center = p + z * z / (2 * size);
  const double reach = z * std::sqrt(p * (1 - p) / size + z * z / (4 * size * size));
  const double scale = 1 + z * z / size;
  // At k = 0 and k = n the ends are 0 and 1 but for rounding.
  return {std::max(0.0, (center - reach) / scale), std::min(1.0, (center + reach) / scale)};
}

std::optional<double> cohens_kappa(const PairRatings& a, const PairRatings& b) {
  const Agreement agreement(a, b);
  if (agreement.pairs == 0 || agreement.expected() == 1) return {};
  return (agreement.observed() - agreement.expected()) / (1 - agreement.expected());
}

std::optional<double> rating_agreement(const PairRatings& a, const PairRatings& b) {
  const Agreement agreement(a, b);
  if (agreement.pairs == 0) return {};
  return agreement.observed();
}

int64_t BandRatings::judged() const {
  return count(PairRating::kSame) + count(PairRating::kSimilar) + count(PairRating::kDifferent);
}

std::optional<double> BandRatings::same_share() const {
  if (judged() == 0) return {};
  return static_cast<double>(count(PairRating::kSame)) / static_cast<double>(judged());
}

std::optional<ShareInterval> BandRatings::same_interval() const {
  if (judged() == 0) return {};
  return wilson_interval(count(PairRating::kSame), judged());
}

std::vector<BandRatings> score_ratings(const PairRatings& ratings,
                                       const std::map<std::string, std::string>& bands,
                                       const std::string& where) {
  for (const auto& [id, rating] : ratings) {
    if (!bands.contains(id)) {
      throw Error(fmt::format("{}: pair {} is not in the key; were they exported together?", where,
                              in_quotes(id)));
    }
  }
  std::map<std::string, BandRatings> by_band;
  for (const auto& [id, band] : bands) {
    BandRatings& row = by_band[band];
    row.band = band;
    ++row.pairs;
    if (const auto rating = ratings.find(id); rating != ratings.end()) {
      ++row.counts[static_cast<size_t>(rating->second)];
    }
  }
  std::vector<BandRatings> rows;
  for (auto& [band, row] : by_band) rows.push_back(std::move(row));
  return rows;
}

}  // namespace featflow
