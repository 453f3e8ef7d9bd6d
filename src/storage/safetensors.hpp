#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

enum class DType { kBool, kU8, kI8, kU16, kI16, kF16, kBF16, kU32, kI32, kF32, kU64, kI64, kF64 };
std::string_view dtype_name(DType dtype);  ///< "F32", as in the file's header.
size_t dtype_size(DType dtype);            ///< Bytes.

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  ///< Byte offsets into the data buffer.

  int64_t element_count() const;
};

using Metadata = std::map<std::string, std::string>;

/// A safetensors file, memory-mapped and validated whole on opening: every rule of the format
/// (header size, JSON, duplicate keys, dtypes, shapes without overflow, offsets that tile the
/// buffer exactly) is checked before anything is returned. A file that breaks one throws Error
/// naming the file, the tensor, and the rule. The format: docs/formats.md.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

  const std::filesystem::path& path() const;
  const Metadata& metadata() const;
  /// Throws Error if the key is absent.
  const std::string& metadata(const std::string& key) const;
  /// The same as a decimal number; throws Error if it is none from `low` to `high`.
  int64_t metadata_integer(const std::string& key, int64_t low, int64_t high) const;
  const std::vector<TensorInfo>& tensors() const;  ///< In order of their offsets.
  bool contains(std::string_view name) const;
  /// Throws Error naming the file and the nearest tensor name if absent.
  const TensorInfo& info(std::string_view name) const;
  std::span<const std::byte> bytes(std::string_view name) const;  ///< May be unaligned.

  /// A copy; the stored dtype must be T's own. `shape` (-1: any size) is checked if not empty.
  template <typename T>
  std::vector<T> read(std::string_view name, const std::vector<int64_t>& shape = {}) const;
  /// A copy as float32 from F32, F64, F16 or BF16.
  std::vector<float> read_float(std::string_view name,
                                const std::vector<int64_t>& shape = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A tensor to be written; `data` is borrowed.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
};

template <typename T>
TensorView tensor_view(std::string name, std::vector<int64_t> shape, std::span<const T> data);
template <typename T>
TensorView tensor_view(std::string name, std::vector<int64_t> shape, const std::vector<T>& data) {
  return tensor_view(std::move(name), std::move(shape), std::span<const T>(data));
}

/// Written to a temporary file beside `path`, fsynced once and renamed. Tensors are ordered by
/// alignment, then name, as the reference writer does; the header is padded to 8 bytes.
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                       const Metadata& metadata = {});

/// The validation on bytes in memory, for the fuzz target. Throws Error.
void validate_safetensors(std::span<const std::byte> file, const std::string& where);

}  // namespace featflow
