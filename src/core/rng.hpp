#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace featflow {

/// Explicit random generator, handed to whatever needs randomness. xoshiro256++ (Blackman and
/// Vigna 2019), seeded through splitmix64. The same on every machine: no std:: distribution.
class Rng {
 public:
  using State = std::array<uint64_t, 4>;

  explicit Rng(uint64_t seed);
  /// Independent streams of one study: hash(seed, name), so no two artefacts share a start.
  Rng(uint64_t seed, std::string_view name);

  uint64_t next();
  double uniform();                ///< In [0, 1), 53 bits.
  double normal();                 ///< Mean 0, variance 1 (Marsaglia's polar method, no cache).
  uint64_t below(uint64_t bound);  ///< Uniform in [0, bound), unbiased; bound > 0.

  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  State state_;
};

/// hash(seed, name): the seed of a named part of a study.
uint64_t derive_seed(uint64_t seed, std::string_view name);

}  // namespace featflow
