#include "merging/balance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// One document of 1000 predictions a text, twice: the choosing half has one.
DocumentScores same_documents(double accuracy) {
  const auto correct = static_cast<int64_t>(std::llround(1000 * accuracy));
  return {{1000, 1000}, {correct, correct}, {1, 1}};
}

// Documents of uneven length whose accuracies scatter around expected(t), a document's shift being
// the same at every t: what draws of documents make of a curve.
DocumentScores drawn_documents(int64_t count, const std::vector<double>& lengths,
                               const std::vector<double>& shifts, double expected, Rng& rng) {
  DocumentScores scores;
  for (int64_t d = 0; d < count; ++d) {
    const auto i = static_cast<size_t>(d);
    const double n = lengths[i];
    const double noise = rng.normal() * 0.3 / std::sqrt(n);
    const double share = std::clamp(expected + shifts[i] + noise, 0.0, 1.0);
    scores.predicted.push_back(static_cast<int64_t>(n));
    scores.correct.push_back(std::llround(n * share));
    scores.loss.push_back(n);
  }
  return scores;
}

// A falls, B rises: expected accuracies meet at 5/9. The last two "points" are base and child.
struct Drawn {
  std::vector<CurvePoint> curve;
  GainScale gain;
};
Drawn drawn_sweep(int64_t documents, int steps, Rng& rng) {
  Drawn drawn;
  for (const auto text : {&PairScores::a, &PairScores::b}) {
    const bool is_a = text == &PairScores::a;
    std::vector<double> lengths, shifts;
    for (int64_t d = 0; d < documents; ++d) {
      lengths.push_back(static_cast<double>(40 + rng.below(200)));
      shifts.push_back(0.08 * rng.normal());
    }
    drawn.curve.resize(static_cast<size_t>(steps));
    const auto scores = [&](double expected) {
      return drawn_documents(documents, lengths, shifts, expected, rng);
    };
    for (int i = 0; i < steps; ++i) {
      CurvePoint& point = drawn.curve[static_cast<size_t>(i)];
      point.t = static_cast<double>(i) / (steps - 1);
      point.scores.*text = scores(is_a ? 0.8 - 0.4 * point.t : 0.3 + 0.5 * point.t);
    }
    drawn.gain.base.*text = scores(0.25);
    drawn.gain.child.*text = scores(is_a ? 0.8 : 0.75);
  }
  return drawn;
}

TEST(FindBalance, GainByHand) {
  // A: base 0.2, child 0.6, falling from 0.6 to 0.4: gain 1 − t/2. B: base 0.4, child 0.9, rising
  // from 0.5 to 0.9: gain 0.2 + 0.8 t. Equal at 0.8 / 1.3; the accuracies already at 1/6.
  std::vector<CurvePoint> curve;
  for (const double t : {0.0, 0.5, 1.0}) {
    curve.push_back({t, {same_documents(0.6 - 0.2 * t), same_documents(0.5 + 0.4 * t)}});
  }
  const GainScale gain = {{same_documents(0.2), same_documents(0.4)},
                          {same_documents(0.6), same_documents(0.9)}};
  EXPECT_NEAR(find_balance(curve).t, 1.0 / 6, 1e-12);
  EXPECT_NEAR(find_balance(curve, {}, &gain).t, 0.8 / 1.3, 1e-12);

  GainScale none = gain;
  none.child.b = same_documents(0.4);
  try {
    find_balance(curve, {"Lua", "TinyStories"}, &none);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("TinyStories's accuracy on its own text is 0.4000"),
                                    HasSubstr("the base's 0.4000, expected a gain")));
  }
}

TEST(FindBalance, OfAllDocuments) {
  // Even documents meet at 0.25, odd ones at 0.75; equal lengths, so all meet in the middle.
  std::vector<CurvePoint> curve;
  for (const double t : {0.0, 0.5, 1.0}) {
    const auto even = std::llround(1000 * (t - 0.25) + 5000),
               odd = std::llround(1000 * (t - 0.75) + 5000);
    curve.push_back(
        {t, {{{9000, 9000}, {5000, 5000}, {1, 1}}, {{9000, 9000}, {even, odd}, {1, 1}}}});
  }
  EXPECT_NEAR(find_balance(curve).t, 0.25, 1e-12);
  EXPECT_NEAR(find_balance(curve, {}, nullptr, BalanceDocuments::kAll).t, 0.5, 1e-12);
}

