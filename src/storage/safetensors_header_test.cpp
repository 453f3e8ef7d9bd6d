#include "storage/safetensors_header.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "core/error.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;

std::string with_length(uint64_t header_bytes, std::string_view rest) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &header_bytes, 8);
  return file.append(rest);
}

/// A file with this header and `data_bytes` zeros.
std::string file_of(std::string_view header, size_t data_bytes) {
  return with_length(header.size(), std::string(header) + std::string(data_bytes, '\0'));
}

void validate(std::string_view file) {
  validate_safetensors(std::as_bytes(std::span(file)), "x.safetensors");
}

/// The file is refused with one line that begins with its name and contains `reason`.
void expect_refused(std::string_view file, const std::string& reason) {
  try {
    validate(file);
    ADD_FAILURE() << "accepted; expected: " << reason;
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_THAT(message, testing::StartsWith("x.safetensors: "));
    EXPECT_THAT(message, HasSubstr(reason));
    EXPECT_THAT(message, testing::Not(HasSubstr("\n")));
  }
}

void expect_header_refused(std::string_view header, size_t data_bytes, const std::string& reason) {
  expect_refused(file_of(header, data_bytes), reason);
}

void expect_accepted(std::string_view header, size_t data_bytes) {
  EXPECT_NO_THROW(validate(file_of(header, data_bytes))) << header;
}

std::string entry(std::string_view name, std::string_view dtype, std::string_view shape,
                  std::string_view offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape,
                     offsets);
}

std::string header_of(const std::vector<std::string>& entries) {
  return fmt::format("{{{}}}", fmt::join(entries, ","));
}

std::string one(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return header_of({entry("w", dtype, shape, offsets)});
}

// Rule 1: sizes of file and header.

TEST(SafetensorsHostile, FileShorterThanItsLength) {
  for (size_t size = 0; size < 8; ++size) expect_refused(std::string(size, '\0'), "too short");
}

TEST(SafetensorsHostile, HeaderBeyondTheLimit) {
  expect_refused(with_length(100'000'001, "{}"), "the limit is 100000000");
  expect_refused(with_length(std::numeric_limits<uint64_t>::max(), "{}"), "the limit is");
  expect_refused(with_length(std::numeric_limits<uint64_t>::max() - 7, "{}"), "the limit is");
}

TEST(SafetensorsHostile, HeaderLongerThanTheFile) {
  expect_refused(with_length(1000, "{}"), "claims a header of 1000 bytes but the file has 10");
  expect_refused(with_length(3, "{}"), "claims a header of 3 bytes");
  expect_refused(with_length(100'000'000, "{}"), "claims a header of 100000000 bytes");
}

// Rule 2: JSON.

TEST(SafetensorsHostile, InvalidUtf8) {
  expect_header_refused("{\"\xff\":null}", 0, "not valid UTF-8");
  expect_header_refused("{\"\xc0\xaf\":null}", 0, "not valid UTF-8");      // overlong
  expect_header_refused("{\"\xed\xa0\x80\":null}", 0, "not valid UTF-8");  // surrogate
}

TEST(SafetensorsHostile, NulEndsNothing) {
  expect_header_refused(std::string("{}\0garbage", 10), 0, "not valid UTF-8");
}

TEST(SafetensorsHostile, InvalidJson) {
  for (const char* header :
       {"{", "{\"w\"", "{\"w\":}", "{]", "{'w':1}", "{\"\\q\":1}", "{//\n}",
        "{\"__metadata__\":{},}", "{\"w\":+1}", "{\"w\":NaN}", "{\"w\":\"\t\"}"}) {
    expect_header_refused(header, 0, "is not valid JSON");
  }
  expect_header_refused(R"({"\ud800":1})", 0, "is not valid JSON");  // lone surrogate
}

TEST(SafetensorsHostile, TextAfterTheObject) {
  expect_header_refused("{}x", 0, "is not valid JSON");
  expect_header_refused("{}{}", 0, "is not valid JSON");
}

