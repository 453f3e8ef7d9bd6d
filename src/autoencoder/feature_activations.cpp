#include "autoencoder/feature_activations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

using Path = std::filesystem::path;

constexpr int64_t kNarrowFeatures = 65'536;  // up to here feature indices are stored as u16
constexpr int64_t kMaxFeatures = int64_t{1} << 31;
constexpr int64_t kShardsAtOnce = 2;  // loaded, while the visitor waits

[[noreturn]] void fail(const Path& file, const std::string& what) {
  throw Error(fmt::format("{}: {}", file.string(), what));
}

std::vector<std::string> read_corpus_names(const SafetensorsFile& file) {
  const std::string& text = file.metadata("corpus_names");
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool names = json.is_array() &&
                     std::ranges::all_of(json, [](const auto& name) { return name.is_string(); });
  if (!names) {
    fail(file.path(),
         fmt::format("corpus_names is {}, expected a JSON list of strings", in_quotes(text)));
  }
  return json.get<std::vector<std::string>>();
}

void validate(const FeatureActivations& a, const Path& file) {
  const SparseRows& rows = a.rows;
  const std::vector<int64_t>& offsets = rows.row_offsets;
  if (offsets.front() != 0 || offsets.back() != rows.active()) {
    fail(file,
         fmt::format("row_offsets run from {} to {}, expected 0 to {}, the number of features",
                     offsets.front(), offsets.back(), rows.active()));
  }
  for (size_t r = 0; r + 1 < offsets.size(); ++r) {
    if (offsets[r + 1] < offsets[r]) {
      fail(file, fmt::format("row_offsets[{}] is {} after {}, expected ascending offsets", r + 1,
                             offsets[r + 1], offsets[r]));
    }
  }
  for (size_t r = 0; r + 1 < offsets.size(); ++r) {
    for (auto e = static_cast<size_t>(offsets[r]); e < static_cast<size_t>(offsets[r + 1]); ++e) {
      const int32_t feature = rows.features[e];
      if (feature < 0 || feature >= rows.feature_count ||
          (e > static_cast<size_t>(offsets[r]) && feature <= rows.features[e - 1])) {
        fail(file, fmt::format("row {} has feature {}, expected ascending ones below {}", r,
                               feature, rows.feature_count));
      }
      if (!(rows.values[e] > 0) || !std::isfinite(rows.values[e])) {
        fail(file, fmt::format("row {} has the value {} for feature {}, expected a positive number",
                               r, rows.values[e], feature));
      }
    }
  }
  for (size_t r = 0; r < a.documents.size(); ++r) {
    const int32_t before = r == 0 ? 0 : a.documents[r - 1];
    if (a.documents[r] < before) {
      fail(file, fmt::format("documents[{}] is {} after {}, expected ascending numbers from 0", r,
                             a.documents[r], before));
    }
  }
  for (size_t r = 0; r < a.corpora.size(); ++r) {
    if (a.corpora[r] >= a.corpus_names.size()) {
      fail(file, fmt::format("corpora[{}] is {}, but there are {} corpus_names", r, a.corpora[r],
                             a.corpus_names.size()));
    }
  }
}

FeatureActivations load_file(const Path& path) {
  const SafetensorsFile file(path);
  FeatureActivations a;
  a.rows.feature_count = file.metadata_integer("feature_count", 1, kMaxFeatures);
  a.model = file.metadata("model");
  a.autoencoder = file.metadata("autoencoder");
  a.corpus = file.metadata("corpus");
  a.corpus_names = read_corpus_names(file);
  a.rows.row_offsets = file.read<int64_t>("row_offsets", {-1});
  if (a.rows.row_offsets.empty()) fail(path, "row_offsets is empty, expected rows + 1 numbers");
  if (file.info("features").dtype == DType::kU16) {
    const auto narrow = file.read<uint16_t>("features", {-1});
    a.rows.features.assign(narrow.begin(), narrow.end());
  } else {
    a.rows.features = file.read<int32_t>("features", {-1});
  }
  a.rows.values = file.read<float>("values", {a.rows.active()});
  a.token_positions = file.read<int64_t>("token_positions", {a.rows.rows()});
  if (file.contains("documents")) a.documents = file.read<int32_t>("documents", {a.rows.rows()});
  if (file.contains("corpora")) a.corpora = file.read<uint8_t>("corpora", {a.rows.rows()});
  validate(a, path);
  return a;
}

