#include "storage/safetensors_header.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "core/utf8.hpp"

namespace featflow {

namespace {

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit
constexpr size_t kMaxTensors = 1'000'000;
constexpr size_t kMaxRank = 64;

struct DTypeRow {
  DType dtype;
  std::string_view name;
  size_t size;
};
constexpr std::array kDTypes = {DTypeRow{DType::kBool, "BOOL", 1}, DTypeRow{DType::kU8, "U8", 1},
                                DTypeRow{DType::kI8, "I8", 1},     DTypeRow{DType::kU16, "U16", 2},
                                DTypeRow{DType::kI16, "I16", 2},   DTypeRow{DType::kF16, "F16", 2},
                                DTypeRow{DType::kBF16, "BF16", 2}, DTypeRow{DType::kU32, "U32", 4},
                                DTypeRow{DType::kI32, "I32", 4},   DTypeRow{DType::kF32, "F32", 4},
                                DTypeRow{DType::kU64, "U64", 8},   DTypeRow{DType::kI64, "I64", 8},
                                DTypeRow{DType::kF64, "F64", 8}};

const DTypeRow& dtype_row(DType dtype) {
  const auto row = std::ranges::find(kDTypes, dtype, &DTypeRow::dtype);
  FEATFLOW_CHECK(row != kDTypes.end(), "not a dtype");
  return *row;
}

/// The header's JSON as a stream of events. A tree would forget duplicate keys and how integers
/// were spelled; and since every level says what may follow, nesting never goes beyond three.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string where) : where_(std::move(where)) {}

  std::map<std::string, TensorInfo> tensors;
  Metadata metadata;

  bool null() override {
    // The reference reader takes a null for no metadata, and such files are in the wild.
    if (level_ == Level::kRoot && key_ == kMetadataKey) return true;
    unexpected("null");
  }
  bool boolean(bool value) override { unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    unexpected(fmt::format("the number {}", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    unexpected("the number " + in_quotes(text));
  }
  bool binary(binary_t&) override { unexpected("binary data"); }

  // Called for non-negative integers up to 2^64 − 1 without fraction, exponent or sign only.
  bool number_unsigned(number_unsigned_t value) override {
    if (level_ == Level::kShape) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail(fmt::format("dimension {} overflows", value));
      }
      if (tensor_.shape.size() == kMaxRank) {
        fail(fmt::format("has more than {} dimensions", kMaxRank));
      }
      tensor_.shape.push_back(static_cast<int64_t>(value));
    } else if (level_ == Level::kOffsets) {
      if (offset_count_ == 2) fail("data_offsets has more than 2 numbers");
      (offset_count_++ == 0 ? tensor_.begin : tensor_.end) = value;
    } else {
      unexpected(fmt::format("the number {}", value));
    }
    return true;
  }

