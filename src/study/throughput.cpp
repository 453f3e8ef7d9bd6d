#include "study/throughput.hpp"

#include "core/blas.hpp"

namespace featflow {
namespace {

// Small matrices and the work between products reach about a third of the best rate.
double flops_per_second() {
  static const double rate = blas_gflops() * 1e9 / 3;
  return rate;
}

double seconds(double flops_per_token, int64_t tokens) {
  return flops_per_token * static_cast<double>(tokens) / flops_per_second();
}

}  // namespace

// 6 N per token for forward and backward, 2 N for forward (Kaplan et al. 2020), N without the
// embedding, which is looked up.
double training_seconds(const ModelConfig& config, int64_t tokens) {
  return 3 * forward_seconds(config, tokens);
}
double forward_seconds(const ModelConfig& config, int64_t tokens) {
  int64_t parameters = config.parameter_count();
  if (!config.tie_word_embeddings) parameters -= config.vocab_size * config.hidden_size;
  return seconds(2.0 * static_cast<double>(parameters), tokens);
}
double autoencoder_seconds(int64_t n, int64_t m, int64_t tokens) {
  return 1.8 * encoding_seconds(n, m, tokens);
}
double encoding_seconds(int64_t n, int64_t m, int64_t tokens) {
  return seconds(2.0 * static_cast<double>(n) * static_cast<double>(m), tokens);
}

}  // namespace featflow