// What shards of one harvest have in common; one row's document and corpus stand for their
// presence.
FeatureActivations without_rows(const FeatureActivations& a) {
  FeatureActivations result;
  result.rows.feature_count = a.rows.feature_count;
  if (!a.documents.empty()) result.documents = {a.documents.front()};
  if (!a.corpora.empty()) result.corpora = {a.corpora.front()};
  result.corpus_names = a.corpus_names;
  result.model = a.model;
  result.autoencoder = a.autoencoder;
  result.corpus = a.corpus;
  return result;
}

void require_same_harvest(const FeatureActivations& first, const FeatureActivations& shard,
                          const Path& file) {
  const auto same = [&](const char* what, const auto& ours, const auto& theirs) {
    if (ours != theirs) {
      fail(file, fmt::format("{} is not that of the first shard: the shards of a folder must come "
                             "from one harvest",
                             what));
    }
  };
  same("feature_count", first.rows.feature_count, shard.rows.feature_count);
  same("model", first.model, shard.model);
  same("autoencoder", first.autoencoder, shard.autoencoder);
  same("corpus", first.corpus, shard.corpus);
  same("corpus_names", first.corpus_names, shard.corpus_names);
  same("the presence of documents", first.documents.empty(), shard.documents.empty());
  same("the presence of corpora", first.corpora.empty(), shard.corpora.empty());
}

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

void save_feature_activations(const FeatureActivations& a, const Path& file) {
  const int64_t rows = a.rows.rows(), active = a.rows.active();
  FEATFLOW_CHECK(std::ssize(a.token_positions) == rows, "one position per row");
  FEATFLOW_CHECK(a.documents.empty() || std::ssize(a.documents) == rows, "one document per row");
  FEATFLOW_CHECK(a.corpora.empty() || std::ssize(a.corpora) == rows, "one corpus per row");
  std::vector<TensorView> tensors = {tensor_view("row_offsets", {rows + 1}, a.rows.row_offsets),
                                     tensor_view("values", {active}, a.rows.values),
                                     tensor_view("token_positions", {rows}, a.token_positions)};
  std::vector<uint16_t> narrow;
  if (a.rows.feature_count <= kNarrowFeatures) {
    narrow.assign(a.rows.features.begin(), a.rows.features.end());
    tensors.push_back(tensor_view("features", {active}, narrow));
  } else {
    tensors.push_back(tensor_view("features", {active}, a.rows.features));
  }
  if (!a.documents.empty()) tensors.push_back(tensor_view("documents", {rows}, a.documents));
  if (!a.corpora.empty()) tensors.push_back(tensor_view("corpora", {rows}, a.corpora));
  write_safetensors(file, tensors,
                    {{"feature_count", fmt::format("{}", a.rows.feature_count)},
                     {"model", a.model},
                     {"autoencoder", a.autoencoder},
                     {"corpus", a.corpus},
                     {"corpus_names", nlohmann::json(a.corpus_names).dump()}});
}

ActivationShards::ActivationShards(const FeatureActivations& whole)
    : about_(without_rows(whole)), whole_(&whole), active_(whole.rows.active()) {
  about_.documents = {};
  about_.corpora = {};
  first_rows_.push_back(whole.rows.rows());
}

