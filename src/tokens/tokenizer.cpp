#include "tokens/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>
#include <functional>
#include <unordered_map>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/utf8.hpp"
#include "storage/files.hpp"
#include "tokens/sentencepiece_library.hpp"
#include "tokens/sentencepiece_model.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSpaceSymbol = "\u2581";
constexpr size_t kMaxCachedBytes = 48;
constexpr size_t kMaxCachedParts = size_t{1} << 18;  // of all workers, 150 bytes each

size_t cached_parts_of_worker() {
  return std::max(kMaxCachedParts / static_cast<size_t>(thread_count()), size_t{1} << 13);
}

struct TextHash : std::hash<std::string_view> {
  using is_transparent = void;
};
// Part of a text (see Joints) → its ids.
using PartCache = std::unordered_map<std::string, std::vector<int32_t>, TextHash, std::equal_to<>>;

std::string piece_bytes(const Piece& piece) {
  switch (piece.type) {
    case PieceType::kUnknown:
    case PieceType::kControl:
      return "";
    case PieceType::kByte: {
      int byte = 0;  // "<0x0A>", as parse_sentencepiece_model has checked.
      std::from_chars(piece.text.data() + 3, piece.text.data() + 5, byte, 16);
      return std::string(1, static_cast<char>(byte));
    }
    default: {
      std::string bytes = piece.text;
      for (size_t at = 0; (at = bytes.find(kSpaceSymbol, at)) != std::string::npos; ++at) {
        bytes.replace(at, kSpaceSymbol.size(), 1, ' ');
      }
      return bytes;
    }
  }
}

// Which two bytes stand side by side in some piece. Between two characters of a text that never do,
// no merge can reach over: the parts on either side can be encoded one by one. These parts are
// about words, so that most of them come out of a cache. (Exact for BPE, whose merges are local.)
class Joints {
 public:
  void add(std::string_view piece) {
    for (size_t i = 1; i < piece.size(); ++i) inside_.set(pair(piece, i));
  }
  // The end of the part of `text` that begins at `begin`.
  size_t part_end(std::string_view text, size_t begin) const {
    size_t end = begin + 1;
    while (end < text.size() && (is_continuation(text[end]) || inside_[pair(text, end)])) ++end;
    return end;
  }

 private:
  static bool is_continuation(char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
  }
  static size_t pair(std::string_view text, size_t i) {
    return static_cast<unsigned char>(text[i - 1]) * size_t{256} +
           static_cast<unsigned char>(text[i]);
  }
  std::bitset<65536> inside_;
};

}  // namespace

struct Tokenizer::Impl {
  Impl(const std::string& bytes, const std::string& where)
      : Impl(parse_sentencepiece_model(bytes, where), where) {}

  Impl(SentencePieceModel model, const std::string& where)
      : adds_space_prefix(model.adds_space_prefix) {
    std::string error;
    encoder = sentencepiece_library().load(model.library_bytes, error);
    if (!encoder) {
      throw Error(
          fmt::format("{}: SentencePiece refuses the model: {}", where, in_quotes(error, 160)));
    }
    pieces = std::move(model.pieces);
    if (encoder->piece_count() != std::ssize(pieces)) {
      throw Error(where + ": SentencePiece reads other pieces in it than FeatFlow: corrupt");
    }
    for (size_t id = 0; id < pieces.size(); ++id) {
      bytes_of.push_back(piece_bytes(pieces[id]));
      joints.add(bytes_of.back());
      if (pieces[id].type == PieceType::kByte) {
        byte_ids[static_cast<unsigned char>(bytes_of[id][0])] = static_cast<int32_t>(id);
      }
    }
    bos_id = encoder->bos_id();
    eos_id = encoder->eos_id();
    if (bos_id < 0) {
      throw Error(where + ": no beginning-of-text piece ('<s>'), expected one");
    }
  }

  bool is_special(int32_t id) const {
    const PieceType type = pieces[static_cast<size_t>(id)].type;
    return type == PieceType::kControl || type == PieceType::kUnknown;
  }

