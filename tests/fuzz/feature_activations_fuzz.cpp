// A well-formed file of arbitrary offsets, features and values: what is loaded keeps every promise
// of the format, else Error.

#include <fuzzer/FuzzedDataProvider.h>

#include <cmath>
#include <cstdlib>

#include "autoencoder/feature_activations.hpp"
#include "core/error.hpp"
#include "core/utf8.hpp"
#include "scratch_folder.hpp"
#include "storage/safetensors.hpp"

namespace {

template <typename T>
std::vector<T> numbers(FuzzedDataProvider& input) {
  std::vector<T> result(input.ConsumeIntegralInRange<size_t>(0, 8));
  for (T& value : result) {
    if constexpr (std::is_floating_point_v<T>) {
      value = input.ConsumeFloatingPoint<T>();
    } else {  // Small ones are the likely ones to be in order.
      value =
          input.ConsumeBool() ? input.ConsumeIntegralInRange<T>(0, 8) : input.ConsumeIntegral<T>();
    }
  }
  return result;
}

template <typename T>
featflow::TensorView view(const char* name, const std::vector<T>& data) {
  return featflow::tensor_view(name, {std::ssize(data)}, data);
}

void check(const featflow::FeatureActivations& a) {
  const auto& rows = a.rows;
  if (rows.row_offsets.front() != 0 || rows.row_offsets.back() != rows.active()) std::abort();
  for (int64_t r = 0; r < rows.rows(); ++r) {
    int32_t last = -1;
    for (auto i = static_cast<size_t>(rows.row_offsets[static_cast<size_t>(r)]);
         i < static_cast<size_t>(rows.row_offsets[static_cast<size_t>(r) + 1]); ++i) {
      const int32_t feature = rows.features.at(i);
      if (feature <= last || feature >= rows.feature_count) std::abort();
      if (!(rows.values.at(i) > 0) || !std::isfinite(rows.values.at(i))) std::abort();
      last = feature;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ScratchFolder folder;
  const std::filesystem::path file = folder.path() / "activations.safetensors";
  FuzzedDataProvider input(data, size);
  const auto offsets = numbers<int64_t>(input);
  const auto features = numbers<int32_t>(input);
  const auto values = numbers<float>(input);
  const auto positions = numbers<int64_t>(input);
  const auto documents = numbers<int32_t>(input);
  featflow::write_safetensors(
      file,
      {view("row_offsets", offsets), view("features", features), view("values", values),
       view("token_positions", positions), view("documents", documents)},
      {{"feature_count",
        input.ConsumeBool() ? "8" : featflow::to_valid_utf8(input.ConsumeRandomLengthString(20))},
       {"model", "m"},
       {"autoencoder", "a"},
       {"corpus", "c"},
       {"corpus_names", input.ConsumeBool() ? "[]" : "not a list"}});
  try {
    check(featflow::load_feature_activations(file));
  } catch (const featflow::Error&) {
  }
  return 0;
}
