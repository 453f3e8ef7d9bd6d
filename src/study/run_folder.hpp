#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/artifact.hpp"
#include "study/settings.hpp"

namespace featflow {

/// Facts about how a run was made, in RUN/provenance.json. With timings.jsonl and log.txt the only
/// files of a run that need not be the same bytes every time.
struct Provenance {
  std::filesystem::path folder;  ///< That relative paths of the study start from.
  std::vector<std::string> overrides;
  int threads = 0;
  std::string processor, blas, libtorch, version;
};

/// RUN, held for the life of the object: created if new, locked, and known to belong to the study
/// (RUN/study.toml has its text). Throws Error if it belongs to another study or is in use.
class RunFolder {
 public:
  RunFolder(std::filesystem::path run, const Study& study, const std::string& study_text,
            const Provenance& provenance);

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::optional<RunLock> lock_;
};

struct SavedStudy {
  Study study;
  std::string text;
  Provenance provenance;
};
/// What RUN was started with. Throws Error if the folder is no run.
SavedStudy load_run(const std::filesystem::path& run);

/// Folder of an artefact of a run, "stage/name". Throws Error that names the command which makes
/// it, run until `until`, if it is not there, or if something that it was made from, at any depth,
/// has been made anew since.
std::filesystem::path stage_folder(const std::filesystem::path& run, const std::string& id,
                                   const std::string& until);

/// Deletes RUN/.old (superseded artefacts); returns the bytes freed.
int64_t clean_run(const std::filesystem::path& run);

}  // namespace featflow
