#include "explaining/text_attributes.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "core/error.hpp"

namespace featflow {
namespace {

const std::set<std::string_view> kPythonKeywords = {
    "False",  "None",    "True",  "and",      "as",     "assert", "async",   "await",
    "break",  "class",   "case",  "continue", "def",    "del",    "elif",    "else",
    "except", "finally", "for",   "from",     "global", "if",     "import",  "in",
    "is",     "lambda",  "match", "not",      "or",     "pass",   "raise",   "return",
    "self",   "try",     "while", "with",     "yield",  "print",  "nonlocal"};
const std::set<std::string_view> kLuaKeywords = {
    "and",      "break",  "do",   "else", "elseif", "end",  "false", "for",
    "function", "goto",   "if",   "in",   "local",  "nil",  "not",   "or",
    "repeat",   "return", "then", "true", "until",  "while"};

// Classes of a token by its own bytes. The order is that of kTokenPhrases.
enum TokenClass : uint8_t {
  kPunctuation,
  kOpening,
  kClosing,
  kOperator,
  kQuote,
  kNumber,
  kLineBreak,
  kWhitespace,
  kPythonKeyword,
  kLuaKeyword,
  kWordStart,
  kWordPiece,
  kCapitalised,
  kCapitals,
  kLetter,
  kUnderscore,
  kNotAscii,
  kTokenClasses
};
constexpr std::array<const char*, kTokenClasses> kTokenPhrases = {"punctuation",
                                                                  "an opening bracket",
                                                                  "a closing bracket",
                                                                  "an operator",
                                                                  "a quotation mark",
                                                                  "a number",
                                                                  "a line break",
                                                                  "a run of spaces or tabs",
                                                                  "a keyword of Python",
                                                                  "a keyword of Lua",
                                                                  "the start of a word",
                                                                  "a piece of a word",
                                                                  "a capitalised word",
                                                                  "capital letters",
                                                                  "a single letter",
                                                                  "a name with an underscore",
                                                                  "not ASCII"};

// Where a token stands.
enum Place : uint8_t {
  kFirstInLine,
  kNearLineStart,
  kIndentation,
  kIndentedLine,
  kInsideBrackets,
  kInString,
  kInComment,
  kRightOfEquals,
  kWindowFirst,
  kWindowSecond,
  kSeenInWindow,
  kInCode,
  kInProse,
  kPlaces
};
constexpr std::array<const char*, kPlaces> kPlacePhrases = {"first in its line",
                                                            "near the start of a line",
                                                            "as indentation",
                                                            "in an indented line",
                                                            "inside brackets",
                                                            "in a string",
                                                            "in a comment",
                                                            "to the right of `=`",
                                                            "first in the window",
                                                            "second in the window",
                                                            "seen before in the window",
                                                            "in code",
                                                            "in prose"};

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }
bool all_of(std::string_view text, auto&& holds) {
  return !text.empty() && std::ranges::all_of(text, holds);
}
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool is_upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }
bool is_punctuation(char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; }

uint32_t classes_of(std::string_view bytes) {
  uint32_t classes = 0;
  const auto add = [&](TokenClass c, bool holds) { classes |= static_cast<uint32_t>(holds) << c; };
  add(kLineBreak, bytes.find('\n') != std::string_view::npos);
  add(kWhitespace, all_of(bytes, [](char c) { return c == ' ' || c == '\t'; }));
  add(kNotAscii, std::ranges::any_of(bytes, [](char c) { return (c & 0x80) != 0; }));
  const std::string_view word = bytes.substr(std::min(bytes.find_first_not_of(' '), bytes.size()));
  if (word.empty()) return classes;
  if (all_of(word, is_punctuation)) {
    add(kOpening, is_one_of(word.back(), "([{"));
    add(kClosing, std::ranges::any_of(word, [](char c) { return is_one_of(c, ")]}"); }));
    add(kQuote, std::ranges::any_of(word, [](char c) { return is_one_of(c, "'\"`"); }));
    add(kOperator,
        all_of(word, [](char c) { return is_one_of(c, "=+-*/%<>&|^~@#"); }) || word == "!=");
    add(kPunctuation, all_of(word, [](char c) { return is_one_of(c, ".,;:!?'\"`-()[]{}"); }));
    return classes;
  }
  add(kNumber, all_of(word, is_digit));
  add(kPythonKeyword, kPythonKeywords.contains(word));
  add(kLuaKeyword, kLuaKeywords.contains(word));
  add(kUnderscore, word.find('_') != std::string_view::npos);
  if (all_of(word, is_letter)) {
    const auto capitals = std::ranges::count_if(word, is_upper);
    add(kCapitalised, word.size() > 1 && is_upper(word[0]) && capitals == 1);
    add(kCapitals, word.size() > 1 && capitals == std::ssize(word));
    add(kLetter, word.size() == 1);
    add(kWordStart, bytes.size() > word.size());
  }
  return classes;
}

