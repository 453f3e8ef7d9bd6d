#include "corpus/byte_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>

#include "core/error.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string read_all(ByteSource& source, size_t step = 1000) {
  std::string text;
  std::vector<char> buffer(step);
  while (const size_t count = source.read(buffer.data(), step)) text.append(buffer.data(), count);
  return text;
}

std::string read_all(const std::string& bytes, Compression compression, size_t step = 1000) {
  return read_all(*open_bytes(bytes, compression, "here"), step);
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

// Larger than any internal buffer, half of it compressible.
std::string long_text() {
  Rng rng(7);
  std::string text;
  while (text.size() < 1'500'000) {
    text += rng.uniform() < 0.5 ? std::string(100, static_cast<char>(rng.below(256)))
                                : std::string(1, static_cast<char>(rng.below(256)));
  }
  return text;
}

TEST(ByteSource, DecompressesWhatWasCompressed) {
  for (const std::string& text : {std::string(), std::string("x"), long_text()}) {
    for (const size_t step : {size_t{1000}, size_t{1} << 20}) {
      EXPECT_EQ(read_all(text, Compression::kNone, step), text);
      EXPECT_EQ(read_all(gzip(text), Compression::kGzip, step), text);
      EXPECT_EQ(read_all(zstd(text), Compression::kZstd, step), text);
    }
  }
}

TEST(ByteSource, ReadsSeveralMembersOneAfterAnother) {
  EXPECT_EQ(read_all(gzip("one ") + gzip("") + gzip("two"), Compression::kGzip), "one two");
  EXPECT_EQ(read_all(zstd("one ") + zstd("") + zstd("two"), Compression::kZstd), "one two");
}

TEST(ByteSource, RefusesEveryTruncation) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  const std::string gz = gzip(text), zst = zstd(text);
  for (size_t size = 1; size < gz.size(); ++size) {
    EXPECT_THAT(message_of([&] { read_all(gz.substr(0, size), Compression::kGzip); }),
                HasSubstr("here: truncated"))
        << size;
  }
  for (size_t size = 1; size < zst.size(); ++size) {
    EXPECT_THAT(message_of([&] { read_all(zst.substr(0, size), Compression::kZstd); }),
                HasSubstr("here: truncated"))
        << size;
  }
  const std::string long_zst = zstd(long_text());
  EXPECT_THAT(
      message_of([&] { read_all(long_zst.substr(0, long_zst.size() / 2), Compression::kZstd); }),
      HasSubstr("here: truncated"));
}

TEST(ByteSource, RefusesWhatIsNotCompressed) {
  EXPECT_THAT(message_of([] { read_all("plain text", Compression::kGzip); }),
              HasSubstr("here: not valid gzip data"));
  EXPECT_THAT(message_of([] { read_all("plain text", Compression::kZstd); }),
              HasSubstr("here: not valid zstd data"));
  EXPECT_THAT(message_of([] { read_all(gzip("a") + "plain text", Compression::kGzip); }),
              HasSubstr("here: not valid gzip data"));
}

TEST(ByteSource, NeverCrashesOnFlippedBytes) {
  const std::string text = long_text().substr(0, 3000);
  Rng rng(3);
  for (int trial = 0; trial < 500; ++trial) {
    for (const auto& [bytes, compression] :
         {std::pair(gzip(text), Compression::kGzip), std::pair(zstd(text), Compression::kZstd)}) {
      std::string broken = bytes;
      broken[rng.below(broken.size())] ^= static_cast<char>(1 + rng.below(255));
      try {
        read_all(broken, compression);  // A flip in an unchecked header field may pass.
      } catch (const Error&) {
      }
    }
  }
}

TEST(ByteSource, NamesAFileThatCannotBeRead) {
  EXPECT_THAT(message_of([] { open_file("/nowhere/a.txt"); }),
              HasSubstr("/nowhere/a.txt: cannot be read: No such file"));
}

TEST(LineReader, SplitsAcrossBuffers) {
  Rng rng(11);
  std::vector<std::string> expected;
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    expected.emplace_back(rng.below(800), 'a' + static_cast<char>(i % 26));
    text += expected.back() + "\n";
  }
  expected.emplace_back("no newline at the end");
  text += expected.back();
  const std::string compressed = zstd(text);
  const auto source = open_bytes(compressed, Compression::kZstd, "here");
  LineReader reader(*source, "here", 1000);
  std::string line;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_TRUE(reader.next(line));
    ASSERT_EQ(line, expected[i]);
    ASSERT_EQ(reader.line_number(), static_cast<int64_t>(i) + 1);
  }
  EXPECT_FALSE(reader.next(line));
}

TEST(LineReader, KeepsCarriageReturnsAndEmptyLines) {
  const auto source = open_bytes("a\r\n\n\nb\n", Compression::kNone, "here");
  LineReader reader(*source, "here", 1000);
  std::vector<std::string> lines;
  for (std::string line; reader.next(line);) lines.push_back(line);
  EXPECT_THAT(lines, testing::ElementsAre("a\r", "", "", "b"));
}

TEST(LineReader, ABombEndsAtTheLimit) {
  const std::string bomb = zstd("{}\n" + std::string(50 << 20, ' '));
  ASSERT_LT(bomb.size(), 10'000u);
  const auto source = open_bytes(bomb, Compression::kZstd, "bomb.zst");
  LineReader reader(*source, "bomb.zst", 1 << 20);
  std::string line;
  EXPECT_TRUE(reader.next(line));
  EXPECT_THAT(message_of([&] { reader.next(line); }), HasSubstr("bomb.zst:2: the line is over"));
  EXPECT_LE(line.capacity(), size_t{4} << 20);
}

}  // namespace
}  // namespace featflow
