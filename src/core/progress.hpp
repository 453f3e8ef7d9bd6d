#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace featflow {

/// Progress of one long loop, on stderr: a bar with rate and time left on a terminal, one line
/// per 10 s elsewhere, nothing with --quiet. Has no influence on results.
class Progress {
 public:
  /// `unit` names what is counted ("tokens", "pairs"); `done` > 0 when resumed.
  Progress(std::string label, int64_t total, std::string unit, int64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` is shown at the end of the line, e.g. "loss 3.21".
  void update(int64_t done, const std::string& note = {});

 private:
  using Clock = std::chrono::steady_clock;
  void show(Clock::time_point now);

  std::string label_, unit_, note_;
  int64_t total_, start_done_, done_;
  Clock::time_point start_, last_shown_;
};

/// Called before anything else is printed, so that a bar is not left in the middle of a line.
void clear_progress_line();

}  // namespace featflow
