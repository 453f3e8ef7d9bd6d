#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

/// A field of a CSV file, in quotes if its content asks for them (RFC 4180).
std::string csv_field(std::string_view text);

/// A CSV file with a header line, as spreadsheets write it: RFC 4180, lines may end with \n alone,
/// a byte-order mark and empty lines are passed over.
class CsvTable {
 public:
  /// `where` is named in errors. Throws Error with the line for quotes that do not close or stand
  /// inside a field, and for a line of another number of fields than the header.
  CsvTable(std::string_view text, std::string where);
  static CsvTable load(const std::filesystem::path& file);

  size_t size() const { return rows_.size(); }
  const std::string& where() const { return where_; }
  /// Throws Error naming the nearest column if there is no such one.
  size_t column(std::string_view name) const;
  const std::string& at(size_t row, size_t column) const { return rows_[row].fields[column]; }
  /// The line of the file that a row begins on, from 1.
  size_t line(size_t row) const { return rows_[row].line; }

 private:
  struct Row {
    size_t line = 0;
    std::vector<std::string> fields;
  };
  std::string where_;
  Row header_;
  std::vector<Row> rows_;
};

}  // namespace featflow
