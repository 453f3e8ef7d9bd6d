#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "paired.hpp"

namespace featflow::bench {

/// A ratio of two sides of a row, by their positions; a bound that is not NaN is its budget.
struct Comparison {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::string what = {};  ///< "times faster than LibTorch"
  size_t numerator = 0, denominator = 0;
  double at_least = kNone, at_most = kNone;
};

/// A bound on the peak memory of a side, in bytes or as a share of another side's.
struct MemoryBudget {
  size_t side = 0;
  double at_most_bytes = Comparison::kNone;
  double at_most_share = Comparison::kNone;  ///< … of the peak of side `of`.
  size_t of = 0;
};

struct Row {
  std::string name = {};                      ///< "mean L0 30"
  std::map<std::string, int64_t> sizes = {};  ///< {"inputs": 1024, …}
  std::vector<Side> sides = {};
  std::vector<Comparison> comparisons = {};
  std::vector<MemoryBudget> memory = {};
  int rounds = 7;
};

/// Where the rows of one benchmark go: to stdout at once, and to NAME.json at the end. Results are
/// recorded, never judged: a busy machine is no failure.
class Record {
 public:
  /// `quick`: tiny sizes, one round. `rounds`: of each row, at most; 0: as many as it asks for.
  Record(std::string name, bool quick, int rounds);
  bool quick() const { return quick_; }
  void measure(const Row& row);
  void write(const std::filesystem::path& folder) const;

 private:
  std::string name_;
  bool quick_;
  int most_rounds_;
  std::vector<std::string> rows_;  // JSON objects
  double others_seconds_;          // processor time that other programs had used at the start
  double start_seconds_;
};

/// Processor time in seconds that programs other than this one and its sides have used since the
/// machine started: how quiet it was is part of a result. 0 where the system does not say.
double others_processor_seconds();

/// Processor, threads, BLAS and its rate, compiler, LibTorch, revision, date; no host name. Starts
/// OpenMP's threads, so it is asked for in a process of its own, once.
nlohmann::ordered_json describe_machine();

/// Start of every side: allocator and threads as in the featflow command.
void set_up_side();

}  // namespace featflow::bench
