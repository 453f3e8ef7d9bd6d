#include "synthetic.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autoencoder/kernels.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"
#include "model/model.hpp"
#include "storage/files.hpp"

namespace featflow::bench {
namespace {

// z with P(N(0, 1) > z) = share.
double upper_quantile(double share) {
  double low = -10, high = 10;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(middle / std::sqrt(2.0)) / 2 > share ? low : high) = middle;
  }
  return low;
}

// Frequencies of m features in random order, adding up to `total`.
std::vector<double> zipf_frequencies(int64_t m, double total, Rng& rng) {
  constexpr double kExponent = 0.8, kShift = 10, kMost = 0.5;
  std::vector<double> frequencies(static_cast<size_t>(m));
  double low = 0, high = 1e6;  // of the factor that makes them add up, given the cap
  for (int i = 0; i < 200; ++i) {
    const double factor = (low + high) / 2;
    double sum = 0;
    for (size_t k = 0; k < frequencies.size(); ++k) {
      frequencies[k] =
          std::min(kMost, factor * std::pow(static_cast<double>(k) + kShift, -kExponent));
      sum += frequencies[k];
    }
    (sum < total ? low : high) = factor;
  }
  rng.shuffle(frequencies);
  return frequencies;
}

// Adds the rows on which an event of this frequency happens: gaps are geometric.
template <typename Visit>
void for_each_event(int64_t rows, double frequency, Rng& rng, const Visit& visit) {
  const double scale = 1 / std::log1p(-frequency);
  double row = std::floor(std::log(1 - rng.uniform()) * scale);
  while (row < static_cast<double>(rows)) {
    visit(static_cast<int64_t>(row));
    row += 1 + std::floor(std::log(1 - rng.uniform()) * scale);
  }
}

struct Activation {
  int32_t row, feature;
  float value;
};

// `activations` ordered by feature → rows [0, count) in order, features ascending within each.
SparseRows to_rows(const std::vector<Activation>& activations, int64_t count, int64_t m) {
  SparseRows rows;
  rows.feature_count = m;
  rows.row_offsets.assign(static_cast<size_t>(count + 1), 0);
  for (const Activation& a : activations) ++rows.row_offsets[static_cast<size_t>(a.row) + 1];
  std::partial_sum(rows.row_offsets.begin(), rows.row_offsets.end(), rows.row_offsets.begin());
  rows.features.resize(activations.size());
  rows.values.resize(activations.size());
  std::vector<int64_t> next = rows.row_offsets;
  for (const Activation& a : activations) {
    const auto at = static_cast<size_t>(next[static_cast<size_t>(a.row)]++);
    rows.features[at] = a.feature;
    rows.values[at] = a.value;
  }
  return rows;
}

void save_shard(SparseRows rows, int64_t first_row, const char* model,
                const std::filesystem::path& file) {
  constexpr int64_t kDocumentRows = 250;
  FeatureActivations shard;
  const int64_t count = rows.rows();
  shard.rows = std::move(rows);
  for (int64_t row = first_row; row < first_row + count; ++row) {
    shard.token_positions.push_back(row);
    shard.documents.push_back(static_cast<int32_t>(row / kDocumentRows));
    shard.corpora.push_back(static_cast<uint8_t>(row / kDocumentRows % 2));
  }
  shard.corpus_names = {"english", "lua"};
  shard.model = model;
  shard.autoencoder = model;
  shard.corpus = "planted";
  save_feature_activations(shard, file);
}

}  // namespace

std::vector<float> normal_rows(int64_t rows, int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(rows * n));
  parallel_for(rows, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      Rng rng(seed, fmt::format("row {}", row));  // seeds in turn would share all rows but one
      for (int64_t i = 0; i < n; ++i) {
        x[static_cast<size_t>(row * n + i)] = static_cast<float>(rng.normal());
      }
    }
  });
  return x;
}

