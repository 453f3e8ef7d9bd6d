#include "model/output_head.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/blas.hpp"
#include "model/transformer_kernels.hpp"

namespace featflow {
namespace {

// Elements below which waking other threads costs more than they save.
constexpr int64_t kParallelWork = 1 << 15;

}  // namespace

std::vector<int32_t> next_tokens(std::span<const int32_t> ids, int64_t time) {
  std::vector<int32_t> targets(ids.begin() + 1, ids.end());
  targets.push_back(kNoTarget);
  for (int64_t last = time - 1; last < std::ssize(targets); last += time) {
    targets[static_cast<size_t>(last)] = kNoTarget;
  }
  return targets;
}

void score_logits(const float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                  float* loss, uint8_t* correct) {
  const TransformerKernels& kernels = transformer_kernels();
#pragma omp parallel for schedule(static) if (rows * vocab > kParallelWork)
  for (int64_t r = 0; r < rows; ++r) {
    if (targets[r] == kNoTarget) continue;
    const float* row = logits + r * vocab;
    const float maximum = kernels.maximum(row, vocab);
    const float sum = kernels.sum_of_exponentials(row, maximum, vocab);
    loss[r] = std::log(sum) - (row[targets[r]] - maximum);
    correct[r] =
        row[targets[r]] == maximum && std::find(row, row + targets[r], maximum) == row + targets[r];
  }
}

double cross_entropy_backward(float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                              float scale) {
  const TransformerKernels& kernels = transformer_kernels();
  std::vector<double> loss(static_cast<size_t>(rows), 0.0);
#pragma omp parallel for schedule(static) if (rows * vocab > kParallelWork)
  for (int64_t r = 0; r < rows; ++r) {
    float* row = logits + r * vocab;
    if (targets[r] == kNoTarget) {
      std::fill(row, row + vocab, 0.0f);
      continue;
    }
    const float maximum = kernels.maximum(row, vocab), target_logit = row[targets[r]];
    const float sum = kernels.exponentials(row, maximum, vocab, row);
    loss[static_cast<size_t>(r)] = std::log(sum) - (target_logit - maximum);
    kernels.multiply(scale / sum, row, vocab);
    row[targets[r]] -= scale;
  }
  double total = 0;
  for (const double value : loss) total += value;
  return total;
}

double head_loss_backward(const float* hidden, const float* head, const int32_t* targets,
                          int64_t rows, int64_t width, int64_t vocab, int64_t chunk,
                          float* d_hidden, float* d_head) {
  const auto predicted = static_cast<double>(rows - std::count(targets, targets + rows, kNoTarget));
  const auto scale = static_cast<float>(1.0 / predicted);
  std::vector<float> logits(static_cast<size_t>(std::min(chunk, rows) * vocab));
  double loss = 0;
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t count = std::min(chunk, rows - begin);
    const float* h = hidden + begin * width;
    sgemm(Transpose::kNo, Transpose::kYes, count, vocab, width, 1, h, width, head, width, 0,
          logits.data(), vocab);
    loss += cross_entropy_backward(logits.data(), targets + begin, count, vocab, scale);
    sgemm(Transpose::kNo, Transpose::kNo, count, width, vocab, 1, logits.data(), vocab, head, width,
          0, d_hidden + begin * width, width);
    sgemm(Transpose::kYes, Transpose::kNo, vocab, width, count, 1, logits.data(), vocab, h, width,
          1, d_head, width);
  }
  return loss / predicted;
}

}  // namespace featflow