  size_t index_of(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= pieces.size()) {
      throw Error(fmt::format("token id {} is outside the vocabulary of {}", id, pieces.size()));
    }
    return static_cast<size_t>(id);
  }

  // A text without control tokens, as a text of its own.
  void encode_text(std::string_view text, PartCache& cache, std::vector<int32_t>& ids) const {
    if (text.empty()) return;
    std::string whole = adds_space_prefix ? " " : "";
    whole += is_valid_utf8(text) ? text : to_valid_utf8(text);
    // U+2581 means a space to the library: it is kept from it.
    std::string_view rest = whole;
    for (size_t at; (at = rest.find(kSpaceSymbol)) != std::string_view::npos;) {
      encode_parts(rest.substr(0, at), cache, ids);
      for (const char byte : kSpaceSymbol)
        ids.push_back(byte_ids[static_cast<unsigned char>(byte)]);
      rest.remove_prefix(at + kSpaceSymbol.size());
    }
    encode_parts(rest, cache, ids);
  }

  void encode_parts(std::string_view text, PartCache& cache, std::vector<int32_t>& ids) const {
    const size_t most_parts = cached_parts_of_worker();
    for (size_t begin = 0, end; begin < text.size(); begin = end) {
      end = joints.part_end(text, begin);
      const std::string_view part = text.substr(begin, end - begin);
      if (const auto it = cache.find(part); it != cache.end()) {
        append(it->second, ids);
        continue;
      }
      std::vector<int32_t> found = run_library(part);
      append(found, ids);
      if (part.size() <= kMaxCachedBytes && cache.size() < most_parts) {
        cache.emplace(part, std::move(found));
      }
    }
  }

  std::vector<int32_t> run_library(std::string_view text) const {
    std::vector<int32_t> ids;
    const std::string error = encoder->encode(text, ids);
    FEATFLOW_CHECK(error.empty(), error);
    return ids;
  }

  static void append(const std::vector<int32_t>& from, std::vector<int32_t>& to) {
    to.insert(to.end(), from.begin(), from.end());
  }

  std::unique_ptr<SentencePieceEncoder> encoder;
  bool adds_space_prefix;
  Joints joints;
  std::vector<Piece> pieces;
  std::vector<std::string> bytes_of;
  std::array<int32_t, 256> byte_ids{};
  int32_t bos_id = -1, eos_id = -1;
};

Tokenizer Tokenizer::load(const fs::path& file_or_folder) {
  fs::path file = file_or_folder;
  if (fs::is_directory(file)) {
    file /= "tokenizer.model";
    if (!fs::exists(file)) {
      const bool has_json = fs::exists(file_or_folder / "tokenizer.json");
      throw Error(fmt::format("{}: no such file{}", file.string(),
                              has_json ? " (there is a tokenizer.json, but FeatFlow reads "
                                         "SentencePiece's tokenizer.model)"
                                       : ""));
    }
  }
  Tokenizer tokenizer;
  tokenizer.impl_ = std::make_shared<const Impl>(read_file(file), file.string());
  return tokenizer;
}

int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(impl_->pieces.size()); }
int32_t Tokenizer::bos_id() const { return impl_->bos_id; }
int32_t Tokenizer::eos_id() const { return impl_->eos_id; }

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  PartCache cache;
  std::vector<int32_t> ids;
  while (parse_special) {
    size_t at = std::string_view::npos;
    int32_t special = -1;
    for (int32_t id = 0; id < vocab_size(); ++id) {
      if (!impl_->is_special(id)) continue;
      const size_t found = text.find(impl_->pieces[static_cast<size_t>(id)].text);
      if (found < at) {
        at = found;
        special = id;
      }
    }
    if (special < 0) break;
    impl_->encode_text(text.substr(0, at), cache, ids);
    ids.push_back(special);
    text.remove_prefix(at + impl_->pieces[static_cast<size_t>(special)].text.size());
  }
  impl_->encode_text(text, cache, ids);
  return ids;
}

std::vector<std::vector<int32_t>> Tokenizer::encode_all(
    const std::vector<std::string>& texts) const {
  std::vector<std::vector<int32_t>> ids(texts.size());
  std::vector<PartCache> caches(static_cast<size_t>(thread_count()));
  constexpr int64_t kGrain = 8;
  parallel_for(static_cast<int64_t>(texts.size()), kGrain,
               [&](int64_t begin, int64_t end, int worker) {
                 throw_if_interrupted();
                 for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
                   impl_->encode_text(texts[i], caches[static_cast<size_t>(worker)], ids[i]);
                   ids[i].shrink_to_fit();
                 }
               });
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  bool at_start = impl_->adds_space_prefix;
  for (const int32_t id : ids) {
    const std::string& bytes = impl_->bytes_of[impl_->index_of(id)];
    if (impl_->is_special(id)) {
      at_start = impl_->adds_space_prefix;
      continue;
    }
    text += at_start && bytes.starts_with(' ') ? std::string_view(bytes).substr(1) : bytes;
    at_start = false;
  }
  return text;
}

std::string Tokenizer::token_bytes(int32_t id) const {
  return impl_->bytes_of[impl_->index_of(id)];
}

std::string Tokenizer::token_text(int32_t id) const {
  const std::string& bytes = impl_->bytes_of[impl_->index_of(id)];
  if (impl_->is_special(id)) return impl_->pieces[static_cast<size_t>(id)].text;
  std::string text;
  for (std::string_view rest = bytes; !rest.empty();) {
    const size_t length = utf8_sequence_length(rest);
    if (length == 0) text += fmt::format("<0x{:02X}>", static_cast<unsigned char>(rest[0]));
    text += rest.substr(0, length);
    rest.remove_prefix(std::max<size_t>(length, 1));
  }
  return text;
}

std::vector<int32_t> Tokenizer::ids_of_word(std::string_view word) const {
  std::vector<int32_t> ids;
  if (word.empty()) return ids;
  const std::string spaced = word.starts_with(' ') ? std::string(word) : fmt::format(" {}", word);
  for (int32_t id = 0; id < vocab_size(); ++id) {
    const std::string& bytes = impl_->bytes_of[static_cast<size_t>(id)];
    if (bytes == word || bytes == spaced) ids.push_back(id);
  }
  return ids;
}

}  // namespace featflow
