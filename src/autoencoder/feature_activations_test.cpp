#include "autoencoder/feature_activations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <limits>

#include "core/error.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

class FeatureActivationsFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("featflow_activations_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    a_.rows.feature_count = 100;
    a_.rows.row_offsets = {0, 2, 2, 5};
    a_.rows.features = {3, 99, 0, 1, 2};
    a_.rows.values = {0.5f, 1e-20f, 3, 4, 5};
    a_.token_positions = {17, 18, 40};
    a_.documents = {0, 0, 2};
    a_.corpora = {1, 1, 0};
    a_.corpus_names = {"lua \"quoted\"", "english"};
    a_.model = "Lua";
    a_.autoencoder = "Lua";
    a_.corpus = "0123abcd";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string error_of(const FeatureActivations& a) {
    save_feature_activations(a, folder_ / "bad.safetensors");
    return error(folder_ / "bad.safetensors");
  }
  std::string error(const std::filesystem::path& path) {
    try {
      load_feature_activations(path);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  std::filesystem::path folder_;
  FeatureActivations a_;
};

void expect_equal(const FeatureActivations& a, const FeatureActivations& b) {
  EXPECT_EQ(a.rows.feature_count, b.rows.feature_count);
  EXPECT_EQ(a.rows.row_offsets, b.rows.row_offsets);
  EXPECT_EQ(a.rows.features, b.rows.features);
  EXPECT_EQ(a.rows.values, b.rows.values);
  EXPECT_EQ(a.token_positions, b.token_positions);
  EXPECT_EQ(a.documents, b.documents);
  EXPECT_EQ(a.corpora, b.corpora);
  EXPECT_EQ(a.corpus_names, b.corpus_names);
  EXPECT_EQ(a.model, b.model);
  EXPECT_EQ(a.autoencoder, b.autoencoder);
  EXPECT_EQ(a.corpus, b.corpus);
}

TEST_F(FeatureActivationsFile, RoundTripIsExactNarrowAndWide) {
  for (const int64_t features : {100, 65'536, 65'537, 1 << 20}) {
    a_.rows.feature_count = features;
    a_.rows.features.back() = static_cast<int32_t>(features - 1);
    save_feature_activations(a_, folder_ / "a.safetensors");
    expect_equal(load_feature_activations(folder_ / "a.safetensors"), a_);
    EXPECT_EQ(SafetensorsFile(folder_ / "a.safetensors").info("features").dtype,
              features <= 65'536 ? DType::kU16 : DType::kI32);
  }
  a_.documents.clear();
  a_.corpora.clear();
  save_feature_activations(a_, folder_ / "a.safetensors");
  expect_equal(load_feature_activations(folder_ / "a.safetensors"), a_);
}

TEST_F(FeatureActivationsFile, EmptyIsFine) {
  FeatureActivations empty;
  empty.rows.feature_count = 4;
  save_feature_activations(empty, folder_ / "a.safetensors");
  expect_equal(load_feature_activations(folder_ / "a.safetensors"), empty);
}

TEST_F(FeatureActivationsFile, ShardsAreJoined) {
  save_feature_activations(a_, folder_ / "shard-00000.safetensors");
  FeatureActivations next = a_;
  next.documents = {2, 3, 3};
  save_feature_activations(next, folder_ / "shard-00001.safetensors");
  const FeatureActivations all = load_feature_activations(folder_);
  EXPECT_EQ(all.rows.row_offsets, (std::vector<int64_t>{0, 2, 2, 5, 7, 7, 10}));
  EXPECT_EQ(all.rows.features, (std::vector<int32_t>{3, 99, 0, 1, 2, 3, 99, 0, 1, 2}));
  EXPECT_EQ(all.documents, (std::vector<int32_t>{0, 0, 2, 2, 3, 3}));
  EXPECT_EQ(all.token_positions.size(), 6u);

  next.corpus = "another";
  save_feature_activations(next, folder_ / "shard-00001.safetensors");
  EXPECT_THAT(error(folder_), testing::HasSubstr("corpus is not that of the first shard"));
  next.corpus = a_.corpus;
  next.documents = {1, 3, 3};
  save_feature_activations(next, folder_ / "shard-00001.safetensors");
  EXPECT_THAT(error(folder_), testing::HasSubstr("documents begin with 1"));
  std::filesystem::rename(folder_ / "shard-00001.safetensors", folder_ / "shard-00002.safetensors");
  EXPECT_THAT(error(folder_), testing::HasSubstr("shard-00001.safetensors is missing"));
  std::filesystem::remove(folder_ / "shard-00000.safetensors");
  EXPECT_THAT(error(folder_), testing::HasSubstr("has no shard-00000"));
}

TEST_F(FeatureActivationsFile, EverythingIsChecked) {
  const auto with = [&](const std::function<void(FeatureActivations&)>& change) {
    FeatureActivations bad = a_;
    change(bad);
    return error_of(bad);
  };
  using testing::HasSubstr;
  EXPECT_EQ(with([](auto&) {}), "no error");
  EXPECT_THAT(with([](auto& a) {
                a.rows.row_offsets = {0, 2, 2, 4};
              }),
              HasSubstr("row_offsets run"));
  EXPECT_THAT(with([](auto& a) {
                a.rows.row_offsets = {1, 2, 2, 5};
              }),
              HasSubstr("row_offsets run"));
  EXPECT_THAT(with([](auto& a) {
                a.rows.row_offsets = {0, 4, 2, 5};
              }),
              HasSubstr("row_offsets[2] is 2"));
  EXPECT_THAT(with([](auto& a) {
                a.rows.row_offsets = {0, 1'000'000'000, 2, 5};
              }),
              HasSubstr("row_offsets[2] is 2"));
  EXPECT_THAT(with([](auto& a) {
                a.rows.row_offsets = {0, -7, 2, 5};
              }),
              HasSubstr("row_offsets[1] is -7"));
  EXPECT_THAT(with([](auto& a) { a.rows.features[1] = 100; }), HasSubstr("row 0 has feature 100"));
  EXPECT_THAT(with([](auto& a) { a.rows.features[1] = 3; }), HasSubstr("expected ascending"));
  EXPECT_THAT(with([](auto& a) {
                a.rows.feature_count = 1 << 20;
                a.rows.features[0] = -1;
              }),
              HasSubstr("feature -1"));
  EXPECT_THAT(with([](auto& a) { a.rows.values[2] = 0; }), HasSubstr("row 2 has the value 0"));
  EXPECT_THAT(with([](auto& a) { a.rows.values[2] = -1; }), HasSubstr("a positive number"));
  EXPECT_THAT(with([](auto& a) { a.rows.values[2] = std::numeric_limits<float>::quiet_NaN(); }),
              HasSubstr("nan"));
  EXPECT_THAT(with([](auto& a) { a.rows.values[2] = std::numeric_limits<float>::infinity(); }),
              HasSubstr("inf"));
  EXPECT_THAT(with([](auto& a) {
                a.documents = {0, 2, 1};
              }),
              HasSubstr("documents[2] is 1 after 2"));
  EXPECT_THAT(with([](auto& a) { a.corpora = {0, 1, 2}; }), HasSubstr("corpora[2] is 2"));
  EXPECT_THAT(with([](auto& a) { a.rows.feature_count = 0; }), HasSubstr("feature_count"));

  // Tensors and metadata that only a foreign writer would make.
  const auto write = [&](const Metadata& metadata, int64_t positions) {
    const std::vector<int64_t> position(static_cast<size_t>(positions), 1);
    write_safetensors(
        folder_ / "bad.safetensors",
        {tensor_view("row_offsets", {4}, a_.rows.row_offsets),
         tensor_view("features", {5}, a_.rows.features), tensor_view("values", {5}, a_.rows.values),
         tensor_view("token_positions", {positions}, position)},
        metadata);
    return error(folder_ / "bad.safetensors");
  };
  Metadata metadata = {{"feature_count", "100"},
                       {"model", ""},
                       {"autoencoder", ""},
                       {"corpus", ""},
                       {"corpus_names", "[]"}};
  EXPECT_EQ(write(metadata, 3), "no error");
  EXPECT_THAT(write(metadata, 2), HasSubstr("token_positions"));
  metadata["corpus_names"] = "[1]";
  EXPECT_THAT(write(metadata, 3), HasSubstr("a JSON list of strings"));
  metadata["corpus_names"] = "[]";
  metadata["feature_count"] = "12x";
  EXPECT_THAT(write(metadata, 3), HasSubstr("feature_count is '12x'"));
  metadata.erase("model");
  metadata["feature_count"] = "100";
  EXPECT_THAT(write(metadata, 3), HasSubstr("model"));
}

}  // namespace
}  // namespace featflow
