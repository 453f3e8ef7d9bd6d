#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.hpp"
#include "core/nearest.hpp"
#include "merging/balance.hpp"
#include "storage/files.hpp"
#include "study/fields.hpp"
#include "study/settings.hpp"
#include "training/schedule.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

// One table of the file: hands out values by key and knows which keys it was asked for.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string path, std::string file)
      : table_(table), path_(std::move(path)), file_(std::move(file)) {}

  template <typename T>
  void operator()(std::string_view key, T& value, Range range = {}) {
    const toml::node* node = take(key);
    if (node) read(*node, key, value, range);
  }
  template <typename T>
  void without_influence(std::string_view key, T& value, Range range = {}) {
    (*this)(key, value, range);
  }
  template <typename T>
  void evaluation(std::string_view key, T& value, Range range = {}) {
    (*this)(key, value, range);
  }

  const toml::node* take(std::string_view key) {
    known_.emplace(key);
    return table_.get(key);
  }

  const toml::table* table(std::string_view key) {
    const toml::node* node = take(key);
    if (node && !node->is_table()) wrong(*node, key, "a table");
    return node ? node->as_table() : nullptr;
  }

  [[noreturn]] void wrong(const toml::node& node, std::string_view key,
                          const std::string& expected) const {
    throw Error(
        fmt::format("{}: {} is {}, expected {}", where(node), full(key), text_of(node), expected));
  }

  // Keys nobody asked for.
  void finish() const {
    for (const auto& [key, node] : table_) {
      if (known_.contains(std::string(key.str()))) continue;
      const std::string near = nearest(key.str(), known_);
      throw Error(fmt::format("{}: unknown key {}{}", where(node), in_quotes(full(key.str())),
                              near.empty() ? "; known here: " + all_known()
                                           : "; did you mean " + in_quotes(full(near)) + "?"));
    }
  }

  std::string full(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }
  std::string where(const toml::node& node) const {
    const auto line = node.source().begin.line;
    return line > 0 ? fmt::format("{}:{}", file_, line) : file_ + ": --set";
  }
  const std::string& path() const { return path_; }

 private:
  static std::string text_of(const toml::node& node) {
    if (node.is_table()) return "a table";
    if (node.is_array()) return "an array";
    std::ostringstream out;
    node.visit([&](const auto& value) {
      if constexpr (toml::is_value<decltype(value)>) out << value;
    });
    return in_quotes(out.str());
  }

  std::string all_known() const {
    std::string names;
    for (const std::string& name : known_) names += (names.empty() ? "" : ", ") + name;
    return names.empty() ? "none" : names;
  }

  void check(const toml::node& node, std::string_view key, double value, Range range) const {
    if (std::isfinite(value) && value >= range.low && value <= range.high) return;
    wrong(node, key,
          range.high >= 1e18 ? fmt::format("at least {}", range.low)
                             : fmt::format("{} to {}", range.low, range.high));
  }

  void read(const toml::node& node, std::string_view key, int64_t& value, Range range) const {
    const auto found = node.value_exact<int64_t>();
    if (!found) wrong(node, key, "a whole number");
    value = *found;
    check(node, key, static_cast<double>(value), range);
  }
  void read(const toml::node& node, std::string_view key, double& value, Range range) const {
    if (!node.is_number()) wrong(node, key, "a number");
    value = *node.value<double>();
    check(node, key, value, range);
  }
  void read(const toml::node& node, std::string_view key, bool& value, Range) const {
    if (!node.is_boolean()) wrong(node, key, "true or false");
    value = *node.value<bool>();
  }
  void read(const toml::node& node, std::string_view key, std::string& value, Range) const {
    if (!node.is_string()) wrong(node, key, "a string");
    value = *node.value<std::string>();
  }
  template <typename T>
  void read(const toml::node& node, std::string_view key, std::vector<T>& values,
            Range range) const {
    const toml::array* array = node.as_array();
    if (!array) wrong(node, key, "an array");
    values.clear();
    for (const toml::node& item : *array) read(item, key, values.emplace_back(), range);
  }

  const toml::table& table_;
  std::string path_, file_;
  std::set<std::string> known_;
};

template <typename Settings>
void read_table(TableReader& parent, std::string_view key, Settings& settings,
                const std::string& file) {
  if (const toml::table* table = parent.table(key)) {
    TableReader reader(*table, parent.full(key), file);
    fields(settings, reader);
    reader.finish();
  }
}

