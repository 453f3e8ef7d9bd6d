// Compiled once for each instruction set, see docs/decisions/0006-run-time-dispatch.md: nothing of
// the standard library but C's headers may be used here.
#include <math.h>

#include "training/optimizer_kernels.hpp"

namespace featflow::FEATFLOW_INSTRUCTION_SET {
namespace {

void adamw(const AdamWFactors& factors, const float* __restrict gradients,
           float* __restrict weights, float* __restrict m, float* __restrict v, int64_t count) {
  const AdamWFactors f = factors;  // nothing that is written can be part of it
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradients[i] * f.gradient_scale;
    const float mi = f.beta1 * m[i] + f.new1 * g;
    const float vi = f.beta2 * v[i] + f.new2 * g * g;
    m[i] = mi;
    v[i] = vi;
    weights[i] = weights[i] * f.keep - f.rate * mi / (sqrtf(vi) * f.root_scale + f.epsilon);
  }
}

}  // namespace

const OptimizerKernels optimizer_kernels = {adamw};

}  // namespace featflow::FEATFLOW_INSTRUCTION_SET
