#include "report/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "autoencoder/feature_activations.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"
#include "flow/flow.hpp"
#include "matching/correlation.hpp"
#include "merging/sweep.hpp"
#include "report/decoded_page.hpp"
#include "report/overview.hpp"
#include "report/payload.hpp"
#include "report/report_template.hpp"
#include "storage/files.hpp"
#include "tokens/token_shard.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kFeatures = 280;  // more than one chunk, the last one not full
constexpr std::string_view kMarkup = "<script>alert(1)</script>";

/// A hash of three numbers as a uniform variate in [0, 1).
double variate(uint64_t a, uint64_t b, uint64_t c) {
  return Rng(derive_seed(a * 1'000'003 + b, std::to_string(c))).uniform();
}

/// A family of four models with planted features, and every stage file that a report is made
/// from. Feature j of a model follows pattern j + offset(model): patterns are shared by the
/// models whose ranges of patterns overlap.
class Study {
 public:
  explicit Study(fs::path folder) : folder_(std::move(folder)) {
    fs::remove_all(folder_);
    create_folder(folder_);
    write_text();
    const std::vector<std::string> names = {"BabyPython", "Lua", "Tiny<b>Stories", "LuaStories"};
    const std::vector<std::vector<std::string>> parents = {
        {}, {names[0]}, {names[0]}, {names[1], names[2]}};
    const std::vector<int64_t> offsets = {0, 110, 190, 160};
    for (size_t i = 0; i < names.size(); ++i) {
      activations_.push_back(encode(names[i], offsets[i], i));
      add_model(names[i], parents[i], i);
    }
    match_and_flow(names);
    write_sweep();
    inputs.case_studies = folder_ / "case_studies.json";
    write_file_atomic(
        inputs.case_studies,
        Json::array({{{"hypothesis", "="},
                      {"models", {{{"model", names[0]}, {"feature", 7}, {"llr_bits", 6.5}}}},
                      {"persists", false}}})
            .dump());
    inputs.study = "synthetic";
    inputs.facts = {{"seed", "42"}, {"matching tokens", std::to_string(text_.size())}};
    inputs.warnings = {"LuaStories is <i>below</i> the base on lua."};
    inputs.budget.examples = 6;
  }