// The state of a document's text at each of its bytes, as far as a reader without a parser sees it:
// brackets that are open, strings and comments of most languages.
class Reader {
 public:
  explicit Reader(std::string_view document) : code_(looks_like_code(document)) {
    if (!code_) return;
    // Of the usual marks of a comment, that with which most lines begin.
    std::array<int64_t, kComments.size()> lines = {};
    for (size_t at = 0; at < document.size(); ++at) {
      if (at > 0 && document[at - 1] != '\n') continue;
      const size_t text = document.find_first_not_of(" \t", at);
      if (text == std::string_view::npos) break;
      for (size_t c = 0; c < kComments.size(); ++c) {
        lines[c] += document.substr(text).starts_with(kComments[c]) ? 1 : 0;
      }
    }
    const auto most = std::ranges::max_element(lines);
    if (*most > 0) comment_mark_ = kComments[static_cast<size_t>(most - lines.begin())];
  }

  bool code() const { return code_; }

  // Takes the next byte, of which `rest` is the document from it on.
  void take(std::string_view rest) {
    const char c = rest[0];
    if (c == '\n') {
      line_ = {};
      comment_ = false;
      if (!long_string_) quote_ = 0;
      return;
    }
    if (!is_one_of(c, " \t")) {
      line_.blank = false;
    } else if (line_.blank) {
      line_.indented = true;
    }
    if (comment_) return;
    if (skip_ > 0) {
      --skip_;
    } else if (quote_ != 0) {
      in_string(c, rest);
    } else if (!comment_mark_.empty() && rest.starts_with(comment_mark_)) {
      comment_ = true;
    } else if (c == '"' || (code_ && (c == '\'' || c == '`'))) {
      quote_ = c;
      long_string_ = rest.size() > 2 && rest[1] == c && rest[2] == c;
      if (long_string_) skip_ = 2;
    } else if (is_one_of(c, "([{")) {
      ++brackets_;
    } else if (is_one_of(c, ")]}")) {
      brackets_ = std::max<int64_t>(0, brackets_ - 1);
    } else if (c == '=') {
      line_.equals = true;
    }
  }

  bool blank_line() const { return line_.blank; }
  bool indented() const { return line_.indented; }
  bool brackets() const { return brackets_ > 0; }
  bool string() const { return quote_ != 0; }
  bool comment() const { return comment_; }
  bool equals() const { return line_.equals; }

 private:
  static constexpr std::array<std::string_view, 3> kComments = {"#", "--", "//"};
  struct Line {
    bool blank = true, indented = false, equals = false;
  };

  void in_string(char c, std::string_view rest) {
    if (c == '\\') {
      skip_ = 1;
    } else if (c == quote_ && !long_string_) {
      quote_ = 0;
    } else if (c == quote_ && rest.size() > 2 && rest[1] == c && rest[2] == c) {
      quote_ = 0;
      long_string_ = false;
      skip_ = 2;
    }
  }

  bool code_, comment_ = false, long_string_ = false;
  std::string_view comment_mark_ = {};
  Line line_;
  int64_t brackets_ = 0, skip_ = 0;
  char quote_ = 0;
};