// Keys of a table in the order of the file (toml++ sorts them).
std::vector<std::pair<std::string, const toml::node*>> in_file_order(const toml::table& table) {
  std::vector<std::pair<std::string, const toml::node*>> items;
  for (const auto& [key, node] : table) items.emplace_back(std::string(key.str()), &node);
  std::ranges::stable_sort(items, {}, [](const auto& item) {
    // A table made of sub-tables only ("[model.X.training]" before "[model.X]") has no own line.
    return item.second->source().begin.line;
  });
  return items;
}

// An artefact's name is a folder's name.
void check_name(const TableReader& reader, const toml::node& node, const std::string& name) {
  const bool plain = !name.empty() && name.size() <= 64 && name.front() != '.' &&
                     std::ranges::all_of(name, [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
                     });
  if (plain && name.find("--") == std::string::npos) return;
  throw Error(
      fmt::format("{}: the name {} is not usable as a folder's; expected letters, digits, "
                  "'_', '.' and single '-', at most 64, not beginning with '.'",
                  reader.where(node), in_quotes(name)));
}

std::string known_names(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "none" : out;
}

void read_merge(const toml::table& table, const std::string& path, const std::string& file,
                MergeSettings& merge) {
  TableReader reader(table, path, file);
  fields(merge, reader);
  if (const toml::node* t = reader.take("t")) {
    if (t->is_number()) merge.t = *t->value<double>();
    const bool balance = t->value<std::string>() == "balance";
    if (!balance && !(merge.t >= 0 && merge.t <= 1))
      reader.wrong(*t, "t", "0 to 1, or \"balance\"");
  }
  reader.finish();
  const std::string where = reader.where(table) + ": " + path + ".";
  if (merge.parents.size() != 2) {
    throw Error(
        fmt::format("{}parents has {} names, expected two: t = 0 is the first, t = 1 the second",
                    where, merge.parents.size()));
  }
  parse_merge_method(merge.method, where + "method");
  for (const std::string& method : merge.compare) parse_merge_method(method, where + "compare");
  parse_dare_rescale(merge.rescale, where + "rescale");
  const BalanceRule rule = parse_balance_rule(merge.balance, where + "balance");
  if (rule != BalanceRule::kAccuracy && !merge.balanced() && merge.compare.empty()) {
    throw Error(
        fmt::format("{}balance is {}, expected none beside t = {}: it says what is equal at t = "
                    "\"balance\"",
                    where, in_quotes(merge.balance), merge.t));
  }
}

ModelSettings read_model(const toml::table& table, const std::string& name, TableReader& parent,
                         const TrainingConfig& defaults, const std::string& file) {
  ModelSettings model;
  model.name = name;
  model.training = defaults;
  TableReader reader(table, parent.full(name), file);
  reader("parent", model.parent);
  reader("path", model.path);
  reader("random_weights", model.random_weights);
  reader("control_of", model.control_of);
  reader("extension_share", model.extension_share, kShare);
  read_table(reader, "training", model.training, file);
  if (const toml::table* corpora = reader.table("corpora")) {
    TableReader shares(*corpora, reader.full("corpora"), file);
    for (const auto& [corpus, node] : *corpora) {
      shares(corpus.str(), model.corpora[std::string(corpus.str())], Range{1e-9, 1e9});
    }
  }
  if (const toml::table* merge = reader.table("merge")) {
    read_merge(*merge, reader.full("merge"), file, model.merge);
  }
  reader.finish();
  const int kinds =
      (model.merged() ? 1 : 0) + (model.loaded() ? 1 : 0) + (model.random_weights ? 1 : 0);
  if (kinds > 1 || ((model.merged() || model.random_weights) && !model.parent.empty())) {
    throw Error(
        fmt::format("{}: {} has more than one of parent, merge, path and random_weights; expected "
                    "one origin",
                    reader.where(table), reader.path()));
  }
  if (model.random_weights && !model.control()) {
    throw Error(
        fmt::format("{}: {} has random_weights but no control_of; expected the model that it "
                    "stands beside",
                    reader.where(table), reader.path()));
  }
  if (kinds > 0 && model.extension_share > 0) {
    throw Error(
        fmt::format("{}: {}.extension_share is {}, expected none: it is of models that are "
                    "trained here",
                    reader.where(table), reader.path(), model.extension_share));
  }
  if (!model.merged() && model.corpora.empty()) {
    throw Error(
        fmt::format("{}: {} has no corpora; expected the text it is trained on, e.g. "
                    "corpora = {{ english = 1.0 }}",
                    reader.where(table), reader.path()));
  }
  return model;
}

