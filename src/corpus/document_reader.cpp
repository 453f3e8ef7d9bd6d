#include "corpus/document_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/process.hpp"
#include "core/utf8.hpp"
#include "corpus/source_files.hpp"

namespace featflow {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kKeysShown = 8;

// Takes one top-level string out of a JSON object. Builds nothing else and bounds the depth, so
// that a hostile line costs no more than its own length.
class TextExtractor : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit TextExtractor(const std::string& text_key) : text_key_(text_key) {}

  // Empty if a text was found; otherwise what is wrong with the line.
  std::string problem;
  std::string text;

  void finish() {
    if (!problem.empty() || found_) return;
    problem = fmt::format("no key {}", in_quotes(text_key_));
    for (size_t i = 0; i < keys_.size(); ++i) {
      problem += fmt::format("{}{}", i == 0 ? "; the line has " : ", ", in_quotes(keys_[i], 40));
    }
    problem += keys_.empty() ? " in an empty object" : ": set text_key";
  }

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool number_integer(number_integer_t) override { return scalar("a number"); }
  bool number_unsigned(number_unsigned_t) override { return scalar("a number"); }
  bool number_float(number_float_t, const string_t&) override { return scalar("a number"); }
  bool binary(binary_t&) override { return scalar("binary data"); }
  bool string(string_t& value) override {
    if (!at_text_) return depth_ > 0 || fail("a string, expected an object");
    if (found_) return fail(fmt::format("key {} stands twice", in_quotes(text_key_)));
    text = std::move(value);
    found_ = true;
    return true;
  }
  bool key(string_t& name) override {
    at_text_ = depth_ == 1 && name == text_key_;
    if (depth_ == 1 && keys_.size() < kKeysShown) keys_.push_back(name);
    return true;
  }
  bool start_object(std::size_t) override { return enter("an object"); }
  bool start_array(std::size_t) override {
    return depth_ > 0 ? enter("an array") : fail("an array, expected an object");
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::json::exception&) override {
    return fail(
        fmt::format("not valid JSON at byte {}, near {}", position, in_quotes(last_token, 40)));
  }

 private:
  bool fail(std::string what) {
    problem = std::move(what);
    return false;
  }
  bool scalar(const char* what) {
    if (depth_ == 0) return fail(fmt::format("{}, expected an object", what));
    if (at_text_) {
      return fail(fmt::format("key {} is {}, expected a string", in_quotes(text_key_), what));
    }
    return true;
  }
  bool enter(const char* what) {
    if (at_text_) {
      return fail(fmt::format("key {} is {}, expected a string", in_quotes(text_key_), what));
    }
    if (++depth_ > kMaxDepth) return fail(fmt::format("nested over {} deep", kMaxDepth));
    return true;
  }
  bool leave() {
    --depth_;
    at_text_ = false;
    return true;
  }

  const std::string& text_key_;
  std::vector<std::string> keys_;
  int depth_ = 0;
  bool at_text_ = false;  // The value that follows is the top-level text.
  bool found_ = false;
};

Document normalized(std::string text) {
  Document document;
  if (!is_valid_utf8(text)) {
    text = to_valid_utf8(text);
    document.repaired = true;
  }
  document.repaired |= std::erase(text, '\0') > 0;
  document.text = std::move(text);
  return document;
}

std::string read_whole(const std::filesystem::path& file, const ReadOptions& options) {
  const std::unique_ptr<ByteSource> source = open_file(file);
  std::string text;
  std::vector<char> buffer(1 << 18);
  while (const size_t count = source->read(buffer.data(), buffer.size())) {
    if (text.size() + count > static_cast<size_t>(options.max_document_bytes)) {
      throw Error(fmt::format(
          "{}: over {} in one document: a plain file is one document; use .jsonl for many",
          file.string(), human_bytes(options.max_document_bytes)));
    }
    text.append(buffer.data(), count);
  }
  return text;
}

// JSON may hold half of a surrogate pair, as a string that was cut inside an emoji does; UTF-8
// cannot. True if there was one: it is U+FFFD now.
bool mend_surrogates(std::string& line) {
  bool mended = false;
  const auto code_at = [&](size_t at) -> unsigned {  // of \uXXXX, else 0
    unsigned code = 0;
    if (line.size() < at + 6 || line[at] != '\\' || line[at + 1] != 'u') return 0;
    const char* end = line.data() + at + 6;
    const auto [stopped, error] = std::from_chars(line.data() + at + 2, end, code, 16);
    return error == std::errc() && stopped == end ? code : 0;
  };
  for (size_t at = line.find('\\'); at != std::string::npos; at = line.find('\\', at)) {
    const unsigned code = code_at(at), next = code_at(at + 6);
    const bool high = code >= 0xD800 && code < 0xDC00, low = code >= 0xDC00 && code < 0xE000;
    if (high && next >= 0xDC00 && next < 0xE000) {
      at += 12;
    } else if (high || low) {
      line.replace(at + 2, 4, "FFFD");
      mended = true;
      at += 6;
    } else {
      at += 2;
    }
  }
  return mended;
}

}  // namespace

bool is_jsonl(const std::filesystem::path& file) {
  const std::filesystem::path inner =
      compression_of(file) == Compression::kNone ? file : file.stem();
  return inner.extension() == ".jsonl" || inner.extension() == ".ndjson";
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

void for_each_jsonl_document(ByteSource& source, const std::string& where,
                             const ReadOptions& options, const DocumentSink& sink) {
  LineReader lines(source, where, options.max_document_bytes);
  std::string line;
  while (lines.next(line)) {
    if (lines.line_number() == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    if (is_blank(line)) continue;
    // JSON strings must be UTF-8, and a parser that repairs is none: so repair before.
    const bool valid = is_valid_utf8(line);
    if (!valid) line = to_valid_utf8(line);
    const bool whole = !mend_surrogates(line);
    TextExtractor extractor(options.text_key);
    nlohmann::json::sax_parse(line, &extractor);
    extractor.finish();
    if (!extractor.problem.empty()) {
      throw Error(fmt::format("{}:{}: {} (one JSON object with a string {} a line is expected)",
                              where, lines.line_number(), extractor.problem,
                              in_quotes(options.text_key)));
    }
    Document document = normalized(std::move(extractor.text));
    document.repaired |= !valid || !whole;
    sink(std::move(document));
    throw_if_interrupted();
  }
}

void for_each_document(const std::filesystem::path& file, const ReadOptions& options,
                       const DocumentSink& sink) {
  if (is_jsonl(file)) {
    for_each_jsonl_document(*open_file(file), file.string(), options, sink);
  } else {
    sink(normalized(read_whole(file, options)));
    throw_if_interrupted();
  }
}

std::vector<std::string> read_documents(const std::filesystem::path& file_or_folder,
                                        const ReadOptions& options) {
  std::vector<std::string> documents;
  for (const std::filesystem::path& file : source_files({file_or_folder.string()}, "")) {
    for_each_document(file, options, [&](Document&& document) {
      if (!is_blank(document.text)) documents.push_back(std::move(document.text));
    });
  }
  if (documents.empty()) {
    throw Error(fmt::format("{}: 0 documents, expected at least one that is not empty",
                            file_or_folder.string()));
  }
  return documents;
}

}  // namespace featflow
