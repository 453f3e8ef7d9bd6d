#include "corpus/byte_source.hpp"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>

#include "core/error.hpp"
#include "core/process.hpp"

namespace featflow {
namespace {

constexpr size_t kBufferBytes = 1 << 18;

class FileSource : public ByteSource {
 public:
  explicit FileSource(const std::filesystem::path& path)
      : where_(path.string()), file_(path, std::ios::binary) {
    if (!file_) throw Error(fmt::format("{}: cannot be read: {}", where_, std::strerror(errno)));
  }

  size_t read(char* buffer, size_t capacity) override {
    file_.read(buffer, static_cast<std::streamsize>(capacity));
    if (file_.bad()) {
      throw Error(fmt::format("{}: reading failed: {}", where_, std::strerror(errno)));
    }
    return static_cast<size_t>(file_.gcount());
  }

 private:
  std::string where_;
  std::ifstream file_;
};

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}

  size_t read(char* buffer, size_t capacity) override {
    const size_t count = bytes_.copy(buffer, capacity);
    bytes_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view bytes_;
};

// What both decompressors share: a window of compressed bytes, refilled from below.
class CompressedSource : public ByteSource {
 protected:
  CompressedSource(std::unique_ptr<ByteSource> compressed, std::string where)
      : where_(std::move(where)), compressed_(std::move(compressed)), input_(kBufferBytes) {}

  // False at the end of the compressed bytes.
  bool refill() {
    begin_ = 0;
    end_ = compressed_->read(input_.data(), input_.size());
    return end_ > 0;
  }

  std::string where_;
  std::unique_ptr<ByteSource> compressed_;
  std::vector<char> input_;
  size_t begin_ = 0, end_ = 0;
};

// One or more gzip members, as `cat a.gz b.gz` makes them.
class GzipSource : public CompressedSource {
 public:
  GzipSource(std::unique_ptr<ByteSource> compressed, std::string where)
      : CompressedSource(std::move(compressed), std::move(where)) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    FEATFLOW_CHECK(inflateInit2(&stream_, kGzipOnly) == Z_OK, "zlib does not start");
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  size_t read(char* buffer, size_t capacity) override {
    capacity = std::min<size_t>(capacity, std::numeric_limits<uInt>::max());
    stream_.next_out = reinterpret_cast<Bytef*>(buffer);
    stream_.avail_out = static_cast<uInt>(capacity);
    while (stream_.avail_out == capacity) {
      if (begin_ == end_ && !refill()) {
        if (inside_member_) throw Error(where_ + ": truncated: the gzip data end too early");
        return 0;
      }
      if (!inside_member_) inflateReset(&stream_);
      inside_member_ = true;
      stream_.next_in = reinterpret_cast<Bytef*>(input_.data() + begin_);
      stream_.avail_in = static_cast<uInt>(end_ - begin_);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      begin_ = end_ - stream_.avail_in;
      if (status == Z_STREAM_END) {
        inside_member_ = false;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        throw Error(fmt::format("{}: not valid gzip data ({}): corrupt, or misnamed .gz", where_,
                                stream_.msg ? stream_.msg : "no header"));
      }
    }
    return capacity - stream_.avail_out;
  }

 private:
  z_stream stream_{};
  bool inside_member_ = false;
};

class ZstdSource : public CompressedSource {
 public:
  ZstdSource(std::unique_ptr<ByteSource> compressed, std::string where)
      : CompressedSource(std::move(compressed), std::move(where)), stream_(ZSTD_createDStream()) {
    FEATFLOW_CHECK(stream_ != nullptr, "zstd does not start");
  }
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }

  size_t read(char* buffer, size_t capacity) override {
    ZSTD_outBuffer out{buffer, capacity, 0};
    while (out.pos == 0) {
      // Zstandard may hold output back after the last input is in, so ask it once more at the end.
      const bool at_end = begin_ == end_ && !refill();
      if (at_end && !inside_frame_) return 0;
      ZSTD_inBuffer in{input_.data(), end_, begin_};
      const size_t status = ZSTD_decompressStream(stream_, &out, &in);
      begin_ = in.pos;
      if (ZSTD_isError(status)) {
        throw Error(fmt::format("{}: not valid zstd data ({}): corrupt, or misnamed .zst", where_,
                                ZSTD_getErrorName(status)));
      }
      inside_frame_ = status != 0;
      if (at_end && out.pos == 0 && inside_frame_) {
        throw Error(where_ + ": truncated: the zstd data end too early");
      }
    }
    return out.pos;
  }

 private:
  ZSTD_DStream* stream_;
  bool inside_frame_ = false;
};

std::unique_ptr<ByteSource> decompressed(std::unique_ptr<ByteSource> source,
                                         Compression compression, std::string where) {
  switch (compression) {
    case Compression::kNone:
      return source;
    case Compression::kGzip:
      return std::make_unique<GzipSource>(std::move(source), std::move(where));
    case Compression::kZstd:
      return std::make_unique<ZstdSource>(std::move(source), std::move(where));
  }
  return source;
}

}  // namespace

Compression compression_of(const std::filesystem::path& file) {
  const std::string extension = file.extension().string();
  if (extension == ".gz") return Compression::kGzip;
  if (extension == ".zst") return Compression::kZstd;
  return Compression::kNone;
}

std::unique_ptr<ByteSource> open_file(const std::filesystem::path& file) {
  return decompressed(std::make_unique<FileSource>(file), compression_of(file), file.string());
}

std::unique_ptr<ByteSource> open_bytes(std::string_view bytes, Compression compression,
                                       std::string where) {
  return decompressed(std::make_unique<MemorySource>(bytes), compression, std::move(where));
}

LineReader::LineReader(ByteSource& source, std::string where, int64_t max_line_bytes)
    : source_(source),
      where_(std::move(where)),
      max_line_bytes_(max_line_bytes),
      buffer_(kBufferBytes) {}

bool LineReader::next(std::string& line) {
  line.clear();
  bool any = false;
  while (true) {
    if (position_ == filled_) {
      position_ = 0;
      filled_ = source_.read(buffer_.data(), buffer_.size());
      if (filled_ == 0) break;
    }
    if (!any) ++line_number_;
    any = true;
    const char* begin = buffer_.data() + position_;
    const size_t available = filled_ - position_;
    const auto* newline = static_cast<const char*>(std::memchr(begin, '\n', available));
    const size_t count = newline ? static_cast<size_t>(newline - begin) : available;
    if (line.size() + count > static_cast<size_t>(max_line_bytes_)) {
      throw Error(fmt::format("{}:{}: the line is over {}: expected one document a line", where_,
                              line_number_, human_bytes(max_line_bytes_)));
    }
    line.append(begin, count);
    position_ += count + (newline ? 1 : 0);
    if (newline) break;
  }
  return any;
}

}  // namespace featflow
