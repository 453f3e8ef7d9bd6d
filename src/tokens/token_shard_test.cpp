#include "tokens/token_shard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class TokenShardTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("token_shard_") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // What loading says about a file of these tensors.
  std::string load_error(const std::vector<int32_t>& tokens, const std::vector<int64_t>& starts,
                         const std::string& vocab_size = "10") {
    const fs::path file = folder_ / "bad.safetensors";
    write_safetensors(
        file,
        {tensor_view("tokens", {static_cast<int64_t>(tokens.size())}, tokens),
         tensor_view("document_starts", {static_cast<int64_t>(starts.size())}, starts)},
        {{"vocab_size", vocab_size}});
    try {
      load_token_shard(file);
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  }

  fs::path folder_;
};

TEST_F(TokenShardTest, DocumentsFollowEachOtherBehindBos) {
  std::vector<std::string> texts;
  for (int i = 0; i < 40; ++i) {
    texts.push_back("document number " + std::to_string(i) + " of forty documents\n");
  }
  texts[7] = "";
  Tokenizer::train({.vocab_size = 300}, texts, folder_ / "tokenizer.model");
  const Tokenizer tokenizer = Tokenizer::load(folder_);
  const TokenShard shard = tokenize(tokenizer, texts);
  ASSERT_EQ(shard.document_count(), 40);
  EXPECT_EQ(shard.vocab_size, 300);
  EXPECT_EQ(std::count(shard.tokens.begin(), shard.tokens.end(), tokenizer.bos_id()), 40);
  EXPECT_EQ(std::count(shard.tokens.begin(), shard.tokens.end(), tokenizer.eos_id()), 0);
  for (int64_t d = 0; d < 40; ++d) {
    const int64_t begin = shard.document_starts[static_cast<size_t>(d)];
    const int64_t end = d == 39 ? shard.size() : shard.document_starts[static_cast<size_t>(d) + 1];
    EXPECT_EQ(shard.tokens[static_cast<size_t>(begin)], tokenizer.bos_id());
    const std::vector<int32_t> ids(shard.tokens.begin() + begin + 1, shard.tokens.begin() + end);
    EXPECT_EQ(tokenizer.decode(ids), texts[static_cast<size_t>(d)]);
    EXPECT_EQ(shard.document_of(begin), d);
    EXPECT_EQ(shard.document_of(end - 1), d);
  }
  EXPECT_EQ(tokenize(tokenizer, {}).size(), 0);
}

TEST_F(TokenShardTest, SavesIn16BitsWhereTheyAreEnough) {
  Rng rng(3);
  for (const int64_t vocab_size : {int64_t{65536}, int64_t{65537}}) {
    TokenShard shard;
    shard.vocab_size = vocab_size;
    shard.document_starts = {0, 400, 401};
    for (int i = 0; i < 1000; ++i) {
      shard.tokens.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocab_size))));
    }
    shard.tokens[5] = static_cast<int32_t>(vocab_size) - 1;
    const fs::path file = folder_ / "tokens.safetensors";
    save_token_shard(shard, file);
    EXPECT_EQ(SafetensorsFile(file).info("tokens").dtype,
              vocab_size == 65536 ? DType::kU16 : DType::kI32);
    const TokenShard loaded = load_token_shard(file);
    EXPECT_EQ(loaded.tokens, shard.tokens);
    EXPECT_EQ(loaded.document_starts, shard.document_starts);
    EXPECT_EQ(loaded.vocab_size, vocab_size);
  }
}

TEST_F(TokenShardTest, RefusesWhatBreaksItsRules) {
  EXPECT_EQ(load_error({1, 9, 1}, {0, 2}), "(no error)");
  EXPECT_EQ(load_error({}, {}), "(no error)");
  EXPECT_THAT(load_error({1, 10}, {0}), HasSubstr("token 10 at position 1 is outside"));
  EXPECT_THAT(load_error({1, -1}, {0}), HasSubstr("token -1 at position 1"));
  EXPECT_THAT(load_error({1, 2, 3}, {0, 2, 2}), HasSubstr("document 2 starts at 2"));
  EXPECT_THAT(load_error({1, 2, 3}, {0, 3}), HasSubstr("document 1 starts at 3 of 3 tokens"));
  EXPECT_THAT(load_error({1, 2, 3}, {1}), HasSubstr("document 0 starts at 1"));
  EXPECT_THAT(load_error({1, 2, 3}, {-1, 0}), HasSubstr("document 0 starts at -1"));
  EXPECT_THAT(load_error({1, 2, 3}, {}), HasSubstr("3 tokens but no document"));
  for (const char* bad : {"", "many", "10 ", "-3", "0", "99999999999"}) {
    EXPECT_THAT(load_error({1}, {0}, bad), HasSubstr("metadata vocab_size is")) << bad;
  }
  TokenShard shard;
  shard.vocab_size = 3;
  shard.tokens = {1, 3};
  shard.document_starts = {0};
  EXPECT_THROW(save_token_shard(shard, folder_ / "x.safetensors"), Error);
}

TEST_F(TokenShardTest, RefusesOtherFiles) {
  const std::vector<float> values = {1, 2};
  const std::vector<int64_t> starts = {0};
  const fs::path file = folder_ / "other.safetensors";
  write_safetensors(file, {tensor_view("tokens", {2}, values)}, {{"vocab_size", "5"}});
  EXPECT_THROW(load_token_shard(file), Error);
  write_safetensors(file, {tensor_view("document_starts", {1}, starts)}, {{"vocab_size", "5"}});
  EXPECT_THROW(load_token_shard(file), Error);
  write_safetensors(file, {tensor_view("document_starts", {1}, starts)});
  EXPECT_THROW(load_token_shard(file), Error);
}

}  // namespace
}  // namespace featflow
