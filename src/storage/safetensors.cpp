#include "storage/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <type_traits>
#include <utility>

#include "core/error.hpp"
#include "core/nearest.hpp"
#include "core/utf8.hpp"
#include "storage/atomic_file.hpp"
#include "storage/half.hpp"
#include "storage/safetensors_header.hpp"
#include "storage/system_error.hpp"

namespace featflow {

static_assert(std::endian::native == std::endian::little, "files are mapped as they are");

namespace fs = std::filesystem;

namespace {

template <typename T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, uint8_t>) return DType::kU8;
  if constexpr (std::is_same_v<T, int8_t>) return DType::kI8;
  if constexpr (std::is_same_v<T, uint16_t>) return DType::kU16;
  if constexpr (std::is_same_v<T, int16_t>) return DType::kI16;
  if constexpr (std::is_same_v<T, uint32_t>) return DType::kU32;
  if constexpr (std::is_same_v<T, int32_t>) return DType::kI32;
  if constexpr (std::is_same_v<T, uint64_t>) return DType::kU64;
  if constexpr (std::is_same_v<T, int64_t>) return DType::kI64;
  if constexpr (std::is_same_v<T, float>) return DType::kF32;
  if constexpr (std::is_same_v<T, double>) return DType::kF64;
}

/// A file mapped read-only. Its writers replace it by rename, so the map stays whole.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) throw_system_error(path, "cannot be opened", errno);
    struct stat status {};
    int failure = ::fstat(descriptor, &status) != 0 ? errno : 0;
    if (failure == 0 && S_ISDIR(status.st_mode)) failure = EISDIR;
    if (failure == 0 && !S_ISREG(status.st_mode)) failure = EINVAL;
    if (failure == 0 && status.st_size > 0) {
      const auto size = static_cast<size_t>(status.st_size);
      void* map = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
      if (map == MAP_FAILED) {
        failure = errno;
      } else {
        bytes_ = {static_cast<const std::byte*>(map), size};
      }
    }
    ::close(descriptor);
    if (failure != 0) throw_system_error(path, "cannot be read", failure);
  }
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

void check_shape(const TensorInfo& tensor, const std::vector<int64_t>& shape,
                 const fs::path& path) {
  const bool matches =
      shape.empty() || std::ranges::equal(tensor.shape, shape, [](int64_t have, int64_t want) {
        return want == -1 || have == want;
      });
  if (!matches) {
    throw Error(fmt::format("{}: tensor {} has shape {}, expected {}", path.string(),
                            in_quotes(tensor.name), shape_text(tensor.shape), shape_text(shape)));
  }
}

/// Element-wise conversion to float32 of what may be unaligned.
template <typename From, typename Convert>
void convert_to(std::vector<float>& out, std::span<const std::byte> bytes, Convert convert) {
  const std::byte* source = bytes.data();
  for (size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, source + i * sizeof(From), sizeof(From));
    out[i] = convert(value);
  }
}

std::string header_text(const std::vector<const TensorView*>& tensors, const Metadata& metadata) {
  const auto json_string = [](const std::string& text) {
    FEATFLOW_CHECK(is_valid_utf8(text), "a name or metadata text is not UTF-8");
    return nlohmann::json(text).dump();
  };
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      if (text.back() != '{') text += ',';
      text += json_string(key) + ":" + json_string(value);
    }
    text += '}';
  }
  uint64_t offset = 0;
  for (const TensorView* tensor : tensors) {
    if (text.size() > 1) text += ',';
    text += json_string(tensor->name);
    text += fmt::format(R"(:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        dtype_name(tensor->dtype), fmt::join(tensor->shape, ","), offset,
                        offset + tensor->data.size());
    offset += tensor->data.size();
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

int64_t TensorInfo::element_count() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

struct SafetensorsFile::Impl {
  fs::path path;
  MappedFile file;
  SafetensorsHeader header;
  std::map<std::string_view, const TensorInfo*> by_name;  // into header.tensors

  explicit Impl(const fs::path& file_path)
      : path(file_path),
        file(file_path),
        header(parse_safetensors_header(file.bytes(), file_path.string())) {
    for (const TensorInfo& tensor : header.tensors) by_name.emplace(tensor.name, &tensor);
  }
};

SafetensorsFile::SafetensorsFile(const fs::path& path) : impl_(std::make_unique<Impl>(path)) {}
SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const fs::path& SafetensorsFile::path() const { return impl_->path; }
const Metadata& SafetensorsFile::metadata() const { return impl_->header.metadata; }
const std::vector<TensorInfo>& SafetensorsFile::tensors() const { return impl_->header.tensors; }
bool SafetensorsFile::contains(std::string_view name) const {
  return impl_->by_name.contains(name);
}

const std::string& SafetensorsFile::metadata(const std::string& key) const {
  const auto entry = metadata().find(key);
  if (entry == metadata().end()) {
    throw Error(fmt::format("{}: has no metadata {}, expected it from a file of this kind",
                            path().string(), in_quotes(key)));
  }
  return entry->second;
}

int64_t SafetensorsFile::metadata_integer(const std::string& key, int64_t low, int64_t high) const {
  const std::string& text = metadata(key);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    throw Error(fmt::format("{}: metadata {} is {}, expected an integer from {} to {}",
                            path().string(), key, in_quotes(text), low, high));
  }
  return value;
}

