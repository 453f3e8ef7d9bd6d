#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "corpus/byte_source.hpp"

namespace featflow {

struct ReadOptions {
  std::string text_key = "text";  ///< Of a JSONL line: the top-level key that holds the document.
  int64_t max_document_bytes = int64_t{256} << 20;  ///< Of a JSONL line, or of a plain file.
};

/// A document as FeatFlow keeps it: valid UTF-8 without NUL; otherwise the text as it was, with
/// its line ends, spaces and byte-order marks.
struct Document {
  std::string text;
  bool repaired = false;  ///< Invalid UTF-8 became U+FFFD, or a NUL was dropped.
};
using DocumentSink = std::function<void(Document&& document)>;

/// ".jsonl" and ".ndjson", also with ".gz" or ".zst" behind: one document a line. Every other
/// file is one document.
bool is_jsonl(const std::filesystem::path& file);

/// Every document of one file, in order, empty ones included. Throws Error (path, line, what was
/// found, what was expected) for malformed JSONL, a line without the text key, a truncated or
/// corrupt compressed file, or a document over the limit.
void for_each_document(const std::filesystem::path& file, const ReadOptions& options,
                       const DocumentSink& sink);
/// The same on a stream of JSONL; `where` stands for the path in messages.
void for_each_jsonl_document(ByteSource& source, const std::string& where,
                             const ReadOptions& options, const DocumentSink& sink);

/// The documents of a text file, a JSONL file (either may be compressed), a folder of such files
/// or a glob, without the empty ones: what a command is given as `--data`. Order of the files by
/// name, nothing de-duplicated. Throws Error if there is none.
std::vector<std::string> read_documents(const std::filesystem::path& file_or_folder,
                                        const ReadOptions& options = {});

/// Nothing but spaces, tabs and line ends.
bool is_blank(std::string_view text);

}  // namespace featflow