TEST(SafetensorsHostile, DeepNesting) {
  const std::string deep(1'000'000, '[');
  expect_header_refused(R"({"w":)" + deep, 0, "is an array, expected an object");
  expect_header_refused(one("F32", deep, "[0,0]"), 0, "shape holds an array");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"a":)";
  expect_header_refused(R"({"__metadata__":)" + objects, 0, "expected a string");
  expect_header_refused(R"({"w":)" + objects, 0, "unknown field 'a'");
}

// Rule 3: the first byte.

TEST(SafetensorsHostile, HeaderMustBeginWithABrace) {
  expect_header_refused("", 0, "expected '{'");
  for (const char* header : {" {}", "\t{}", "\n{}", "\r{}", "[]", "null", "\xef\xbb\xbf{}"}) {
    expect_header_refused(header, 0, "expected '{'");
  }
}

// Rule 4: duplicate keys, which a tree would forget.

TEST(SafetensorsHostile, DuplicateKeys) {
  const std::string w = entry("w", "U8", "[1]", "[0,1]");
  expect_header_refused(header_of({w, w}), 1, "key 'w' appears twice");
  expect_header_refused(header_of({w, entry("\\u0077", "U8", "[1]", "[1,2]")}), 2,
                        "key 'w' appears twice");
  expect_header_refused(R"({"__metadata__":{},"__metadata__":{}})", 0,
                        "key '__metadata__' appears twice");
  expect_header_refused(R"({"__metadata__":null,"__metadata__":{}})", 0,
                        "key '__metadata__' appears twice");
  expect_header_refused(R"({"__metadata__":{"a":"1","a":"1"}})", 0, "key 'a' appears twice");
  expect_header_refused(R"({"w":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
                        "field 'dtype' appears twice");
}

// Rule 5: fields and their types.

TEST(SafetensorsHostile, MissingFields) {
  expect_header_refused(R"({"w":{}})", 0, "field 'dtype' is missing");
  expect_header_refused(R"({"w":{"dtype":"U8","data_offsets":[0,1]}})", 1,
                        "field 'shape' is missing");
  expect_header_refused(R"({"w":{"dtype":"U8","shape":[1]}})", 1,
                        "field 'data_offsets' is missing");
}

TEST(SafetensorsHostile, MistypedFields) {
  for (const char* value : {"1", "-1", "1.5", "null", "true", "\"x\"", "[]"}) {
    expect_header_refused(fmt::format(R"({{"w":{}}})", value), 0, "expected an object");
  }
  expect_header_refused(R"({"w":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})", 1,
                        "dtype is the number 1, expected a string");
  expect_header_refused(R"({"w":{"dtype":["U8"],"shape":[1],"data_offsets":[0,1]}})", 1,
                        "dtype is an array, expected a string");
  expect_header_refused(one("U8", "1", "[0,1]"), 1, "shape is the number 1, expected an array");
  expect_header_refused(one("U8", "null", "[0,1]"), 1, "shape is null");
  expect_header_refused(one("U8", "{}", "[0,1]"), 1, "shape is an object");
  expect_header_refused(one("U8", "[1]", "\"0,1\""), 1, "data_offsets is the string");
}

TEST(SafetensorsHostile, NumbersMustBeNonNegativeIntegers) {
  for (const char* number : {"-1", "-0", "1.0", "1e0", "0.5", "18446744073709551616", "1e400",
                             "-9223372036854775809", "\"1\"", "null", "true", "[1]", "{}"}) {
    expect_header_refused(one("U8", fmt::format("[{}]", number), "[0,1]"), 1,
                          std::string(number) == "1e400" ? "" : "shape holds");
    expect_header_refused(one("U8", "[1]", fmt::format("[0,{}]", number)), 1,
                          std::string(number) == "1e400" ? "" : "data_offsets holds");
  }
}

TEST(SafetensorsHostile, OffsetsAreTwo) {
  expect_header_refused(one("U8", "[1]", "[]"), 1, "data_offsets has 0 numbers, expected 2");
  expect_header_refused(one("U8", "[1]", "[0]"), 1, "data_offsets has 1 numbers, expected 2");
  expect_header_refused(one("U8", "[1]", "[0,1,1]"), 1, "more than 2 numbers");
}

TEST(SafetensorsHostile, UnknownDtype) {
  for (const char* dtype : {"F31", "f32", "", "F8_E4M3", "F4", "C64"}) {
    expect_header_refused(one(dtype, "[1]", "[0,4]"), 4, "is unknown; supported are BOOL, U8");
  }
}

