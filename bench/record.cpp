#include "record.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "build_version.hpp"
#include "core/blas.hpp"
#include "core/parallel.hpp"
#include "core/process.hpp"
#include "model/model.hpp"
#include "storage/files.hpp"

namespace featflow::bench {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"low", spread.low}, {"high", spread.high}};
}

void add_bound(ordered_json& json, const char* key, double bound) {
  if (!std::isnan(bound)) json[key] = bound;
}

void print(const Row& row, const std::vector<Measurement>& measured, const ordered_json& ratios) {
  fmt::print("  {}\n", row.name);
  for (const Measurement& side : measured) {
    const Spread seconds = spread(side.seconds);
    fmt::print("    {:<40} {:>10.4f} s [{:.4f}, {:.4f}], processors {:.4f} s  {}", side.name,
               seconds.median, seconds.low, seconds.high, spread(side.processor_seconds).median,
               human_bytes(side.peak_bytes));
    for (const auto& [key, value] : side.facts) fmt::print("  {} {:.6g}", key, value);
    fmt::print("\n");
  }
  for (const ordered_json& ratio : ratios) {
    fmt::print("    {}: {:.3f} [{:.3f}, {:.3f}]\n", ratio.at("what").get<std::string>(),
               ratio.at("median").get<double>(), ratio.at("low").get<double>(),
               ratio.at("high").get<double>());
  }
  std::fflush(stdout);
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Record::Record(std::string name, bool quick, int rounds)
    : name_(std::move(name)),
      quick_(quick),
      most_rounds_(quick ? 1 : rounds),
      others_seconds_(others_processor_seconds()),
      start_seconds_(now_seconds()) {}

void Record::measure(const Row& row) {
  const int rounds = most_rounds_ > 0 ? std::min(most_rounds_, row.rounds) : row.rounds;
  const std::vector<Measurement> measured = measure_in_turn(row.sides, rounds);
  ordered_json sides = ordered_json::array(), ratios = sides, memory = sides;
  for (const Measurement& side : measured) {
    ordered_json json = {{"name", side.name},
                         {"seconds", side.seconds},
                         {"spread", to_json(spread(side.seconds))},
                         {"processor_seconds", to_json(spread(side.processor_seconds))},
                         {"peak_bytes", side.peak_bytes}};
    if (side.scale != 1) json["scaled_by"] = side.scale;
    json["facts"] = side.facts;
    sides.push_back(std::move(json));
  }
  for (const Comparison& comparison : row.comparisons) {
    ordered_json json = {{"what", comparison.what}};
    json.update(to_json(ratio(measured[comparison.numerator], measured[comparison.denominator])));
    add_bound(json, "at_least", comparison.at_least);
    add_bound(json, "at_most", comparison.at_most);
    ratios.push_back(std::move(json));
  }
  for (const MemoryBudget& budget : row.memory) {
    ordered_json json = {{"side", measured[budget.side].name},
                         {"peak_bytes", measured[budget.side].peak_bytes}};
    add_bound(json, "at_most_bytes", budget.at_most_bytes);
    if (!std::isnan(budget.at_most_share)) {
      json["at_most_share"] = budget.at_most_share;
      json["of"] = measured[budget.of].name;
      json["of_bytes"] = measured[budget.of].peak_bytes;
    }
    memory.push_back(std::move(json));
  }
  print(row, measured, ratios);
  rows_.push_back(ordered_json{
      {"name", row.name},
      {"sizes", row.sizes},
      {"sides", sides},
      {"ratios", ratios},
      {"memory",
       memory}}.dump());
}

void Record::write(const std::filesystem::path& folder) const {
  ordered_json json = {{"benchmark", name_}, {"short", quick_}, {"machine", describe_machine()}};
  const double available = (now_seconds() - start_seconds_) * default_thread_count();
  json["machine"]["used_by_others"] =
      std::round(100 * (others_processor_seconds() - others_seconds_) / available) / 100;
  json["rows"] = ordered_json::array();
  for (const std::string& row : rows_) json["rows"].push_back(ordered_json::parse(row));
  create_folder(folder);
  write_file_atomic(folder / (name_ + ".json"), json.dump(1) + "\n");
}

double others_processor_seconds() {
  std::ifstream file("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0;
  if (!(file >> cpu >> user >> nice >> system)) return 0;
  double seconds = (user + nice + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage own = {};
    getrusage(who, &own);
    for (const timeval& time : {own.ru_utime, own.ru_stime}) {
      seconds -= static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    }
  }
  return seconds;
}

nlohmann::ordered_json describe_machine() {
  set_up_side();
  const BlasInfo blas = blas_info();
  return {{"processor", processor_name()},
          {"threads", thread_count()},
          {"memory_available_bytes", available_memory_bytes()},
          {"blas", blas.config},
          {"blas_gflops", std::round(blas_gflops())},
          {"libtorch", torch_version()},
          {"compiler", "g++ " __VERSION__},
          {"revision", kGitRevision},
          {"date", fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)))}};
}

void set_up_side() {
  const int threads = default_thread_count();
  set_thread_count(threads);
  set_torch_threads(threads);
}

}  // namespace featflow::bench
