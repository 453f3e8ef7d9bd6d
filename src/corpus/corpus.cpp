#include "corpus/corpus.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/interrupt.hpp"
#include "core/process.hpp"
#include "core/progress.hpp"
#include "corpus/document_reader.hpp"
#include "corpus/source_files.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

constexpr int kZstdLevel = 3;
constexpr std::string_view kStatisticsFile = "corpus.json";

fs::path split_file(const fs::path& folder, Split split) {
  return folder / fmt::format("{}.jsonl.zst", split_name(split));
}

// Identity of a document: 128 bits of content hash. `order` sorts and de-duplicates; `lot`, which
// is independent of it, draws the split.
struct ContentKey {
  uint64_t order = 0;
  uint64_t lot = 0;
  auto operator<=>(const ContentKey&) const = default;  // NOLINT(modernize-use-nullptr): false
};
struct ContentKeyHash {
  size_t operator()(const ContentKey& key) const { return key.order; }
};

ContentKey content_key(std::string_view text) {
  return {.order = hash64(text, 0), .lot = hash64(text, 0x73706c6974)};
}

// Matching at the low end, validation at the high end of [0, 1): moving one share does not move
// documents between the other two splits more than it must.
Split split_of(const ContentKey& key, const CorpusConfig& config) {
  const double lot = static_cast<double>(key.lot >> 11) * 0x1p-53;
  if (lot < config.matching_share) return Split::kMatching;
  if (lot >= 1.0 - config.validation_share) return Split::kValidation;
  return Split::kTrain;
}

void check_config(const CorpusConfig& config) {
  const auto fail = [&](const std::string& what) {
    throw Error(fmt::format("corpus {}: {}", in_quotes(config.name), what));
  };
  if (config.sources.empty()) fail("no sources, expected at least one file, folder or glob");
  if (config.text_key.empty()) fail("text_key is empty, expected a key of the JSONL lines");
  if (config.max_bytes < 0) fail(fmt::format("max_bytes is {}, expected ≥ 0", config.max_bytes));
  for (const double share : {config.validation_share, config.matching_share}) {
    if (!(share >= 0 && share < 1))
      fail(fmt::format("a share of {}, expected 0 ≤ share < 1", share));
  }
  if (config.validation_share + config.matching_share >= 1) {
    fail(fmt::format("validation_share {} + matching_share {} leave nothing to train on",
                     config.validation_share, config.matching_share));
  }
}

// The distinct documents seen so far, in order of content hash; with a limit, only the longest
// beginning of that order that fits. What does not fit now never will, because more documents only
// push it further back: so it is dropped at once, and so is all that comes behind it.
class DocumentSet {
 public:
  explicit DocumentSet(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // False if the document was seen before.
  bool insert(std::string text) {
    const ContentKey key = content_key(text);
    if (!seen_.insert(key).second) return false;
    if (end_ && key >= *end_) return true;
    bytes_ += static_cast<int64_t>(text.size());
    documents_.emplace(key, std::move(text));
    while (max_bytes_ > 0 && bytes_ > max_bytes_) {
      const auto last = std::prev(documents_.end());
      bytes_ -= static_cast<int64_t>(last->second.size());
      end_ = last->first;
      documents_.erase(last);
    }
    return true;
  }

  const std::map<ContentKey, std::string>& documents() const { return documents_; }
  int64_t distinct() const { return static_cast<int64_t>(seen_.size()); }

 private:
  int64_t max_bytes_;
  int64_t bytes_ = 0;
  std::map<ContentKey, std::string> documents_;
  std::unordered_set<ContentKey, ContentKeyHash> seen_;
  std::optional<ContentKey> end_;  // The first document that did not fit.
};

// JSONL lines, compressed as they come.
class CompressedLines {
 public:
  CompressedLines() : context_(ZSTD_createCCtx()), chunk_(ZSTD_CStreamOutSize()) {
    FEATFLOW_CHECK(context_ != nullptr, "zstd does not start");
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, kZstdLevel);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
  }
  ~CompressedLines() { ZSTD_freeCCtx(context_); }
  CompressedLines(const CompressedLines&) = delete;
  CompressedLines& operator=(const CompressedLines&) = delete;

  void append(const std::string& text) {
    compress(nlohmann::json{{"text", text}}.dump() + "\n", ZSTD_e_continue);
  }
  const std::string& finish() {
    compress("", ZSTD_e_end);
    return bytes_;
  }

 private:
  void compress(std::string_view text, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    size_t left = 0;
    do {
      ZSTD_outBuffer out{chunk_.data(), chunk_.size(), 0};
      left = ZSTD_compressStream2(context_, &out, &in, directive);
      FEATFLOW_CHECK(!ZSTD_isError(left), ZSTD_getErrorName(left));
      bytes_.append(chunk_.data(), out.pos);
    } while (directive == ZSTD_e_end ? left > 0 : in.pos < in.size);
  }

  ZSTD_CCtx* context_;
  std::vector<char> chunk_;
  std::string bytes_;
};

void check_not_empty(const CorpusConfig& config, const CorpusStatistics& statistics) {
  int64_t documents = 0;
  for (const SplitStatistics& split : statistics.splits) documents += split.documents;
  if (documents == 0) {
    throw Error(fmt::format(
        "corpus {}: 0 documents after reading {} from {} files ({} blank, {} over max_bytes = {})",
        in_quotes(config.name), statistics.documents_read, statistics.files, statistics.blank,
        statistics.over_limit, config.max_bytes));
  }
  for (const Split split : kSplits) {
    const double share = split == Split::kValidation ? config.validation_share
                         : split == Split::kMatching
                             ? config.matching_share
                             : 1 - config.validation_share - config.matching_share;
    if (share > 0 && statistics.split(split).documents == 0) {
      throw Error(fmt::format(
          "corpus {}: the {} split is empty: its share of {} documents is {:.3g}: add text, cut it "
          "into smaller documents, or raise the share",
          in_quotes(config.name), split_name(split), documents, share));
    }
  }
}

}  // namespace