TEST(SafetensorsHostile, UnknownField) {
  expect_header_refused(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":{}}})", 1,
                        "unknown field 'x'");
}

// Rule 6: metadata is text to text.

TEST(SafetensorsHostile, MetadataMustBeStrings) {
  for (const char* value : {"1", "-1", "1.5", "null", "true", "[]", "{}"}) {
    expect_header_refused(fmt::format(R"({{"__metadata__":{{"a":{}}}}})", value), 0,
                          "__metadata__ key 'a' is");
  }
  for (const char* value : {"1", "true", "\"x\"", "[]"}) {
    expect_header_refused(fmt::format(R"({{"__metadata__":{}}})", value), 0,
                          "key '__metadata__' is");
  }
}

// Rule 7: offsets tile the data.

TEST(SafetensorsHostile, FirstTensorBeginsAtZero) {
  expect_header_refused(one("U8", "[1]", "[1,2]"), 2, "begins at byte 1, expected 0: a hole");
}

TEST(SafetensorsHostile, Hole) {
  expect_header_refused(
      header_of({entry("a", "U8", "[1]", "[0,1]"), entry("b", "U8", "[1]", "[2,3]")}), 3,
      "tensor 'b': begins at byte 2, expected 1: a hole");
}

TEST(SafetensorsHostile, Overlap) {
  expect_header_refused(
      header_of({entry("a", "U8", "[2]", "[0,2]"), entry("b", "U8", "[2]", "[1,3]")}), 3,
      "tensor 'b': begins at byte 1, expected 2: tensors overlap");
  // Both cover everything.
  expect_header_refused(
      header_of({entry("a", "U8", "[2]", "[0,2]"), entry("b", "U8", "[2]", "[0,2]")}), 2,
      "tensors overlap");
}

TEST(SafetensorsHostile, EndBeforeBegin) {
  expect_header_refused(one("U8", "[1]", "[1,0]"), 1, "ends at byte 0 before it begins at 1");
  expect_header_refused(
      header_of({entry("a", "U8", "[2]", "[0,2]"), entry("b", "U8", "[0]", "[2,1]")}), 2,
      "ends at byte 1 before");
}

// Rule 8: sizes.

TEST(SafetensorsHostile, ShapeOverflows) {
  expect_header_refused(one("F32", "[2,18446744073709551614]", "[0,4]"), 4, "overflows");
  expect_header_refused(one("F32", "[2,9223372036854775807]", "[0,4]"), 4, "overflows");
  expect_header_refused(one("F64", "[2305843009213693952]", "[0,0]"), 0, "overflows");
  expect_header_refused(one("U8", "[4294967296,4294967296]", "[0,0]"), 0, "overflows");
  expect_header_refused(one("U8", "[4294967296,4294967296,0]", "[0,0]"), 0, "overflows");
  expect_header_refused(one("U8", "[9223372036854775807,2,0]", "[0,0]"), 0, "overflows");
}

TEST(SafetensorsHostile, TooManyDimensions) {
  std::string shape = "[1";
  for (int i = 0; i < 100; ++i) shape += ",1";
  expect_header_refused(one("U8", shape + "]", "[0,1]"), 1, "more than 64 dimensions");
}

TEST(SafetensorsHostile, SizeDiffersFromOffsets) {
  expect_header_refused(one("F32", "[2]", "[0,4]"), 4,
                        "F32 [2] needs 8 bytes but its offsets span 4");
  expect_header_refused(one("F32", "[]", "[0,0]"), 0, "F32 [] needs 4 bytes");
  expect_header_refused(one("F32", "[0]", "[0,4]"), 4, "F32 [0] needs 0 bytes");
}

// Rule 9: the end of the file.

TEST(SafetensorsHostile, Truncated) {
  expect_header_refused(one("F32", "[2]", "[0,8]"), 7, "ends at byte 8 but the file has 7 bytes");
  expect_header_refused(one("U8", "[18]", "[0,18446744073709551615]"), 7, "the file has 7 bytes");
}

