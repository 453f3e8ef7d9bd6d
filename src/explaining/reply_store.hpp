#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "explaining/spending.hpp"
#include "storage/files.hpp"

namespace featflow {

struct StoredReply {
  std::string text;
  TokenUsage usage;
  bool usage_estimated = false;  ///< The server gave none.
};

/// Every reply of a language model that was paid for, in one file of JSON lines (docs/formats.md),
/// so that no request is sent twice. A line is whole on disk before put() returns. Safe for any
/// number of threads; one process at a time writes.
class ReplyStore {
 public:
  /// Of one request: hash(base_url, model, body).
  static std::string key(std::string_view base_url, std::string_view model, std::string_view body);

  /// Opens or creates the file. The torn last line of a killed run is cut off; lines that are no
  /// replies are left alone, with a warning that counts them. Throws Error if it cannot be read or
  /// written.
  explicit ReplyStore(const std::filesystem::path& file);

  std::optional<StoredReply> find(const std::string& key) const;
  /// `model` and `body` stand in the file for people to read.
  void put(const std::string& key, std::string_view model, std::string_view body,
           const StoredReply& reply);
  int64_t size() const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, StoredReply> replies_;
  std::unique_ptr<LineLog> log_;
};

}  // namespace featflow
