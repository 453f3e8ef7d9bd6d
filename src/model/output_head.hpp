#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace featflow {

/// Rows of the vocabulary product that exist at a time: [tokens × vocabulary] is never whole.
inline constexpr int64_t kHeadChunk = 512;

/// Target of a row that predicts nothing (the last position of a block).
inline constexpr int32_t kNoTarget = -1;

/// What each position of ids [batch, time] predicts: the next token of its block.
std::vector<int32_t> next_tokens(std::span<const int32_t> ids, int64_t time);

/// Cross-entropy in nats, −log softmax(logits)[target], and whether the first maximum is the
/// target, row by row; rows without a target are left alone. logits [rows, vocab].
void score_logits(const float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                  float* loss, uint8_t* correct);

/// Replaces logits [rows, vocab] by the gradient of scale · Σ loss, scale · (softmax − onehot),
/// zero in rows without a target; returns Σ loss, unscaled.
double cross_entropy_backward(float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                              float scale);

/// The output head and its loss, forward and backward together, `chunk` rows at a time.
/// hidden [rows, width], head [vocab, width]. Returns the mean loss over the rows with a target;
/// d_hidden [rows, width] is overwritten, d_head [vocab, width] is added to.
double head_loss_backward(const float* hidden, const float* head, const int32_t* targets,
                          int64_t rows, int64_t width, int64_t vocab, int64_t chunk,
                          float* d_hidden, float* d_head);

}  // namespace featflow
