#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

enum class PieceType {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct Piece {
  std::string text;  ///< With "▁" for a space.
  float score = 0;
  PieceType type = PieceType::kNormal;
};

/// What FeatFlow has to know of a SentencePiece model file that the library does not tell.
struct SentencePieceModel {
  std::vector<Piece> pieces;
  bool adds_space_prefix = true;  ///< The model puts "▁" before a text.
  /// The model for the library, without that prefix (Tokenizer puts it there) and without the
  /// parts that are not needed: self-tests, the denormaliser.
  std::string library_bytes;
};

/// Reads the protocol buffer and checks that the model is of the kind whose round trip is exact:
/// BPE, byte fallback with all 256 byte pieces, no normalisation, pieces that are unique UTF-8.
/// The file comes from strangers: what passes here is safe to hand to the library. Throws Error
/// naming `where`.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& where);

}  // namespace featflow