// The bootstrap by the letter: documents copied as often as drawn, accuracies from those copies.
struct SlowInterval {
  double low = 0, high = 0, none = 0, several = 0;
};
SlowInterval slow_interval(const Drawn& drawn, bool gain, BalanceDocuments documents,
                           const BootstrapOptions& options) {
  const size_t stride = documents == BalanceDocuments::kEven ? 2 : 1;
  SlowInterval result;
  std::vector<double> found;
  for (int64_t i = 0; i < options.resamples; ++i) {
    Rng rng(options.seed, "resample " + std::to_string(i));
    std::vector<std::vector<size_t>> chosen;
    for (const auto text : {&PairScores::a, &PairScores::b}) {
      const size_t all = ((drawn.gain.base.*text).predicted.size() + stride - 1) / stride;
      chosen.emplace_back();
      for (size_t d = 0; d < all; ++d) chosen.back().push_back(stride * rng.below(all));
    }
    const auto accuracy = [&](const PairScores& scores, bool of_b) {
      const DocumentScores& text = of_b ? scores.b : scores.a;
      long double right = 0, predicted = 0;
      for (const size_t d : chosen[of_b ? 1 : 0]) {
        right += static_cast<long double>(text.correct[d]);
        predicted += static_cast<long double>(text.predicted[d]);
      }
      return right / predicted;
    };
    const auto height = [&](const PairScores& scores, bool of_b) {
      const long double share = accuracy(scores, of_b);
      if (!gain) return share;
      const long double base = accuracy(drawn.gain.base, of_b);
      return (share - base) / (accuracy(drawn.gain.child, of_b) - base);
    };
    std::vector<double> roots;
    for (size_t k = 0; k + 1 < drawn.curve.size(); ++k) {
      const CurvePoint &left = drawn.curve[k], &right = drawn.curve[k + 1];
      const long double x = height(left.scores, false) - height(left.scores, true);
      const long double y = height(right.scores, false) - height(right.scores, true);
      if (std::abs(x) < 1e-12L) {
        roots.push_back(left.t);  // a tie, which few documents can give
      } else if (std::abs(y) > 1e-12L && x * y < 0) {
        roots.push_back(static_cast<double>(left.t + (right.t - left.t) * (-x) / (y - x)));
      }
    }
    if (roots.empty()) result.none += 1;
    if (roots.size() > 1) result.several += 1;
    if (roots.empty()) continue;
    std::ranges::sort(roots, {}, [](double root) { return std::abs(root - 0.5); });
    found.push_back(roots.front());
  }
  std::ranges::sort(found);
  const double last = static_cast<double>(found.size()) - 1;
  result.low = found.at(static_cast<size_t>(std::floor(0.025 * last)));
  result.high = found.at(static_cast<size_t>(std::ceil(0.975 * last)));
  result.none /= static_cast<double>(options.resamples);
  result.several /= static_cast<double>(options.resamples);
  return result;
}

TEST(BalanceInterval, AgreesWithASlowBootstrap) {
  Rng rng(11);
  const Drawn steady = drawn_sweep(41, 11, rng);
  // Few documents and a fine grid: noise makes curves that cross not at all, or often.
  Drawn noisy = drawn_sweep(4, 51, rng);
  for (CurvePoint& point : noisy.curve) {
    for (int64_t& correct : point.scores.a.correct) correct = correct * 2 / 5;
  }
  bool some_without = false, some_with_several = false;
  for (const Drawn* drawn : {&std::as_const(steady), &std::as_const(noisy)}) {
    for (const bool gain : {false, true}) {
      for (const BalanceDocuments documents : {BalanceDocuments::kEven, BalanceDocuments::kAll}) {
        const BootstrapOptions options = {300, 5};
        const BalanceInterval interval =
            balance_interval(drawn->curve, gain ? &drawn->gain : nullptr, documents, options);
        const SlowInterval slow = slow_interval(*drawn, gain, documents, options);
        EXPECT_NEAR(interval.low.value(), slow.low, 1e-12);
        EXPECT_NEAR(interval.high.value(), slow.high, 1e-12);
        EXPECT_EQ(interval.no_crossing, slow.none);
        EXPECT_EQ(interval.several_crossings, slow.several);
        some_without |= slow.none > 0;
        some_with_several |= slow.several > 0;
      }
    }
  }
  EXPECT_TRUE(some_without && some_with_several) << "the noisy curves test nothing";
  EXPECT_EQ(balance_interval(steady.curve, nullptr, BalanceDocuments::kEven, {1, 0}).documents_a,
            21);
}

