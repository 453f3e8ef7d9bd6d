#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <numeric>
#include <vector>

#include "autoencoder/cuda/cuda_training_step.hpp"
#include "autoencoder/cuda/device_array.hpp"
#include "autoencoder/cuda/training_kernels.cuh"
#include "autoencoder/step_rates.hpp"
#include "core/error.hpp"

namespace featflow {
namespace {

int blocks_for(int64_t count, int per_block) {
  return static_cast<int>((count + per_block - 1) / per_block);
}

}  // namespace

// A weight and its moments on the device.
struct Moments {
  DeviceArray<float> value, moment1, moment2;
  Weight weight() const { return {value.get(), moment1.get(), moment2.get()}; }
};

struct CudaTrainingStep::Device {
  AutoencoderTraining config;
  cublasHandle_t blas = nullptr;
  int64_t n = 0, m = 0, step = 0;
  double scale = 1;

  Moments encoder, encoder_bias, decoder, decoder_bias;
  DeviceArray<int64_t> last_active, moment_start;                 // [m]
  DeviceArray<float> x, target, input, gradient;                  // [B, n]
  DeviceArray<float> products;                                    // [B, m]
  DeviceArray<int> row_counts, column_counts;                     // [B + 1], [m + 1]: then offsets
  DeviceArray<int> features, row_of, entry_of;                    // [active]
  DeviceArray<float> values, df;                                  // [active]
  DeviceArray<float> bias_gradient, decoder_bias_gradient, ones;  // [m], [n], [B]
  DeviceArray<double> squared_error, l1;                          // [B]

  ~Device() {
    if (blas) cublasDestroy(blas);
  }
  // visit(host array of weights, of moments …, their place on the device)
  template <typename State, typename Visit>
  void for_each_weight(State& state, const Visit& visit) {
    const auto three = [&](auto member, Moments& here) {
      visit(state.weights.*member, here.value);
      visit(state.moment1.*member, here.moment1);
      visit(state.moment2.*member, here.moment2);
    };
    three(&Autoencoder::encoder_weight, encoder);
    three(&Autoencoder::encoder_bias, encoder_bias);
    three(&Autoencoder::decoder_weight, decoder);
    three(&Autoencoder::decoder_bias, decoder_bias);
  }
  void reserve_batch(size_t rows);
  int64_t encode(int rows);
};

std::string cuda_unavailable() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess) return cudaGetErrorString(code);
  return count > 0 ? "" : "no CUDA device";
}

CudaTrainingStep::CudaTrainingStep(const AutoencoderTraining& config)
    : device_(std::make_unique<Device>()) {
  const std::string reason = cuda_unavailable();
  if (!reason.empty()) throw Error("CUDA: " + reason + ": expected a GPU and its driver");
  device_->config = config;
  check(cublasCreate(&device_->blas), "starting");
  check(cublasSetMathMode(device_->blas, CUBLAS_PEDANTIC_MATH), "switching TF32 off");
}
CudaTrainingStep::~CudaTrainingStep() = default;

void CudaTrainingStep::upload(const TrainingState& state) {
  Device& d = *device_;
  d.n = state.weights.input_size;
  d.m = state.weights.feature_count;
  d.step = state.step;
  d.scale = state.scale;
  d.for_each_weight(
      state, [](const std::vector<float>& from, DeviceArray<float>& to) { to.upload(from); });
  d.last_active.upload(state.last_active);
  d.moment_start.upload(state.moment_start);
  check(cudaFuncSetAttribute(update_feature, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(d.n * sizeof(float))),
        "setting shared memory for one dictionary vector (is n too large?)");
}

void CudaTrainingStep::download(TrainingState& state) const {
  Device& d = *device_;
  d.for_each_weight(
      state, [](std::vector<float>& to, const DeviceArray<float>& from) { from.download(to); });
  d.last_active.download(state.last_active);
  d.moment_start.download(state.moment_start);
  state.step = d.step;
  state.scale = d.scale;
}

void CudaTrainingStep::Device::reserve_batch(size_t rows) {
  for (auto* array : {&x, &target, &input, &gradient})
    array->reserve(rows * static_cast<size_t>(n));
  products.reserve(rows * static_cast<size_t>(m));
  row_counts.reserve(rows + 1);
  column_counts.reserve(static_cast<size_t>(m) + 1);
  bias_gradient.reserve(static_cast<size_t>(m));
  decoder_bias_gradient.reserve(static_cast<size_t>(n));
  ones.upload(std::vector<float>(rows, 1.0f));
  squared_error.reserve(rows);
  l1.reserve(rows);
}

