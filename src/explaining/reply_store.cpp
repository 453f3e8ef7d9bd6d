#include "explaining/reply_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

std::optional<std::pair<std::string, StoredReply>> parse_line(std::string_view line) {
  try {
    const Json json = Json::parse(line);
    StoredReply reply;
    reply.text = json.at("reply").get<std::string>();
    reply.usage = {json.at("input_tokens").get<int64_t>(), json.at("output_tokens").get<int64_t>()};
    reply.usage_estimated = json.at("usage_estimated").get<bool>();
    constexpr int64_t kMost = int64_t{1} << 40;  // sums of them fit
    for (const char* name : {"input_tokens", "output_tokens"}) {
      if (!json.at(name).is_number_integer()) return {};
    }
    for (const int64_t count : {reply.usage.input, reply.usage.output}) {
      if (count < 0 || count > kMost) return {};
    }
    return std::pair{json.at("key").get<std::string>(), reply};
  } catch (const nlohmann::json::exception&) {
    return {};
  }
}

}  // namespace

std::string ReplyStore::key(std::string_view base_url, std::string_view model,
                            std::string_view body) {
  Hasher hasher;
  for (const std::string_view part : {base_url, model, body}) hasher.field(part);
  return hasher.hex();
}

ReplyStore::ReplyStore(const std::filesystem::path& file) {
  if (file.has_parent_path()) create_folder(file.parent_path());
  log_ = std::make_unique<LineLog>(file);
  const std::string content = read_file(file);
  const size_t whole = content.rfind('\n') == std::string::npos ? 0 : content.rfind('\n') + 1;
  if (whole < content.size()) log_->truncate_to(static_cast<int64_t>(whole));
  int64_t damaged = 0;
  for (size_t begin = 0; begin < whole;) {
    const size_t end = content.find('\n', begin);
    auto entry = parse_line(std::string_view(content).substr(begin, end - begin));
    if (entry) {
      replies_.insert_or_assign(std::move(entry->first), std::move(entry->second));
    } else {
      ++damaged;
    }
    begin = end + 1;
  }
  if (damaged > 0) {
    log_warning(
        fmt::format("{}: {} lines are no stored replies and are not used", file.string(), damaged));
  }
}

std::optional<StoredReply> ReplyStore::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = replies_.find(key);
  if (found == replies_.end()) return {};
  return found->second;
}

void ReplyStore::put(const std::string& key, std::string_view model, std::string_view body,
                     const StoredReply& reply) {
  const Json line = {{"key", key},
                     {"model", model},
                     {"input_tokens", reply.usage.input},
                     {"output_tokens", reply.usage.output},
                     {"usage_estimated", reply.usage_estimated},
                     {"reply", reply.text},
                     {"request", body}};
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::lock_guard lock(mutex_);
  log_->append(text);
  replies_.insert_or_assign(key, reply);
}

int64_t ReplyStore::size() const {
  const std::lock_guard lock(mutex_);
  return std::ssize(replies_);
}

}  // namespace featflow
