#pragma once

// For tests: a study file of a family, and changes to it.

#include <gtest/gtest.h>

#include <string>

namespace featflow {

inline constexpr const char* kFamily = R"(
name = "tiny"
seed = 7

[corpus.english]
sources = ["english/*.jsonl"]
[corpus.lua]
sources = ["lua/*.jsonl"]
[corpus.stories]
sources = ["stories/*.jsonl"]

[tokenizer]
vocab_size = 512

[architecture]
hidden_size = 32
intermediate_size = 64
num_attention_heads = 4
num_key_value_heads = 2

[training]
tokens = 1_000
learning_rate = 1e-3

[model.Merged]
merge = { method = "slerp", parents = ["Lua", "Stories"], t = "balance" }
[model.Base]
corpora = { english = 0.5, lua = 0.5 }
[model.Lua]
parent = "Base"
corpora = { lua = 1.0 }
[model.Lua.training]
learning_rate = 2e-5
[model.Stories]
parent = "Base"
corpora = { stories = 1 }

[autoencoder]
expansion = 4
)";

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

}  // namespace featflow
