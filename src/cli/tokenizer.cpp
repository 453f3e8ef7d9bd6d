#include "tokens/tokenizer.hpp"

#include <fmt/format.h>

#include <iostream>
#include <iterator>

#include "cli/command.hpp"
#include "corpus/document_reader.hpp"

namespace featflow {
namespace {

struct TrainOptions {
  TokenizerConfig config;
  std::string data, out;
  bool force = false;
};

void train(const TrainOptions& options, const CommonOptions& common) {
  common.apply();
  require_new(options.out, options.force);
  const std::vector<std::string> texts =
      training_sample({read_documents(options.data)}, options.config.max_training_bytes);
  int64_t bytes = 0;
  for (const std::string& text : texts) bytes += std::ssize(text);
  Tokenizer::train(options.config, texts, options.out);
  const Tokenizer tokenizer = Tokenizer::load(options.out);
  if (common.json) {
    print_json({{"out", options.out}, {"vocab_size", tokenizer.vocab_size()}, {"bytes", bytes}});
  } else {
    fmt::print("{}: {} tokens, learned from {} bytes\n", options.out, tokenizer.vocab_size(),
               bytes);
  }
}

struct CodeOptions {
  std::string tokenizer, text;
  std::vector<int32_t> ids;
  bool parse_special = false;
};

void encode_text(const CodeOptions& options, const CommonOptions& common) {
  common.apply();
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  std::string text = options.text;
  if (text == "-") text.assign(std::istreambuf_iterator<char>(std::cin), {});
  const std::vector<int32_t> ids = tokenizer.encode(text, options.parse_special);
  if (common.json) {
    nlohmann::ordered_json tokens = nlohmann::ordered_json::array();
    for (const int32_t id : ids) tokens.push_back(tokenizer.token_text(id));
    print_json({{"ids", ids}, {"tokens", tokens}});
  } else {
    fmt::print("{}\n", fmt::join(ids, ","));
  }
}

void decode_ids(const CodeOptions& options, const CommonOptions& common) {
  common.apply();
  const std::string text = Tokenizer::load(options.tokenizer).decode(options.ids);
  if (common.json) {
    print_json({{"text", text}});
  } else {
    fmt::print("{}\n", text);
  }
}

}  // namespace

void add_tokenizer(CLI::App& app, CommonOptions& common) {
  CLI::App* group = app.add_subcommand("tokenizer", "Train and use a SentencePiece tokenizer");
  group->require_subcommand(1);

  auto train_options = std::make_shared<TrainOptions>();
  train_options->config.vocab_size = 4096;
  CLI::App* command =
      add_command(*group, "train", "BPE with byte fallback, as Llama's and Mistral's",
                  "featflow tokenizer train --data 'corpora/*/*.jsonl.zst' --vocab-size 4096 "
                  "--out tokenizer.model",
                  common);
  command->add_option("--data", train_options->data, "JSONL, text files, a folder or a glob")
      ->required();
  command->add_option("--vocab-size", train_options->config.vocab_size)
      ->check(CLI::Range(300, 1'000'000))
      ->capture_default_str();
  command->add_option("--max-training-bytes", train_options->config.max_training_bytes)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--out", train_options->out, "tokenizer.model to write")->required();
  command->add_flag("--force", train_options->force, "Replace an existing file");
  command->callback([train_options, &common] { train(*train_options, common); });

  auto code_options = std::make_shared<CodeOptions>();
  command = add_command(*group, "encode", "Text to token ids",
                        "featflow tokenizer encode runs/quick/model/Lua 'local x = 1'", common);
  command->add_option("tokenizer", code_options->tokenizer, "tokenizer.model or its folder")
      ->required();
  command->add_option("text", code_options->text, "Text, or - for standard input")->required();
  command->add_flag("--parse-special", code_options->parse_special,
                    "Read <s>, </s>, <unk> in the text as control tokens");
  command->callback([code_options, &common] { encode_text(*code_options, common); });

  command = add_command(*group, "decode", "Token ids to text",
                        "featflow tokenizer decode runs/quick/model/Lua 1,15,27", common);
  command->add_option("tokenizer", code_options->tokenizer, "tokenizer.model or its folder")
      ->required();
  command->add_option("ids", code_options->ids, "Token ids, comma-separated")
      ->required()
      ->delimiter(',');
  command->callback([code_options, &common] { decode_ids(*code_options, common); });
}

}  // namespace featflow