// Parents before children; the file's order otherwise.
void sort_by_descent(std::vector<ModelSettings>& models, const std::string& where) {
  std::vector<ModelSettings> sorted;
  std::set<std::string> placed;
  while (sorted.size() < models.size()) {
    const auto ready = std::ranges::find_if(models, [&](const ModelSettings& model) {
      return !placed.contains(model.name) &&
             std::ranges::all_of(model.parents(),
                                 [&](const std::string& p) { return placed.contains(p); });
    });
    if (ready == models.end()) {
      const auto stuck = std::ranges::find_if(
          models, [&](const ModelSettings& model) { return !placed.contains(model.name); });
      throw Error(
          fmt::format("{}: model {} descends from itself; expected a family without "
                      "cycles",
                      where, in_quotes(stuck->name)));
    }
    placed.insert(ready->name);
    sorted.push_back(*ready);
  }
  models = std::move(sorted);
}

// "PARENT--CHILD" of the family, or "all".
void check_edges(const Study& study, const std::string& where, const char* key,
                 const std::vector<std::string>& edges) {
  std::set<std::string> known = {"all"};
  for (const auto& [parent, child] : study.edges()) known.insert(edge_name(parent, child));
  for (const std::string& edge : edges) {
    if (known.contains(edge)) continue;
    const std::string near = nearest(edge, known);
    throw Error(fmt::format("{}: {} has {}, which is no edge of the family; {}", where, key,
                            in_quotes(edge),
                            near.empty() ? "known: " + known_names({known.begin(), known.end()})
                                         : "did you mean " + in_quotes(near) + "?"));
  }
}

void check_references(const Study& study, const std::string& where) {
  std::vector<std::string> models, corpora;
  for (const ModelSettings& model : study.models) models.push_back(model.name);
  for (const CorpusConfig& corpus : study.corpora) corpora.push_back(corpus.name);
  const auto require = [&](const std::string& name, const std::vector<std::string>& known,
                           const std::string& what) {
    if (std::ranges::find(known, name) != known.end()) return;
    throw Error(fmt::format("{}: {} {} is not defined; defined: {}", where, what, in_quotes(name),
                            known_names(known)));
  };
  for (const ModelSettings& model : study.models) {
    const std::string owner = "model " + model.name + ": ";
    for (const std::string& p : model.parents()) {
      require(p, models, owner + "the parent");
      if (!model.control() && study.model(p).control()) {
        throw Error(fmt::format("{}: {}the parent {} is a control, expected a member of the family",
                                where, owner, in_quotes(p)));
      }
    }
    if (model.control()) {
      require(model.control_of, models, owner + "control_of");
      if (study.model(model.control_of).control()) {
        throw Error(
            fmt::format("{}: {}control_of {} is a control itself, expected a member of the "
                        "family",
                        where, owner, in_quotes(model.control_of)));
      }
    }
    for (const auto& [corpus, share] : model.corpora) require(corpus, corpora, owner + "corpus");
    if (model.merged() && model.merge.parents[0] == model.merge.parents[1]) {
      throw Error(fmt::format("{}: {}both merge parents are {}", where, owner,
                              in_quotes(model.merge.parents[0])));
    }
  }
  if (study.matching.floor > study.matching.threshold) {
    throw Error(
        fmt::format("{}: matching.floor is {}, expected at most matching.threshold {}: "
                    "pairs below the floor are not kept",
                    where, study.matching.floor, study.matching.threshold));
  }
  check_edges(study, where, "controls.ceilings", study.controls.ceilings);
  check_edges(study, where, "controls.nulls", study.controls.nulls);
  if (study.family().empty()) {
    throw Error(where + ": all models are controls, expected a family beside which they stand");
  }
  const std::string& mixture = study.autoencoder.mixture;
  if (mixture != "equal" && mixture != "tokens") {
    throw Error(fmt::format("{}: autoencoder.mixture is {}, expected \"equal\" or \"tokens\"",
                            where, in_quotes(mixture)));
  }
}

// A family of loaded models has their tokenizer and shape. Files that are missing are refused when
// the stages are planned.
void adopt_loaded_models(Study& study, bool architecture_given) {
  const auto loaded = std::ranges::find_if(study.models, &ModelSettings::loaded);
  if (loaded == study.models.end()) return;
  if (study.tokenizer.path.empty()) {
    study.tokenizer.path = (fs::path(loaded->path) / "tokenizer.model").string();
  }
  const fs::path config = study.folder / loaded->path / "config.json";
  if (!architecture_given && fs::exists(config)) {
    study.architecture = parse_model_config(read_file(config), config.string());
  }
}

