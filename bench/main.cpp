#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <map>

#include "benchmarks.hpp"
#include "core/log.hpp"
#include "core/process.hpp"

namespace {

using featflow::bench::Record;

const std::map<std::string, void (*)(Record&)> kBenchmarks = {
    {"autoencoder_step", featflow::bench::autoencoder_step},
    {"autoencoder_growth", featflow::bench::autoencoder_growth},
    {"autoencoder_training", featflow::bench::autoencoder_training},
    {"correlation", featflow::bench::correlation},
    {"correlation_growth", featflow::bench::correlation_growth},
    {"language_model_step", featflow::bench::language_model_step},
    {"language_model_growth", featflow::bench::language_model_growth},
    {"merge_curve", featflow::bench::merge_curve},
};

}  // namespace

int main(int argc, char** argv) {
  featflow::tune_allocator();
  CLI::App app{"Measures one benchmark and writes OUT/NAME.json; bench/run calls it for all."};
  std::string name, out;
  bool quick = false;
  std::vector<std::string> names;
  for (const auto& [key, run] : kBenchmarks) names.push_back(key);
  app.add_option("name", name, "Benchmark")->required()->check(CLI::IsMember(names));
  app.add_option("--out", out, "Folder of the result")->required();
  app.add_flag("--short", quick, "Tiny sizes, one round");
  int rounds = 0;
  app.add_option("--rounds", rounds, "At most so many rounds of each row (default: its own)")
      ->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  featflow::set_log_level(featflow::LogLevel::kQuiet);
  try {
    fmt::print("{}\n", name);
    Record record(name, quick, rounds);
    kBenchmarks.at(name)(record);
    record.write(out);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}: {}\n", name, error.what());
    return 1;
  }
  return 0;
}
