#include "tokens/sentencepiece_model.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_set>

#include "core/error.hpp"
#include "core/utf8.hpp"

namespace featflow {
namespace {

constexpr size_t kMaxPieces = size_t{1} << 24;

// Fields of sentencepiece_model.proto that are read here.
enum ModelField : uint32_t { kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3 };
enum PieceField : uint32_t { kText = 1, kScore = 2, kType = 3 };
enum TrainerField : uint32_t { kModelType = 3, kWhitespaceAsSuffix = 24, kByteFallback = 35 };
enum NormalizerField : uint32_t {
  kCharsMap = 2,
  kAddDummyPrefix = 3,
  kRemoveExtraWhitespaces = 4,
  kEscapeWhitespaces = 5
};
constexpr uint64_t kBpe = 2;
// The message {normalizer_spec: {add_dummy_prefix: false}}: behind a model, it is merged into it.
constexpr std::string_view kNoSpacePrefix("\x1a\x02\x18\x00", 4);
constexpr std::string_view kSpaceSymbol = "\u2581";

struct Field {
  uint32_t number = 0;
  uint64_t value = 0;      // Of a varint or a fixed-size number.
  std::string_view bytes;  // Of a length-delimited field.
  std::string_view whole;  // The field as it stands in the message.
};

// One message of the protocol-buffer wire format, field by field.
class Message {
 public:
  Message(std::string_view bytes, const std::string& where) : rest_(bytes), where_(where) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const std::string_view begin = rest_;
    const uint64_t tag = varint();
    Field field;
    field.number = static_cast<uint32_t>(tag >> 3);
    if (tag >> 3 == 0 || tag >> 32 != 0) malformed("field number");
    switch (tag & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.value = fixed(4);
        break;
      default:
        malformed("wire type");
    }
    field.whole = begin.substr(0, begin.size() - rest_.size());
    return field;
  }

 private:
  [[noreturn]] void malformed(const char* what) const {
    throw Error(
        fmt::format("{}: not a SentencePiece model (bad {}): corrupt or truncated, or "
                    "another kind of file",
                    where_, what));
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    malformed("number");
  }
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) malformed("length");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  uint64_t fixed(size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, take(size).data(), size);  // Little-endian, as every machine we build for.
    return value;
  }

  std::string_view rest_;
  const std::string& where_;
};

Piece parse_piece(std::string_view bytes, const std::string& where) {
  Piece piece;
  uint64_t type = static_cast<uint64_t>(PieceType::kNormal);
  Message message(bytes, where);
  while (const auto field = message.next()) {
    if (field->number == kText) piece.text = field->bytes;
    if (field->number == kScore) piece.score = std::bit_cast<float>(uint32_t(field->value));
    if (field->number == kType) type = field->value;
  }
  const auto fail = [&](const char* what) {
    throw Error(fmt::format("{}: piece {} {}", where, in_quotes(piece.text), what));
  };
  if (type < 1 || type > 6) fail("has an unknown type");
  if (piece.text.empty()) fail("is empty");
  if (!is_valid_utf8(piece.text) || piece.text.find('\0') != std::string::npos) {
    fail("is not UTF-8 without NUL");
  }
  if (!std::isfinite(piece.score)) fail("has a score that is not finite");
  piece.type = static_cast<PieceType>(type);
  return piece;
}

void check_pieces(const SentencePieceModel& model, const std::string& where) {
  std::unordered_set<std::string_view> seen;
  int64_t unknown = 0, bytes = 0;
  for (const Piece& piece : model.pieces) {
    if (!seen.insert(piece.text).second) {
      throw Error(fmt::format("{}: piece {} stands twice", where, in_quotes(piece.text)));
    }
    unknown += piece.type == PieceType::kUnknown;
    bytes += piece.type == PieceType::kByte;
  }
  if (!seen.contains(kSpaceSymbol)) {
    throw Error(fmt::format("{}: no piece {} for the space", where, in_quotes(kSpaceSymbol)));
  }
  if (unknown != 1) {
    throw Error(fmt::format("{}: {} unknown pieces, expected one", where, unknown));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const std::string name = fmt::format("<0x{:02X}>", byte);
    if (bytes != 256 || !seen.contains(name)) {
      throw Error(
          fmt::format("{}: {} byte pieces, expected all 256 (a model trained with byte "
                      "fallback, like Llama's and Mistral's)",
                      where, bytes));
    }
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& where) {
  SentencePieceModel model;
  uint64_t model_type = 1;  // The format's defaults: unigram, extra spaces removed.
  bool removes_spaces = true, escapes_spaces = true, has_map = false;
  bool spaces_behind = false, byte_fallback = false;
  Message message(bytes, where);
  while (const auto field = message.next()) {
    if (field->number == kPieces) {
      if (model.pieces.size() == kMaxPieces) throw Error(where + ": over 16,777,216 pieces");
      model.pieces.push_back(parse_piece(field->bytes, where));
    } else if (field->number == kTrainerSpec) {
      Message trainer(field->bytes, where);
      while (const auto entry = trainer.next()) {
        if (entry->number == kModelType) model_type = entry->value;
        if (entry->number == kWhitespaceAsSuffix) spaces_behind = entry->value != 0;
        if (entry->number == kByteFallback) byte_fallback = entry->value != 0;
      }
    } else if (field->number == kNormalizerSpec) {
      Message normalizer(field->bytes, where);
      while (const auto entry = normalizer.next()) {
        if (entry->number == kCharsMap) has_map = !entry->bytes.empty();
        if (entry->number == kAddDummyPrefix) model.adds_space_prefix = entry->value != 0;
        if (entry->number == kRemoveExtraWhitespaces) removes_spaces = entry->value != 0;
        if (entry->number == kEscapeWhitespaces) escapes_spaces = entry->value != 0;
      }
    } else {
      continue;
    }
    model.library_bytes += field->whole;
  }
  if (model.pieces.empty()) {
    throw Error(where + ": not a SentencePiece model (no pieces): empty, or another kind of file");
  }
  if (model_type != kBpe) {
    throw Error(
        fmt::format("{}: a SentencePiece model of type {} (1 unigram, 3 word, 4 char), "
                    "expected 2 (BPE)",
                    where, model_type));
  }
  if (has_map || removes_spaces || !escapes_spaces) {
    throw Error(where +
                ": the model normalises text, so that decoding would not give it back; "
                "expected normalisation 'identity' with remove_extra_whitespaces = false");
  }
  if (spaces_behind) throw Error(where + ": spaces stand behind words, expected before them");
  if (!byte_fallback) throw Error(where + ": trained without byte_fallback, expected with it");
  check_pieces(model, where);
  model.library_bytes += kNoSpacePrefix;
  return model;
}

}  // namespace featflow
