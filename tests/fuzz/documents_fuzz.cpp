// JSONL as it is, gzipped or as zstd (by the first byte): documents of valid UTF-8 without NUL, or
// Error.

#include <cstdint>
#include <cstdlib>

#include "core/error.hpp"
#include "core/utf8.hpp"
#include "corpus/document_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using featflow::Compression;
  if (size == 0) return 0;
  constexpr Compression kCompressions[] = {Compression::kNone, Compression::kGzip,
                                           Compression::kZstd};
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  try {
    const auto source = featflow::open_bytes(bytes, kCompressions[data[0] % 3], "input");
    const featflow::ReadOptions options{.max_document_bytes = 1 << 16};
    featflow::for_each_jsonl_document(*source, "input", options, [](featflow::Document&& document) {
      if (!featflow::is_valid_utf8(document.text)) std::abort();
      if (document.text.find('\0') != std::string::npos) std::abort();
    });
  } catch (const featflow::Error&) {
  }
  return 0;
}