// Bits of the attributes: classes of the token, of the one before it, places, corpora.
constexpr std::array kPreviousClasses = {kPunctuation, kOpening,    kClosing,   kOperator,
                                         kQuote,       kNumber,     kLineBreak, kWhitespace,
                                         kWordStart,   kCapitalised};
constexpr int64_t kFirstPrevious = kTokenClasses;
constexpr int64_t kFirstPlace = kFirstPrevious + std::ssize(kPreviousClasses);
constexpr int64_t kFirstCorpus = kFirstPlace + kPlaces;
constexpr uint64_t kMaxAttributes = 64;

std::vector<Attribute> attribute_list(const std::vector<std::string>& corpus_names) {
  std::vector<Attribute> list;
  for (const char* phrase : kTokenPhrases) list.push_back({phrase});
  for (const TokenClass c : kPreviousClasses) {
    list.push_back({std::string("after ") + kTokenPhrases[c], AttributeKind::kPrevious});
  }
  for (const char* phrase : kPlacePhrases) list.push_back({phrase, AttributeKind::kPlace});
  if (list.size() + corpus_names.size() <= kMaxAttributes && corpus_names.size() > 1) {
    for (const std::string& name : corpus_names) {
      list.push_back({"in " + name, AttributeKind::kPlace});
    }
  }
  return list;
}

struct Vocabulary {
  std::vector<std::string> bytes;  // [vocab]
  std::vector<uint32_t> classes;   // [vocab]

  Vocabulary(int64_t size, const std::function<std::string(int32_t)>& token_bytes) {
    for (int64_t id = 0; id < size; ++id) {
      bytes.push_back(token_bytes(static_cast<int32_t>(id)));
      classes.push_back(classes_of(bytes.back()));
    }
  }
};

// Goes through one document token by token and gives the bits of each.
class DocumentWalk {
 public:
  DocumentWalk(const TokenShard& text, const Vocabulary& vocabulary, int64_t begin, int64_t end,
               int64_t window)
      : tokens_(std::span(text.tokens)
                    .subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))),
        vocabulary_(vocabulary),
        window_(window),
        document_(joined(tokens_, vocabulary)),
        reader_(document_) {}

  bool code() const { return reader_.code(); }

  uint64_t next() {
    const int32_t id = tokens_[static_cast<size_t>(at_)];
    const std::string& own = vocabulary_.bytes[static_cast<size_t>(id)];
    const int64_t in_window = at_ % window_;
    const bool blank_before = reader_.blank_line();

    uint32_t classes = vocabulary_.classes[static_cast<size_t>(id)];
    const bool letters = !own.empty() && is_letter(own[0]);
    const bool continues = letters && (is_letter(last_byte_) || last_byte_ == '_');
    classes |= static_cast<uint32_t>(continues) << kWordPiece;
    classes |= static_cast<uint32_t>(letters && !continues) << kWordStart;
    uint64_t bits = classes;
    if (in_window > 0) bits |= previous_bits();
    bits |= places(own, (classes >> kWhitespace & 1) != 0, blank_before, in_window);

    const auto seen = last_seen_.find(id);
    const bool repeated = seen != last_seen_.end() && seen->second >= at_ - in_window;
    bits |= place_bit(kSeenInWindow, repeated);
    last_seen_[id] = at_;
    if (!own.empty()) last_byte_ = own.back();
    last_classes_ = classes;
    ++at_;
    if (own.find('\n') != std::string::npos) line_begin_ = at_;
    return bits;
  }

 private:
  static std::string joined(std::span<const int32_t> tokens, const Vocabulary& vocabulary) {
    std::string document;
    for (const int32_t id : tokens) document += vocabulary.bytes[static_cast<size_t>(id)];
    return document;
  }

  static uint64_t place_bit(Place place, bool holds) {
    return static_cast<uint64_t>(holds) << (kFirstPlace + place);
  }

  uint64_t previous_bits() const {
    uint64_t bits = 0;
    for (size_t i = 0; i < kPreviousClasses.size(); ++i) {
      const bool holds = (last_classes_ >> kPreviousClasses[i] & 1) != 0;
      bits |= static_cast<uint64_t>(holds) << (kFirstPrevious + static_cast<int64_t>(i));
    }
    return bits;
  }

  // Reads the token's bytes. Its state is the one behind its first byte that is no space.
  uint64_t places(const std::string& own, bool white, bool blank_before, int64_t in_window) {
    const size_t shown = std::min(own.find_first_not_of(' '), own.empty() ? 0 : own.size() - 1);
    uint64_t bits = 0;
    for (size_t i = 0; i < own.size(); ++i, ++byte_) {
      const bool right_of_equals = reader_.equals();
      reader_.take(std::string_view(document_).substr(byte_));
      if (i != shown) continue;
      bits |= place_bit(kInsideBrackets, reader_.brackets()) |
              place_bit(kInString, reader_.string()) | place_bit(kInComment, reader_.comment()) |
              place_bit(kRightOfEquals, right_of_equals) |
              place_bit(kIndentedLine, reader_.indented());
    }
    return bits | place_bit(kFirstInLine, blank_before && !white) |
           place_bit(kNearLineStart, at_ - line_begin_ < 4) |
           place_bit(kIndentation, blank_before && white) |
           place_bit(kWindowFirst, in_window == 0) | place_bit(kWindowSecond, in_window == 1) |
           place_bit(kInCode, reader_.code()) | place_bit(kInProse, !reader_.code());
  }

  std::span<const int32_t> tokens_;
  const Vocabulary& vocabulary_;
  int64_t window_;
  std::string document_;
  Reader reader_;
  int64_t at_ = 0, line_begin_ = 0;  // tokens of the document
  size_t byte_ = 0;
  char last_byte_ = '\n';
  uint32_t last_classes_ = 0;
  std::unordered_map<int32_t, int64_t> last_seen_;
};

}  // namespace

