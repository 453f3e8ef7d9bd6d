#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

namespace featflow {

/// model.safetensors.index.json, turned around: shard file → names of its tensors. Throws Error
/// if it is damaged, names a tensor twice, or names a shard that is not a plain file name ending
/// in .safetensors.
std::map<std::string, std::set<std::string>> read_shard_index(const std::filesystem::path& path);

/// Where the shard really is, links followed. Throws Error (beginning with `where`) if a link
/// leads out of the folder; only a Hugging Face cache (snapshots/… → blobs/…) may do that.
std::filesystem::path shard_path(const std::filesystem::path& folder, const std::string& shard,
                                 const std::string& where);

}  // namespace featflow
