#include "storage/artifact.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "storage/atomic_file.hpp"
#include "storage/files.hpp"
#include "storage/system_error.hpp"

namespace featflow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* kArtifactFile = "artifact.json";
constexpr const char* kIdentityFile = "identity.json";  // of a partial

json parse_config(const ArtifactIdentity& identity) {
  json config = json::parse(identity.config, nullptr, /*allow_exceptions=*/false);
  FEATFLOW_CHECK(!config.is_discarded(), "the config of " + identity.name + " is not JSON");
  return config;
}

std::string identity_text(const ArtifactIdentity& identity) {
  const json text = {{"stage", identity.stage},     {"name", identity.name},
                     {"version", identity.version}, {"config", parse_config(identity)},
                     {"inputs", identity.inputs},   {"fingerprint", identity.fingerprint()}};
  return text.dump(2) + "\n";  // keys sorted
}

std::optional<ArtifactIdentity> read_identity(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  const std::string text = read_file(file);
  const std::string advice = "delete its folder to build it again";
  ArtifactIdentity identity;
  std::string fingerprint;
  try {
    // The depth is bounded because writing a tree recurses.
    const auto shallow = [](int depth, json::parse_event_t, json&) {
      if (depth > 64) throw Error("nested too deeply");
      return true;
    };
    const json content = json::parse(text, shallow);
    content.at("stage").get_to(identity.stage);
    content.at("name").get_to(identity.name);
    content.at("version").get_to(identity.version);
    identity.config = content.at("config").dump();
    content.at("inputs").get_to(identity.inputs);
    content.at("fingerprint").get_to(fingerprint);
  } catch (const std::exception&) {
    throw Error(fmt::format("{}: damaged, expected the JSON description of an artefact; {}",
                            file.string(), advice));
  }
  if (identity.fingerprint() != fingerprint) {
    throw Error(fmt::format(
        "{}: its fingerprint {} is not that of its content, {}: changed by hand or by another "
        "version; {}",
        file.string(), in_quotes(fingerprint), identity.fingerprint(), advice));
  }
  return identity;
}

/// As read_identity, with nothing in place of what cannot be trusted.
std::optional<ArtifactIdentity> try_read_identity(const fs::path& file) {
  try {
    return read_identity(file);
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool has_identity(const fs::path& file, const ArtifactIdentity& identity) {
  const auto found = try_read_identity(file);
  return found && found->fingerprint() == identity.fingerprint() && found->name == identity.name;
}

fs::path partial_of(const fs::path& folder) {
  return folder.parent_path() / fmt::format(".{}.partial", folder.filename().string());
}

/// Without "." and ".." and a slash at its end, so that filename() is its name.
fs::path normalised(const fs::path& folder) {
  const fs::path normal = folder.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

void remove_tree(const fs::path& folder) {
  std::error_code code;
  fs::remove_all(folder, code);
  if (code) throw_system_error(folder, "cannot be deleted", code.value());
}

void move_folder(const fs::path& from, const fs::path& to) {
  std::error_code code;
  fs::rename(from, to, code);
  if (code) {
    throw_system_error(from, fmt::format("cannot be renamed to {}", to.string()), code.value());
  }
}

std::vector<fs::directory_entry> entries_below(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code code;
  fs::recursive_directory_iterator walk(folder, code);
  for (; !code && walk != fs::recursive_directory_iterator(); walk.increment(code)) {
    entries.push_back(*walk);
  }
  if (code) throw_system_error(folder, "cannot be read", code.value());
  return entries;
}

/// Where an artefact of this fingerprint goes when it is superseded.
fs::path kept_place(const fs::path& folder, const std::string& stage,
                    const std::string& fingerprint, const fs::path& old_folder) {
  return old_folder / fmt::format("{}-{}-{}", stage, folder.filename().string(), fingerprint);
}

/// The last step of a commit; may be repeated if it was cut short. `partial` holds artifact.json.
void put_in_place(const fs::path& partial, const fs::path& folder, const fs::path& old_folder,
                  const ArtifactIdentity& identity) {
  remove_tree(partial / kCheckpointFile);
  std::error_code ignored;
  if (fs::exists(folder, ignored)) {
    const auto old = try_read_identity(folder / kArtifactFile);
    const fs::path old_place = kept_place(
        folder, identity.stage, old ? old->fingerprint().substr(0, 8) : "unidentified", old_folder);
    create_folder(old_folder);
    remove_tree(old_place);
    move_folder(folder, old_place);
  }
  move_folder(partial, folder);
  sync_folder(folder.parent_path());
}

}  // namespace

std::string ArtifactIdentity::fingerprint() const {
  Hasher hasher;
  hasher.field(stage);
  hasher.field(std::to_string(version));
  hasher.field(parse_config(*this).dump());  // sorted keys, no spaces, shortest numbers
  for (const auto& [input, input_fingerprint] : inputs) {
    hasher.field(input);
    hasher.field(input_fingerprint);
  }
  return hasher.hex();
}

std::optional<ArtifactIdentity> read_artifact(const fs::path& folder) {
  return read_identity(folder / kArtifactFile);
}

bool artifact_begun(const fs::path& folder, const ArtifactIdentity& identity) {
  const fs::path partial = partial_of(normalised(folder));
  return has_identity(partial / kIdentityFile, identity) ||
         has_identity(partial / kArtifactFile, identity);
}

bool artifact_kept(const fs::path& folder, const ArtifactIdentity& identity,
                   const fs::path& old_folder) {
  const fs::path kept = kept_place(normalised(folder), identity.stage,
                                   identity.fingerprint().substr(0, 8), old_folder);
  return has_identity(kept / kArtifactFile, identity);
}

bool recover_artifact(const fs::path& folder, const ArtifactIdentity& identity,
                      const fs::path& old_folder) {
  const fs::path place = normalised(folder);
  if (has_identity(place / kArtifactFile, identity)) return true;
  if (!has_identity(partial_of(place) / kArtifactFile, identity)) {
    if (!artifact_kept(place, identity, old_folder)) return false;
    remove_tree(partial_of(place));
    move_folder(kept_place(place, identity.stage, identity.fingerprint().substr(0, 8), old_folder),
                partial_of(place));
  }
  put_in_place(partial_of(place), place, old_folder, identity);
  return true;
}

ArtifactBuilder::ArtifactBuilder(fs::path folder, ArtifactIdentity identity, fs::path old_folder)
    : folder_(normalised(folder)),
      partial_(partial_of(folder_)),
      old_folder_(std::move(old_folder)),
      identity_(std::move(identity)) {
  resumed_ = has_identity(partial_ / kIdentityFile, identity_);
  if (resumed_) {
    for (const auto& entry : entries_below(partial_)) {
      if (is_temporary_name(entry.path().filename().string())) remove_tree(entry.path());
    }
  } else {
    remove_tree(partial_);
    create_folder(partial_);
    write_file_atomic(partial_ / kIdentityFile, identity_text(identity_));
  }
}

void ArtifactBuilder::commit() {
  for (const auto& entry : entries_below(partial_)) {
    if (entry.is_directory()) sync_folder(entry.path());
  }
  // From this rename on the artefact is whole: recover_artifact() can finish what follows.
  move_folder(partial_ / kIdentityFile, partial_ / kArtifactFile);
  sync_folder(partial_);
  put_in_place(partial_, folder_, old_folder_, identity_);
}

}  // namespace featflow