bool looks_like_code(std::string_view document) {
  const auto marks =
      std::ranges::count_if(document, [](char c) { return is_one_of(c, "(){}[]=_<>;*/\\"); });
  return 100 * marks >= 3 * std::ssize(document) && marks > 0;
}

int64_t TextAttributes::index(std::string_view phrase) const {
  const auto found = std::ranges::find(attributes, phrase, &Attribute::phrase);
  if (found == attributes.end()) throw std::out_of_range(std::string(phrase));
  return found - attributes.begin();
}

TextAttributes text_attributes(const TokenShard& text, std::span<const int64_t> token_positions,
                               const std::function<std::string(int32_t)>& token_bytes,
                               int64_t window, std::span<const uint8_t> document_corpora,
                               const std::vector<std::string>& corpus_names) {
  FEATFLOW_CHECK(window >= 1, "a window holds a token");
  const Vocabulary vocabulary(text.vocab_size, token_bytes);
  TextAttributes all;
  all.vocab_size = text.vocab_size;
  all.attributes = attribute_list(corpus_names);
  size_t row = 0;
  for (int64_t d = 0; d < text.document_count() && row < token_positions.size(); ++d) {
    const auto index = static_cast<size_t>(d);
    const int64_t begin = text.document_starts[index];
    const int64_t end = text.document_end(d);
    if (token_positions[row] >= end) continue;
    DocumentWalk walk(text, vocabulary, begin, end, window);
    for (int64_t at = begin; at < end; ++at) {
      const uint64_t bits = walk.next();
      if (row == token_positions.size() || token_positions[row] != at) continue;
      const uint64_t corpus =
          std::ssize(all.attributes) > kFirstCorpus ? document_corpora[index] : kMaxAttributes;
      all.bits.push_back(corpus < kMaxAttributes ? bits | uint64_t{1} << (kFirstCorpus + corpus)
                                                 : bits);
      all.tokens.push_back(text.tokens[static_cast<size_t>(at)]);
      all.previous.push_back((at - begin) % window > 0 ? text.tokens[static_cast<size_t>(at - 1)]
                                                       : static_cast<int32_t>(text.vocab_size));
      all.in_code.push_back(walk.code() ? 1 : 0);
      ++row;
    }
  }
  FEATFLOW_CHECK(row == token_positions.size(), "rows are positions of the text, ascending");
  return all;
}

}  // namespace featflow