const TensorInfo& SafetensorsFile::info(std::string_view name) const {
  const auto entry = impl_->by_name.find(name);
  if (entry != impl_->by_name.end()) return *entry->second;
  std::string hint = "; the file has no tensors";
  size_t nearest = std::numeric_limits<size_t>::max();
  for (const auto& [candidate, tensor] : impl_->by_name) {
    const size_t distance = edit_distance(name.substr(0, 200), candidate.substr(0, 200));
    if (distance >= nearest) continue;
    nearest = distance;
    hint = "; the nearest name is " + in_quotes(candidate);
  }
  throw Error(fmt::format("{}: has no tensor {}{}", path().string(), in_quotes(name), hint));
}

std::span<const std::byte> SafetensorsFile::bytes(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  return impl_->file.bytes().subspan(impl_->header.buffer_begin + tensor.begin,
                                     tensor.end - tensor.begin);
}

template <typename T>
std::vector<T> SafetensorsFile::read(std::string_view name,
                                     const std::vector<int64_t>& shape) const {
  const TensorInfo& tensor = info(name);
  if (tensor.dtype != dtype_of<T>()) {
    throw Error(fmt::format("{}: tensor {} is {}, expected {}", path().string(), in_quotes(name),
                            dtype_name(tensor.dtype), dtype_name(dtype_of<T>())));
  }
  check_shape(tensor, shape, path());
  const std::span<const std::byte> source = bytes(name);
  std::vector<T> out(source.size() / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), source.data(), source.size());
  return out;
}

std::vector<float> SafetensorsFile::read_float(std::string_view name,
                                               const std::vector<int64_t>& shape) const {
  const TensorInfo& tensor = info(name);
  if (tensor.dtype == DType::kF32) return read<float>(name, shape);
  check_shape(tensor, shape, path());
  std::vector<float> out(static_cast<size_t>(tensor.element_count()));
  switch (tensor.dtype) {
    case DType::kF16:
      convert_to<uint16_t>(out, bytes(name), float_from_half);
      return out;
    case DType::kBF16:
      convert_to<uint16_t>(out, bytes(name), float_from_bfloat16);
      return out;
    case DType::kF64:
      convert_to<double>(out, bytes(name), [](double value) { return static_cast<float>(value); });
      return out;
    default:
      throw Error(fmt::format("{}: tensor {} is {}, expected F32, F64, F16 or BF16",
                              path().string(), in_quotes(name), dtype_name(tensor.dtype)));
  }
}

template <typename T>
TensorView tensor_view(std::string name, std::vector<int64_t> shape, std::span<const T> data) {
  return {std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(data)};
}

#define FEATFLOW_INSTANTIATE(T)                                                                   \
  template std::vector<T> SafetensorsFile::read<T>(std::string_view, const std::vector<int64_t>&) \
      const;                                                                                      \
  template TensorView tensor_view<T>(std::string, std::vector<int64_t>, std::span<const T>);
FEATFLOW_INSTANTIATE(uint8_t)
FEATFLOW_INSTANTIATE(int8_t)
FEATFLOW_INSTANTIATE(uint16_t)
FEATFLOW_INSTANTIATE(int16_t)
FEATFLOW_INSTANTIATE(uint32_t)
FEATFLOW_INSTANTIATE(int32_t)
FEATFLOW_INSTANTIATE(uint64_t)
FEATFLOW_INSTANTIATE(int64_t)
FEATFLOW_INSTANTIATE(float)
FEATFLOW_INSTANTIATE(double)
#undef FEATFLOW_INSTANTIATE

void write_safetensors(const fs::path& path, const std::vector<TensorView>& tensors,
                       const Metadata& metadata) {
  std::vector<const TensorView*> ordered;
  for (const TensorView& tensor : tensors) {
    FEATFLOW_CHECK(tensor.name != "__metadata__", "not a tensor name");
    FEATFLOW_CHECK(
        tensor_byte_count(tensor.dtype, tensor.shape, path.string()) == tensor.data.size(),
        "shape and data of " + in_quotes(tensor.name) + " differ in size");
    ordered.push_back(&tensor);
  }
  std::ranges::sort(ordered, [](const TensorView* a, const TensorView* b) {
    const size_t a_size = dtype_size(a->dtype), b_size = dtype_size(b->dtype);
    return a_size != b_size ? a_size > b_size : a->name < b->name;
  });
  // Equal names of different dtypes are not neighbours in that order.
  std::vector<std::string_view> names;
  for (const TensorView* tensor : ordered) names.push_back(tensor->name);
  std::ranges::sort(names);
  FEATFLOW_CHECK(std::ranges::adjacent_find(names) == names.end(), "a tensor name is used twice");

  const std::string header = header_text(ordered, metadata);
  const uint64_t header_bytes = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  for (const TensorView* tensor : ordered) file.write(tensor->data);
  file.commit();
}

void validate_safetensors(std::span<const std::byte> file, const std::string& where) {
  parse_safetensors_header(file, where);
}

}  // namespace featflow
