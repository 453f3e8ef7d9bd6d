#include "study/stage_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/nearest.hpp"
#include "core/parallel.hpp"
#include "core/process.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out;
}

// Leaves of a JSON document as path → value.
void flatten(const nlohmann::json& value, const std::string& path,
             std::map<std::string, std::string>& out) {
  if (!value.is_object()) {
    out[path] = value.dump();
    return;
  }
  for (const auto& [key, item] : value.items()) {
    flatten(item, path.empty() ? key : path + "." + key, out);
  }
}

}  // namespace

std::string describe_change(const ArtifactIdentity& before, const ArtifactIdentity& after) {
  std::vector<std::string> changes;
  if (before.version != after.version) {
    changes.push_back(fmt::format("stage version {} → {}", before.version, after.version));
  }
  std::map<std::string, std::string> old_config, new_config;
  flatten(nlohmann::json::parse(before.config, nullptr, false), "", old_config);
  flatten(nlohmann::json::parse(after.config, nullptr, false), "", new_config);
  const auto compare = [&](const auto& olds, const auto& news, const auto& describe) {
    for (const auto& [key, value] : news) {
      const auto found = olds.find(key);
      if (found == olds.end()) {
        changes.push_back(describe(key, "unset", value));
      } else if (found->second != value) {
        changes.push_back(describe(key, found->second, value));
      }
    }
    for (const auto& [key, value] : olds) {
      if (!news.contains(key)) changes.push_back(describe(key, value, "unset"));
    }
  };
  compare(old_config, new_config, [](const std::string& key, const auto& from, const auto& to) {
    return fmt::format("{} {} → {}", key, from, to);
  });
  compare(before.inputs, after.inputs, [](const std::string& key, const auto&, const auto&) {
    return fmt::format("input {} changed", key);
  });
  if (changes.size() > 3) {
    const size_t more = changes.size() - 3;
    changes.resize(3);
    changes.push_back(fmt::format("{} more", more));
  }
  return changes.empty() ? "unchanged" : joined(changes);
}

void StageGraph::add(Stage stage) {
  for (const std::string& input : stage.inputs) {
    FEATFLOW_CHECK(std::ranges::any_of(stages_, [&](const Stage& s) { return s.id() == input; }),
                   stage.id() + " reads " + input + ", which no earlier stage makes");
  }
  FEATFLOW_CHECK(
      std::ranges::none_of(stages_, [&](const Stage& s) { return s.id() == stage.id(); }),
      "two stages are called " + stage.id());
  stages_.push_back(std::move(stage));
}

fs::path StageGraph::folder(const fs::path& run, const std::string& id) const { return run / id; }

std::vector<StageStatus> StageGraph::plan(const fs::path& run, const std::string& until) const {
  // What `until` needs, found from the back.
  std::set<std::string> needed;
  if (!until.empty()) {
    std::set<std::string> known;
    for (const Stage& stage : stages_) {
      known.insert({stage.kind, stage.id()});
      if (stage.kind == until || stage.id() == until) needed.insert(stage.id());
    }
    if (needed.empty()) {
      const std::string near = nearest(until, known);
      throw Error(fmt::format("--until {}: there is no such stage{}", in_quotes(until),
                              near.empty() ? "" : "; did you mean " + in_quotes(near) + "?"));
    }
    for (auto stage = stages_.rbegin(); stage != stages_.rend(); ++stage) {
      if (needed.contains(stage->id())) needed.insert(stage->inputs.begin(), stage->inputs.end());
    }
  }

  std::vector<StageStatus> statuses;
  std::map<std::string, std::string> fingerprints;
  for (const Stage& stage : stages_) {
    StageStatus status;
    status.stage = &stage;
    status.identity = {stage.kind, stage.name, stage.version, stage.config, stage.external};
    for (const std::string& input : stage.inputs) {
      status.identity.inputs[input] = fingerprints.at(input);
    }
    const std::string fingerprint = status.identity.fingerprint();
    fingerprints[stage.id()] = fingerprint;
    if (!until.empty() && !needed.contains(stage.id())) continue;

    const auto existing = read_artifact(folder(run, stage.id()));
    if (existing && existing->fingerprint() == fingerprint) {
      status.state = StageState::kReady;
    } else if (artifact_kept(folder(run, stage.id()), status.identity, run / ".old")) {
      status.state = StageState::kKept;
      status.reason = "made before a change, put back";
    } else if (artifact_begun(folder(run, stage.id()), status.identity)) {
      status.state = StageState::kPartial;
      status.reason = "begun, not finished";
    } else if (existing) {
      status.state = StageState::kStale;
      status.reason = describe_change(*existing, status.identity);
    } else {
      status.reason = "not built yet";
    }
    statuses.push_back(std::move(status));
  }
  return statuses;
}

void StageGraph::execute(const fs::path& run, const std::string& until) const {
  const std::vector<StageStatus> statuses = plan(run, until);
  int64_t number = 0;
  for (const StageStatus& status : statuses) {
    ++number;
    if (status.state == StageState::kReady) continue;
    throw_if_interrupted();
    const Stage& stage = *status.stage;
    // A commit that a kill cut in half is finished, and what is kept put back, not done again.
    if (recover_artifact(folder(run, stage.id()), status.identity, run / ".old")) continue;
    const auto start = std::chrono::steady_clock::now();
    ArtifactBuilder builder(folder(run, stage.id()), status.identity, run / ".old");
    log_info(fmt::format("[{}/{}] {} {}", number, statuses.size(), stage.id(),
                         builder.resumed() ? "(going on)" : ""));
    StageContext context;
    context.folder = builder.partial_folder();
    context.resumed = builder.resumed();
    context.input = [&](const std::string& id) {
      FEATFLOW_CHECK(std::ranges::find(stage.inputs, id) != stage.inputs.end(),
                     stage.id() + " reads the undeclared input " + id);
      return folder(run, id);
    };
    stage.run(context);
    builder.commit();

    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    const nlohmann::ordered_json line = {{"stage", stage.id()},
                                         {"seconds", elapsed.count()},
                                         {"resumed", context.resumed},
                                         {"threads", thread_count()},
                                         {"peak_memory_bytes", peak_memory_bytes()}};
    LineLog(run / "timings.jsonl").append(line.dump());
    log_verbose(fmt::format("{} done in {}", stage.id(), human_seconds(elapsed.count())));
  }
}

}  // namespace featflow
