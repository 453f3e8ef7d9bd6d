#include "merging/balance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

// Per document of one text: what was predicted, and how much of it right by each point of the
// curve, then, where gain is asked for, by base and child. Whole numbers: sums are exact in any
// order.
struct TextCounts {
  size_t models = 0;
  std::vector<double> predicted;  // [documents]
  std::vector<double> correct;    // [documents, models]

  size_t documents() const { return predicted.size(); }
};

TextCounts count(const std::vector<const DocumentScores*>& models, BalanceDocuments documents) {
  TextCounts text;
  text.models = models.size();
  const size_t step = documents == BalanceDocuments::kEven ? 2 : 1;
  for (size_t d = 0; d < models.front()->predicted.size(); d += step) {
    // Behind the tokens that were scored; a bootstrap that drew it would draw nothing.
    if (models.front()->predicted[d] == 0) continue;
    text.predicted.push_back(static_cast<double>(models.front()->predicted[d]));
    for (const DocumentScores* scores : models) {
      FEATFLOW_CHECK(scores->correct.size() == models.front()->predicted.size(),
                     "every model is scored on the same documents");
      text.correct.push_back(static_cast<double>(scores->correct[d]));
    }
  }
  return text;
}

// The accuracies of one text, document d counted weights[d] times: [models], NaN without
// predictions.
std::vector<double> accuracies(const TextCounts& text, std::span<const double> weights) {
  double predicted = 0;
  std::vector<double> correct(text.models, 0.0);
  for (size_t d = 0; d < text.documents(); ++d) {
    if (weights[d] == 0) continue;
    predicted += weights[d] * text.predicted[d];
    const double* right = text.correct.data() + d * text.models;
    for (size_t k = 0; k < text.models; ++k) correct[k] += weights[d] * right[k];
  }
  for (double& share : correct) share /= predicted;
  return correct;
}

// Both texts of a sweep, ready to be weighted.
class Curves {
 public:
  Curves(const std::vector<CurvePoint>& curve, const GainScale* gain, BalanceDocuments documents)
      : gain_(gain != nullptr) {
    FEATFLOW_CHECK(!curve.empty(), "a curve without points");
    for (const CurvePoint& point : curve) t_.push_back(point.t);
    for (const auto text : {&PairScores::a, &PairScores::b}) {
      std::vector<const DocumentScores*> models;
      for (const CurvePoint& point : curve) models.push_back(&(point.scores.*text));
      if (gain) models.insert(models.end(), {&(gain->base.*text), &(gain->child.*text)});
      (text == &PairScores::a ? a_ : b_) = count(models, documents);
    }
  }

  const std::vector<double>& t() const { return t_; }
  const TextCounts& a() const { return a_; }
  const TextCounts& b() const { return b_; }

  // [points] accuracy, or gain; NaN if there is nothing to divide by.
  std::vector<double> heights(const TextCounts& text, std::span<const double> weights) const {
    std::vector<double> height = accuracies(text, weights);
    if (!gain_) return height;
    const double child = height.back(), base = height[height.size() - 2];
    height.resize(t_.size());
    for (double& h : height) {
      h = child > base ? (h - base) / (child - base) : std::numeric_limits<double>::quiet_NaN();
    }
    return height;
  }
  std::vector<double> difference(std::span<const double> weights_a,
                                 std::span<const double> weights_b) const {
    std::vector<double> difference = heights(a_, weights_a);
    const std::vector<double> of_b = heights(b_, weights_b);
    for (size_t i = 0; i < difference.size(); ++i) difference[i] -= of_b[i];
    return difference;
  }

 private:
  bool gain_;
  std::vector<double> t_;
  TextCounts a_, b_;
};

double nearest_middle(const std::vector<double>& roots, const std::vector<double>& t) {
  const double middle = (t.front() + t.back()) / 2;
  return *std::ranges::min_element(roots, {}, [&](double root) { return std::abs(root - middle); });
}

void require_gain(const TextCounts& text, const std::string& child) {
  const std::vector<double> accuracy = accuracies(text, std::vector<double>(text.documents(), 1.0));
  const double of_child = accuracy.back(), of_base = accuracy[accuracy.size() - 2];
  if (of_child > of_base) return;
  throw Error(fmt::format(
      "sweep: {}'s accuracy on its own text is {:.4f} and the base's {:.4f}, expected a "
      "gain: balance = \"gain\" divides by it; is {} trained at all, or should the "
      "accuracies be equal (balance = \"accuracy\")?",
      child, of_child, of_base, child));
}

}  // namespace

std::string_view balance_rule_name(BalanceRule rule) {
  return rule == BalanceRule::kGain ? "gain" : "accuracy";
}

BalanceRule parse_balance_rule(std::string_view text, const std::string& where) {
  for (const BalanceRule rule : {BalanceRule::kAccuracy, BalanceRule::kGain}) {
    if (text == balance_rule_name(rule)) return rule;
  }
  throw Error(fmt::format("{}: {} is nothing to balance, expected \"accuracy\" or \"gain\"", where,
                          in_quotes(text)));
}

std::vector<double> crossings(std::span<const double> t, std::span<const double> difference) {
  FEATFLOW_CHECK(t.size() == difference.size(), "a curve has one value per t");
  const std::span<const double> d = difference;
  std::vector<double> roots;
  for (size_t i = 0; i < d.size(); ++i) {
    if (d[i] == 0) {
      const size_t first = i;
      while (i + 1 < d.size() && d[i + 1] == 0) ++i;
      roots.push_back((t[first] + t[i]) / 2);
    } else if (i + 1 < d.size() && d[i + 1] != 0 && (d[i] < 0) != (d[i + 1] < 0)) {
      roots.push_back(t[i] + (t[i + 1] - t[i]) * (d[i] / (d[i] - d[i + 1])));
    }
  }
  return roots;
}

