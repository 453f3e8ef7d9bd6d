#include "tokens/tokenizer.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"
#include "core/utf8.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// Code-like documents with spaces or tabs for indentation, deterministic.
std::vector<std::string> training_documents(int count) {
  Rng rng(17);
  const std::vector<std::string> names = {"value", "table", "index", "count", "self", "result"};
  const std::vector<std::string> syllables = {"ka", "lo", "mi", "ne", "ru", "so", "ta", "wu"};
  std::vector<std::string> documents;
  for (int d = 0; d < count; ++d) {
    const std::string indent = d % 2 == 0 ? "    " : "\t";
    std::string text;
    for (int line = 0; line < 30; ++line) {
      for (uint64_t depth = rng.below(4); depth > 0; --depth) text += indent;
      text += names[rng.below(names.size())] + std::to_string(rng.below(100)) + " = " +
              names[rng.below(names.size())] + "(" + names[rng.below(names.size())] + ")\n";
    }
    text += "#";
    for (int word = 0; word < 20; ++word) {  // Words enough for a vocabulary of 500.
      text += ' ';
      for (uint64_t i = 1 + rng.below(4); i > 0; --i) text += syllables[rng.below(8)];
    }
    documents.push_back("def main():\n" + text + "\nreturn café\n");
  }
  return documents;
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

class TokenizerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::path(testing::TempDir()) / "featflow_tokenizer_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    Tokenizer::train({.vocab_size = 500}, training_documents(200), folder_ / "tokenizer.model");
    tokenizer_ = std::make_unique<Tokenizer>(Tokenizer::load(folder_));
  }
  static void TearDownTestSuite() {
    tokenizer_.reset();
    fs::remove_all(folder_);
  }

  static std::vector<std::string> pieces(const std::string& text, bool parse_special = false) {
    std::vector<std::string> found;
    for (const int32_t id : tokenizer_->encode(text, parse_special)) {
      found.push_back(tokenizer_->token_text(id));
    }
    return found;
  }
  static std::string load_error(const std::string& bytes) {
    std::ofstream(folder_ / "other.model", std::ios::binary) << bytes;
    return message_of([] { Tokenizer::load(folder_ / "other.model"); });
  }

  static inline fs::path folder_;
  static inline std::unique_ptr<Tokenizer> tokenizer_;
};

// A text of pieces that are hard for a SentencePiece model.
std::string hard_text(Rng& rng) {
  static const std::vector<std::string> parts = {
      " ",      "  ",        "    ",   "\t",     "\t\t\t", "\n",
      "\n\n",   "\r\n",      "value",  "table",  "x",      "É",
      "日本",   "😀",         "\u2581", "\u2585", "\u00a0", "\ufeff",
      "\ufffd", "<s>",       "</s>",   "<unk>",  "<0x0A>", " ⁇ ",
      "1234",   "(",         ")\n",    "\x01",   "\x7f",   std::string(1, '\0'),
      "\u0301", "\U0010FFFF"};
  std::string text;
  for (uint64_t i = rng.below(30); i > 0; --i) text += parts[rng.below(parts.size())];
  return text;
}

TEST_F(TokenizerTest, RoundTripIsExact) {
  for (const std::string text : {"",
                                 " ",
                                 "  ",
                                 " leading",
                                 "trailing ",
                                 "two  spaces",
                                 "tab\tand\t\ttabs",
                                 "\n",
                                 "\n\n\n x",
                                 "crlf\r\nline\r\n",
                                 "😀 emoji 👩‍👩‍👧",
                                 "\u2581",
                                 "\u2581\u2581 \u2581a\u2581",
                                 " \u2581 ",
                                 "<s>",
                                 "a<s>b</s><unk>",
                                 "<0x0A>",
                                 "    if x:\n\t\treturn  1\n",
                                 " ⁇ ",
                                 "\u2585"}) {
    EXPECT_EQ(tokenizer_->decode(tokenizer_->encode(text)), text);
  }
  Rng rng(23);
  for (int trial = 0; trial < 2000; ++trial) {
    const std::string text = hard_text(rng);
    ASSERT_EQ(tokenizer_->decode(tokenizer_->encode(text)), text);
  }
  for (int trial = 0; trial < 500; ++trial) {
    std::string bytes;
    for (uint64_t i = rng.below(40); i > 0; --i) bytes += static_cast<char>(rng.below(256));
    ASSERT_EQ(tokenizer_->decode(tokenizer_->encode(bytes)), to_valid_utf8(bytes));
  }
}