std::string_view split_name(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kValidation:
      return "validation";
    case Split::kMatching:
      return "matching";
  }
  return "";
}

CorpusStatistics build_corpus(const CorpusConfig& config, const fs::path& base,
                              const fs::path& out_folder) {
  check_config(config);
  const std::vector<fs::path> files = source_files(config.sources, base);
  const ReadOptions options{.text_key = config.text_key};
  CorpusStatistics statistics{.name = config.name, .files = static_cast<int64_t>(files.size())};

  DocumentSet set(config.max_bytes);
  Progress progress("reading " + config.name, statistics.files, "files");
  for (size_t i = 0; i < files.size(); ++i) {
    for_each_document(files[i], options, [&](Document&& document) {
      ++statistics.documents_read;
      statistics.bytes_read += static_cast<int64_t>(document.text.size());
      statistics.repaired += document.repaired;
      if (is_blank(document.text)) {
        ++statistics.blank;
      } else if (!set.insert(std::move(document.text))) {
        ++statistics.duplicates;
      }
    });
    progress.update(static_cast<int64_t>(i) + 1);
  }
  statistics.over_limit = set.distinct() - static_cast<int64_t>(set.documents().size());

  std::array<CompressedLines, kSplits.size()> lines;
  for (const auto& [key, text] : set.documents()) {
    throw_if_interrupted();
    const auto split = static_cast<size_t>(split_of(key, config));
    ++statistics.splits[split].documents;
    statistics.splits[split].bytes += static_cast<int64_t>(text.size());
    lines[split].append(text);
  }
  check_not_empty(config, statistics);

  create_folder(out_folder);
  for (const Split split : kSplits) {
    write_file_atomic(split_file(out_folder, split), lines[static_cast<size_t>(split)].finish());
  }
  write_file_atomic(out_folder / kStatisticsFile, to_json(statistics) + "\n");
  return statistics;
}

std::vector<std::string> load_documents(const fs::path& corpus_folder, Split split) {
  const fs::path file = split_file(corpus_folder, split);
  if (!fs::exists(file)) {
    throw Error(fmt::format("{}: no such file: {} is not a corpus (featflow corpus build)",
                            file.string(), corpus_folder.string()));
  }
  std::vector<std::string> documents;
  // Our own line may be longer than the document was: an escaped byte takes up to six.
  ReadOptions options;
  options.max_document_bytes = 6 * options.max_document_bytes + 64;
  for_each_document(file, options,
                    [&](Document&& document) { documents.push_back(std::move(document.text)); });
  return documents;
}

std::string to_json(const CorpusStatistics& statistics) {
  nlohmann::ordered_json json = {{"name", statistics.name},
                                 {"files", statistics.files},
                                 {"documents_read", statistics.documents_read},
                                 {"bytes_read", statistics.bytes_read},
                                 {"blank", statistics.blank},
                                 {"duplicates", statistics.duplicates},
                                 {"over_limit", statistics.over_limit},
                                 {"repaired", statistics.repaired}};
  for (const Split split : kSplits) {
    json["splits"][std::string(split_name(split))] = {
        {"documents", statistics.split(split).documents}, {"bytes", statistics.split(split).bytes}};
  }
  // A name comes from a study file, which may hold any bytes.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

CorpusStatistics load_corpus_statistics(const fs::path& corpus_folder) {
  const fs::path file = corpus_folder / kStatisticsFile;
  try {
    const nlohmann::json json = nlohmann::json::parse(read_file(file));
    CorpusStatistics statistics;
    json.at("name").get_to(statistics.name);
    json.at("files").get_to(statistics.files);
    json.at("documents_read").get_to(statistics.documents_read);
    json.at("bytes_read").get_to(statistics.bytes_read);
    json.at("blank").get_to(statistics.blank);
    json.at("duplicates").get_to(statistics.duplicates);
    json.at("over_limit").get_to(statistics.over_limit);
    json.at("repaired").get_to(statistics.repaired);
    for (const Split split : kSplits) {
      SplitStatistics& counts = statistics.splits[static_cast<size_t>(split)];
      const nlohmann::json& entry = json.at("splits").at(std::string(split_name(split)));
      entry.at("documents").get_to(counts.documents);
      entry.at("bytes").get_to(counts.bytes);
    }
    return statistics;
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: not a corpus description: {}", file.string(),
                            in_quotes(error.what(), 160)));
  }
}

std::string source_fingerprint(const CorpusConfig& config, const fs::path& base) {
  std::vector<std::string> hashes;
  for (const fs::path& file : source_files(config.sources, base)) {
    throw_if_interrupted();
    hashes.push_back(fmt::format("{} {} {}", hash_file(file), is_jsonl(file),
                                 static_cast<int>(compression_of(file))));
  }
  std::sort(hashes.begin(), hashes.end());
  Hasher hasher;
  for (const std::string& hash : hashes) hasher.field(hash);
  return hasher.hex();
}

int64_t estimated_text_bytes(const CorpusConfig& config, const fs::path& base) {
  int64_t bytes = 0;
  for (const fs::path& file : source_files(config.sources, base)) {
    const auto size = static_cast<int64_t>(fs::file_size(file));
    bytes += compression_of(file) == Compression::kNone ? size : 4 * size;
  }
  return config.max_bytes > 0 ? std::min(bytes, config.max_bytes) : bytes;
}

}  // namespace featflow
