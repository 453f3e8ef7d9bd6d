#include "activations/autoencoder_evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace featflow {
namespace {

template <typename Figure>
double mean_over(const AutoencoderEvaluation& evaluation, const Figure& figure) {
  double sum = 0;
  for (const auto& [corpus, loss] : evaluation.per_corpus) sum += figure(loss);
  return sum / static_cast<double>(evaluation.per_corpus.size());
}

}  // namespace

double AutoencoderEvaluation::explained_loss_zero() const {
  return mean_over(*this, [](const ExplainedLoss& loss) { return loss.zero(); });
}
double AutoencoderEvaluation::explained_loss_mean() const {
  return mean_over(*this, [](const ExplainedLoss& loss) { return loss.mean(); });
}

AutoencoderEvaluation evaluate_autoencoder(
    const Model& model, const Autoencoder& autoencoder, ActivationSource& rows,
    const std::vector<std::pair<std::string, TokenShard>>& texts,
    const AutoencoderEvaluationConfig& config) {
  AutoencoderEvaluation evaluation;
  evaluation.l1_coefficient = config.l1_coefficient;
  evaluation.input_size = autoencoder.input_size;
  evaluation.statistics = evaluate_autoencoder(autoencoder, rows, rows.batch_count());
  const int64_t share = config.explained_loss_tokens / static_cast<int64_t>(texts.size());
  for (const auto& [corpus, text] : texts) {
    evaluation.per_corpus.emplace_back(
        corpus, explained_loss(model, autoencoder, config.tap, text, config.block_size, share));
  }
  return evaluation;
}

std::string to_json(const AutoencoderEvaluation& evaluation) {
  const AutoencoderStatistics& s = evaluation.statistics;
  nlohmann::ordered_json corpora = nlohmann::ordered_json::object();
  for (const auto& [corpus, loss] : evaluation.per_corpus) {
    corpora[corpus] = {{"zero", loss.zero()},
                       {"mean", loss.mean()},
                       {"loss_original", loss.original},
                       {"loss_reconstructed", loss.reconstructed},
                       {"loss_zero", loss.zero_ablated},
                       {"loss_mean", loss.mean_ablated},
                       {"difference_nats", loss.reconstructed - loss.original},
                       {"positions", loss.positions}};
  }
  const auto average = [&](double ExplainedLoss::*member) {
    return mean_over(evaluation, [&](const ExplainedLoss& loss) { return loss.*member; });
  };
  std::vector<double> edges;
  for (int bin = 0; bin <= kDensityBins; ++bin) {
    edges.push_back(kLowestLog10Density + bin * kDensityBinWidth);
  }
  nlohmann::ordered_json json = {
      {"features", s.active_rows.size()},
      {"tokens", s.rows},
      {"l0", s.mean_l0},
      {"mse", s.mse},
      {"mse_over_variance", s.mse / s.variance},
      {"explained_variance", s.explained_variance},
      {"dead", s.dead()},
      {"dead_share", s.dead_share()},
      {"density_histogram", {{"log10_edges", edges}, {"counts", s.density_histogram()}}},
      {"explained_loss",
       {{"zero", evaluation.explained_loss_zero()},
        {"mean", evaluation.explained_loss_mean()},
        {"per_corpus", corpora}}},
      {"loss_original", average(&ExplainedLoss::original)},
      {"loss_reconstructed", average(&ExplainedLoss::reconstructed)},
      {"loss_zero", average(&ExplainedLoss::zero_ablated)},
      {"loss_mean", average(&ExplainedLoss::mean_ablated)}};
  if (evaluation.l1_coefficient > 0) {
    json["l1_coefficient"] = evaluation.l1_coefficient;
    json["l1_coefficient_sum"] =
        evaluation.l1_coefficient * static_cast<double>(evaluation.input_size);
  }
  return json.dump(2);
}

std::string describe(const AutoencoderEvaluation& evaluation) {
  const AutoencoderStatistics& s = evaluation.statistics;
  std::string out;
  const auto line = [&](const std::string& name, const std::string& ours, const char* paper) {
    out += fmt::format("{:<32} {:>10}   {}\n", name, ours, paper);
  };
  line("", "here", "paper");
  line("features", fmt::format("{}", s.active_rows.size()), "16384");
  line("mean L0", fmt::format("{:.1f}", s.mean_l0), "25-35");
  line("MSE", fmt::format("{:.5f}", s.mse), "< 0.0067");
  line("MSE / variance", fmt::format("{:.4f}", s.mse / s.variance), "");
  line("explained variance", fmt::format("{:.4f}", s.explained_variance), "");
  line("explained loss, zero ablation", fmt::format("{:.4f}", evaluation.explained_loss_zero()),
       "> 0.88");
  line("explained loss, mean ablation", fmt::format("{:.4f}", evaluation.explained_loss_mean()),
       "");
  line("dead features", fmt::format("{:.2f}%", 100 * s.dead_share()), "");
  for (const auto& [corpus, loss] : evaluation.per_corpus) {
    out += fmt::format("{}: loss {:.4f}, reconstructed {:.4f}, zero {:.4f}, mean {:.4f} nats\n",
                       corpus, loss.original, loss.reconstructed, loss.zero_ablated,
                       loss.mean_ablated);
  }
  return out;
}

}  // namespace featflow
