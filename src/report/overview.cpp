#include "report/overview.hpp"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

struct Step {
  double tokens = 0, loss = 0;
};

}  // namespace

void refuse_stage_file(const std::filesystem::path& file, const std::exception& reason) {
  throw Error(fmt::format("{}: not the file that its stage writes: {}", file.string(),
                          in_quotes(reason.what(), 160)));
}

Json read_stage_json(const std::filesystem::path& file) {
  try {
    return Json::parse(read_file(file));
  } catch (const Json::exception& reason) {
    refuse_stage_file(file, reason);
  }
}

Json training_curves(const std::filesystem::path& metrics, size_t points) {
  std::vector<Step> steps;
  Json validation = Json::object();
  const std::string text = read_file(metrics);
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.empty()) continue;
    try {
      const Json entry = Json::parse(line);
      if (entry.contains("validation")) {
        for (const auto& [corpus, score] : entry.at("validation").items()) {
          Json& curve = validation[corpus];
          curve["tokens"].push_back(steps.empty() ? 0.0 : steps.back().tokens);
          curve["loss"].push_back(score.at("loss"));
          curve["accuracy"].push_back(score.at("accuracy"));
        }
      } else if (entry.contains("loss")) {
        steps.push_back({entry.at("tokens").get<double>(), entry.at("loss").get<double>()});
      }
    } catch (const Json::exception& reason) {
      throw Error(fmt::format("{}, line {}: not a line of training metrics: {}", metrics.string(),
                              number, in_quotes(reason.what(), 160)));
    }
  }

  const size_t averaged = std::max<size_t>(1, (steps.size() + points - 1) / points);
  Json tokens = Json::array(), loss = Json::array();
  for (size_t first = 0; first < steps.size(); first += averaged) {
    const size_t last = std::min(first + averaged, steps.size());
    double sum = 0;
    for (size_t i = first; i < last; ++i) sum += steps[i].loss;
    tokens.push_back(steps[last - 1].tokens);
    loss.push_back(sum / static_cast<double>(last - first));
  }
  return {{"tokens", tokens}, {"loss", loss}, {"averaged", averaged}, {"validation", validation}};
}

Json sweep_summary(const std::filesystem::path& file) {
  Json sweep = read_stage_json(file);
  try {
    std::map<std::string, int> branches;
    Json tensors = Json::array();
    for (const Json& tensor : sweep.value("tensors", Json::array())) {
      ++branches[tensor.at("branch").get<std::string>()];
      tensors.push_back({tensor.at("name").get<std::string>(), tensor.value("cosine", Json()),
                         tensor.at("branch")});
    }
    sweep["tensors"] = std::move(tensors);
    sweep["branches"] = branches;
    for (const char* key : {"method", "direction", "a", "b", "baselines", "balance", "warnings"}) {
      sweep.at(key);
    }
    for (const Json& point : sweep.at("curve")) {
      for (const char* key : {"t", "accuracy_a", "accuracy_b"}) point.at(key);
    }
  } catch (const Json::exception& reason) {
    refuse_stage_file(file, reason);
  }
  return sweep;
}

Json comparison_summary(const ReportComparison& comparison) {
  Json summary = read_stage_json(comparison.file);
  try {
    for (const char* key : {"model", "parents", "threshold", "tokens"}) summary.at(key);
    for (const Json& method : summary.at("methods")) {
      for (const char* key : {"name", "method", "own", "t", "balance", "accuracy"}) method.at(key);
      for (const Json& parent : summary.at("parents")) {
        method.at("retained").at(parent.get<std::string>()).at("share");
      }
    }
    for (const Json& baseline : summary.at("baselines")) {  // a parent is not read through itself
      for (const char* key : {"name", "accuracy", "retained"}) baseline.at(key);
    }
  } catch (const Json::exception& reason) {
    refuse_stage_file(comparison.file, reason);
  }
  summary["curves"] = Json::array();
  for (const ReportSweep& sweep : comparison.sweeps) {
    const Json whole = sweep_summary(sweep.file);
    Json points = Json::array();
    for (const Json& point : whole["curve"]) {
      points.push_back({point["t"], point["accuracy_a"], point["accuracy_b"]});
    }
    summary["curves"].push_back(
        {{"name", sweep.name}, {"method", whole["method"]}, {"points", std::move(points)}});
  }
  return summary;
}

Json causal_summary(const std::filesystem::path& file) {
  const Json check = read_stage_json(file);
  try {
    Json summary, pairs = Json::array();
    for (const char* key :
         {"parent", "child", "threshold", "effect_correlation_bar", "cosine_bar", "classes"}) {
      summary[key] = check.at(key);
    }
    for (const Json& pair : check.at("pairs")) {
      Json shown = {{"class", pair.at("class")}, {"hypothesis", pair.value("hypothesis", Json())}};
      for (const char* key : {"parent_feature", "child_feature", "correlation",
                              "effect_correlation", "cosine", "logit_correlation", "flagged"}) {
        shown[key] = pair.at(key);
      }
      pairs.push_back(std::move(shown));
    }
    summary["pairs"] = std::move(pairs);
    return summary;
  } catch (const Json::exception& reason) {
    refuse_stage_file(file, reason);
  }
}

}  // namespace featflow
