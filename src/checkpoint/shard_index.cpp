#include "checkpoint/shard_index.hpp"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "core/error.hpp"
#include "storage/files.hpp"

namespace featflow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

bool is_plain_shard_name(std::string_view name) {
  constexpr std::string_view kForbidden("/\\\0", 3);
  return name.ends_with(".safetensors") && !name.starts_with('.') &&
         name.find_first_of(kForbidden) == std::string_view::npos;
}

/// json::parse keeps the last of two equal keys; this refuses them, and anything deep.
json parse_index(const std::string& text, const std::string& where) {
  std::array<std::set<std::string>, 3> seen;  // by depth
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > 8) throw Error(where + ": nested too deeply for an index of shards");
    if (event != json::parse_event_t::key || depth > 2) return true;
    if (depth == 1) seen[2].clear();
    const auto key = parsed.get<std::string>();
    if (!seen[static_cast<size_t>(depth)].insert(key).second) {
      throw Error(fmt::format("{}: {} appears twice", where, in_quotes(key)));
    }
    return true;
  };
  try {
    return json::parse(text, check);
  } catch (const json::exception&) {
    throw Error(where + ": not valid JSON, expected an index of shards");
  }
}

bool is_directly_in(const fs::path& file, const fs::path& folder) {
  return !folder.empty() && file.parent_path() == folder;
}

}  // namespace

std::map<std::string, std::set<std::string>> read_shard_index(const fs::path& path) {
  const std::string where = path.string();
  const json index = parse_index(read_file(path), where);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    throw Error(where + ": has no object weight_map, expected an index of shards");
  }
  std::map<std::string, std::set<std::string>> names_of_shard;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    if (!shard.is_string() || !is_plain_shard_name(shard.get_ref<const std::string&>())) {
      throw Error(fmt::format(
          "{}: tensor {} is said to be in {}, expected a plain file name ending in .safetensors",
          where, in_quotes(name),
          shard.is_string() ? in_quotes(shard.get_ref<const std::string&>())
                            : std::string(shard.type_name())));
    }
    names_of_shard[shard.get<std::string>()].insert(name);
  }
  return names_of_shard;
}

fs::path shard_path(const fs::path& folder, const std::string& shard, const std::string& where) {
  std::error_code code;
  const fs::path home = fs::canonical(folder, code);
  fs::path file = code ? fs::path() : fs::canonical(folder / shard, code);
  if (code) {
    throw Error(fmt::format("{}: names shard {}, which cannot be opened: {}", where,
                            in_quotes(shard), code.message()));
  }
  fs::path blobs;
  if (home.parent_path().filename() == "snapshots") {
    blobs = home.parent_path().parent_path() / "blobs";
  }
  if (!is_directly_in(file, home) && !is_directly_in(file, blobs)) {
    throw Error(
        fmt::format("{}: shard {} is a link that leaves the folder", where, in_quotes(shard)));
  }
  return file;
}

}  // namespace featflow