Balance find_balance(const std::vector<CurvePoint>& curve, const ParentNames& names,
                     const GainScale* gain, BalanceDocuments documents) {
  const Curves curves(curve, gain, documents);
  if (gain) {
    require_gain(curves.a(), names.a);
    require_gain(curves.b(), names.b);
  }
  const std::vector<double>& t = curves.t();
  const std::vector<double> difference =
      curves.difference(std::vector<double>(curves.a().documents(), 1.0),
                        std::vector<double>(curves.b().documents(), 1.0));
  for (const double d : difference) FEATFLOW_CHECK(!std::isnan(d), "a half without predictions");
  const std::vector<double> roots = crossings(t, difference);
  const char* what = gain ? "gain" : "accuracy";

  Balance balance;
  balance.crossings = std::ssize(roots);
  if (roots.empty()) {
    const auto nearest =
        std::ranges::min_element(difference, {}, [](double d) { return std::abs(d); });
    balance.t = t[static_cast<size_t>(nearest - difference.begin())];
    balance.warning = fmt::format(
        "no balance point: {0} on {1}'s text is {2} that on {3}'s text at every t; t = {4:.4g} has "
        "the smallest difference ({5:+.4f})",
        what, names.a, *nearest > 0 ? "above" : "below", names.b, balance.t, *nearest);
    return balance;
  }
  balance.t = nearest_middle(roots, t);
  if (roots.size() > 1) {
    std::string all;
    for (const double root : roots) all += fmt::format("{}{:.4g}", all.empty() ? "" : ", ", root);
    balance.warning = fmt::format(
        "{} balance points: {} on {}'s and on {}'s text is equal at t = {}; took {:.4g}, the "
        "nearest the middle",
        roots.size(), what, names.a, names.b, all, balance.t);
  }
  return balance;
}

BalanceInterval balance_interval(const std::vector<CurvePoint>& curve, const GainScale* gain,
                                 BalanceDocuments documents, const BootstrapOptions& options) {
  const Curves curves(curve, gain, documents);
  BalanceInterval interval;
  interval.resamples = options.resamples;
  interval.documents_a = std::ssize(curves.a().predicted);
  interval.documents_b = std::ssize(curves.b().predicted);
  if (options.resamples == 0) return interval;

  std::vector<std::vector<double>> roots(static_cast<size_t>(options.resamples));
  parallel_for(options.resamples, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      throw_if_interrupted();
      Rng rng(options.seed, fmt::format("resample {}", i));
      const auto draw = [&rng](size_t count) {
        std::vector<double> weights(count, 0.0);
        for (size_t d = 0; d < count; ++d) weights[rng.below(count)] += 1;
        return weights;
      };
      const std::vector<double> weights_a = draw(curves.a().documents());
      const std::vector<double> weights_b = draw(curves.b().documents());
      const std::vector<double> difference = curves.difference(weights_a, weights_b);
      if (std::ranges::any_of(difference, [](double d) { return std::isnan(d); })) continue;
      roots[static_cast<size_t>(i)] = crossings(curves.t(), difference);
    }
  });

  std::vector<double> found;
  int64_t several = 0;
  for (const std::vector<double>& of_one : roots) {
    several += of_one.size() > 1;
    if (!of_one.empty()) found.push_back(nearest_middle(of_one, curves.t()));
  }
  const auto all = static_cast<double>(options.resamples);
  interval.no_crossing = (all - static_cast<double>(found.size())) / all;
  interval.several_crossings = static_cast<double>(several) / all;
  if (found.empty()) return interval;
  std::ranges::sort(found);
  constexpr double kTail = (1 - BalanceInterval::kLevel) / 2;
  const auto last = static_cast<double>(found.size() - 1);
  interval.low = found[static_cast<size_t>(std::floor(kTail * last))];
  interval.high = found[static_cast<size_t>(std::ceil((1 - kTail) * last))];
  return interval;
}

nlohmann::ordered_json to_json(const BalanceInterval& interval) {
  using Json = nlohmann::ordered_json;
  if (interval.resamples == 0) return nullptr;
  return {{"low", interval.low ? Json(*interval.low) : Json()},
          {"high", interval.high ? Json(*interval.high) : Json()},
          {"level", BalanceInterval::kLevel},
          {"resamples", interval.resamples},
          {"documents_a", interval.documents_a},
          {"documents_b", interval.documents_b},
          {"no_crossing", interval.no_crossing},
          {"several_crossings", interval.several_crossings}};
}

std::string describe(const BalanceInterval& interval) {
  if (interval.resamples == 0) return "";
  if (!interval.low) return " (no resample of the documents has a crossing)";
  std::string text = fmt::format(" ({:.0f}%: {:.4f} to {:.4f}", 100 * BalanceInterval::kLevel,
                                 *interval.low, *interval.high);
  for (const auto& [share, what] : {std::pair(interval.no_crossing, "without a crossing"),
                                    std::pair(interval.several_crossings, "with several")}) {
    if (share > 0) text += fmt::format("; {:.1f}% of resamples {}", 100 * share, what);
  }
  return text + ")";
}

}  // namespace featflow
