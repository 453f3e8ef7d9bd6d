#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

/// What a person says of two features shown without names: does one description fit both?
enum class PairRating { kSame, kSimilar, kDifferent, kCannotTell };
inline constexpr std::array<std::string_view, 4> kPairRatings = {"same", "similar", "different",
                                                                 "cannot tell"};

/// Ratings by the id of the pair.
using PairRatings = std::map<std::string, PairRating>;

/// Columns `id` and `rating` of a CSV file; pairs without a rating are left out. Throws Error with
/// the line for an unknown rating or an id that stands twice.
PairRatings load_pair_ratings(const std::filesystem::path& csv);

/// What a rater must not know of a pair.
struct PairKey {
  std::string id;
  std::string edge;  ///< "PARENT--CHILD"
  std::string band;  ///< "0.5-0.6"
  int64_t feature_parent = 0, feature_child = 0;
  float correlation = 0;
  bool parent_left = true;
};

/// `id,edge,band,feature_parent,feature_child,correlation,left`, left being "parent" or "child".
void save_pair_keys(const std::vector<PairKey>& keys, const std::filesystem::path& csv);
/// Band of each pair, by its id.
std::map<std::string, std::string> load_pair_bands(const std::filesystem::path& csv);

struct ShareInterval {
  double low = 0, high = 1;
};

/// Wilson's score interval (1927) for a share of k in n at 95%, n > 0:
///   (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n),  p = k/n, z = 1.959964
ShareInterval wilson_interval(int64_t k, int64_t n);

/// Cohen's κ (1960), unweighted, over the pairs that both have rated, "cannot tell" being a rating
/// like the others: (observed − expected)/(1 − expected) agreement. No value if they share no pair
/// or expected agreement is 1.
std::optional<double> cohens_kappa(const PairRatings& a, const PairRatings& b);
/// Share of equal ratings among the pairs that both have rated; no value if there are none.
std::optional<double> rating_agreement(const PairRatings& a, const PairRatings& b);

struct BandRatings {
  std::string band;
  int64_t pairs = 0;                ///< Of the key.
  std::array<int64_t, 4> counts{};  ///< By PairRating.

  int64_t count(PairRating rating) const { return counts[static_cast<size_t>(rating)]; }
  /// Ratings that are a verdict: all but "cannot tell". What shares are shares of.
  int64_t judged() const;
  std::optional<double> same_share() const;
  std::optional<ShareInterval> same_interval() const;
};

/// One row for each band of the key, by name. Throws Error for a rating of a pair that the key does
/// not have; `where` names the ratings there.
std::vector<BandRatings> score_ratings(const PairRatings& ratings,
                                       const std::map<std::string, std::string>& bands,
                                       const std::string& where);

}  // namespace featflow
