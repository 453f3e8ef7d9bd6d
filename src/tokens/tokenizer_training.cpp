#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <numeric>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/utf8.hpp"
#include "storage/files.hpp"
#include "tokens/sentencepiece_library.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {
namespace {

int64_t total_bytes(const std::vector<std::string>& texts) {
  return std::accumulate(texts.begin(), texts.end(), int64_t{0}, [](int64_t sum, const auto& text) {
    return sum + static_cast<int64_t>(text.size());
  });
}

// At most `size` bytes of text, up to a line end if there is one.
std::string_view cut(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  const size_t newline = text.substr(0, size).rfind('\n');
  if (newline != std::string_view::npos) return text.substr(0, newline + 1);
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

// Takes the next document whenever what is taken falls behind its share of what has gone by.
void append_evenly(const std::vector<std::string>& texts, int64_t budget,
                   std::vector<std::string>& sample) {
  const int64_t total = total_bytes(texts);
  if (total == 0) return;
  const double share = std::min(1.0, static_cast<double>(budget) / static_cast<double>(total));
  int64_t passed = 0, taken = 0;
  for (const std::string& text : texts) {
    passed += static_cast<int64_t>(text.size());
    if (static_cast<double>(taken) >= share * static_cast<double>(passed)) continue;
    const auto piece = cut(text, static_cast<size_t>(std::max<int64_t>(budget - taken, 0)));
    taken += static_cast<int64_t>(piece.size());
    if (!piece.empty()) sample.emplace_back(piece);
  }
}

// The trainer drops every sentence that holds U+2585, takes U+2581 for a space, and stumbles over
// NUL: texts are cut there.
std::vector<std::string> trainable_parts(const std::vector<std::string>& texts) {
  std::vector<std::string> parts;
  for (const std::string& text : texts) {
    const std::string valid = to_valid_utf8(text);
    size_t begin = 0;
    for (size_t i = 0; i <= valid.size();) {
      const std::string_view rest = std::string_view(valid).substr(i);
      const size_t reserved = rest.starts_with("\u2581") || rest.starts_with("\u2585") ? 3
                              : rest.starts_with('\0') || rest.empty()                 ? 1
                                                                                       : 0;
      if (reserved > 0) {
        if (i > begin) parts.push_back(valid.substr(begin, i - begin));
        begin = i + reserved;
      }
      i += std::max<size_t>(reserved, 1);
    }
  }
  return parts;
}

// The trainer reserves the tab for itself, so it never learns runs of tabs. Those of 2 to 8 that
// are at least half as frequent as the average token will be become user-defined pieces, which is
// what it offers for such cases.
std::string frequent_tab_runs(const std::vector<std::string>& texts, int64_t vocab_size) {
  constexpr size_t kLongestRun = 8;
  constexpr int64_t kBytesPerToken = 4;
  std::map<size_t, int64_t> runs;
  for (const std::string& text : texts) {
    for (size_t begin = text.find('\t'); begin != std::string::npos;) {
      const size_t end = std::min(text.find_first_not_of('\t', begin), text.size());
      ++runs[std::min(end - begin, kLongestRun)];
      begin = text.find('\t', end);
    }
  }
  std::string symbols;
  for (const auto& [length, count] : runs) {
    if (length < 2 || count * 2 * kBytesPerToken * vocab_size < total_bytes(texts)) continue;
    if (!symbols.empty()) symbols += ',';
    symbols.append(length, '\t');
  }
  return symbols;
}

// The number behind `marker` in a message of the trainer; -1 if it is not there.
int64_t number_behind(std::string_view message, std::string_view marker) {
  const size_t at = message.find(marker);
  if (at == std::string_view::npos) return -1;
  message.remove_prefix(at + marker.size());
  int64_t number = -1;
  std::from_chars(message.data(), message.data() + message.size(), number);
  return number;
}

[[noreturn]] void training_failed(const TokenizerConfig& config, int64_t bytes,
                                  std::string_view message) {
  if (const int64_t most = number_behind(message, "to a value <= "); most >= 0) {
    throw Error(
        fmt::format("tokenizer: vocab_size is {}, but {} bytes of text give at most {} "
                    "tokens: lower it, or add text",
                    config.vocab_size, bytes, most));
  }
  const std::string marker = fmt::format("required_chars. {} vs ", config.vocab_size);
  if (const int64_t least = number_behind(message, marker); least >= 0) {
    message = message.substr(message.find(marker) + marker.size());
    throw Error(
        fmt::format("tokenizer: vocab_size is {}, but the text's characters and the 256 "
                    "bytes already need {}: raise it",
                    config.vocab_size, least));
  }
  throw Error(
      fmt::format("tokenizer: SentencePiece cannot train on {} bytes with vocab_size {}: {}", bytes,
                  config.vocab_size, in_quotes(message, 200)));
}

}  // namespace

std::vector<std::string> training_sample(const std::vector<std::vector<std::string>>& corpora,
                                         int64_t max_bytes) {
  // Small corpora first, so that what they leave over is shared by those that follow.
  std::vector<size_t> by_size(corpora.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(), [&](size_t a, size_t b) {
    return total_bytes(corpora[a]) < total_bytes(corpora[b]);
  });
  std::vector<std::string> sample;
  for (size_t i = 0; i < by_size.size(); ++i) {
    const auto left = static_cast<int64_t>(by_size.size() - i);
    append_evenly(corpora[by_size[i]], (max_bytes - total_bytes(sample)) / left, sample);
  }
  return sample;
}

void Tokenizer::train(const TokenizerConfig& config, const std::vector<std::string>& texts,
                      const std::filesystem::path& model_file) {
  if (config.vocab_size < 1 || config.vocab_size > std::numeric_limits<int32_t>::max()) {
    throw Error(fmt::format("tokenizer: vocab_size is {}, expected 300 to 1,000,000 or so",
                            config.vocab_size));
  }
  std::vector<std::string> sample;
  append_evenly(texts, config.max_training_bytes, sample);
  const std::vector<std::string> parts = trainable_parts(sample);
  const int64_t bytes = total_bytes(parts);
  if (bytes == 0) throw Error("tokenizer: no text to train on (0 bytes)");
  log_verbose(fmt::format("tokenizer: learning {} tokens from {} bytes", config.vocab_size, bytes));

  // As in Llama's tokenizer.model, except that sentences are whole documents.
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(config.vocab_size)},
      {"character_coverage", "0.99995"},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"allow_whitespace_only_pieces", "true"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "true"},
      {"max_sentencepiece_length", "16"},
      {"max_sentence_length", std::to_string(1 << 30)},  // The trainer's limit: longer are dropped.
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "-1"},
      {"num_threads", "1"},
      {"user_defined_symbols", frequent_tab_runs(parts, config.vocab_size)},
      {"minloglevel", "3"},
  };
  std::string model;
  const std::string error = sentencepiece_library().train(options, parts, model);
  if (!error.empty()) training_failed(config, bytes, error);
  write_file_atomic(model_file, model);
}

}  // namespace featflow
