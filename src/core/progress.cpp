#include "core/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "core/log.hpp"

namespace featflow {
namespace {

std::atomic<bool> bar_on_screen = false;

bool on_terminal() {
  static const bool value = isatty(STDERR_FILENO) != 0;
  return value;
}

std::string short_number(double value) {
  if (value >= 1e9) return fmt::format("{:.1f}G", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.1f}M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.0f}k", value / 1e3);
  return fmt::format("{:.0f}", value);
}

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

}  // namespace

void clear_progress_line() {
  if (bar_on_screen.exchange(false)) {
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
  }
}

Progress::Progress(std::string label, int64_t total, std::string unit, int64_t done)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      start_done_(done),
      done_(done),
      start_(Clock::now()),
      last_shown_(start_) {}

Progress::~Progress() { clear_progress_line(); }

void Progress::update(int64_t done, const std::string& note) {
  done_ = done;
  note_ = note;
  const auto now = Clock::now();
  const auto interval = on_terminal() ? std::chrono::milliseconds(200) : std::chrono::seconds(10);
  if (now - last_shown_ < interval || log_level() == LogLevel::kQuiet) return;
  last_shown_ = now;
  show(now);
}

void Progress::show(Clock::time_point now) {
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(done_ - start_done_) / std::max(elapsed, 1e-9);
  const double share =
      total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 0;
  const double left = rate > 0 ? static_cast<double>(total_ - done_) / rate : 0;
  const std::string facts =
      fmt::format("{}/{} {} · {} {}/s · {} left{}{}", short_number(static_cast<double>(done_)),
                  short_number(static_cast<double>(total_)), unit_,
                  rate < 10 ? fmt::format("{:.2g}", rate) : short_number(rate), unit_,
                  duration(left), note_.empty() ? "" : " · ", note_);
  if (on_terminal()) {
    constexpr int kWidth = 20;
    const int filled = static_cast<int>(share * kWidth);
    std::string bar;
    for (int i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "░";
    fmt::print(stderr, "\r\x1b[K{} {} {}", label_, bar, facts);
    std::fflush(stderr);
    bar_on_screen = true;
  } else {
    log_info(fmt::format("{}: {:.0f}% · {}", label_, share * 100, facts));
  }
}

}  // namespace featflow
