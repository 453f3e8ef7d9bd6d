#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace featflow {

/// The part of SentencePiece that is used here, behind an interface whose implementation lives in
/// a shared object of its own (module/). Debian's libsentencepiece exports a copy of protobuf, and
/// LibTorch needs another version of it: linked into one program, each calls into the other's and
/// crashes. Loaded with RTLD_DEEPBIND and RTLD_LOCAL, neither sees the other
/// (docs/decisions/0005-sentencepiece-in-a-module.md).
class SentencePieceEncoder {
 public:
  virtual ~SentencePieceEncoder() = default;
  virtual int64_t piece_count() const = 0;
  virtual int32_t bos_id() const = 0;
  virtual int32_t eos_id() const = 0;
  /// Returns an error message, empty if all went well. Thread-safe.
  virtual std::string encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
};

class SentencePieceLibrary {
 public:
  virtual ~SentencePieceLibrary() = default;
  /// nullptr, with `error` set, if the library refuses the model.
  virtual std::unique_ptr<SentencePieceEncoder> load(const std::string& model,
                                                     std::string& error) const = 0;
  /// Returns an error message, empty if all went well.
  virtual std::string train(const std::unordered_map<std::string, std::string>& options,
                            const std::vector<std::string>& texts, std::string& model) const = 0;
};

/// Loads the module beside the program on the first call. Throws Error if it is not there.
const SentencePieceLibrary& sentencepiece_library();

}  // namespace featflow
