#include "study/run_folder.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.hpp"
#include "core/log.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

nlohmann::ordered_json to_json(const Provenance& p) {
  return {{"folder", p.folder.string()}, {"overrides", p.overrides}, {"threads", p.threads},
          {"processor", p.processor},    {"blas", p.blas},           {"libtorch", p.libtorch},
          {"version", p.version}};
}

Provenance parse_provenance(const fs::path& file) {
  try {
    const auto json = nlohmann::json::parse(read_file(file));
    return {json.at("folder").get<std::string>(),
            json.at("overrides"),
            json.at("threads"),
            json.at("processor"),
            json.at("blas"),
            json.at("libtorch"),
            json.at("version")};
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: not a run's provenance: {}", file.string(), error.what()));
  }
}

bool empty_or_absent(const fs::path& folder) {
  return !fs::exists(folder) || (fs::is_directory(folder) && fs::is_empty(folder));
}

}  // namespace

RunFolder::RunFolder(fs::path run, const Study& study, const std::string& study_text,
                     const Provenance& provenance)
    : path_(std::move(run)) {
  const fs::path study_file = path_ / "study.toml", provenance_file = path_ / "provenance.json";
  if (!fs::exists(study_file) && !empty_or_absent(path_) && !fs::exists(path_ / ".lock")) {
    throw Error(
        fmt::format("{}: not empty and not a run of FeatFlow; expected a new folder or a "
                    "run of study {}; choose another --out",
                    path_.string(), in_quotes(study.name)));
  }
  create_folder(path_);
  lock_.emplace(path_);
  Provenance begun = provenance;
  if (fs::exists(study_file)) {
    const std::string owner = load_run(path_).study.name;
    if (owner != study.name) {
      throw Error(
          fmt::format("{}: holds a run of study {}, expected study {}; choose another "
                      "--out",
                      path_.string(), in_quotes(owner), in_quotes(study.name)));
    }
    const Provenance before = parse_provenance(provenance_file);
    if (before.threads != provenance.threads) {
      log_warning(
          fmt::format("this run was made with {} threads and goes on with {}: results "
                      "may differ in the last digits from a run made in one way",
                      before.threads, provenance.threads));
      begun.threads = before.threads;  // of each stage: timings.jsonl
    }
  }
  write_file_atomic(provenance_file, to_json(begun).dump(2) + "\n");
  write_file_atomic(study_file, study_text);
  set_log_file(path_ / "log.txt");
}

SavedStudy load_run(const fs::path& run) {
  if (!fs::exists(run / "study.toml") || !fs::exists(run / "provenance.json")) {
    throw Error(
        fmt::format("{}: not a run of FeatFlow (no study.toml in it); expected a folder "
                    "made by `featflow run`",
                    run.string()));
  }
  SavedStudy saved;
  saved.text = read_file(run / "study.toml");
  saved.provenance = parse_provenance(run / "provenance.json");
  saved.study = parse_study(saved.text, (run / "study.toml").string(), saved.provenance.folder,
                            saved.provenance.overrides);
  return saved;
}

namespace {

/// An artefact below `id` that is not the one that was read, with its reader: ("", "") if there is
/// none.
std::pair<std::string, std::string> newer_input(const fs::path& run, const std::string& id,
                                                std::set<std::string>& seen) {
  if (!seen.insert(id).second) return {};
  const auto artifact = read_artifact(run / id);
  if (!artifact) return {};
  for (const auto& [input, fingerprint] : artifact->inputs) {
    const auto present = read_artifact(run / input);  // outside files have none
    if (present && present->fingerprint() != fingerprint) return {input, id};
    auto below = newer_input(run, input, seen);
    if (!below.first.empty()) return below;
  }
  return {};
}

}  // namespace

fs::path stage_folder(const fs::path& run, const std::string& id, const std::string& until) {
  const fs::path folder = run / id;
  if (!fs::exists(folder / "artifact.json")) {
    throw Error(
        fmt::format("{}: stage {} is missing; featflow run STUDY.toml --out {} --until {} makes it",
                    run.string(), id, run.string(), until));
  }
  std::set<std::string> seen;
  const auto [input, reader] = newer_input(run, id, seen);
  if (!input.empty()) {
    throw Error(
        fmt::format("{}: stage {} is out of date, as {} has been made anew since {}; featflow run "
                    "STUDY.toml --out {} --until {} makes it anew",
                    run.string(), id, input, reader, run.string(), until));
  }
  return folder;
}

int64_t clean_run(const fs::path& run) {
  load_run(run);  // refuses a folder that is no run
  const RunLock lock(run);
  const fs::path old = run / ".old";
  int64_t freed = 0;
  if (!fs::exists(old)) return 0;
  for (const auto& entry : fs::recursive_directory_iterator(old)) {
    if (entry.is_regular_file()) freed += static_cast<int64_t>(entry.file_size());
  }
  fs::remove_all(old);
  return freed;
}

}  // namespace featflow
