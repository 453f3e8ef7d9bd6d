#include <memory>

#include "benchmarks.hpp"
#include "core/parallel.hpp"
#include "merging/merge.hpp"
#include "synthetic.hpp"

namespace featflow::bench {
namespace {

// b = a + noise far enough apart for SLERP's own branch.
Checkpoint other_model(const Checkpoint& a) {
  Checkpoint b = a;
  uint64_t seed = 7;
  for (auto& [name, tensor] : b.tensors) {
    const std::vector<float> noise = normal_rows(1, std::ssize(tensor.data), seed++);
    for (size_t i = 0; i < noise.size(); ++i) tensor.data[i] += 0.02f * noise[i];
  }
  return b;
}

// All points of a sweep but its evaluations: norms and angles once, then 51 merged models.
Side sweep_side(int64_t vocab, int points) {
  return {"SLERP at every point", [vocab, points] {
            set_up_side();
            auto a = std::make_shared<Checkpoint>(paper_model(vocab));
            auto b = std::make_shared<Checkpoint>(other_model(*a));
            auto merged = std::make_shared<Checkpoint>();
            return [=]() -> Facts {
              const auto curve = featflow::merge_curve(*a, *b, nullptr, {});
              for (int i = 0; i < points; ++i) curve->at(double(i) / (points - 1), *merged);
              return {};
            };
          }};
}

// What memory takes for two reads and a write: the simplest sum of two arrays of that size.
Side memory_side(int64_t vocab, int points) {
  return {"reading both models and writing one (c = a + s b)", [vocab, points] {
            set_up_side();
            const auto size = static_cast<size_t>(paper_shape(vocab).parameter_count());
            auto a = std::make_shared<std::vector<float>>(size, 1.0f);
            auto b = std::make_shared<std::vector<float>>(size, 2.0f);
            auto c = std::make_shared<std::vector<float>>(size);
            return [=]() -> Facts {
              for (int i = 0; i < points; ++i) {
                const float s = static_cast<float>(i) / static_cast<float>(points);
                parallel_for(static_cast<int64_t>(size), 1 << 18,
                             [&](int64_t begin, int64_t end, int) {
                               const float *x = a->data(), *y = b->data();
                               float* z = c->data();
#pragma GCC ivdep
                               for (int64_t k = begin; k < end; ++k) z[k] = x[k] + s * y[k];
                             });
              }
              return {};
            };
          }};
}

}  // namespace

void merge_curve(Record& record) {
  const int64_t vocab = record.quick() ? 500 : 32'000;
  const int points = record.quick() ? 3 : 51;
  record.measure({.name = "sweep of 51 points, without evaluation",
                  .sizes = {{"vocabulary", vocab}, {"points", points}},
                  .sides = {sweep_side(vocab, points), memory_side(vocab, points)},
                  .comparisons = {{.what = "of memory bandwidth's time",
                                   .numerator = 0,
                                   .denominator = 1,
                                   .at_most = 2}}});
}

}  // namespace featflow::bench
