#include "paired.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <exception>
#include <memory>
#include <sstream>

#include "core/error.hpp"
#include "core/process.hpp"

namespace featflow::bench {
namespace {

double own_processor_seconds() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

constexpr char kRound = 'r', kQuit = 'q';

/// The process of one side. Each kRound it is sent is answered by a line
/// "SECONDS PROCESSOR_SECONDS PEAK_BYTES KEY=VALUE…", or "! MESSAGE".
class SideProcess {
 public:
  explicit SideProcess(const Side& side) {
    int to_child[2], from_child[2];
    FEATFLOW_CHECK(pipe(to_child) == 0 && pipe(from_child) == 0, "pipes to a side");
    std::fflush(nullptr);
    child_ = fork();
    FEATFLOW_CHECK(child_ >= 0, "a process for a side");
    if (child_ == 0) {
      close(to_child[1]);
      close(from_child[0]);
      serve(side, fdopen(to_child[0], "r"), fdopen(from_child[1], "w"));
      _exit(0);
    }
    close(to_child[0]);
    close(from_child[1]);
    orders_ = fdopen(to_child[1], "w");
    answers_ = fdopen(from_child[0], "r");
    result_.name = side.name;
    result_.scale = side.scale;
  }
  SideProcess(const SideProcess&) = delete;
  SideProcess& operator=(const SideProcess&) = delete;
  ~SideProcess() {
    // The end of the pipe would not be noticed: sides forked later hold it open too.
    std::fputc(kQuit, orders_);
    std::fclose(orders_);
    std::fclose(answers_);
    waitpid(child_, nullptr, 0);
  }

  void round(bool timed) {
    std::fputc(kRound, orders_);
    std::fflush(orders_);
    std::string line;
    for (int c = std::fgetc(answers_); c != EOF && c != '\n'; c = std::fgetc(answers_)) {
      line.push_back(static_cast<char>(c));
    }
    if (line.empty()) throw Error(result_.name + ": its process ended, expected a measurement");
    if (line[0] == '!') throw Error(result_.name + ": " + line.substr(2));
    std::istringstream in(line);
    double seconds = 0, processor_seconds = 0;
    in >> seconds >> processor_seconds >> result_.peak_bytes;
    if (timed) {
      result_.seconds.push_back(seconds * result_.scale);
      result_.processor_seconds.push_back(processor_seconds * result_.scale);
    }
    for (std::string fact; in >> fact;) {
      const size_t equals = fact.find('=');
      result_.facts[fact.substr(0, equals)] = std::stod(fact.substr(equals + 1));
    }
  }

  const Measurement& result() const { return result_; }

 private:
  static void serve(const Side& side, FILE* orders, FILE* answers) {
    try {
      const Work work = side.prepare();
      while (std::fgetc(orders) == kRound) {
        const auto start = std::chrono::steady_clock::now();
        const double processor_start = own_processor_seconds();
        const Facts facts = work();
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        fmt::print(answers, "{} {} {}", elapsed.count(), own_processor_seconds() - processor_start,
                   peak_memory_bytes());
        for (const auto& [key, value] : facts) fmt::print(answers, " {}={}", key, value);
        std::fputc('\n', answers);
        std::fflush(answers);
      }
    } catch (const std::exception& error) {
      fmt::print(answers, "! {}\n", error.what());
      std::fflush(answers);
    }
  }

  pid_t child_ = -1;
  FILE* orders_ = nullptr;
  FILE* answers_ = nullptr;
  Measurement result_;
};

}  // namespace

std::vector<Measurement> measure_in_turn(const std::vector<Side>& sides, int rounds) {
  std::signal(SIGPIPE, SIG_IGN);  // a side that has failed is noticed by its answer
  std::vector<std::unique_ptr<SideProcess>> processes;
  for (const Side& side : sides) processes.push_back(std::make_unique<SideProcess>(side));
  for (int round = 0; round <= rounds; ++round) {
    for (const auto& process : processes) process->round(/*timed=*/round > 0);
  }
  std::vector<Measurement> results;
  for (const auto& process : processes) results.push_back(process->result());
  return results;
}

void run_apart(const std::function<void()>& work) {
  SideProcess process({"preparation", [&work]() -> Work {
                         return [&work]() -> Facts {
                           work();
                           return {};
                         };
                       }});
  process.round(/*timed=*/false);
}

Spread spread(std::vector<double> values) {
  FEATFLOW_CHECK(!values.empty(), "a spread of something");
  std::ranges::sort(values);
  const auto quantile = [&](double share) {
    const double at = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(std::floor(at));
    const size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (at - std::floor(at)) * (values[above] - values[below]);
  };
  return {quantile(0.5), quantile(0.25), quantile(0.75)};
}

Spread ratio(const Measurement& numerator, const Measurement& denominator) {
  std::vector<double> ratios;
  for (size_t round = 0; round < numerator.seconds.size(); ++round) {
    ratios.push_back(numerator.seconds[round] / denominator.seconds[round]);
  }
  return spread(std::move(ratios));
}

}  // namespace featflow::bench
