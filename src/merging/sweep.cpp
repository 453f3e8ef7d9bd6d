#include "merging/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/progress.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json, int indent = -1) {
  // Names come from outside: what is not UTF-8 is replaced, never a reason to lose a sweep.
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string weights_hash(const Checkpoint& model) {
  Hasher hasher;
  hasher.field(to_json(model.config));
  for (const auto& [name, tensor] : model.tensors) {
    hasher.field(name);
    hasher.update(std::as_bytes(std::span(tensor.shape)));
    hasher.update(std::as_bytes(std::span(tensor.data)));
  }
  return hasher.hex();
}

Json to_json(const DocumentScores& scores) {
  return {{"predicted", scores.predicted}, {"correct", scores.correct}, {"loss", scores.loss}};
}

DocumentScores scores_from(const Json& json) {
  return {json.at("predicted").get<std::vector<int64_t>>(),
          json.at("correct").get<std::vector<int64_t>>(),
          json.at("loss").get<std::vector<double>>()};
}

/// Finished evaluations, one JSON line each after a header that says what they are of. They are
/// made in one fixed order, so a resumed sweep reads lines until there are none, then appends.
class ScoreLog {
 public:
  ScoreLog(std::filesystem::path path, const std::string& header, ParentNames names)
      : path_(std::move(path)), names_(std::move(names)), lines_(path_) {
    const int64_t durable = read(header);
    lines_.truncate_to(durable);
    if (durable == 0) lines_.append(header);
  }

  int64_t stored() const { return std::ssize(stored_); }

  /// The stored scores of `model`, or those of compute(), stored.
  template <typename Compute>
  PairScores get(const std::string& model, const Compute& compute) {
    PairScores scores;
    const bool is_stored = next_ < stored_.size();
    if (is_stored) {
      FEATFLOW_CHECK(stored_[next_].model == model, path_.string() + " is out of order");
      scores = std::move(stored_[next_++].scores);
    } else {
      throw_if_interrupted();
      scores = compute();
    }
    check(scores.a, predicted_a_, model, names_.a);
    check(scores.b, predicted_b_, model, names_.b);
    if (!is_stored) {
      lines_.append(dump({{"model", model}, {"a", to_json(scores.a)}, {"b", to_json(scores.b)}}));
    }
    return scores;
  }

 private:
  struct Entry {
    std::string model;
    PairScores scores;
  };