  bool string(string_t& value) override {
    if (level_ == Level::kMetadata) {
      metadata.emplace(key_, std::move(value));
    } else if (level_ == Level::kTensor && field_ == kDTypeField) {
      const auto row = std::ranges::find(kDTypes, value, &DTypeRow::name);
      if (row == kDTypes.end()) {
        std::vector<std::string_view> names;
        for (const DTypeRow& known : kDTypes) names.push_back(known.name);
        fail(fmt::format("dtype {} is unknown; supported are {}", in_quotes(value),
                         fmt::join(names, ", ")));
      }
      tensor_.dtype = row->dtype;
    } else {
      unexpected("the string " + in_quotes(value));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (level_ == Level::kStart) {
      level_ = Level::kRoot;
    } else if (level_ == Level::kRoot && key_ == kMetadataKey) {
      level_ = Level::kMetadata;
    } else if (level_ == Level::kRoot) {
      level_ = Level::kTensor;
      tensor_ = TensorInfo{.name = key_, .shape = {}};
      fields_seen_ = {};
      offset_count_ = 0;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    if (level_ == Level::kTensor) {
      const auto field = std::ranges::find(kFields, value);
      if (field == kFields.end()) {
        fail(fmt::format("unknown field {}; expected {}", in_quotes(value),
                         fmt::join(kFields, ", ")));
      }
      field_ = static_cast<size_t>(field - kFields.begin());
      if (std::exchange(fields_seen_[field_], true)) {
        fail(fmt::format("field {} appears twice", in_quotes(value)));
      }
      return true;
    }
    const bool is_tensor = level_ == Level::kRoot && value != kMetadataKey;
    const bool duplicate = level_ == Level::kMetadata ? metadata.contains(value)
                           : is_tensor                ? tensors.contains(value)
                                                      : std::exchange(metadata_seen_, true);
    if (duplicate) {
      throw Error(fmt::format("{}: key {} appears twice in the header", where_, in_quotes(value)));
    }
    if (is_tensor && tensors.size() == kMaxTensors) {
      throw Error(fmt::format("{}: the header has more than {} tensors", where_, kMaxTensors));
    }
    key_ = std::move(value);
    return true;
  }

  bool end_object() override {
    if (level_ == Level::kTensor) {
      for (size_t i = 0; i < kFields.size(); ++i) {
        if (!fields_seen_[i]) fail(fmt::format("field '{}' is missing", kFields[i]));
      }
      std::string name = tensor_.name;
      tensors.emplace(std::move(name), std::move(tensor_));
    }
    level_ = level_ == Level::kRoot ? Level::kEnd : Level::kRoot;
    return true;
  }

  bool start_array(std::size_t) override {
    if (level_ == Level::kTensor && field_ == kShapeField) {
      level_ = Level::kShape;
    } else if (level_ == Level::kTensor && field_ == kOffsetsField) {
      level_ = Level::kOffsets;
    } else {
      unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    if (level_ == Level::kOffsets && offset_count_ != 2) {
      fail(fmt::format("data_offsets has {} numbers, expected 2", offset_count_));
    }
    level_ = Level::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::json::exception&) override {
    throw Error(fmt::format("{}: the header is not valid JSON at byte {}, near {}", where_,
                            position, in_quotes(last_token)));
  }

 private:
  enum class Level { kStart, kRoot, kMetadata, kTensor, kShape, kOffsets, kEnd };
  static constexpr std::string_view kMetadataKey = "__metadata__";
  static constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};
  static constexpr size_t kDTypeField = 0, kShapeField = 1, kOffsetsField = 2;

  [[noreturn]] void fail(const std::string& rule) const {
    throw Error(fmt::format("{}: tensor {}: {}", where_, in_quotes(key_), rule));
  }

  /// A value of a type that may not stand here.
  [[noreturn]] void unexpected(const std::string& what) const {
    switch (level_) {
      case Level::kTensor:
        fail(fmt::format("{} is {}, expected {}", kFields[field_], what,
                         field_ == kDTypeField ? "a string" : "an array"));
      case Level::kShape:
      case Level::kOffsets:
        fail(fmt::format("{} holds {}, expected non-negative integers below 2^64", kFields[field_],
                         what));
      case Level::kMetadata:
        throw Error(fmt::format("{}: __metadata__ key {} is {}, expected a string", where_,
                                in_quotes(key_), what));
      case Level::kRoot:
        throw Error(
            fmt::format("{}: key {} is {}, expected an object", where_, in_quotes(key_), what));
      default:
        throw Error(fmt::format("{}: the header is {}, expected an object", where_, what));
    }
  }

  std::string where_;
  Level level_ = Level::kStart;
  std::string key_;   // tensor name or metadata key
  size_t field_ = 0;  // index into kFields
  std::array<bool, 3> fields_seen_{};
  bool metadata_seen_ = false;
  TensorInfo tensor_;
  int offset_count_ = 0;
};

/// Offsets in order must tile the buffer: no hole, no overlap, nothing left over.
void check_tiling(const std::vector<TensorInfo>& tensors, uint64_t buffer_bytes,
                  const std::string& where) {
  uint64_t expected_begin = 0;
  for (const TensorInfo& tensor : tensors) {
    const std::string tensor_where = fmt::format("{}: tensor {}", where, in_quotes(tensor.name));
    if (tensor.end < tensor.begin) {
      throw Error(fmt::format("{}: ends at byte {} before it begins at {}", tensor_where,
                              tensor.end, tensor.begin));
    }
    if (tensor.begin != expected_begin) {
      throw Error(fmt::format(
          "{}: begins at byte {}, expected {}: {}", tensor_where, tensor.begin, expected_begin,
          tensor.begin < expected_begin ? "tensors overlap" : "a hole in the data"));
    }
    if (tensor.end > buffer_bytes) {
      throw Error(fmt::format(
          "{}: ends at byte {} but the file has {} bytes of data; perhaps an incomplete download",
          tensor_where, tensor.end, buffer_bytes));
    }
    const uint64_t bytes = tensor_byte_count(tensor.dtype, tensor.shape, tensor_where);
    if (bytes != tensor.end - tensor.begin) {
      throw Error(fmt::format("{}: {} {} needs {} bytes but its offsets span {}", tensor_where,
                              dtype_name(tensor.dtype), shape_text(tensor.shape), bytes,
                              tensor.end - tensor.begin));
    }
    expected_begin = tensor.end;
  }
  if (expected_begin != buffer_bytes) {
    throw Error(fmt::format("{}: {} bytes follow the last tensor, expected none", where,
                            buffer_bytes - expected_begin));
  }
}

}  // namespace

std::string_view dtype_name(DType dtype) { return dtype_row(dtype).name; }
size_t dtype_size(DType dtype) { return dtype_row(dtype).size; }

std::string shape_text(const std::vector<int64_t>& shape) {
  std::vector<std::string> sizes;
  for (const int64_t size : shape) sizes.push_back(size == -1 ? "*" : std::to_string(size));
  return fmt::format("[{}]", fmt::join(sizes, ", "));
}

uint64_t tensor_byte_count(DType dtype, const std::vector<int64_t>& shape,
                           const std::string& where) {
  uint64_t bytes = dtype_size(dtype);
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();  // as element counts are signed
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes) ||
        bytes > kMost) {
      throw Error(fmt::format("{}: the size of shape {} overflows", where, shape_text(shape)));
    }
  }
  return bytes;
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& where) {
  if (file.size() < kLengthBytes) {
    throw Error(fmt::format(
        "{}: {} bytes is too short for a safetensors file; perhaps an incomplete download", where,
        file.size()));
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), kLengthBytes);  // little-endian, as we are
  if (header_bytes > kMaxHeaderBytes) {
    throw Error(fmt::format(
        "{}: claims a header of {} bytes, the limit is {}; perhaps not a safetensors file", where,
        header_bytes, kMaxHeaderBytes));
  }
  if (header_bytes > file.size() - kLengthBytes) {
    throw Error(fmt::format(
        "{}: claims a header of {} bytes but the file has {}; perhaps an incomplete download",
        where, header_bytes, file.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              header_bytes);
  if (!text.starts_with('{')) {
    throw Error(fmt::format("{}: the header begins with {}, expected '{{'", where,
                            in_quotes(text.substr(0, 1))));
  }
  // nlohmann/json takes a NUL for the end of its input.
  if (text.find('\0') != std::string_view::npos || !is_valid_utf8(text)) {
    throw Error(fmt::format("{}: the header is not valid UTF-8 text", where));
  }

  HeaderReader reader(where);
  nlohmann::json::sax_parse(text, &reader);

  SafetensorsHeader header;
  header.buffer_begin = kLengthBytes + header_bytes;
  header.metadata = std::move(reader.metadata);
  header.tensors.reserve(reader.tensors.size());
  for (auto& [name, tensor] : reader.tensors) header.tensors.push_back(std::move(tensor));
  // Empty tensors come before the one that begins at the same byte; the map gave ties an order.
  std::ranges::stable_sort(header.tensors, {}, [](const TensorInfo& tensor) {
    return std::pair(tensor.begin, tensor.end);
  });
  check_tiling(header.tensors, file.size() - header.buffer_begin, where);
  return header;
}

}  // namespace featflow
