#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace featflow {

/// config.json of a Hugging Face Mistral or Llama folder. Field names are theirs.
struct ModelConfig {
  std::string model_type = "mistral";  ///< "mistral" or "llama".
  int64_t vocab_size = 32000;
  int64_t hidden_size = 512;
  int64_t intermediate_size = 1024;
  int64_t num_hidden_layers = 1;
  int64_t num_attention_heads = 16;
  int64_t num_key_value_heads = 8;
  int64_t head_dim = 0;  ///< 0 in a file that has none: hidden_size / num_attention_heads.
  int64_t max_position_embeddings = 2048;
  int64_t sliding_window = 0;  ///< 0: none (null in the file).
  double initializer_range = 0.02;
  double rms_norm_eps = 1e-6;
  double rope_theta = 1e4;   ///< Also read from rope_parameters.rope_theta.
  int64_t bos_token_id = 1;  ///< -1: none (null in the file).
  int64_t eos_token_id = 2;  ///< As bos; the first where the file lists several.
  bool tie_word_embeddings = false;

  int64_t resolved_head_dim() const;
  int64_t parameter_count() const;  ///< Of a validated config; tied embeddings count once.
  /// Throws Error naming the field if sizes do not fit together.
  void validate(const std::string& where) const;
};

/// `where` names the file in errors. Unknown keys are ignored (Hugging Face adds many); what
/// changes the arithmetic and is not supported (rope scaling, other activations, biases) is
/// refused.
ModelConfig parse_model_config(const std::string& json_text, const std::string& where);
/// Takes BOS from the tokenizer that writes it into the text, as BOS positions are left out of
/// activations; warns, naming `where`, if the config had another. Early conversions of Llama count
/// both from 0: an EOS that is the tokenizer's BOS is replaced too. Others stay: a chat model may
/// well end in a token of its own.
void adopt_special_tokens(ModelConfig& config, int64_t bos, int64_t eos, const std::string& where);
std::string to_json(const ModelConfig& config);

}  // namespace featflow