  // Bytes of the leading whole lines; 0 in a new file, or if the header is another sweep's.
  int64_t read(const std::string& header) {
    const std::string content = read_file(path_);
    size_t begin = 0;
    for (size_t end; (end = content.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const std::string_view line = std::string_view(content).substr(begin, end - begin);
      if (begin == 0) {
        if (line == header) continue;
        log_info(fmt::format("{} is of another sweep: starting afresh", in_quotes(path_.string())));
        return 0;
      }
      try {
        const Json json = Json::parse(line);
        stored_.push_back(
            {json.at("model"), {scores_from(json.at("a")), scores_from(json.at("b"))}});
      } catch (const Json::exception&) {
        break;  // torn by a crash of the machine: this evaluation is made again
      }
    }
    return static_cast<int64_t>(begin);
  }

  // Every model must have been scored on the same documents; `predicted` is the first's.
  void check(const DocumentScores& scores, std::vector<int64_t>& predicted,
             const std::string& model, const std::string& text) const {
    const std::string where =
        fmt::format("sweep: {} on the validation text of {}", model, in_quotes(text));
    FEATFLOW_CHECK(scores.correct.size() == scores.predicted.size() &&
                       scores.loss.size() == scores.predicted.size(),
                   where + ": one count, one number correct and one loss per document");
    for (const int half : {0, 1}) {
      if (scores.half(half).total_predicted() > 0) continue;
      throw Error(
          fmt::format("{}: none of the {} documents has a token to predict ({} documents in "
                      "all), but the balance point is chosen on the even ones and reported "
                      "on the odd ones; is the text too short?",
                      where, half == 0 ? "even" : "odd", scores.predicted.size()));
    }
    for (const double loss : scores.loss) {
      if (!std::isfinite(loss)) {
        throw Error(fmt::format("{}: a document's loss is {}; are the weights of a diverged run?",
                                where, loss));
      }
    }
    if (predicted.empty()) predicted = scores.predicted;
    if (predicted != scores.predicted) {
      throw Error(
          fmt::format("{}: other documents than the models before it had; if the text was "
                      "changed since the sweep began, delete {}",
                      where, in_quotes(path_.string())));
    }
  }

  std::filesystem::path path_;
  ParentNames names_;
  LineLog lines_;
  std::vector<Entry> stored_;
  size_t next_ = 0;
  std::vector<int64_t> predicted_a_, predicted_b_;
};

std::string sweep_csv(const SweepResult& result) {
  std::string csv = "t,accuracy_a,accuracy_b,loss_a,loss_b\n";
  for (const auto& [t, scores] : result.curve) {
    csv += fmt::format("{},{},{},{},{}\n", t, scores.a.accuracy(), scores.b.accuracy(),
                       scores.a.mean_loss(), scores.b.mean_loss());
  }
  return csv;
}

Json summary(const PairScores& scores) {
  return {{"accuracy_a", scores.a.accuracy()},
          {"accuracy_b", scores.b.accuracy()},
          {"loss_a", scores.a.mean_loss()},
          {"loss_b", scores.b.mean_loss()}};
}

// (accuracy − base) / (child − base), null where the child does not gain.
Json gain(const DocumentScores& merged, const DocumentScores& base, const DocumentScores& child) {
  const double from = base.accuracy(), to = child.accuracy();
  return to > from ? Json((merged.accuracy() - from) / (to - from)) : Json();
}

// The model at the balance point on some documents of each text; gains only with a base.
template <typename Part>
Json merged_summary(const SweepResult& result, const Part& part) {
  const PairScores merged = {part(result.merged.a), part(result.merged.b)};
  Json json = summary(merged);
  if (result.base) {
    json["gain_a"] = gain(merged.a, part(result.base->a), part(result.parent_a.a));
    json["gain_b"] = gain(merged.b, part(result.base->b), part(result.parent_b.b));
  }
  return json;
}

Json balance_json(const SweepResult& result, BalanceRule rule) {
  const Json other =
      merged_summary(result, [](const DocumentScores& scores) { return scores.half(1); });
  const Json &a = other[rule == BalanceRule::kGain ? "gain_a" : "accuracy_a"],
             &b = other[rule == BalanceRule::kGain ? "gain_b" : "accuracy_b"];
  return {
      {"rule", balance_rule_name(rule)},
      {"t", result.balance.t},
      {"crossings", result.balance.crossings},
      {"half_chosen", 0},
      {"interval", to_json(result.interval)},
      {"all_documents",
       {{"t", result.balance_of_all.t},
        {"crossings", result.balance_of_all.crossings},
        {"interval", to_json(result.interval_of_all)}}},
      {"chosen_half",
       merged_summary(result, [](const DocumentScores& scores) { return scores.half(0); })},
      {"other_half", other},
      {"difference_other_half",
       a.is_null() || b.is_null() ? Json() : Json(a.get<double>() - b.get<double>())},
      {"merged", merged_summary(result, [](const DocumentScores& scores) { return scores; })},
      {"warning", result.balance.warning ? Json(*result.balance.warning) : Json()},
  };
}

std::string sweep_json(const SweepResult& result, const SweepConfig& config) {
  Json curve = Json::array();
  for (const auto& [t, scores] : result.curve) {
    curve.push_back({{"t", t}});
    curve.back().update(summary(scores));
  }
  const Json json = {
      {"method", merge_method_name(config.merge.method)},
      {"options", to_json(config.merge)},
      {"direction", merge_direction(config.names, config.merge.method)},
      {"a", config.names.a},
      {"b", config.names.b},
      {"base", result.base ? Json(config.base_name) : Json()},
      {"baselines",
       {{"a", summary(result.parent_a)},
        {"b", summary(result.parent_b)},
        {"base", result.base ? summary(*result.base) : Json()}}},
      {"curve", curve},
      {"balance", balance_json(result, config.balance)},
      {"tensors", to_json(result.tensors)},
      {"warnings", result.warnings},
  };
  return dump(json, 2) + "\n";
}

void write_scores(const SweepResult& result, const SweepConfig& config,
                  const std::filesystem::path& path) {
  const auto steps = std::ssize(result.curve);
  std::vector<double> t;
  for (const CurvePoint& point : result.curve) t.push_back(point.t);
  std::vector<TensorView> tensors = {tensor_view("t", {steps}, t)};

  // The curve's scores by grid point and document, in memory until they are written.
  struct Rows {
    std::vector<int64_t> correct;  // [steps, documents]
    std::vector<double> loss;      // [steps, documents]
  };
  std::array<Rows, 2> rows;
  for (const int which : {0, 1}) {
    const auto text = which == 0 ? &PairScores::a : &PairScores::b;
    const std::string x = which == 0 ? "a" : "b";
    auto& [correct, loss] = rows[which];
    for (const CurvePoint& point : result.curve) {
      const DocumentScores& scores = point.scores.*text;
      correct.insert(correct.end(), scores.correct.begin(), scores.correct.end());
      loss.insert(loss.end(), scores.loss.begin(), scores.loss.end());
    }
    const DocumentScores& merged = result.merged.*text;
    const auto documents = std::ssize(merged.predicted);
    tensors.push_back(tensor_view(x + ".predicted", {documents}, merged.predicted));
    tensors.push_back(tensor_view(x + ".correct", {steps, documents}, correct));
    tensors.push_back(tensor_view(x + ".loss", {steps, documents}, loss));
    tensors.push_back(tensor_view("balance." + x + ".correct", {documents}, merged.correct));
    tensors.push_back(tensor_view("balance." + x + ".loss", {documents}, merged.loss));
    const auto add_model = [&](const std::string& name, const DocumentScores& scores) {
      tensors.push_back(tensor_view(name + ".correct", {documents}, scores.correct));
      tensors.push_back(tensor_view(name + ".loss", {documents}, scores.loss));
    };
    if (result.base) add_model("base." + x, (*result.base).*text);
    // Where the curve does not end in them: what gains are measured with.
    if (needs_base(config.merge.method)) {
      add_model("child." + x, which == 0 ? result.parent_a.a : result.parent_b.b);
    }
  }
  write_safetensors(path, tensors,
                    {{"balance_t", fmt::format("{}", result.balance.t)},
                     {"direction", merge_direction(config.names, config.merge.method)},
                     {"method", std::string(merge_method_name(config.merge.method))}});
}

std::vector<std::string> sweep_warnings(const SweepResult& result, const SweepConfig& config) {
  std::vector<std::string> warnings;
  if (result.balance.warning) warnings.push_back(*result.balance.warning);
  // Where only one task vector reaches an element, TIES gives it whole for every 0 < t < 1, and
  // nothing of it at the end where its weight is 0.
  const double t = result.balance.t, first = result.curve[1].t,
               last = result.curve[result.curve.size() - 2].t;
  if (config.merge.method == MergeMethod::kTies && ((0 < t && t < first) || (last < t && t < 1))) {
    warnings.push_back(
        fmt::format("the balance point {:.4g} lies beside an end of the curve, where ties jumps: "
                    "the accuracies "
                    "need not be equal there",
                    t));
  }
  const auto compare = [&](const DocumentScores& merged, const DocumentScores& base,
                           const std::string& text) {
    if (merged.accuracy() >= base.accuracy()) return;
    warnings.push_back(fmt::format(
        "merged at t = {:.4g}, accuracy on {}'s text is {:.4f}, below that of {} ({:.4f})",
        result.balance.t, text, merged.accuracy(), config.base_name, base.accuracy()));
  };
  if (result.base) {
    compare(result.merged.a, result.base->a, config.names.a);
    compare(result.merged.b, result.base->b, config.names.b);
  }
  return warnings;
}

}  // namespace

