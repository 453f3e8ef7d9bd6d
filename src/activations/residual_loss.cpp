#include "activations/residual_loss.hpp"

#include <algorithm>

#include "core/blas.hpp"
#include "core/error.hpp"
#include "model/layer_kernels.hpp"
#include "model/output_head.hpp"

namespace featflow {

const Tensor& output_head(const Checkpoint& checkpoint) {
  return checkpoint.tensors.at(checkpoint.config.tie_word_embeddings ? "model.embed_tokens.weight"
                                                                     : "lm_head.weight");
}

std::vector<float> residual_loss(const Checkpoint& checkpoint, std::span<const float> residual,
                                 std::span<const int32_t> targets) {
  const ModelConfig& config = checkpoint.config;
  const int64_t rows = std::ssize(targets), width = config.hidden_size, vocab = config.vocab_size;
  FEATFLOW_CHECK(std::ssize(residual) == rows * width, "residual is [rows, hidden]");
  std::vector<float> hidden(residual.size());
  rms_norm(residual.data(), checkpoint.tensors.at("model.norm.weight").data.data(), rows, width,
           static_cast<float>(config.rms_norm_eps), hidden.data());
  const float* head = output_head(checkpoint).data.data();
  std::vector<float> logits(static_cast<size_t>(std::min(rows, kHeadChunk) * vocab));
  std::vector<float> loss(targets.size());
  std::vector<uint8_t> correct(targets.size());
  for (int64_t begin = 0; begin < rows; begin += kHeadChunk) {
    const int64_t count = std::min(kHeadChunk, rows - begin);
    sgemm(Transpose::kNo, Transpose::kYes, count, vocab, width, 1, hidden.data() + begin * width,
          width, head, width, 0, logits.data(), vocab);
    score_logits(logits.data(), targets.data() + begin, count, vocab, loss.data() + begin,
                 correct.data() + begin);
  }
  return loss;
}

}  // namespace featflow
