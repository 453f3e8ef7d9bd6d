#include "storage/csv.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Csv, WhatIsWrittenIsRead) {
  Rng rng(5);
  const std::string letters = "ab,\"\n\r é";
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<std::string> fields(3);
    for (std::string& field : fields) {
      for (uint64_t i = rng.below(6); i > 0; --i) field += letters[rng.below(letters.size())];
    }
    const std::string line =
        csv_field(fields[0]) + "," + csv_field(fields[1]) + ",x" + csv_field("") + "\n";
    const CsvTable table("one,two,three\n" + line + line, "t.csv");
    ASSERT_EQ(table.size(), 2u);
    for (size_t row = 0; row < 2; ++row) {
      EXPECT_EQ(table.at(row, table.column("one")), fields[0]);
      EXPECT_EQ(table.at(row, table.column("two")), fields[1]);
      EXPECT_EQ(table.at(row, table.column("three")), "x");
    }
  }
}

TEST(Csv, AsSpreadsheetsWriteIt) {
  const CsvTable table("\xEF\xBB\xBFid,note\r\n\r\n1,\"a\r\nb\"\r\n2,", "t.csv");
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table.at(0, table.column("note")), "a\r\nb");
  EXPECT_EQ(table.line(0), 3u);
  EXPECT_EQ(table.at(1, table.column("id")), "2");
  EXPECT_EQ(table.at(1, 1), "");
  EXPECT_EQ(table.line(1), 5u);
}

TEST(Csv, MalformedFilesAreRefused) {
  const auto reading = [](const std::string& text) { return [text] { CsvTable(text, "t.csv"); }; };
  EXPECT_THAT(reading(""), ThrowsMessage<Error>(HasSubstr("t.csv: empty")));
  EXPECT_THAT(reading("a,b\n\n1\n"),
              ThrowsMessage<Error>(HasSubstr("t.csv:3: 1 fields, expected 2")));
  EXPECT_THAT(reading("a\n\"1\n"), ThrowsMessage<Error>(HasSubstr("t.csv:2: quotes that do not")));
  EXPECT_THAT(reading("a\n1\"2\n"), ThrowsMessage<Error>(HasSubstr("t.csv:2: quotes inside")));
  EXPECT_THAT(reading("a\n\"1\"2\n"), ThrowsMessage<Error>(HasSubstr("t.csv:2: quotes inside")));
  EXPECT_THAT([] { CsvTable("rating\n", "t.csv").column("ratings"); },
              ThrowsMessage<Error>(HasSubstr("t.csv: no column 'ratings', only 'rating'")));
}

}  // namespace
}  // namespace featflow