TEST(BalanceInterval, DocumentsThatWereNotScoredAreNotDrawn) {
  Rng rng(3);
  Drawn drawn = drawn_sweep(20, 11, rng);
  const BalanceInterval own = balance_interval(drawn.curve, nullptr, BalanceDocuments::kEven, {});
  for (CurvePoint& point : drawn.curve) {
    for (const auto text : {&PairScores::a, &PairScores::b}) {
      DocumentScores& scores = point.scores.*text;
      for (auto* list : {&scores.predicted, &scores.correct}) list->resize(200, 0);
      scores.loss.resize(200, 0);
    }
  }
  const BalanceInterval with_more =
      balance_interval(drawn.curve, nullptr, BalanceDocuments::kEven, {});
  EXPECT_EQ(own.documents_a, 10);
  EXPECT_EQ(with_more.documents_a, 10);
  EXPECT_EQ(with_more.low, own.low);
  EXPECT_EQ(with_more.high, own.high);
}

TEST(BalanceInterval, CoversTheTrueBalancePoint) {
  // Nominally 95% of intervals hold the root; percentile intervals of 40 documents fall a little
  // short. 200 trials have a standard error of 1.5%.
  Rng rng(3);
  int covered = 0;
  for (int trial = 0; trial < 200; ++trial) {
    const Drawn drawn = drawn_sweep(80, 11, rng);  // 40 documents choose
    const BalanceInterval interval = balance_interval(drawn.curve, nullptr, BalanceDocuments::kEven,
                                                      {400, static_cast<uint64_t>(trial)});
    covered += *interval.low <= 5.0 / 9 && 5.0 / 9 <= *interval.high;
    EXPECT_LT(*interval.high - *interval.low, 0.2);  // never by being wide
  }
  EXPECT_GE(covered, 170);
  EXPECT_LE(covered, 199);
  RecordProperty("covered", covered);
}

TEST(BalanceInterval, SaysWhatHasNone) {
  std::vector<CurvePoint> apart;
  for (const double t : {0.0, 0.5, 1.0})
    apart.push_back({t, {same_documents(0.9), same_documents(t / 2)}});
  const BalanceInterval none = balance_interval(apart, nullptr, BalanceDocuments::kEven, {});
  EXPECT_FALSE(none.low || none.high);
  EXPECT_EQ(none.no_crossing, 1);
  EXPECT_TRUE(to_json(none).at("low").is_null());
  EXPECT_THAT(describe(none), HasSubstr("no resample"));

  // A child that gains nothing on the documents drawn leaves nothing to divide by.
  std::vector<CurvePoint> crossing;
  for (const double t : {0.0, 1.0}) {
    crossing.push_back({t, {same_documents(0.8 - 0.4 * t), same_documents(0.4 + 0.4 * t)}});
  }
  const GainScale no_gain = {{same_documents(0.8), same_documents(0.2)},
                             {same_documents(0.8), same_documents(0.8)}};
  EXPECT_EQ(balance_interval(crossing, &no_gain, BalanceDocuments::kEven, {}).no_crossing, 1);

  const BalanceInterval sure = balance_interval(crossing, nullptr, BalanceDocuments::kEven, {});
  EXPECT_NEAR(*sure.low, 0.5, 1e-12);
  EXPECT_NEAR(*sure.high, 0.5, 1e-12);
  EXPECT_EQ(describe(sure), " (95%: 0.5000 to 0.5000)");
  const BalanceInterval unasked =
      balance_interval(crossing, nullptr, BalanceDocuments::kEven, {0, 1});
  EXPECT_TRUE(to_json(unasked).is_null());
  EXPECT_EQ(describe(unasked), "");
}

TEST(BalanceInterval, ThreadsDoNotMatter) {
  Rng rng(8);
  const Drawn drawn = drawn_sweep(30, 11, rng);
  const auto interval = [&] {
    return to_json(balance_interval(drawn.curve, &drawn.gain, BalanceDocuments::kAll, {200, 1}));
  };
  const int threads = thread_count();
  set_thread_count(1);
  const nlohmann::ordered_json expected = interval();
  set_thread_count(3);
  EXPECT_EQ(interval(), expected);
  set_thread_count(threads);
}

TEST(BalanceRules, Names) {
  for (const BalanceRule rule : {BalanceRule::kAccuracy, BalanceRule::kGain}) {
    EXPECT_EQ(parse_balance_rule(balance_rule_name(rule), "x"), rule);
  }
  try {
    parse_balance_rule("gian", "study.toml:3: merge.balance");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "study.toml:3: merge.balance: 'gian' is nothing to balance, expected \"accuracy\" "
                 "or \"gain\"");
  }
}

}  // namespace
}  // namespace featflow
