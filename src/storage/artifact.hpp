#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace featflow {

/// What an artefact is made of. Equal identity means equal bytes (same machine, build and thread
/// count), so never threads, host, paths or git revision in here.
struct ArtifactIdentity {
  std::string stage;
  std::string name;
  int version = 1;                            ///< The stage's kVersion.
  std::string config;                         ///< JSON of the config the stage reads.
  std::map<std::string, std::string> inputs;  ///< Input name → fingerprint or content hash.

  /// hash(stage, version, config in canonical form, inputs).
  std::string fingerprint() const;
};

/// Reads FOLDER/artifact.json; nullopt if there is no artefact there. Throws Error if the file is
/// damaged or its fingerprint is not that of its content.
std::optional<ArtifactIdentity> read_artifact(const std::filesystem::path& folder);

/// True if a run of this identity has begun FOLDER and not finished it: it would be resumed.
bool artifact_begun(const std::filesystem::path& folder, const ArtifactIdentity& identity);

/// True if an artefact of this identity was superseded (see ArtifactBuilder) and is still kept.
bool artifact_kept(const std::filesystem::path& folder, const ArtifactIdentity& identity,
                   const std::filesystem::path& old_folder);

/// Puts an artefact in place whose run was killed inside commit(), or that is kept in OLD_FOLDER: a
/// setting was changed and changed back. True if FOLDER then holds an artefact of this identity:
/// the stage can be skipped.
bool recover_artifact(const std::filesystem::path& folder, const ArtifactIdentity& identity,
                      const std::filesystem::path& old_folder);

/// Where a stage keeps the state from which it goes on.
inline constexpr const char* kCheckpointFile = "checkpoint.safetensors";

/// Builds the artefact FOLDER in a hidden ".<name>.partial" beside it and renames it when whole.
/// The partial carries its identity in identity.json. One left by a killed run with the same
/// fingerprint is reopened (resume) and cleared of half-written temporaries, any other is deleted.
/// On commit a superseded artefact moves to OLD_FOLDER/<stage>-<name>-<fingerprint, 8 digits>,
/// replacing an older one of that name.
class ArtifactBuilder {
 public:
  ArtifactBuilder(std::filesystem::path folder, ArtifactIdentity identity,
                  std::filesystem::path old_folder);

  /// Where the stage writes: final files and its checkpoints.
  const std::filesystem::path& partial_folder() const { return partial_; }
  bool resumed() const { return resumed_; }
  /// identity.json becomes artifact.json, the folder is fsynced and renamed. Call once, with
  /// everything closed. A kCheckpointFile is deleted: the artefact takes its place.
  void commit();

 private:
  std::filesystem::path folder_, partial_, old_folder_;
  ArtifactIdentity identity_;
  bool resumed_ = false;
};

/// RUN/.lock held for the life of the object; Error names the holder (pid, start, command) if
/// another process has it. The lock of a dead process is taken over (flock).
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& run_folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace featflow