  ReportInputs inputs;
  const TokenShard& text() const { return text_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const FeatureActivations& activations(size_t model) const { return activations_[model]; }
  const Flow& flow() const { return flow_; }
  const fs::path& folder() const { return folder_; }

 private:
  void write_text() {
    std::vector<std::string> documents;
    Rng rng(1);
    const std::vector<std::string> words = {"local x = nil\n",
                                            "function f(a)\n\treturn a\nend\n",
                                            "if self.y == 3 then\n    print(\"hello\")\nend\n",
                                            "Once upon a time",
                                            " there was a little girl.",
                                            " \"Mum,\" she said,",
                                            " “let us go – now!”\r\n",
                                            "def g(x):\n    return x\n",
                                            "for i = 1, 10 do\n"};
    for (int d = 0; d < 36; ++d) {
      std::string document;
      for (int w = 0; w < 12; ++w) document += words[rng.below(words.size())];
      if (d % 4 == 0) document += kMarkup;
      documents.push_back(document + words[rng.below(words.size())]);
    }
    inputs.tokenizer = folder_ / "tokenizer.model";
    Tokenizer::train({.vocab_size = 400}, documents, inputs.tokenizer);
    tokenizer_ = Tokenizer::load(inputs.tokenizer);
    text_ = tokenize(*tokenizer_, documents);
    inputs.tokens = folder_ / "tokens.safetensors";
    save_token_shard(text_, inputs.tokens);
  }

  FeatureActivations encode(const std::string& name, int64_t offset, uint64_t model) {
    FeatureActivations out;
    out.model = name;
    out.autoencoder = name + "-sae";
    out.corpus = "the matching text";
    out.corpus_names = {"lua", "stories"};
    out.rows.feature_count = kFeatures;
    // A pattern likes a tenth of the vocabulary, and is missing at some of its tokens.
    const auto likes = [](uint64_t pattern, uint64_t id) {
      static std::map<std::pair<uint64_t, uint64_t>, bool> known;
      const auto [at, fresh] = known.try_emplace({pattern, id});
      if (fresh) at->second = variate(2, pattern, id) < 0.1;
      return at->second;
    };
    for (int64_t position = 0; position < text_.size(); ++position) {
      const auto id = static_cast<uint64_t>(text_.tokens[static_cast<size_t>(position)]);
      if (text_.tokens[static_cast<size_t>(position)] == tokenizer_->bos_id()) continue;
      for (int64_t j = 0; j < kFeatures - 5; ++j) {  // the last five are silent
        const auto pattern = static_cast<uint64_t>(j + offset);
        if (!likes(pattern, id)) continue;
        const double strength = variate(3 + pattern, static_cast<uint64_t>(position), 0);
        if (strength < 0.4) continue;
        const double noise = 0.1 * variate(model, pattern, static_cast<uint64_t>(position));
        out.rows.features.push_back(static_cast<int32_t>(j));
        out.rows.values.push_back(static_cast<float>((1 + pattern % 7) * (strength + noise)));
      }
      out.rows.row_offsets.push_back(out.rows.active());
      out.token_positions.push_back(position);
      out.documents.push_back(static_cast<int32_t>(text_.document_of(position)));
      out.corpora.push_back(static_cast<uint8_t>(out.documents.back() % 2));
    }
    return out;
  }

  void add_model(const std::string& name, const std::vector<std::string>& parents, size_t i) {
    const std::vector<std::string> kinds = {"pre-trained", "fine-tuned", "fine-tuned", "merged"};
    ReportModel model;
    model.name = name;
    model.parents = parents;
    model.kind = kinds[i];
    if (i == 3) model.method = "slerp, t = 0.5";
    if (i < 3) model.corpora = {{i == 0 ? "python" : "lua", 0.5}, {"stories", 0.5}};
    model.parameters = 1'234'567;
    model.tokens_trained = i < 3 ? 2'000'000 : 0;
    const std::string stem = std::to_string(i);

    model.activations = folder_ / (stem + ".activations.safetensors");
    save_feature_activations(activations_.back(), model.activations);
    model.evaluation = folder_ / (stem + ".evaluation.json");
    Json scores;
    for (const char* corpus : {"lua", "stories"}) {
      scores[corpus] = {{"loss", 3 - 0.1 * static_cast<double>(i)},
                        {"accuracy", 0.4 + 0.02 * static_cast<double>(i)},
                        {"tokens", 100'000},
                        {"perplexity", 20.1}};
    }
    write_file_atomic(model.evaluation, Json{{"corpora", scores}}.dump());
    model.autoencoder_evaluation = folder_ / (stem + ".eval.json");
    Json edges = Json::array(), counts = Json::array();
    for (int bin = 0; bin <= 32; ++bin) edges.push_back(-8 + 0.25 * bin);
    for (int bin = 0; bin < 32; ++bin) counts.push_back(bin < 10 ? 0 : 2 * (32 - bin));
    write_file_atomic(
        model.autoencoder_evaluation,
        Json{{"features", kFeatures},
             {"l0", 28.4},
             {"mse", 0.0021},
             {"mse_over_variance", 0.12},
             {"explained_variance", 0.88},
             {"dead_share", 0.016},
             {"density_histogram", {{"log10_edges", edges}, {"counts", counts}}},
             {"explained_loss",
              {{"zero", 0.91}, {"mean", 0.84}, {"per_corpus", {{"lua", 0.9}, {"stories", 0.92}}}}},
             {"loss_original", 3.1},
             {"loss_reconstructed", 3.3},
             {"loss_zero", 5.3},
             {"loss_mean", 4.3},
             {"tokens", 200'000}}
            .dump());
    if (i < 3) {
      model.metrics = folder_ / (stem + ".metrics.jsonl");
      LineLog log(model.metrics);
      for (int step = 0; step < 900; ++step) {
        log.append(Json{{"step", step},
                        {"loss", 3 + 4 * std::exp(-step / 150.0)},
                        {"learning_rate", 1e-3},
                        {"gradient_norm", 1.0},
                        {"tokens", (step + 1) * 2048}}
                       .dump());
        if (step % 300 == 299) {
          log.append(
              Json{{"step", step}, {"validation", {{"lua", {{"loss", 3.2}, {"accuracy", 0.41}}}}}}
                  .dump());
        }
      }
      log.offset();
    }
    inputs.models.push_back(model);
  }

  void match_and_flow(const std::vector<std::string>& names) {
    std::map<std::pair<std::string, std::string>, Matches> matches;
    MatchesByModels borrowed;
    for (size_t a = 0; a < names.size(); ++a) {
      for (size_t b = a + 1; b < names.size(); ++b) {
        const fs::path folder = folder_ / ("matches-" + std::to_string(a) + std::to_string(b));
        const auto pair = std::pair(names[a], names[b]);
        matches[pair] = correlate(activations_[a], activations_[b]);
        save_matches(matches[pair], folder);
        inputs.matches.push_back(folder);
        borrowed[pair] = &matches[pair];
      }
    }
    std::vector<FamilyModel> models;
    for (const ReportModel& model : inputs.models) {
      models.push_back({model.name, model.parents, model.kind == "merged"});
    }
    flow_ = compute_flow(Family(models), borrowed);
    save_flow(flow_, folder_ / "flow");
    inputs.flow = folder_ / "flow" / "flow.json";
    inputs.nulls = {{names[0], names[1], 0}};
  }

  void write_sweep() {
    Checkpoint a, b;
    a.tensors["w"] = {{2}, {0, 1}};
    b.tensors["w"] = {{2}, {1, 1}};
    const Evaluate evaluate = [](const Checkpoint& model, int which) {
      const double t = model.tensors.at("w").data[0], s = which == 0 ? t : 1 - t;
      DocumentScores scores;
      for (int document = 0; document < 4; ++document) {
        scores.predicted.push_back(100'000);
        scores.correct.push_back(std::llround(100'000 * (0.5 - 0.2 * s * s)));
        scores.loss.push_back(100'000 * (2 + s * s));
      }
      return scores;
    };
    SweepConfig config;
    config.merge.method = MergeMethod::kLinear;
    config.steps = 21;
    config.names = {"Lua", "Tiny<b>Stories"};
    config.base_name = "BabyPython";
    create_folder(folder_ / "sweep");
    sweep(a, b, &a, config, evaluate, folder_ / "sweep");
    inputs.sweeps = {{"LuaStories", folder_ / "sweep" / "sweep.json"}};
  }

  fs::path folder_;
  TokenShard text_;
  std::optional<Tokenizer> tokenizer_;
  std::vector<FeatureActivations> activations_;
  Flow flow_;
};

/// Written once: the tests only read it.
const Study& study() {
  static Study made(testing::TempDir() + "featflow-report");
  return made;
}

/// FEATFLOW_REPORT names where to leave the report for the browser tests.
const DecodedPage& report() {
  static const DecodedPage written = [] {
    const char* kept = std::getenv("FEATFLOW_REPORT");
    const fs::path file = kept ? fs::path(kept) : study().folder() / "report.html";
    write_report(study().inputs, file);
    return DecodedPage(file);
  }();
  return written;
}

const Json& overview() {
  static const Json chunk = report().chunk(0);
  return chunk;
}

size_t occurrences(const std::string& text, std::string_view needle) {
  size_t count = 0;
  for (size_t at = text.find(needle); at != std::string::npos; at = text.find(needle, at + 1)) {
    ++count;
  }
  return count;
}

/// Activations [n] of one feature, dense.
std::vector<double> dense(const FeatureActivations& activations, int64_t feature) {
  const SparseRows& rows = activations.rows;
  std::vector<double> column(static_cast<size_t>(rows.rows()));
  size_t row = 0;
  for (size_t i = 0; i < rows.features.size(); ++i) {
    while (static_cast<int64_t>(i) >= rows.row_offsets[row + 1]) ++row;
    if (rows.features[i] == feature) column[row] = rows.values[i];
  }
  return column;
}

double dense_pearson(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double mean_a = 0, mean_b = 0, ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) mean_a += a[i] / n, mean_b += b[i] / n;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return ab / std::sqrt(aa * bb);
}

Json feature_page(size_t model, int64_t feature) {
  const Json& chunks = overview().at("models").at(model).at("features");
  return report()
      .chunk(chunks.at(static_cast<size_t>(feature / kFeaturesPerChunk)).get<int64_t>())
      .at(static_cast<size_t>(feature % kFeaturesPerChunk));
}

Json index_of(const std::string& name) {
  for (const Json& model : overview().at("models")) {
    if (model.at("name") == name) return report().chunk(model.at("index").get<int64_t>());
  }
  throw std::runtime_error("no model " + name);
}

TEST(Base64, AgreesWithTheStandard) {
  const std::vector<std::pair<std::string, std::string>> vectors = {
      {"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},
      {"foo", "Zm9v"},  {"foob", "Zm9vYg=="},  {"\xff\xfe", "//4="},
      {"\xfb", "+w=="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) EXPECT_EQ(base64(bytes), text);
}

TEST(Gzip, RoundTripsAndIsDeterministic) {
  Rng rng(3);
  for (const size_t size : {0U, 1U, 1000U, 300'000U}) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(rng.below(size % 7 ? 256 : 4));
    EXPECT_EQ(gunzip(gzip(bytes)), bytes);
    EXPECT_EQ(from_base64(base64(gzip(bytes))), gzip(bytes));
    EXPECT_EQ(gzip(bytes), gzip(bytes));
  }
}

TEST(Report, IsOneFileThatMayLoadNothing) {
  const std::string& html = report().html();
  EXPECT_NE(html.find("default-src 'none'; script-src 'sha256-"), std::string::npos);
  EXPECT_EQ(html.find(kChunksMarker), std::string::npos);
  // Bodies are large: failures name the needle only.
  const std::string page(report_template());
  for (const char* loads : {" src=", "@import", "fetch(", "XMLHttpRequest", "import(", "eval("}) {
    EXPECT_EQ(page.find(loads), std::string::npos) << loads;
  }
  for (size_t at = page.find("url("); at != std::string::npos; at = page.find("url(", at + 1)) {
    EXPECT_EQ(page[at + 4], '#') << page.substr(at, 40);  // gradients and arrow heads
  }
}

TEST(Report, HoldsNoTextThatIsMarkup) {
  const std::string& html = report().html();
  for (const char* text : {"alert(1)", "Tiny<b>", "<i>below"}) {
    EXPECT_EQ(html.find(text), std::string::npos) << text;
  }
  int64_t chunks = 0;
  for (const Json& model : overview().at("models")) chunks += 1 + std::ssize(model.at("features"));
  const size_t scripts = occurrences(html, "<script");
  const size_t own = occurrences(std::string(report_template()), "<script");
  EXPECT_EQ(scripts, own + static_cast<size_t>(chunks) + 2);  // and the overview, the vocabulary
}

TEST(Report, TheVocabularySpellsEveryTokenOfTheText) {
  const Json vocabulary = report().chunk(overview().at("vocabulary").get<int64_t>());
  ASSERT_EQ(std::ssize(vocabulary), study().tokenizer().vocab_size());
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    EXPECT_EQ(vocabulary.at(id).get<std::string>(),
              study().tokenizer().token_text(static_cast<int32_t>(id)));
  }
}

TEST(Report, TheIndexHasEveryFeature) {
  for (size_t m = 0; m < 4; ++m) {
    const Json& model = overview().at("models").at(m);
    EXPECT_EQ(model.at("feature_count"), kFeatures);
    const Json index = report().chunk(model.at("index").get<int64_t>());
    for (const char* key : {"density", "max", "documents", "tokens"}) {
      EXPECT_EQ(std::ssize(index.at(key)), kFeatures) << key;
    }
    int64_t listed = 0;
    for (const Json& chunk : model.at("features")) listed += std::ssize(report().chunk(chunk));
    EXPECT_EQ(listed, kFeatures);
    const auto n = static_cast<double>(study().activations(m).rows.rows());
    for (const int64_t j : {int64_t{0}, int64_t{17}, int64_t{255}, int64_t{256}, kFeatures - 1}) {
      const std::vector<double> column = dense(study().activations(m), j);
      double active = 0, maximum = 0;
      for (const double value : column) active += value > 0, maximum = std::max(maximum, value);
      const auto at = static_cast<size_t>(j);
      EXPECT_NEAR(index.at("density").at(at).get<double>(), active / n, 0.005 * active / n);
      EXPECT_NEAR(index.at("max").at(at).get<double>(), maximum, 1e-3 * maximum);
    }
  }
}

TEST(Report, ExamplesAreTheStrongestAndShowTheirText) {
  const TokenShard& text = study().text();
  for (const auto& [m, j] : std::vector<std::pair<size_t, int64_t>>{{0, 3}, {1, 270}, {3, 256}}) {
    const FeatureActivations& activations = study().activations(m);
    const std::vector<double> column = dense(activations, j);
    const Json page = feature_page(m, j);
    const double maximum = *std::max_element(column.begin(), column.end());
    ASSERT_EQ(std::ssize(page.at("examples")), study().inputs.budget.examples);

    // The strongest value of each document, strongest first.
    std::map<int32_t, double> best;
    for (size_t row = 0; row < column.size(); ++row) {
      best[activations.documents[row]] = std::max(best[activations.documents[row]], column[row]);
    }
    std::vector<double> expected;
    for (const auto& [document, value] : best) expected.push_back(value);
    std::sort(expected.rbegin(), expected.rend());

    for (size_t e = 0; e < page.at("examples").size(); ++e) {
      const Json& example = page.at("examples").at(e);
      EXPECT_NEAR(example.at(3).get<double>(), expected[e], 1e-3 * maximum);
      const auto document = example.at(1).get<int32_t>();
      EXPECT_EQ(example.at(0).get<int>(), document % 2);  // as the family deals out its corpora
      const auto peak = example.at(2).get<int64_t>();
      const auto ids = example.at(4).get<std::vector<int32_t>>();
      const auto pairs = example.at(5).get<std::vector<int64_t>>();
      std::map<int64_t, int64_t> levels;
      for (size_t i = 0; i < pairs.size(); i += 2) levels[pairs[i]] = pairs[i + 1];
      EXPECT_NEAR(static_cast<double>(levels.at(peak)), 255 * expected[e] / maximum, 0.6);

      // Some place in the document has this text with these activations.
      bool found = false;
      for (size_t row = 0; row < column.size() && !found; ++row) {
        if (activations.documents[row] != document || std::abs(column[row] - expected[e]) > 1e-6) {
          continue;
        }
        const int64_t begin = activations.token_positions[row] - peak;
        found = begin >= 0;
        for (size_t i = 0; i < ids.size() && found; ++i) {
          const int64_t position = begin + static_cast<int64_t>(i);
          found = position < text.size() && text.tokens[static_cast<size_t>(position)] == ids[i];
          const auto& positions = activations.token_positions;
          const auto at = std::lower_bound(positions.begin(), positions.end(), position);
          const bool encoded = at != positions.end() && *at == position;
          const double value = encoded ? column[static_cast<size_t>(at - positions.begin())] : 0;
          const auto level = levels.find(static_cast<int64_t>(i));
          found = found && (value > 0) == (level != levels.end()) &&
                  (value == 0 ||
                   std::abs(static_cast<double>(level->second) - 255 * value / maximum) <= 1.0);
        }
      }
      EXPECT_TRUE(found) << "model " << m << " feature " << j << " example " << e;
    }
  }
}

TEST(Report, MatchesAreTheBestPearsonCorrelations) {
  const int64_t j = 192;  // its pattern is in every model
  const std::vector<double> column = dense(study().activations(0), j);
  const Json matches = feature_page(0, j).at("matches");
  ASSERT_EQ(matches.size(), 3U);
  for (const Json& entry : matches) {
    const auto other = entry.at(0).get<size_t>();
    double best = -1;
    int64_t partner = -1;
    for (int64_t k = 0; k < kFeatures - 5; ++k) {
      const double r = dense_pearson(column, dense(study().activations(other), k));
      if (r > best) best = r, partner = k;
    }
    EXPECT_EQ(entry.at(1).at(0).at(0), partner);
    EXPECT_NEAR(entry.at(1).at(0).at(1).get<double>(), best, 1e-3);
  }
}

TEST(Report, TokensAreByShareOfActivationWithTheirRatio) {
  const FeatureActivations& activations = study().activations(2);
  const std::vector<double> column = dense(activations, 40);
  std::map<int32_t, double> mass, rows;
  double all = 0;
  for (size_t row = 0; row < column.size(); ++row) {
    const int32_t id = study().text().tokens[static_cast<size_t>(activations.token_positions[row])];
    mass[id] += column[row];
    all += column[row];
    ++rows[id];
  }
  const Json tokens = feature_page(2, 40).at("tokens");
  ASSERT_GT(tokens.size(), 1U);
  double before = 1;
  for (const Json& entry : tokens) {
    const auto id = entry.at(0).get<int32_t>();
    const double share = mass[id] / all;
    EXPECT_NEAR(entry.at(1).get<double>(), share, 1e-3);
    EXPECT_NEAR(entry.at(2).get<double>(),
                std::log2(share * static_cast<double>(column.size()) / rows[id]), 2e-3);
    EXPECT_LE(share, before);
    before = share;
  }
  for (const auto& [id, value] : mass) {
    if (value / all > before + 1e-9) {
      EXPECT_TRUE(std::any_of(tokens.begin(), tokens.end(),
                              [&](const Json& entry) { return entry.at(0) == id; }));
    }
  }
}

TEST(Report, ClassesOnEdgesAreThoseOfTheFlow) {
  for (const EdgeFlow& edge : study().flow().family) {
    EXPECT_GT(edge.persisting_parents.size(), 10U);  // the family is not trivial
    EXPECT_GT(edge.disappearing.size(), 10U);
    for (const bool parent : {true, false}) {
      std::string expected(static_cast<size_t>(kFeatures), '?');
      const auto mark = [&](const std::vector<int32_t>& features, char letter) {
        for (const int32_t j : features) expected[static_cast<size_t>(j)] = letter;
      };
      mark(parent ? edge.persisting_parents : edge.persisting_children, 'p');
      mark(parent ? edge.disappearing : edge.emerging, parent ? 'd' : 'e');
      mark(parent ? edge.unmeasurable_parents : edge.unmeasurable_children, 'u');
      mark(parent ? edge.silent_parents : edge.silent_children, 'x');
      const Json index = index_of(parent ? edge.parent : edge.child);
      int listed = 0;
      for (const Json& own : index.at("edges")) {
        if (own.at("parent") != edge.parent || own.at("child") != edge.child) continue;
        EXPECT_EQ(own.at("classes"), expected);
        ++listed;
      }
      EXPECT_EQ(listed, 1);
      // Measurable on an edge and in the index is the same thing: both are of all rows.
      const auto measurable = index.at("measurable").get<std::string>();
      for (size_t j = 0; j < measurable.size(); ++j) {
        EXPECT_EQ(measurable[j] == '1', std::string("pde").find(expected[j]) != std::string::npos);
      }
    }
  }
}

TEST(Report, CountsOfTheFlowAreThoseOfItsStage) {
  const Json& flow = overview().at("flow");
  ASSERT_EQ(flow.at("family").size(), study().flow().family.size());
  for (size_t i = 0; i < flow.at("family").size(); ++i) {
    const Json& shown = flow.at("family").at(i);
    const EdgeFlow& edge = study().flow().family[i];
    EXPECT_EQ(shown.at("persisting_parent"), edge.persisting_parents.size());
    EXPECT_EQ(shown.at("persisting_child"), edge.persisting_children.size());
    EXPECT_EQ(shown.at("measurable_parent"), edge.parent_counts.measurable);
    EXPECT_EQ(shown.at("emerging"), edge.emerging.size());
    EXPECT_EQ(shown.at("one_to_one"), edge.one_to_one.size());
    EXPECT_EQ(shown.at("thresholds").size(), edge.thresholds.size());
    EXPECT_EQ(shown.at("permuted").is_null(), edge.parent != "BabyPython" || edge.child != "Lua");
  }
  const Json& merge = flow.at("merges").at(0);
  EXPECT_EQ(merge.at("bases"), Json::array({"BabyPython"}));
  EXPECT_EQ(merge.at("traced"), study().flow().merges[0].traced());
  EXPECT_EQ(flow.at("roots").at(0).at("into_any"), study().flow().roots[0].into_any);
  EXPECT_EQ(flow.at("paths").at(0).at("chains"), study().flow().paths[0].chains);
}

TEST(Report, SilentFeaturesHaveAPageOfNothing) {
  const Json page = feature_page(1, kFeatures - 1);
  EXPECT_EQ(page.at("active"), 0);
  for (const char* key : {"histogram", "corpora", "tokens", "examples", "matches"}) {
    EXPECT_TRUE(page.at(key).empty()) << key;
  }
}

TEST(Report, TheSweepIsThatOfItsStage) {
  const Json& sweep = overview().at("sweeps").at(0);
  EXPECT_EQ(sweep.at("curve").size(), 21U);
  EXPECT_NEAR(sweep.at("balance").at("t").get<double>(), 0.5, 1e-3);
  EXPECT_EQ(sweep.at("branches"), Json({{"lerp", 1}}));
  EXPECT_FALSE(sweep.contains("tensors"));
}

TEST(Report, TrainingCurvesAreMeansOfSteps) {
  const Json curves = training_curves(study().inputs.models[0].metrics, 100);
  EXPECT_EQ(curves.at("averaged"), 9);
  ASSERT_EQ(curves.at("loss").size(), 100U);
  double mean = 0;
  for (int step = 9; step < 18; ++step) mean += (3 + 4 * std::exp(-step / 150.0)) / 9;
  EXPECT_NEAR(curves.at("loss").at(1).get<double>(), mean, 1e-12);
  EXPECT_EQ(curves.at("tokens").at(1), 18 * 2048);
  EXPECT_EQ(curves.at("validation").at("lua").at("tokens"),
            Json({300 * 2048.0, 600 * 2048.0, 900 * 2048.0}));
}

TEST(Report, TwoWritesGiveTheSameBytes) {
  const fs::path again = study().folder() / "again.html";
  write_report(study().inputs, again);
  EXPECT_EQ(read_file(again), report().html());
}

TEST(Report, FewerExamplesWhenTheFileWouldBeTooLarge) {
  ReportInputs inputs = study().inputs;
  inputs.budget.minimum = 1;
  inputs.budget.bytes = std::ssize(report().html()) * 3 / 4;
  const fs::path file = study().folder() / "small.html";
  write_report(inputs, file);
  const DecodedPage small(file);
  EXPECT_LE(std::ssize(small.html()), inputs.budget.bytes);
  const Json budget = small.chunk(0).at("budget");
  EXPECT_LT(budget.at("examples").get<int64_t>(), 6);
  EXPECT_THAT(budget.at("text").get<std::string>(),
              HasSubstr("at most " + std::to_string(budget.at("examples").get<int64_t>())));
}

TEST(Report, WithoutFeaturesItIsStillAReport) {
  ReportInputs inputs;
  inputs.study = "only two names";
  inputs.models.resize(2);
  inputs.models[0].name = "base";
  inputs.models[1].name = "child";
  inputs.models[1].parents = {"base"};
  const fs::path file = study().folder() / "plain.html";
  write_report(inputs, file);
  const Json plain = DecodedPage(file).chunk(0);
  EXPECT_EQ(plain.at("vocabulary"), -1);
  EXPECT_TRUE(plain.at("flow").is_null());
}

template <typename Change>
std::string message_of(Change change) {
  ReportInputs inputs = study().inputs;
  change(inputs);
  try {
    write_report(inputs, study().folder() / "refused.html");
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "";
}

TEST(Report, RefusesStageFilesThatDoNotFit) {
  const fs::path bad = study().folder() / "bad.json";
  write_file_atomic(bad, "{\"loss\": 1}\nnot json\n");
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.models[1].metrics = bad; }),
              HasSubstr("bad.json, line 1"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.models[1].evaluation = bad; }),
              HasSubstr("bad.json: not the file that its stage writes"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.sweeps[0].file = bad; }),
              HasSubstr("bad.json"));
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.flow = bad; }), HasSubstr("bad.json"));
  EXPECT_THAT(message_of([](ReportInputs& in) { in.models[1].name = in.models[0].name; }),
              HasSubstr("two models are called 'BabyPython'"));
  EXPECT_THAT(message_of([](ReportInputs& in) { in.models[2].name = "another"; }),
              HasSubstr("'Tiny<b>Stories' is not in this report"));
  EXPECT_THAT(message_of([](ReportInputs& in) { in.tokens.clear(); }),
              HasSubstr("no matching text"));

  const fs::path shorter = study().folder() / "shorter.safetensors";
  TokenShard cut = study().text();
  cut.tokens.resize(100);
  std::erase_if(cut.document_starts, [](int64_t start) { return start >= 100; });
  save_token_shard(cut, shorter);
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.tokens = shorter; }),
              HasSubstr("expected ascending ones below 100"));
  write_file_atomic(bad, "{\"curve\": [{}]}");
  EXPECT_THAT(message_of([&](ReportInputs& in) { in.sweeps[0].file = bad; }),
              HasSubstr("not the file that its stage writes"));
}

}  // namespace
}  // namespace featflow
