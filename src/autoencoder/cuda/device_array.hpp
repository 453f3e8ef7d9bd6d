#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <span>
#include <string>

#include "core/error.hpp"

namespace featflow {

/// Throw Error naming what failed.
inline void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  throw Error(
      std::string("CUDA: ") + what + " failed: " + cudaGetErrorString(code) +
      (code == cudaErrorMemoryAllocation ? "; a smaller batch or expansion takes less" : ""));
}
inline void check(cublasStatus_t code, const char* what) {
  if (code == CUBLAS_STATUS_SUCCESS) return;
  throw Error(std::string("cuBLAS: ") + what + " failed: " + cublasGetStatusString(code));
}

/// Memory of the device; grows, never shrinks.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  void reserve(size_t count) {
    if (count <= capacity_) return;
    cudaFree(data_);
    data_ = nullptr;
    capacity_ = 0;
    check(cudaMalloc(&data_, count * sizeof(T)), "allocating device memory");
    capacity_ = count;
  }
  void upload(std::span<const T> values) {
    reserve(values.size());
    check(cudaMemcpy(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice), "upload");
  }
  void download(std::span<T> values) const {
    check(cudaMemcpy(values.data(), data_, values.size_bytes(), cudaMemcpyDeviceToHost),
          "download");
  }
  T* get() const { return data_; }

 private:
  T* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace featflow