TrainingState state_with_l0(int64_t n, int64_t m, double l0) {
  FEATFLOW_CHECK(0 < l0 && l0 <= static_cast<double>(m), "an L0 that m features can have");
  const auto zeros = [&] {
    Autoencoder a{n, m, {}, {}, {}, {}};
    for (std::vector<float>* weight : {&a.encoder_weight, &a.decoder_weight}) {
      weight->resize(static_cast<size_t>(m * n));
    }
    a.encoder_bias.resize(static_cast<size_t>(m));
    a.decoder_bias.resize(static_cast<size_t>(n));
    return a;
  };
  TrainingState state;
  state.weights = zeros();
  state.moment1 = zeros();
  state.moment2 = zeros();
  state.last_active.assign(static_cast<size_t>(m), 0);
  state.moment_start.assign(static_cast<size_t>(m), 0);
  state.weights.decoder_weight = normal_rows(m, n, 1);
  for (int64_t j = 0; j < m; ++j) {
    float* direction = state.weights.decoder_weight.data() + j * n;
    multiply(1 / std::sqrt(dot(direction, direction, n)), direction, n);
  }
  state.weights.encoder_weight = state.weights.decoder_weight;
  const auto bias = static_cast<float>(-upper_quantile(l0 / static_cast<double>(m)));
  std::ranges::fill(state.weights.encoder_bias, bias);
  return state;
}

AutoencoderTraining steady_training(int64_t n, int64_t m) {
  AutoencoderTraining config;
  config.expansion = m / n;
  config.learning_rate = 1e-9;
  config.steps = 1'000'000;
  return config;
}

void write_planted_pair(int64_t rows, int64_t m_a, int64_t m_b, double mean_active,
                        const std::filesystem::path& a, const std::filesystem::path& b) {
  Rng frequency_rng(1, "frequencies");
  const std::vector<double> of_a = zipf_frequencies(m_a, mean_active, frequency_rng);
  const std::vector<double> of_b = zipf_frequencies(m_b, mean_active, frequency_rng);
  create_folder(a);
  create_folder(b);
  const int64_t shards = (rows + kShardRows - 1) / kShardRows;
  parallel_for(shards, 1, [&](int64_t shard, int64_t end, int) {
    for (; shard < end; ++shard) {
      const int64_t first = shard * kShardRows, count = std::min(kShardRows, rows - first);
      const std::string file = fmt::format("shard-{:05}.safetensors", shard);
      std::vector<Activation> side_a, side_b;
      std::vector<size_t> starts = {0};  // of A's features
      for (int64_t j = 0; j < m_a; ++j) {
        Rng rng(static_cast<uint64_t>(shard), fmt::format("a {}", j));
        for_each_event(count, of_a[static_cast<size_t>(j)], rng, [&](int64_t row) {
          side_a.push_back({static_cast<int32_t>(row), static_cast<int32_t>(j),
                            static_cast<float>(0.1 + rng.uniform())});
        });
        starts.push_back(side_a.size());
      }
      for (int64_t j = 0; j < m_b; ++j) {
        Rng rng(static_cast<uint64_t>(shard), fmt::format("b {}", j));
        const auto feature = static_cast<int32_t>(j);
        if (j % 3 == 0 && j < m_a) {
          for (size_t e = starts[static_cast<size_t>(j)]; e < starts[static_cast<size_t>(j) + 1];
               ++e) {
            if (rng.uniform() < 0.9) {
              side_b.push_back({side_a[e].row, feature, 2 * side_a[e].value});
            }
          }
        } else {
          for_each_event(count, of_b[static_cast<size_t>(j)], rng, [&](int64_t row) {
            side_b.push_back(
                {static_cast<int32_t>(row), feature, static_cast<float>(0.1 + rng.uniform())});
          });
        }
      }
      save_shard(to_rows(side_a, count, m_a), first, "A", a / file);
      save_shard(to_rows(side_b, count, m_b), first, "B", b / file);
    }
  });
}

ModelConfig paper_shape(int64_t vocab_size) {
  ModelConfig config;
  config.vocab_size = vocab_size;
  return config;
}

Checkpoint paper_model(int64_t vocab_size) {
  Rng rng(1, "model");
  return Model::random(paper_shape(vocab_size), rng);
}

std::vector<int32_t> random_ids(int64_t count, int64_t vocab_size, uint64_t seed) {
  Rng rng(seed, "ids");
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(3 + rng.below(static_cast<uint64_t>(vocab_size - 3)));
  }
  return ids;
}

}  // namespace featflow::bench
