#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace featflow {

/// Content hash (XXH3, 128 bits): identity of artefacts and text, not protection from an attacker.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  /// Raw bytes. Callers that hash several fields separate them (see `field`).
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// Length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
  void field(std::string_view text);
  std::string hex() const;  ///< 32 lower-case hexadecimal digits.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

uint64_t hash64(std::string_view text, uint64_t seed = 0);
std::string hash_hex(std::string_view text);
/// Of a file's content. Throws Error if it cannot be read.
std::string hash_file(const std::filesystem::path& path);
/// File name → content hash, of every regular file right in a folder.
std::map<std::string, std::string> hash_files(const std::filesystem::path& folder);

}  // namespace featflow
