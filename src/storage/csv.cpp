#include "storage/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "core/nearest.hpp"
#include "storage/files.hpp"

namespace featflow {

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

CsvTable::CsvTable(std::string_view text, std::string where) : where_(std::move(where)) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  Row row{1, {}};
  std::string field;
  size_t line = 1;
  bool quoted = false;  // inside quotes
  bool closed = false;  // behind the quotes that end a field
  const auto end_row = [&] {
    row.fields.push_back(std::exchange(field, {}));
    const bool blank = row.fields.size() == 1 && row.fields[0].empty() && !closed;
    closed = false;
    if (!blank && header_.fields.empty()) {
      header_ = std::move(row);
    } else if (!blank) {
      if (row.fields.size() != header_.fields.size()) {
        throw Error(fmt::format("{}:{}: {} fields, expected {} as in the first line", where_,
                                row.line, row.fields.size(), header_.fields.size()));
      }
      rows_.push_back(std::move(row));
    }
    row = {line + 1, {}};
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        field += text[++i];
      } else if (c == '"') {
        quoted = false, closed = true;
      } else {
        field += c;
      }
    } else if (c == ',') {
      row.fields.push_back(std::exchange(field, {}));
      closed = false;
    } else if (c == '\n') {
      end_row();
    } else if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') {
      continue;
    } else if (c == '"' && field.empty() && !closed) {
      quoted = true;
    } else if (c == '"' || closed) {
      throw Error(fmt::format("{}:{}: quotes inside a field, expected them around the whole field",
                              where_, line));
    } else {
      field += c;
    }
    if (c == '\n') ++line;
  }
  if (quoted) throw Error(fmt::format("{}:{}: quotes that do not close", where_, row.line));
  end_row();
  if (header_.fields.empty()) {
    throw Error(fmt::format("{}: empty, expected a CSV file with a header line", where_));
  }
}

CsvTable CsvTable::load(const std::filesystem::path& file) {
  return {read_file(file), file.string()};
}

size_t CsvTable::column(std::string_view name) const {
  const auto found = std::ranges::find(header_.fields, name);
  if (found != header_.fields.end()) {
    return static_cast<size_t>(found - header_.fields.begin());
  }
  const std::string near = nearest(name, header_.fields);
  throw Error(fmt::format("{}: no column {}{}", where_, in_quotes(name),
                          near.empty() ? "; is it another file?" : ", only " + in_quotes(near)));
}

}  // namespace featflow
