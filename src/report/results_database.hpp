#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "report/report.hpp"

namespace featflow {

/// Name of the database beside the report.
inline constexpr char kResultsFile[] = "results.sqlite";

/// Writes what the stage files say of features, matches and edges as a SQLite database (its tables:
/// docs/formats.md), for questions that the report does not answer. Made anew each time: the stage
/// files are the truth. Throws Error naming the file that is malformed, or `file` if it cannot be
/// written.
void write_results_database(const ReportInputs& inputs, const std::filesystem::path& file);

/// A feature of another model and how it correlates with the one that was asked for.
struct Partner {
  std::string model;
  int64_t feature = 0;
  double correlation = 0;
};

/// Reads what write_results_database wrote.
class ResultsDatabase {
 public:
  /// Throws Error naming the file if it is no such database.
  explicit ResultsDatabase(const std::filesystem::path& file);
  ~ResultsDatabase();

  /// All partners of a feature above the floor of the matches, the best first. Throws Error for a
  /// model or a feature that is not there.
  std::vector<Partner> partners(const std::string& model, int64_t feature) const;

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace featflow