TEST_F(TokenizerTest, PartByPartIsWhatTheLibraryDoesOnTheWhole) {
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load((folder_ / "tokenizer.model").string()).ok());
  Rng rng(29);
  for (int trial = 0; trial < 1000; ++trial) {
    const std::string text = hard_text(rng);
    if (text.find("\u2581") != std::string::npos) continue;  // Where we differ, to be exact.
    std::vector<int> expected;
    ASSERT_TRUE(library.Encode(text, &expected).ok());
    ASSERT_EQ(tokenizer_->encode(text), expected) << text;
  }
  for (const std::string& text : training_documents(20)) {
    std::vector<int> expected;
    ASSERT_TRUE(library.Encode(text, &expected).ok());
    EXPECT_EQ(tokenizer_->encode(text), expected);
  }
}

TEST_F(TokenizerTest, IndentationAndLineEndsAreLearned) {
  EXPECT_THAT(pieces("        value"), ElementsAre("        ", " value"));
  EXPECT_THAT(pieces("x\n\t\tvalue\n"), ElementsAre(" ", "x", "\n", "\t\t", "value", "\n"));
  EXPECT_THAT(pieces("x\n\t\t\tvalue"), ElementsAre(" ", "x", "\n", "\t\t\t", "value"));
  EXPECT_THAT(pieces("x(value)\n        x").size(), testing::Lt(8u));
  EXPECT_THAT(pieces("42"), ElementsAre(" ", "4", "2"));
}

TEST_F(TokenizerTest, SpecialStringsAreSpelledOutUnlessParsed) {
  for (const int32_t id : tokenizer_->encode("<s> a </s> <unk>")) EXPECT_GT(id, 2);
  const auto ids = tokenizer_->encode("a<s>b</s> c<unk>", true);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer_->bos_id()), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer_->eos_id()), 1);
  EXPECT_EQ(ids.back(), 0);
  EXPECT_EQ(tokenizer_->decode(ids), "ab c");
  EXPECT_THAT(pieces("<s>value", true), ElementsAre("<s>", " value"));
  EXPECT_EQ(tokenizer_->encode("value", true), tokenizer_->encode("value", false));
}

TEST_F(TokenizerTest, TokensFromTheMiddleKeepTheirSpace) {
  const auto ids = tokenizer_->encode("value table\n    index");
  std::string joined;
  for (const int32_t id : ids) joined += tokenizer_->token_bytes(id);
  EXPECT_EQ(joined, " value table\n    index");
  EXPECT_EQ(tokenizer_->token_bytes(ids[1]), " table");
  EXPECT_EQ(tokenizer_->token_bytes(tokenizer_->bos_id()), "");
  EXPECT_EQ(tokenizer_->token_text(tokenizer_->bos_id()), "<s>");
  const auto emoji = tokenizer_->encode("\u2581");  // Three byte tokens.
  EXPECT_EQ(tokenizer_->token_bytes(emoji[1]), "\xE2");
  EXPECT_EQ(tokenizer_->token_text(emoji[1]), "<0xE2>");
}

TEST_F(TokenizerTest, WordsAreFoundWithAndWithoutTheirSpace) {
  std::vector<std::string> found;
  for (const int32_t id : tokenizer_->ids_of_word("value")) {
    found.push_back(tokenizer_->token_bytes(id));
  }
  EXPECT_THAT(found, testing::UnorderedElementsAre("value", " value"));
  EXPECT_EQ(tokenizer_->ids_of_word(" value").size(), 1u);
  EXPECT_TRUE(tokenizer_->ids_of_word("quetzalcoatl").empty());
  EXPECT_TRUE(tokenizer_->ids_of_word("").empty());
}

TEST_F(TokenizerTest, EncodingAllInParallelIsEncodingEach) {
  const std::vector<std::string> documents = training_documents(50);
  set_thread_count(3);
  const auto all = tokenizer_->encode_all(documents);
  ASSERT_EQ(all.size(), documents.size());
  for (size_t i = 0; i < documents.size(); ++i) {
    EXPECT_EQ(all[i], tokenizer_->encode(documents[i]));
  }
  set_thread_count(default_thread_count());
}

