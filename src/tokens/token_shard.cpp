#include "tokens/token_shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

constexpr int64_t kMostIn16Bits = 65536;

void check(const TokenShard& shard, const std::string& where) {
  for (size_t i = 0; i < shard.tokens.size(); ++i) {
    if (shard.tokens[i] < 0 || shard.tokens[i] >= shard.vocab_size) {
      throw Error(fmt::format("{}: token {} at position {} is outside the vocabulary of {}", where,
                              shard.tokens[i], i, shard.vocab_size));
    }
  }
  int64_t before = -1;
  for (size_t d = 0; d < shard.document_starts.size(); ++d) {
    const int64_t start = shard.document_starts[d];
    if (start <= before || start >= shard.size() || (d == 0 && start != 0)) {
      throw Error(
          fmt::format("{}: document {} starts at {} of {} tokens after one at {}, expected "
                      "ascending starts from 0",
                      where, d, start, shard.size(), before));
    }
    before = start;
  }
  if (shard.document_starts.empty() && !shard.tokens.empty()) {
    throw Error(fmt::format("{}: {} tokens but no document", where, shard.size()));
  }
}

}  // namespace

int64_t TokenShard::document_of(int64_t position) const {
  FEATFLOW_CHECK(position >= 0 && position < size(), "position outside the shard");
  const auto after = std::upper_bound(document_starts.begin(), document_starts.end(), position);
  return after - document_starts.begin() - 1;
}

int64_t TokenShard::document_end(int64_t document) const {
  return document + 1 < document_count() ? document_starts.at(static_cast<size_t>(document) + 1)
                                         : size();
}

TokenShard tokenize(const Tokenizer& tokenizer, const std::vector<std::string>& documents) {
  std::vector<std::vector<int32_t>> encoded = tokenizer.encode_all(documents);
  TokenShard shard;
  shard.vocab_size = tokenizer.vocab_size();
  size_t total = documents.size();
  for (const std::vector<int32_t>& ids : encoded) total += ids.size();
  shard.tokens.reserve(total);
  shard.document_starts.reserve(documents.size());
  for (std::vector<int32_t>& ids : encoded) {
    shard.document_starts.push_back(shard.size());
    shard.tokens.push_back(tokenizer.bos_id());
    shard.tokens.insert(shard.tokens.end(), ids.begin(), ids.end());
    std::vector<int32_t>().swap(ids);
  }
  return shard;
}

void save_token_shard(const TokenShard& shard, const std::filesystem::path& file) {
  check(shard, file.string());
  std::vector<TensorView> tensors = {
      tensor_view("document_starts", {shard.document_count()}, shard.document_starts)};
  std::vector<uint16_t> narrow;
  if (shard.vocab_size <= kMostIn16Bits) {
    narrow.assign(shard.tokens.begin(), shard.tokens.end());
    tensors.push_back(tensor_view("tokens", {shard.size()}, narrow));
  } else {
    tensors.push_back(tensor_view("tokens", {shard.size()}, shard.tokens));
  }
  write_safetensors(file, tensors, {{"vocab_size", std::to_string(shard.vocab_size)}});
}

TokenShard load_token_shard(const std::filesystem::path& file) {
  const SafetensorsFile tensors(file);
  TokenShard shard;
  shard.vocab_size = tensors.metadata_integer("vocab_size", 1, std::numeric_limits<int32_t>::max());
  if (tensors.info("tokens").dtype == DType::kU16) {
    const std::vector<uint16_t> narrow = tensors.read<uint16_t>("tokens", {-1});
    shard.tokens.assign(narrow.begin(), narrow.end());
  } else {
    shard.tokens = tensors.read<int32_t>("tokens", {-1});
  }
  shard.document_starts = tensors.read<int64_t>("document_starts", {-1});
  check(shard, file.string());
  return shard;
}

}  // namespace featflow
