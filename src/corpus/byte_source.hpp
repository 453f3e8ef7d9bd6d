#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

enum class Compression { kNone, kGzip, kZstd };

/// By the last extension: ".gz", ".zst", anything else is not compressed.
Compression compression_of(const std::filesystem::path& file);

/// A stream of bytes, decompressed on the fly.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Up to `capacity` bytes into `buffer`; 0 only at the end. Throws Error naming the source when
  /// it cannot be read, is not in its format, is corrupt, or ends before its compressed data do.
  virtual size_t read(char* buffer, size_t capacity) = 0;
};

/// Decompressed according to its extension.
std::unique_ptr<ByteSource> open_file(const std::filesystem::path& file);
/// Bytes in memory (borrowed); `where` stands for the path in messages.
std::unique_ptr<ByteSource> open_bytes(std::string_view bytes, Compression compression,
                                       std::string where);

/// Splits a stream at "\n"; a last line without one counts.
class LineReader {
 public:
  /// A line over `max_line_bytes` throws Error naming `where` and the line.
  LineReader(ByteSource& source, std::string where, int64_t max_line_bytes);

  /// The next line without its "\n"; false at the end.
  bool next(std::string& line);
  int64_t line_number() const { return line_number_; }  ///< Of the last line, from 1.

 private:
  ByteSource& source_;
  std::string where_;
  int64_t max_line_bytes_;
  int64_t line_number_ = 0;
  std::vector<char> buffer_;
  size_t position_ = 0, filled_ = 0;
};

}  // namespace featflow