TEST_F(TokenizerTest, TrainingIsDeterministic) {
  set_thread_count(3);
  Tokenizer::train({.vocab_size = 500}, training_documents(200), folder_ / "again.model");
  set_thread_count(default_thread_count());
  EXPECT_EQ(read_file(folder_ / "again.model"), read_file(folder_ / "tokenizer.model"));
}

TEST_F(TokenizerTest, ReservedCharactersDoNotCostTheirDocument) {
  // The library alone would drop every document that holds U+2585, and all of them do.
  std::vector<std::string> documents = training_documents(100);
  for (std::string& text : documents) text.insert(20, "\u2585\u2581" + std::string(1, '\0'));
  Tokenizer::train({.vocab_size = 400}, documents, folder_ / "reserved.model");
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "reserved.model");
  EXPECT_FALSE(tokenizer.ids_of_word("value").empty());
  for (const std::string& text : documents) {
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST_F(TokenizerTest, TrainingErrorsStateBothNumbers) {
  const auto train = [](int64_t vocab_size, const std::vector<std::string>& texts) {
    return message_of(
        [&] { Tokenizer::train({.vocab_size = vocab_size}, texts, folder_ / "failed.model"); });
  };
  EXPECT_THAT(train(5000, {"a few words of text"}),
              testing::MatchesRegex("tokenizer: vocab_size is 5000, but 19 bytes of text give at "
                                    "most [0-9]+ tokens: lower it, or add text"));
  EXPECT_THAT(train(260, training_documents(10)),
              testing::MatchesRegex("tokenizer: vocab_size is 260, but the text's characters and "
                                    "the 256 bytes already need [0-9]+: raise it"));
  EXPECT_THAT(train(500, {}), HasSubstr("no text"));
  EXPECT_THAT(train(500, {"", "\u2585"}), HasSubstr("no text"));
  EXPECT_THAT(train(0, {"text"}), HasSubstr("vocab_size is 0"));
  EXPECT_FALSE(fs::exists(folder_ / "failed.model"));
}

TEST_F(TokenizerTest, IdsOutsideTheVocabularyAreRefused) {
  EXPECT_THROW(tokenizer_->decode(std::vector<int32_t>{500}), Error);
  EXPECT_THROW(tokenizer_->token_bytes(-1), Error);
  EXPECT_THROW(tokenizer_->token_text(500), Error);
}

TEST_F(TokenizerTest, MalformedModelsAreRefused) {
  const std::string good = read_file(folder_ / "tokenizer.model");
  ASSERT_EQ(load_error(good), "(no error)");
  EXPECT_THAT(load_error(""), HasSubstr("not a SentencePiece model"));
  EXPECT_THAT(load_error("{\"model\": {}}"), HasSubstr("not a SentencePiece model"));
  EXPECT_THAT(load_error(good + good), HasSubstr("stands twice"));
  EXPECT_THAT(load_error(good.substr(0, good.size() / 2)), HasSubstr("other.model"));
  // Behind a protocol buffer, the same message again is merged into it.
  EXPECT_THAT(load_error(good + std::string("\x1a\x02\x20\x01", 4)), HasSubstr("normalises text"));
  EXPECT_THAT(load_error(good + std::string("\x1a\x04\x12\x02zz", 6)), HasSubstr("normalises"));
  EXPECT_THAT(load_error(good + std::string("\x12\x02\x18\x01", 4)), HasSubstr("unigram"));
  EXPECT_THAT(load_error(good + std::string("\x12\x03\xc0\x01\x01", 5)), HasSubstr("behind words"));
  EXPECT_THAT(load_error(good + std::string("\x12\x03\x98\x02\x00", 5)),
              HasSubstr("byte_fallback"));
  EXPECT_THAT(load_error(good + std::string("\x0a\x02\x0a\x00", 4)), HasSubstr("is empty"));
  EXPECT_THAT(load_error(good + std::string("\x0a\x03\x0a\x01\xff", 5)), HasSubstr("not UTF-8"));
  EXPECT_THAT(load_error(good + std::string("\x0a\x05\x0a\x01~\x18\x09", 7)),
              HasSubstr("unknown type"));
  EXPECT_THAT(load_error(good + std::string("\x0a\x08\x0a\x01~\x15\x00\x00\xc0\x7f", 10)),
              HasSubstr("not finite"));
  std::string without_byte = good;
  without_byte.replace(without_byte.find("<0x41>"), 6, "<0xZZ>");
  EXPECT_THAT(load_error(without_byte), HasSubstr("byte pieces, expected all 256"));
  const std::string missing = message_of([] { Tokenizer::load(folder_ / "nothing.model"); });
  EXPECT_THAT(missing, HasSubstr("nothing.model"));
  fs::create_directories(folder_ / "model");
  std::ofstream(folder_ / "model" / "tokenizer.json") << "{}";
  EXPECT_THAT(message_of([] { Tokenizer::load(folder_ / "model"); }), HasSubstr("tokenizer.json"));
}

TEST_F(TokenizerTest, DamagedModelsNeverCrash) {
  const std::string good = read_file(folder_ / "tokenizer.model");
  Rng rng(31);
  for (int trial = 0; trial < 150; ++trial) {
    std::string damaged = good;
    for (uint64_t flips = 1 + rng.below(3); flips > 0; --flips) {
      damaged[rng.below(damaged.size())] = static_cast<char>(rng.below(256));
    }
    if (trial % 4 == 0) damaged.resize(rng.below(damaged.size()));
    std::ofstream(folder_ / "damaged.model", std::ios::binary) << damaged;
    try {
      const Tokenizer tokenizer = Tokenizer::load(folder_ / "damaged.model");
      tokenizer.decode(tokenizer.encode("value = table\n\t\t😀"));
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

TEST(TrainingSample, IsEqualPerCorpusAndEven) {
  std::vector<std::vector<std::string>> corpora(3);
  for (int i = 0; i < 1000; ++i) {
    corpora[0].push_back(fmt::format("a{}{:a>95}", 1000 + i, ""));
    corpora[1].push_back(fmt::format("b{}{:b>195}", 1000 + i, ""));
  }
  corpora[2] = {"c" + std::string(999, 'c')};
  const auto sample = training_sample(corpora, 41'000);
  std::map<char, int64_t> bytes;
  std::vector<int> positions;
  for (const std::string& text : sample) {
    bytes[text[0]] += static_cast<int64_t>(text.size());
    if (text[0] == 'a' && text.size() == 100) positions.push_back(std::stoi(text.substr(1, 4)));
  }
  EXPECT_EQ(bytes['c'], 1000);
  EXPECT_NEAR(static_cast<double>(bytes['a']), 20'000, 200);
  EXPECT_NEAR(static_cast<double>(bytes['b']), 20'000, 200);
  // 200 of 1000 documents, spread over the whole.
  EXPECT_LT(positions.front(), 1010);
  EXPECT_GT(positions.back(), 1990);
  for (size_t i = 1; i < positions.size(); ++i) EXPECT_LE(positions[i] - positions[i - 1], 6);
}

TEST(TrainingSample, CutsWhatIsTooLongAtALineEnd) {
  EXPECT_THAT(training_sample({{"line one\nline two\nline three\n"}}, 20),
              ElementsAre("line one\nline two\n"));
  EXPECT_THAT(training_sample({{"ééééé"}}, 5), ElementsAre("éé"));
  EXPECT_THAT(training_sample({{"short"}, {}}, 1000), ElementsAre("short"));
}

// The real tokenizer of Mistral 7B v0.1, where the shared data are (not in the repository).
TEST(MistralTokenizer, LoadsAndRoundTrips) {
  const char* folder = std::getenv("FEATFLOW_SHARED_DATA");
  const fs::path file = fs::path(folder ? folder : "") / "tokenizer" / "mistral-v1.model";
  if (!folder || !fs::exists(file)) GTEST_SKIP() << "FEATFLOW_SHARED_DATA is not set";
  const Tokenizer tokenizer = Tokenizer::load(file);
  EXPECT_EQ(tokenizer.vocab_size(), 32000);
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_THAT(tokenizer.encode("Hello world"), ElementsAre(22557, 1526));
  EXPECT_EQ(tokenizer.token_bytes(13), "\n");
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load(file.string()).ok());
  for (const std::string& text : training_documents(20)) {
    std::vector<int> expected;
    ASSERT_TRUE(library.Encode(text, &expected).ok());
    EXPECT_EQ(tokenizer.encode(text), expected);
  }
  Rng rng(37);
  for (int trial = 0; trial < 500; ++trial) {
    const std::string text = hard_text(rng);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

}  // namespace
}  // namespace featflow
