// The only file that sees SentencePiece: built into libfeatflow_sentencepiece.so.
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "tokens/sentencepiece_library.hpp"

namespace featflow {
namespace {

class Encoder : public SentencePieceEncoder {
 public:
  std::string load(const std::string& model) {
    return message(processor_.LoadFromSerializedProto(model));
  }

  int64_t piece_count() const override { return processor_.GetPieceSize(); }
  int32_t bos_id() const override { return processor_.bos_id(); }
  int32_t eos_id() const override { return processor_.eos_id(); }
  std::string encode(std::string_view text, std::vector<int32_t>& ids) const override {
    return message(processor_.Encode(text, &ids));
  }

  static std::string message(const sentencepiece::util::Status& status) {
    if (status.ok()) return {};
    return *status.message() ? status.message() : "unknown error";
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
};

class Texts : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return next_ == texts_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return texts_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  size_t next_ = 0;
};

class Library : public SentencePieceLibrary {
 public:
  std::unique_ptr<SentencePieceEncoder> load(const std::string& model,
                                             std::string& error) const override {
    auto encoder = std::make_unique<Encoder>();
    error = encoder->load(model);
    if (!error.empty()) return nullptr;
    return encoder;
  }

  std::string train(const std::unordered_map<std::string, std::string>& options,
                    const std::vector<std::string>& texts, std::string& model) const override {
    Texts iterator(texts);
    return Encoder::message(sentencepiece::SentencePieceTrainer::Train(options, &iterator, &model));
  }
};

}  // namespace
}  // namespace featflow

extern "C" __attribute__((visibility("default"))) const featflow::SentencePieceLibrary*
featflow_sentencepiece() {
  static const featflow::Library library;
  return &library;
}
