#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace featflow {

/// Where one named tensor lies in the flat array of all parameters.
struct ParameterSlot {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;
  int64_t count = 0;
};

/// All parameters of a model in one contiguous array, in the order in which the network uses them.
/// q, k and v are neighbours, and so are gate and up: each group is one matrix product.
class ParameterLayout {
 public:
  explicit ParameterLayout(const ModelConfig& config);

  const std::vector<ParameterSlot>& slots() const { return slots_; }
  const ParameterSlot& slot(std::string_view name) const;
  int64_t size() const { return size_; }

  /// Throws Error naming the tensor if one is missing or has another shape.
  void pack(const TensorMap& tensors, std::span<float> flat) const;
  TensorMap unpack(std::span<const float> flat) const;

 private:
  std::vector<ParameterSlot> slots_;
  int64_t size_ = 0;
};

}  // namespace featflow
