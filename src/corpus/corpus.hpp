#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

/// Disjoint by document. Training text is what models and autoencoders learn from; validation
/// text measures them; matching text is seen by neither (definitions 8).
enum class Split { kTrain, kValidation, kMatching };
inline constexpr std::array kSplits = {Split::kTrain, Split::kValidation, Split::kMatching};
std::string_view split_name(Split split);  ///< "train", "validation", "matching".

struct CorpusConfig {
  std::string name;
  std::vector<std::string> sources = {};  ///< Files, folders and globs (see source_files).
  std::string text_key = "text";
  double validation_share = 0.03;  ///< Of documents, by the hash of their content.
  double matching_share = 0.05;
  int64_t max_bytes = 0;  ///< Keep the first documents in order of content hash; 0: all.
};

struct SplitStatistics {
  int64_t documents = 0;
  int64_t bytes = 0;  ///< Of text, UTF-8.
};

struct CorpusStatistics {
  std::string name;
  int64_t files = 0;
  int64_t documents_read = 0;
  int64_t bytes_read = 0;  ///< Of text, decompressed.
  int64_t blank = 0;       ///< Dropped: empty, or only spaces and line ends.
  int64_t duplicates = 0;  ///< Dropped: the same bytes as an earlier document.
  int64_t over_limit = 0;  ///< Dropped: distinct, but beyond max_bytes.
  int64_t repaired = 0;    ///< Kept or dropped, after invalid UTF-8 or NUL was mended.
  std::array<SplitStatistics, kSplits.size()> splits = {};

  const SplitStatistics& split(Split which) const { return splits[static_cast<size_t>(which)]; }
};

/// Reads the sources (relative to `base`), mends UTF-8, drops blank documents and exact
/// duplicates, and writes OUT/{train,validation,matching}.jsonl.zst and OUT/corpus.json.
///
/// A document's split is a function of its content and the two shares alone: the same document in
/// two corpora with the same shares lands in the same split, whatever else they hold. Documents
/// stand in order of their content hash, which is a shuffle. So the bytes written depend on the
/// set of documents and the config, not on how they are spread over files. Held in memory: the
/// text that is kept.
///
/// Throws Error for a config or source that cannot be used (see for_each_document), if no document
/// is left, or if a split with a share above 0 is left empty.
CorpusStatistics build_corpus(const CorpusConfig& config, const std::filesystem::path& base,
                              const std::filesystem::path& out_folder);

/// Of OUT, written by build_corpus. Throws Error if there is none or it is malformed.
std::vector<std::string> load_documents(const std::filesystem::path& corpus_folder, Split split);
CorpusStatistics load_corpus_statistics(const std::filesystem::path& corpus_folder);
std::string to_json(const CorpusStatistics& statistics);  ///< As in corpus.json.

/// Hash of the content of all source files, for an artefact's inputs: changes when a file's bytes
/// or its kind (.jsonl, .gz, .zst) change, not when it is renamed or moved.
std::string source_fingerprint(const CorpusConfig& config, const std::filesystem::path& base);
/// Roughly the text that the corpus will hold, from the sizes of its files: four times that of
/// compressed ones, at most max_bytes.
int64_t estimated_text_bytes(const CorpusConfig& config, const std::filesystem::path& base);

}  // namespace featflow
