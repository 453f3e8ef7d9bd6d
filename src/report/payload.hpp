#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

/// RFC 1952, without name or time: the same bytes for the same input.
std::string gzip(std::string_view bytes);
/// RFC 4648, with padding, on one line.
std::string base64(std::string_view bytes);

/// JSON without white space. Strings that are not UTF-8 get U+FFFD; NaN becomes null.
std::string compact_json(const nlohmann::ordered_json& json);

/// Features per chunk of the report.
inline constexpr int64_t kFeaturesPerChunk = 256;

/// The data of a report. Chunk N stands in the page as
///   <script type="application/octet-stream;base64" id="chunk-N">base64(gzip(JSON))</script>
/// so that no text in it, token strings included, is ever parsed as HTML.
///
/// chunk 0, the overview:
///   study, facts [[name, value]], warnings, budget {examples, intervals, before, after, text},
///   corpora [name], vocabulary (chunk), matched [[model, model]],
///   models [{name, parents, kind, method, corpora {name: share}, parameters, tokens_trained,
///     evaluation {corpus: {loss, accuracy, …}} | null, autoencoder (eval.json) | null,
///     training {tokens, loss, averaged, validation {corpus: {tokens, loss, accuracy}}} | null,
///     feature_count, index (chunk) | null, features [chunk], paired [chunk], explanations and
///     texts (chunk) (explanation_payload.hpp) | null}],
///   sweeps [sweep.json, + name, branches], comparisons and causal (overview.hpp),
///   samples [{corpus | -1, document, chunk}] of text with all that is active on it,
///   flow (flow_payload.hpp) | null,
///   lambda_table, cases
/// vocabulary: [token text] by id
/// index of a model: density, max, documents [by feature], measurable "0110…",
///   tokens [[id, …]], edges [{parent, child, classes "pdu…", reached "aco…"}] with p persisting,
///   d disappearing, e emerging, u unmeasurable, x silent at the flow's threshold, and as many
///   letters beyond a as thresholds of the edge that the feature's best match reaches ("": not
///   known); best [[model, [feature | -1], [correlation]]], paths [[index in flow.paths, "0110…" on
///   a chain of it]], origins (of a merged model, flow_payload.hpp)
/// sample of text: tokens [id], models [[model, [[feature, level, …] by token | null]]]
/// 256 features of a model, each {active, mean, histogram [counts of equal bins of (0, max]],
///   corpora [[corpus, active tokens, density, share of activation]],
///   tokens [[id, share of activation, log-likelihood ratio in bits]],
///   examples [[corpus | -1, document | -1, offset of the strongest token, its value, [token id],
///     [offset, level, …]]] with levels in 1 … 255 of the feature's maximum,
///   matches [[model, [[feature, correlation]]]],
///   intervals [[interval, an example as above]], 0 the strongest, if there is room,
///   coactive [[feature, tokens of both, of those of either]],
///   logits [[id promoted], [id suppressed]] | null, if they are known}
/// their plots, if there is room (the list of chunks is empty where there is none): of each
///   [[model, its best match there, tokens on which either is active, letters of some of these
///   (paired_activations.hpp)]]
class Payload {
 public:
  /// Reserves the next number, so that chunk 0 may name chunks that are made after it.
  int64_t reserve();
  void set(int64_t chunk, const nlohmann::ordered_json& json);
  /// set(reserve(), json).
  int64_t add(const nlohmann::ordered_json& json);
  /// An already encoded chunk: base64(gzip(compact_json(…))), made on several threads.
  int64_t add_encoded(std::string chunk);

  /// The <script> elements, in order.
  std::string html() const;
  /// A front end (report_template.hpp) with these data in it.
  std::string page(std::string_view front_end) const;

 private:
  std::vector<std::string> chunks_;
};

/// base64(gzip(compact_json(json))).
std::string encode_chunk(const nlohmann::ordered_json& json);

}  // namespace featflow