TEST(SafetensorsHostile, TrailingBytes) {
  expect_header_refused(one("F32", "[2]", "[0,8]"), 9, "1 bytes follow the last tensor");
  expect_header_refused("{}", 1, "1 bytes follow the last tensor");
  expect_header_refused(R"({"__metadata__":{"a":"b"}})", 4, "4 bytes follow the last tensor");
}

// Rule 10: attacks on time and memory.

TEST(SafetensorsHostile, ManyEntriesOverTheSameData) {
  std::vector<std::string> entries;
  for (int i = 0; i < 100'000; ++i) {
    entries.push_back(entry(std::to_string(i), "U8", "[4]", "[0,4]"));
  }
  expect_header_refused(header_of(entries), 4, "tensors overlap");
}

TEST(SafetensorsHostile, TooManyEntries) {
  std::string header = "{";
  for (int i = 0; i <= 1'000'000; ++i) {
    if (i > 0) header += ',';
    header += fmt::format(R"("{:06}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", i);
  }
  expect_header_refused(header + "}", 0, "more than 1000000 tensors");
}

TEST(SafetensorsHostile, TenMillionEntriesDoNotFitTheHeader) {
  // As the published attack writes them: 10 M entries of 60 bytes.
  expect_refused(with_length(600'000'000, std::string(1000, ' ')), "the limit is 100000000");
}

TEST(SafetensorsHostile, NamesInMessagesAreEscaped) {
  expect_header_refused(R"({"a\nb\u001b[31m":{}})", 0, R"('a\x0ab\x1b[31m')");
  expect_header_refused("{\"" + std::string(10'000, 'n') + "\":{}}", 0, "…");
}

TEST(SafetensorsHostile, EveryTruncationOfAValidFileIsRefused) {
  const std::string file = file_of(
      header_of({entry("a", "F32", "[2]", "[0,8]"), entry("b", "U8", "[3]", "[8,11]")}), 11);
  ASSERT_NO_THROW(validate(file));
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_THROW(validate(file.substr(0, size)), Error) << size;
  }
}

TEST(SafetensorsHostile, RandomDamageIsRefusedOrHarmless) {
  const std::string file =
      file_of(R"({"__metadata__":{"format":"pt"},)" + entry("a", "F32", "[2,1]", "[0,8]") + "," +
                  entry("b", "BF16", "[3]", "[8,14]") + "}",
              14);
  const std::string_view alphabet = "{}[]\",:0123456789-+.eE\\u nulltrue\xff";
  Rng rng(17);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = file;
    for (uint64_t change = 0; change <= rng.below(3); ++change) {
      const size_t at = rng.below(damaged.size());
      const char byte = alphabet[rng.below(alphabet.size())];
      switch (rng.below(3)) {
        case 0:
          damaged[at] = byte;
          break;
        case 1:
          damaged.insert(at, 1, byte);
          break;
        default:
          damaged.erase(at, 1);
      }
    }
    try {
      validate(damaged);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 15'000);
}

TEST(SafetensorsAccepts, WhatTheFormatAllows) {
  expect_accepted("{}", 0);
  expect_accepted("{}  \n\t\r ", 0);
  expect_accepted(R"({"__metadata__":{}})", 0);
  expect_accepted(R"({"__metadata__":null})", 0);  // as the reference reader does
  expect_accepted(R"({"__metadata__":{"":"","a":"\u00e9\ud83d\ude00"}})", 0);
  expect_accepted(one("F32", "[]", "[0,4]"), 4);
  expect_accepted(one("F32", "[0,9223372036854775807]", "[0,0]"), 0);
  expect_accepted(R"({ "w" : { "data_offsets" : [ 0 , 1 ] , "shape" : [ 1 ] , "dtype" : "U8" } })",
                  1);
  expect_accepted(header_of({entry("", "U8", "[1]", "[0,1]")}), 1);
  // Any order of keys, empty tensors anywhere.
  expect_accepted(header_of({entry("z", "U8", "[0]", "[3,3]"), entry("b", "U8", "[1]", "[2,3]"),
                             entry("y", "F64", "[0]", "[2,2]"), entry("a", "I16", "[1]", "[0,2]"),
                             entry("x", "U8", "[0,5]", "[0,0]")}),
                  3);
}

}  // namespace
}  // namespace featflow
