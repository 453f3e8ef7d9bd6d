#include <algorithm>
#include <cstring>
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

// Two reads and a write of as many bytes, at the rate of a copy (one read and one write).
Side copy_side(int64_t vocab, int points) {
  return {"reading both models and writing one (memcpy rate)",
          [vocab, points] {
            set_up_side();
            const auto size = static_cast<size_t>(paper_shape(vocab).parameter_count());
            auto from = std::make_shared<std::vector<float>>(size, 1.0f);
            auto to = std::make_shared<std::vector<float>>(size);
            return [=]() -> Facts {
              for (int i = 0; i < points; ++i) {
                parallel_for(static_cast<int64_t>(size), 1 << 18,
                             [&](int64_t begin, int64_t end, int) {
                               std::memcpy(to->data() + begin, from->data() + begin,
                                           static_cast<size_t>(end - begin) * sizeof(float));
                             });
              }
              return {};
            };
          },
          1.5};
}

}  // namespace

void merge_curve(Record& record) {
  const int64_t vocab = record.quick() ? 500 : 32'000;
  const int points = record.quick() ? 3 : 51;
  record.measure({.name = "sweep of 51 points, without evaluation",
                  .sizes = {{"vocabulary", vocab}, {"points", points}},
                  .sides = {sweep_side(vocab, points), copy_side(vocab, points)},
                  .comparisons = {{.what = "of memory bandwidth's time",
                                   .numerator = 0,
                                   .denominator = 1,
                                   .at_most = 2}}});
}

}  // namespace featflow::bench
