#pragma once

// For tests: what a page of gzip + base64 chunks (payload.hpp) holds, read back by other means.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace featflow {

/// Inverses of gzip and base64 (payload.hpp). Throw std::runtime_error for what is neither.
std::string gunzip(const std::string& bytes);
std::string from_base64(std::string_view text);

/// The data of a written page.
class DecodedPage {
 public:
  explicit DecodedPage(const std::filesystem::path& file);
  const std::string& html() const { return html_; }
  nlohmann::ordered_json chunk(int64_t number) const;

 private:
  std::string html_;
};

}  // namespace featflow
