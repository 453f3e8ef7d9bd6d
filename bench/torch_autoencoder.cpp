#include <torch/torch.h>

#include <array>
#include <cmath>

#include "torch_steps.hpp"

namespace featflow::bench {
namespace {

torch::Tensor copy_of(const std::vector<float>& values, std::vector<int64_t> shape) {
  return torch::from_blob(const_cast<float*>(values.data()), shape).clone();
}

}  // namespace

struct TorchAutoencoder::Impl {
  struct Weight {
    torch::Tensor value, moment1, moment2;
  };
  AutoencoderTraining config;
  Weight encoder, encoder_bias, decoder, decoder_bias;  // [m, n], [m], [m, n], [n]
  int64_t steps = 0;

  Impl(const AutoencoderTraining& training, const Autoencoder& start) : config(training) {
    const int64_t n = start.input_size, m = start.feature_count;
    const auto weight = [](const std::vector<float>& values, std::vector<int64_t> shape) {
      const torch::Tensor value = copy_of(values, std::move(shape)).requires_grad_(true);
      return Weight{value, torch::zeros_like(value), torch::zeros_like(value)};
    };
    encoder = weight(start.encoder_weight, {m, n});
    encoder_bias = weight(start.encoder_bias, {m});
    decoder = weight(start.decoder_weight, {m, n});
    decoder_bias = weight(start.decoder_bias, {n});
  }

  // Adam (Kingma and Ba 2015) with one temporary.
  void update(Weight& weight) const {
    const auto age = static_cast<double>(steps);
    const double rate = config.learning_rate / (1 - std::pow(config.beta1, age));
    const double root_scale = 1 / std::sqrt(1 - std::pow(config.beta2, age));
    const torch::Tensor& gradient = weight.value.grad();
    weight.moment1.mul_(config.beta1).add_(gradient, 1 - config.beta1);
    weight.moment2.mul_(config.beta2).addcmul_(gradient, gradient, 1 - config.beta2);
    const torch::Tensor denominator = weight.moment2.sqrt().mul_(root_scale).add_(config.epsilon);
    weight.value.addcdiv_(weight.moment1, denominator, -rate);
  }
};

TorchAutoencoder::TorchAutoencoder(const AutoencoderTraining& config, const TrainingState& state)
    : impl_(new Impl(config, state.weights)) {}
TorchAutoencoder::~TorchAutoencoder() = default;

double TorchAutoencoder::step(std::span<const float> x, int64_t rows) {
  Impl& s = *impl_;
  const int64_t n = std::ssize(x) / rows;
  const torch::Tensor target = torch::from_blob(const_cast<float*>(x.data()), {rows, n});
  const std::array weights = {&s.encoder, &s.encoder_bias, &s.decoder, &s.decoder_bias};
  for (Impl::Weight* weight : weights) weight->value.mutable_grad() = torch::Tensor();

  // W_e (x − b_d) + b_e with b_d folded into the bias: else autograd would multiply whole matrices
  // once more for the gradient of b_d alone.
  const torch::Tensor bias =
      torch::addmv(s.encoder_bias.value, s.encoder.value, s.decoder_bias.value, 1, -1);
  const torch::Tensor features = torch::addmm(bias, target, s.encoder.value.t()).relu_();
  const torch::Tensor residual =
      torch::addmm(s.decoder_bias.value, features, s.decoder.value) - target;
  const torch::Tensor loss = residual.square().sum() / static_cast<double>(rows * n) +
                             features.sum() * (s.config.l1_coefficient / static_cast<double>(rows));
  loss.backward();

  ++s.steps;
  const torch::NoGradGuard no_gradients;
  torch::Tensor& direction = s.decoder.value;
  torch::Tensor gradient = direction.grad();
  gradient.addcmul_((gradient * direction).sum(1, /*keepdim=*/true), direction, -1);
  for (Impl::Weight* weight : weights) s.update(*weight);
  direction.div_(direction.norm(2, 1, /*keepdim=*/true));
  return loss.item<double>();
}

}  // namespace featflow::bench