// "--set a.b=value" into the table, creating sub-tables on the way.
void apply_override(toml::table& root, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(fmt::format("--set {}: expected KEY=VALUE, e.g. autoencoder.tokens=1_000_000",
                            in_quotes(assignment)));
  }
  const std::string key = assignment.substr(0, equals), value = assignment.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
    parsed.insert("value", value);  // a bare word
  }
  toml::table* table = &root;
  size_t begin = 0;
  for (size_t dot; (dot = key.find('.', begin)) != std::string::npos; begin = dot + 1) {
    const std::string part = key.substr(begin, dot - begin);
    table->insert(part, toml::table{});
    toml::table* next = table->get(part)->as_table();
    if (!next) {
      throw Error(
          fmt::format("--set {}: {} is not a table", in_quotes(assignment), in_quotes(part)));
    }
    table = next;
  }
  // Rebuilt without a source line, so that an error says --set.
  parsed.get("value")->visit(
      [&](const auto& node) { table->insert_or_assign(key.substr(begin), node); });
}

// Before hours of other stages, not after them.
void check_training(const Study& study, const std::string& where) {
  for (const ModelSettings& model : study.models) {
    if (model.merged() || model.loaded() || model.random_weights) continue;
    try {
      training_steps(model.training);
    } catch (const Error& error) {
      throw Error(fmt::format("{}: model {}: {}", where, model.name, error.what()));
    }
    const int64_t most = study.architecture.max_position_embeddings;
    if (model.training.block_size > most) {
      throw Error(
          fmt::format("{}: model {}: training.block_size is {}, expected at most {}, the "
                      "architecture's max_position_embeddings",
                      where, model.name, model.training.block_size, most));
    }
  }
}

}  // namespace

Study parse_study(const std::string& toml_text, const std::string& where, const fs::path& folder,
                  const std::vector<std::string>& overrides) {
  toml::table root;
  try {
    root = toml::parse(toml_text);
  } catch (const toml::parse_error& error) {
    throw Error(fmt::format("{}:{}: not valid TOML: {}", where, error.source().begin.line,
                            error.description()));
  }
  for (const std::string& assignment : overrides) apply_override(root, assignment);

  Study study;
  study.folder = folder;
  TableReader top(root, "", where);
  top("name", study.name);
  if (study.name.empty()) throw Error(where + ": the study has no name; expected name = \"…\"");
  check_name(top, *root.get("name"), study.name);
  auto seed = static_cast<int64_t>(study.seed);
  top("seed", seed, kNotNegative);
  study.seed = static_cast<uint64_t>(seed);

  if (const toml::table* corpora = top.table("corpus")) {
    TableReader reader(*corpora, "corpus", where);
    for (const auto& [name, node] : in_file_order(*corpora)) {
      check_name(reader, *node, name);
      CorpusConfig corpus;
      corpus.name = name;
      read_table(reader, name, corpus, where);
      if (corpus.sources.empty()) {
        throw Error(fmt::format("{}: corpus.{} has no sources; expected files or globs",
                                reader.where(*node), name));
      }
      study.corpora.push_back(std::move(corpus));
    }
    reader.finish();
  }
  read_table(top, "tokenizer", study.tokenizer, where);
  read_table(top, "architecture", study.architecture, where);
  study.architecture.vocab_size = study.tokenizer.training.vocab_size;
  study.architecture.validate(where + ": [architecture]");
  TrainingConfig training;
  read_table(top, "training", training, where);
  read_table(top, "evaluation", study.evaluation, where);
  if (const toml::table* models = top.table("model")) {
    TableReader reader(*models, "model", where);
    for (const auto& [name, node] : in_file_order(*models)) {
      check_name(reader, *node, name);
      study.models.push_back(read_model(*reader.table(name), name, reader, training, where));
    }
    reader.finish();
  }
  if (study.models.empty()) {
    throw Error(where + ": the study has no models; expected at least one [model.NAME]");
  }
  read_table(top, "autoencoder", study.autoencoder, where);
  read_table(top, "matching", study.matching, where);
  read_table(top, "controls", study.controls, where);
  read_table(top, "case_studies", study.case_studies, where);
  read_table(top, "report", study.report, where);
  top.finish();

  check_references(study, where);
  sort_by_descent(study.models, where);
  adopt_loaded_models(study, root.contains("architecture"));
  check_training(study, where);
  parse_bytes(study.matching.memory, where + ": matching.memory");
  if (study.autoencoder.tap.empty()) {
    study.autoencoder.tap =
        fmt::format("blocks.{}.mlp.hook_post", study.architecture.num_hidden_layers - 1);
  }
  return study;
}

Study read_study(const fs::path& file, const std::vector<std::string>& overrides) {
  return parse_study(read_file(file), file.string(), fs::absolute(file).parent_path(), overrides);
}

}  // namespace featflow