SweepResult sweep(const Checkpoint& a, const Checkpoint& b, const Checkpoint* base,
                  const SweepConfig& config, const Evaluate& evaluate,
                  const std::filesystem::path& work_folder) {
  if (config.steps < 2) {
    throw Error(fmt::format("sweep: {} steps given, at least 2 are needed (t = 0 and t = 1)",
                            config.steps));
  }
  if (base && base->config.vocab_size != a.config.vocab_size) {
    throw Error(
        fmt::format("sweep: {} has a vocabulary of {} tokens, {} one of {}; they cannot be "
                    "compared on the same tokens",
                    in_quotes(config.base_name), base->config.vocab_size, in_quotes(config.names.a),
                    a.config.vocab_size));
  }
  if (config.balance == BalanceRule::kGain && !base) {
    throw Error(
        fmt::format("sweep of {} and {}: balance = \"gain\" measures what each has learned since a "
                    "common base, expected that base too",
                    in_quotes(config.names.a), in_quotes(config.names.b)));
  }
  const auto merges = merge_curve(a, b, base, config.merge, config.names);
  log_info(fmt::format("{} sweep in {} steps: {}", merge_method_name(config.merge.method),
                       config.steps, merge_direction(config.names, config.merge.method)));

  create_folder(work_folder);
  const std::filesystem::path progress_file = work_folder / "sweep.progress";
  const Json header = {{"method", merge_method_name(config.merge.method)},
                       {"options", to_json(config.merge)},
                       {"steps", config.steps},
                       {"names", {config.names.a, config.names.b, config.base_name}},
                       {"a", weights_hash(a)},
                       {"b", weights_hash(b)},
                       {"base", base ? Json(weights_hash(*base)) : Json()}};
  ScoreLog log(progress_file, dump(header), config.names);
  const auto score = [&](const Checkpoint& model) {
    PairScores scores;
    scores.a = evaluate(model, 0);
    throw_if_interrupted();
    scores.b = evaluate(model, 1);
    return scores;
  };

  Progress progress("sweep", config.steps, "merges", std::min<int64_t>(log.stored(), config.steps));
  SweepResult result;
  Checkpoint merged;
  for (int step = 0; step < config.steps; ++step) {
    const double t = static_cast<double>(step) / (config.steps - 1);
    result.curve.push_back({t, log.get(fmt::format("merge at t = {}", t), [&] {
                              merges->at(t, merged);
                              return score(merged);
                            })});
    const PairScores& scores = result.curve.back().scores;
    progress.update(step + 1, fmt::format("t {:.2f} accuracy {:.3f} {:.3f}", t, scores.a.accuracy(),
                                          scores.b.accuracy()));
  }
  if (base) result.base = log.get("base", [&] { return score(*base); });
  // An interpolation ends in the parents, bit for bit.
  const bool ends = !needs_base(config.merge.method);
  result.parent_a = ends ? result.curve.front().scores : log.get("A", [&] { return score(a); });
  result.parent_b = ends ? result.curve.back().scores : log.get("B", [&] { return score(b); });

  std::optional<GainScale> scale;
  if (config.balance == BalanceRule::kGain) {
    scale = GainScale{*result.base, {result.parent_a.a, result.parent_b.b}};
  }
  const GainScale* gains = scale ? &*scale : nullptr;
  const auto balance_on = [&](BalanceDocuments documents) {
    return find_balance(result.curve, config.names, gains, documents);
  };
  const auto interval_on = [&](BalanceDocuments documents) {
    return balance_interval(result.curve, gains, documents, config.bootstrap);
  };
  result.balance = balance_on(BalanceDocuments::kEven);
  result.interval = interval_on(BalanceDocuments::kEven);
  result.balance_of_all = balance_on(BalanceDocuments::kAll);
  result.interval_of_all = interval_on(BalanceDocuments::kAll);
  merges->at(result.balance.t, merged);
  result.tensors = merges->reports(merged);
  const auto on_grid = std::ranges::find(result.curve, result.balance.t, &CurvePoint::t);
  result.merged = on_grid != result.curve.end()
                      ? on_grid->scores
                      : log.get("merge at the balance point", [&] { return score(merged); });
  result.warnings = sweep_warnings(result, config);

  write_scores(result, config, work_folder / "scores.safetensors");
  write_file_atomic(work_folder / "sweep.csv", sweep_csv(result));
  write_file_atomic(work_folder / "sweep.json", sweep_json(result, config));
  std::filesystem::remove(progress_file);

  log_info(fmt::format("balance at t = {:.4g}{} ({}): accuracy {:.4f} and {:.4f}", result.balance.t,
                       describe(result.interval),
                       merge_direction(config.names, config.merge.method),
                       result.merged.a.accuracy(), result.merged.b.accuracy()));
  for (const std::string& warning : result.warnings) log_warning(warning);
  return result;
}

}  // namespace featflow
