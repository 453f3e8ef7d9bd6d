#include "study/estimates.hpp"

#include "core/blas.hpp"

namespace featflow {
namespace {

// The constants are those that the quick and the laptop study took, with nothing beside them.

// As one large product, which the encoder's is.
double product_seconds(double flops_per_token, int64_t tokens) {
  static const double flops_per_second = blas_gflops() * 1e9;
  return flops_per_token * static_cast<double>(tokens) / flops_per_second;
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
  return 1.6 * product_seconds(2.0 * static_cast<double>(parameters), tokens);
}
double autoencoder_seconds(int64_t n, int64_t m, int64_t tokens) {
  return 1.35 * encoding_seconds(n, m, tokens) + 1e-5 * static_cast<double>(tokens);
}
double encoding_seconds(int64_t n, int64_t m, int64_t tokens) {
  return product_seconds(2.0 * static_cast<double>(n) * static_cast<double>(m), tokens) +
         4e-6 * static_cast<double>(tokens);
}

double correlation_seconds(int64_t tokens) { return 3.5e-6 * static_cast<double>(tokens); }

// Per token and layer: about 14 vectors of the hidden size and 6 of the MLP's are kept for
// backward.
int64_t training_memory(const ModelConfig& config, int64_t batch_tokens) {
  const int64_t kept = 14 * config.hidden_size + 6 * config.intermediate_size;
  return 24 * config.parameter_count() + 4 * batch_tokens * kept * config.num_hidden_layers;
}
// 2 n m weights with gradient and two moments; on the dense path, f and its gradient [batch, m].
int64_t autoencoder_memory(int64_t n, int64_t m, int64_t batch_tokens) {
  return 32 * n * m + 8 * batch_tokens * (m + 2 * n);
}
// About 40 active features a token: number and value, and what stands once a token.
int64_t activations_memory(int64_t tokens) { return tokens * (40 * 8 + 24); }

}  // namespace featflow