ActivationShards::ActivationShards(const Path& file_or_folder) {
  if (std::filesystem::is_directory(file_or_folder)) {
    int64_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(file_or_folder)) {
      const std::string name = entry.path().filename().string();
      found += name.starts_with("shard-") && name.ends_with(".safetensors");
    }
    for (int64_t index = 0; index < std::max<int64_t>(found, 1); ++index) {
      files_.push_back(file_or_folder / fmt::format("shard-{:05}.safetensors", index));
      if (std::filesystem::exists(files_.back())) continue;
      if (index > 0) {
        fail(file_or_folder, fmt::format("has {} shards but {} is missing", found,
                                         files_.back().filename().string()));
      }
      fail(file_or_folder,
           "has no shard-00000.safetensors, expected a folder of feature activations");
    }
  } else {
    files_.push_back(file_or_folder);
  }
  for (const Path& path : files_) {
    const SafetensorsFile file(path);
    const int64_t offsets = file.info("row_offsets").element_count();
    const int64_t entries = file.info("features").element_count();
    first_rows_.push_back(first_rows_.back() + std::max<int64_t>(0, offsets - 1));
    active_ += entries;
    largest_ = std::max(largest_, entries);
    most_rows_ = std::max(most_rows_, offsets - 1);
  }
  const SafetensorsFile first(files_.front());
  about_.rows.feature_count = first.metadata_integer("feature_count", 1, kMaxFeatures);
  about_.model = first.metadata("model");
  about_.autoencoder = first.metadata("autoencoder");
  about_.corpus = first.metadata("corpus");
  about_.corpus_names = read_corpus_names(first);
}

int64_t ActivationShards::working_bytes() const {
  if (whole_ != nullptr) return 0;
  // An entry; as it stands in the file, and its feature once more before it is widened; a row.
  constexpr int64_t kEntry = sizeof(int32_t) + sizeof(float), kStored = 6 + 2, kRow = 24;
  const int64_t loaded = std::min(kShardsAtOnce, std::ssize(files_));
  return loaded * (largest_ * (kEntry + kStored) + most_rows_ * kRow) + largest_ * kEntry;
}

void ActivationShards::for_each(
    const std::function<void(const FeatureActivations&, int64_t)>& visit) const {
  if (whole_ != nullptr) return visit(*whole_, 0);
  FeatureActivations first;
  int32_t last_document = 0;
  for (int64_t begin = 0; begin < std::ssize(files_); begin += kShardsAtOnce) {
    std::vector<FeatureActivations> loaded(
        static_cast<size_t>(std::min(kShardsAtOnce, std::ssize(files_) - begin)));
    parallel_for(std::ssize(loaded), 1, [&](int64_t i, int64_t end, int) {
      for (; i < end; ++i) {
        loaded[static_cast<size_t>(i)] = load_file(files_[static_cast<size_t>(begin + i)]);
      }
    });
    for (int64_t i = 0; i < std::ssize(loaded); ++i) {
      const auto index = static_cast<size_t>(begin + i);
      FeatureActivations& shard = loaded[static_cast<size_t>(i)];
      if (index == 0) {
        first = without_rows(shard);
      } else {
        require_same_harvest(first, shard, files_[index]);
      }
      if (!shard.documents.empty()) {
        if (shard.documents.front() < last_document) {
          fail(files_[index],
               fmt::format("documents begin with {} but the shard before ends with {}",
                           shard.documents.front(), last_document));
        }
        last_document = shard.documents.back();
      }
      visit(shard, first_rows_[index]);
    }
  }
}

FeatureActivations load_feature_activations(const Path& file_or_folder) {
  if (!std::filesystem::is_directory(file_or_folder)) return load_file(file_or_folder);
  const ActivationShards shards(file_or_folder);
  FeatureActivations all = shards.about();
  all.rows.row_offsets.reserve(static_cast<size_t>(shards.rows() + 1));
  all.rows.features.reserve(static_cast<size_t>(shards.active()));
  all.rows.values.reserve(static_cast<size_t>(shards.active()));
  shards.for_each([&](const FeatureActivations& shard, int64_t) {
    const int64_t before = all.rows.active();
    for (size_t r = 1; r < shard.rows.row_offsets.size(); ++r) {
      all.rows.row_offsets.push_back(before + shard.rows.row_offsets[r]);
    }
    append(all.rows.features, shard.rows.features);
    append(all.rows.values, shard.rows.values);
    append(all.token_positions, shard.token_positions);
    append(all.documents, shard.documents);
    append(all.corpora, shard.corpora);
  });
  return all;
}

}  // namespace featflow
