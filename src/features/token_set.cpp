#include "features/token_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>

#include "core/error.hpp"

namespace featflow {
namespace {

void sort_unique(std::vector<std::vector<int32_t>>& strings) {
  std::sort(strings.begin(), strings.end());
  strings.erase(std::unique(strings.begin(), strings.end()), strings.end());
}

}  // namespace

std::vector<std::vector<int32_t>> strings_that_spell(
    std::string_view text, std::span<const int32_t> stream,
    const std::function<std::string(int32_t)>& token_bytes) {
  FEATFLOW_CHECK(!text.empty(), "a text to spell");
  std::map<int32_t, std::string> bytes;
  const auto bytes_of = [&](int32_t id) -> const std::string& {
    const auto known = bytes.find(id);
    return known != bytes.end() ? known->second : bytes.emplace(id, token_bytes(id)).first->second;
  };
  std::vector<std::vector<int32_t>> strings;
  for (size_t begin = 0; begin < stream.size(); ++begin) {
    std::string_view left = text;
    size_t end = begin;
    for (; !left.empty() && end < stream.size(); ++end) {
      const std::string& token = bytes_of(stream[end]);
      if (token.empty() || !left.starts_with(token)) break;
      left.remove_prefix(token.size());
    }
    if (left.empty()) strings.emplace_back(stream.begin() + begin, stream.begin() + end);
  }
  sort_unique(strings);
  return strings;
}

TokenSet token_set_of_word(const Tokenizer& tokenizer, std::string_view word,
                           std::span<const int32_t> stream) {
  if (word.empty()) throw Error("token set: the word is empty, expected some text");
  TokenSet set{std::string(word), {}};
  for (const std::string& text : {set.label, " " + set.label}) {
    for (const int32_t id : tokenizer.ids_of_word(text)) set.strings.push_back({id});
  }
  if (set.strings.empty()) {
    for (const std::string& text : {set.label, " " + set.label}) {
      std::ranges::move(
          strings_that_spell(text, stream, [&](int32_t id) { return tokenizer.token_bytes(id); }),
          std::back_inserter(set.strings));
    }
  }
  sort_unique(set.strings);
  return set;
}

TokenSet token_set_of_pattern(int64_t vocab_size,
                              const std::function<std::string(int32_t)>& token_bytes,
                              const std::string& pattern) {
  TokenSet set{"/" + pattern + "/", {}};
  try {
    const std::regex expression(pattern, std::regex::ECMAScript);
    for (int32_t id = 0; id < vocab_size; ++id) {
      const std::string text = token_bytes(id);
      if (!text.empty() && std::regex_match(text, expression)) set.strings.push_back({id});
    }
  } catch (const std::regex_error& error) {
    throw Error(fmt::format("token set: {} is not a regular expression (ECMAScript): {}",
                            in_quotes(pattern), error.what()));
  }
  if (set.strings.empty()) {
    throw Error(
        fmt::format("token set: {} matches the whole text of none of {} tokens (the space "
                    "before a word belongs to its token)",
                    in_quotes(pattern), vocab_size));
  }
  return set;
}

TokenSet token_set_of_pattern(const Tokenizer& tokenizer, const std::string& pattern) {
  return token_set_of_pattern(
      tokenizer.vocab_size(), [&](int32_t id) { return tokenizer.token_bytes(id); }, pattern);
}

TokenSetRows find_token_set(const TokenSet& set, std::span<const int32_t> stream,
                            std::span<const int64_t> token_positions) {
  TokenSetRows result;
  result.row_count = std::ssize(token_positions);
  // Strings by their last token: most rows end none.
  std::map<int32_t, std::vector<const std::vector<int32_t>*>> strings_by_end;
  std::map<int32_t, int64_t> counts;
  for (const std::vector<int32_t>& string : set.strings) {
    FEATFLOW_CHECK(!string.empty(), "a string has tokens");
    strings_by_end[string.back()].push_back(&string);
    for (const int32_t id : string) counts[id] = 0;
  }
  for (int64_t row = 0; row < result.row_count; ++row) {
    const int64_t position = token_positions[row];
    if (position < 0 || position >= std::ssize(stream)) {
      throw Error(
          fmt::format("token set {}: row {} stands at token {} of a text of {} tokens (the "
                      "activations come from another text)",
                      in_quotes(set.label), row, position, stream.size()));
    }
    const int32_t id = stream[position];
    const auto count = counts.find(id);
    if (count == counts.end()) continue;
    ++count->second;
    const auto strings = strings_by_end.find(id);
    if (strings == strings_by_end.end()) continue;
    const auto ends_here = [&](const std::vector<int32_t>* string) {
      const int64_t length = std::ssize(*string);
      return position + 1 >= length &&
             std::equal(string->begin(), string->end(), stream.begin() + position + 1 - length);
    };
    if (std::any_of(strings->second.begin(), strings->second.end(), ends_here)) {
      result.rows.push_back(static_cast<int32_t>(row));
    }
  }
  if (result.row_count == 0) return result;
  // Where a longer string ends, so does a shorter one that is its end: it adds no row.
  const auto has_another_at_its_end = [&](const std::vector<int32_t>& string) {
    return std::ranges::any_of(set.strings, [&](const std::vector<int32_t>& end) {
      return end.size() < string.size() && std::equal(end.rbegin(), end.rend(), string.rbegin());
    });
  };
  for (const std::vector<int32_t>& string : set.strings) {
    if (has_another_at_its_end(string)) continue;
    double probability = 1;
    for (const int32_t id : string) {
      probability *= static_cast<double>(counts[id]) / static_cast<double>(result.row_count);
    }
    result.probability += probability;
  }
  return result;
}

}  // namespace featflow
