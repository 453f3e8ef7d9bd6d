// What passes as a SentencePiece model has all 256 byte pieces and unique UTF-8 pieces; else Error.

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "core/error.hpp"
#include "tokens/sentencepiece_model.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const featflow::SentencePieceModel model = featflow::parse_sentencepiece_model(
        std::string_view(reinterpret_cast<const char*>(data), size), "input");
    const auto bytes =
        std::ranges::count(model.pieces, featflow::PieceType::kByte, &featflow::Piece::type);
    if (bytes != 256) std::abort();
  } catch (const featflow::Error&) {
  }
  return 0;
}
