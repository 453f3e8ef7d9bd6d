#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace featflow::bench {

/// What a side says beside its time, e.g. {"loss": 1.5}: of the last round.
using Facts = std::map<std::string, double>;
using Work = std::function<Facts()>;

/// One side of a comparison.
struct Side {
  std::string name;
  /// Called once, in a process of the side's own; what it returns is timed, once a round.
  std::function<Work()> prepare;
  /// Measured seconds are multiplied by it: for a slice of work too long to be timed whole.
  double scale = 1;
};

struct Measurement {
  std::string name;
  std::vector<double> seconds;  ///< [rounds], scaled
  std::vector<double>
      processor_seconds;   ///< [rounds], scaled; of all threads, waiting in spins too
  int64_t peak_bytes = 0;  ///< Largest resident memory of its process.
  double scale = 1;
  Facts facts;
};

/// Every side once untimed, then `rounds` times all sides in turn, so that what else the machine
/// does meets them alike. Each side lives in a forked process, of which one works at a time: peaks
/// of memory, allocators and thread pools are its own. Call it while this process has no other
/// thread. A side that fails throws Error with its message.
std::vector<Measurement> measure_in_turn(const std::vector<Side>& sides, int rounds);

/// Runs `work` in a process of its own, so that none of its threads or memory stays here.
void run_apart(const std::function<void()>& work);

/// Median and quartiles, between the nearest two values where they fall between.
struct Spread {
  double median = 0, low = 0, high = 0;
};
Spread spread(std::vector<double> values);

/// numerator / denominator, round by round.
Spread ratio(const Measurement& numerator, const Measurement& denominator);

}  // namespace featflow::bench