// x̄ W_eᵀ + b_e, and f > 0 as entries by row and by feature. Returns their number.
int64_t CudaTrainingStep::Device::encode(int rows) {
  const float one = 1, zero = 0;
  const int width = static_cast<int>(n), count = static_cast<int>(m);
  // Row-major [B, m] is column-major [m, B] = W_e [m, n] · x̄ᵀ [n, B].
  check(cublasSgemm(blas, CUBLAS_OP_T, CUBLAS_OP_N, count, rows, width, &one, encoder.value.get(),
                    width, input.get(), width, &zero, products.get(), count),
        "the encoder's product");
  const float* bias = encoder_bias.value.get();
  count_in_rows<<<blocks_for(rows, kWarps), kThreads>>>(products.get(), bias, rows, count,
                                                        row_counts.get());
  count_in_columns<<<blocks_for(m, kThreads), kThreads>>>(products.get(), bias, rows, count,
                                                          column_counts.get());
  int64_t active = 0;
  for (auto [counts, size] :
       {std::pair{&row_counts, int64_t{rows}}, std::pair{&column_counts, m}}) {
    std::vector<int> offsets(static_cast<size_t>(size) + 1);
    counts->download(std::span(offsets).first(static_cast<size_t>(size)));
    std::exclusive_scan(offsets.begin(), offsets.end(), offsets.begin(), 0);
    counts->upload(offsets);
    active = offsets.back();
  }
  for (auto* array : {&features, &row_of, &entry_of}) array->reserve(static_cast<size_t>(active));
  for (auto* array : {&values, &df}) array->reserve(static_cast<size_t>(active));
  compact<<<blocks_for(rows, kWarps), kThreads>>>(products.get(), bias, rows, count,
                                                  row_counts.get(), features.get(), values.get());
  transpose_entries<<<blocks_for(m, kThreads), kThreads>>>(
      products.get(), rows, count, column_counts.get(), row_of.get(), entry_of.get());
  check(cudaGetLastError(), "encoding");
  return active;
}

StepMetrics CudaTrainingStep::run(std::span<const float> batch, int64_t batch_rows) {
  Device& d = *device_;
  FEATFLOW_CHECK(d.n > 0, "a state must be uploaded first");
  FEATFLOW_CHECK(batch_rows > 0 && std::ssize(batch) == batch_rows * d.n,
                 "a batch must be [rows, n]");
  FEATFLOW_CHECK(batch_rows * d.m < int64_t{1} << 31, "entries are numbered by int");
  const int rows = static_cast<int>(batch_rows), n = static_cast<int>(d.n);
  const int m = static_cast<int>(d.m);
  const StepRates rates = rates_at(d.config, d.step);
  const Adam adam{rates.learning_rate, d.config.beta1, d.config.beta2, d.config.epsilon};
  const auto tokens = static_cast<double>(rows);

  d.reserve_batch(static_cast<size_t>(rows));
  d.x.upload(batch);
  prepare<<<rows, kThreads>>>(d.x.get(), static_cast<float>(d.scale), d.config.center_elements,
                              d.decoder_bias.value.get(), n, d.target.get(), d.input.get());
  const int64_t active = d.encode(rows);
  decode_and_differentiate<<<rows, kThreads>>>(
      d.row_counts.get(), d.features.get(), d.values.get(), d.decoder.value.get(),
      d.decoder_bias.value.get(), d.target.get(), n,
      static_cast<float>(2.0 / static_cast<double>(d.n * batch_rows)),
      static_cast<float>(rates.l1_coefficient / tokens), d.gradient.get(), d.df.get(),
      d.squared_error.get(), d.l1.get());
  differentiate_bias<<<blocks_for(m, kWarps), kThreads>>>(
      d.column_counts.get(), d.entry_of.get(), d.df.get(), m, d.step, d.bias_gradient.get(),
      d.last_active.get());

  // ∂b_d = Σ G − W_eᵀ ∂b_e, with W_e as it was in this step.
  const float one = 1, minus_one = -1, zero = 0;
  check(cublasSgemv(d.blas, CUBLAS_OP_N, n, m, &minus_one, d.encoder.value.get(), n,
                    d.bias_gradient.get(), 1, &zero, d.decoder_bias_gradient.get(), 1),
        "the gradient of b_d");
  check(cublasSgemv(d.blas, CUBLAS_OP_N, n, rows, &one, d.gradient.get(), n, d.ones.get(), 1, &one,
                    d.decoder_bias_gradient.get(), 1),
        "the gradient of b_d");
  update_feature<<<m, kThreads, static_cast<size_t>(n) * sizeof(float)>>>(
      d.column_counts.get(), d.row_of.get(), d.entry_of.get(), d.values.get(), d.df.get(),
      d.input.get(), d.gradient.get(), d.bias_gradient.get(), d.moment_start.get(), d.step, adam, n,
      d.encoder.weight(), d.encoder_bias.weight(), d.decoder.weight());
  update_decoder_bias<<<blocks_for(n, kThreads), kThreads>>>(d.decoder_bias_gradient.get(), d.step,
                                                             adam, n, d.decoder_bias.weight());
  check(cudaGetLastError(), "a training step");

  std::vector<double> squared_error(static_cast<size_t>(rows)), l1(squared_error);
  d.squared_error.download(squared_error);
  d.l1.download(l1);
  StepMetrics metrics;
  metrics.step = d.step++;
  metrics.mse = std::accumulate(squared_error.begin(), squared_error.end(), 0.0) /
                (tokens * static_cast<double>(n));
  metrics.l1 = std::accumulate(l1.begin(), l1.end(), 0.0) / tokens;
  metrics.l0 = static_cast<double>(active) / tokens;
  metrics.loss = metrics.mse + rates.l1_coefficient * metrics.l1;
  metrics.sparse_path = true;
  return metrics;
}

}  // namespace featflow
