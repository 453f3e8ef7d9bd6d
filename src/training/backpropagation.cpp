#include "training/backpropagation.hpp"

#include <cmath>
#include <vector>

#include "core/error.hpp"
#include "model/output_head.hpp"
#include "model/transformer.hpp"

namespace featflow {

struct Backpropagation::Impl {
  Transformer& network;
  torch::Tensor gradients;  // [layout.size]

  float* gradient_of(const ParameterSlot& slot) {
    return gradients.data_ptr<float>() + slot.offset;
  }
};

Backpropagation::Backpropagation(Model& model)
    : impl_(new Impl{model.impl().network, torch::zeros({model.impl().network.layout().size()})}) {
  impl_->network.require_gradients(impl_->gradients);
}
Backpropagation::~Backpropagation() = default;

double Backpropagation::run(std::span<const int32_t> ids, int64_t batch, int64_t time,
                            int64_t head_chunk) {
  FEATFLOW_CHECK(batch > 0 && time > 1 && std::ssize(ids) == batch * time, "ids are [batch, time]");
  Transformer& network = impl_->network;
  const int64_t rows = batch * time, width = network.config().hidden_size;
  impl_->gradients.zero_();

  const torch::Tensor embedded = network.embed(ids).requires_grad_(true);  // [rows, hidden]
  TapVisits no_taps;
  const torch::Tensor hidden = network.trunk(embedded, batch, time, no_taps);  // [rows, hidden]

  torch::Tensor d_hidden = torch::empty_like(hidden);
  const double loss = head_loss_backward(
      hidden.data_ptr<float>(), network.head().data_ptr<float>(), next_tokens(ids, time).data(),
      rows, width, network.config().vocab_size, head_chunk, d_hidden.data_ptr<float>(),
      impl_->gradient_of(network.head_slot()));
  if (!std::isfinite(loss)) return loss;
  hidden.backward(d_hidden);

  const float* d_embedded = embedded.grad().data_ptr<float>();
  float* d_table = impl_->gradient_of(network.embedding_slot());
  for (int64_t row = 0; row < rows; ++row) {
    float* d_entry = d_table + ids[static_cast<size_t>(row)] * width;
    for (int64_t i = 0; i < width; ++i) d_entry[i] += d_embedded[row * width + i];
  }
  return loss;
}

const ParameterLayout& Backpropagation::layout() const { return impl_->network.layout(); }
std::span<float> Backpropagation::weights() { return impl_->network.weights(); }
std::span<const float> Backpropagation::gradients() const {
  return {impl_->gradients.data_ptr<float>(), static_cast<size_t>(layout().size())};
}

}  // namespace featflow
