#include "report/results_database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "features/statistics.hpp"
#include "matching/matches.hpp"
#include "report/flow_payload.hpp"
#include "report/overview.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

// Models are numbers in the tables and names in the views.
constexpr char kSchema[] = R"(
CREATE TABLE model (id INTEGER PRIMARY KEY, name TEXT UNIQUE, parents TEXT, kind TEXT, method TEXT,
  features INTEGER);
CREATE TABLE feature (model INTEGER, feature INTEGER, active_tokens INTEGER,
  active_documents INTEGER, density REAL, maximum REAL, mean_active REAL, measurable INTEGER,
  PRIMARY KEY (model, feature)) WITHOUT ROWID;
CREATE TABLE rule (model INTEGER, feature INTEGER, explanation TEXT, score REAL, token_score REAL,
  "group" TEXT, PRIMARY KEY (model, feature)) WITHOUT ROWID;
CREATE TABLE description (model INTEGER, feature INTEGER, explanation TEXT, simulation REAL,
  detection REAL, fuzzing REAL, PRIMARY KEY (model, feature)) WITHOUT ROWID;
CREATE TABLE match (model_a INTEGER, feature_a INTEGER, model_b INTEGER, feature_b INTEGER,
  correlation REAL, PRIMARY KEY (model_a, feature_a, model_b, feature_b)) WITHOUT ROWID;
CREATE TABLE edge (parent INTEGER, child INTEGER, threshold REAL, persisting_parents INTEGER,
  disappearing INTEGER, persisting_children INTEGER, emerging INTEGER, one_to_one INTEGER,
  PRIMARY KEY (parent, child, threshold)) WITHOUT ROWID;
CREATE TABLE fate (parent INTEGER, child INTEGER, model INTEGER, feature INTEGER, class TEXT,
  verdict TEXT, PRIMARY KEY (parent, child, model, feature)) WITHOUT ROWID;

CREATE VIEW features AS SELECT model.name AS model, feature.feature, active_tokens, active_documents,
  density, maximum, mean_active, measurable, rule.explanation, rule.score, rule.token_score,
  rule."group", description.explanation AS description, description.simulation,
  description.detection, description.fuzzing
  FROM feature JOIN model ON model.id = feature.model
  LEFT JOIN rule USING (model, feature) LEFT JOIN description USING (model, feature);
CREATE VIEW matches AS SELECT a.name AS model_a, feature_a, b.name AS model_b, feature_b, correlation
  FROM match JOIN model AS a ON a.id = model_a JOIN model AS b ON b.id = model_b;
CREATE VIEW edges AS SELECT p.name AS parent, c.name AS child, threshold, persisting_parents,
  disappearing, persisting_children, emerging, one_to_one
  FROM edge JOIN model AS p ON p.id = parent JOIN model AS c ON c.id = child;
CREATE VIEW fates AS SELECT p.name AS parent, c.name AS child, m.name AS model, feature, class,
  verdict FROM fate JOIN model AS p ON p.id = parent JOIN model AS c ON c.id = child
  JOIN model AS m ON m.id = fate.model;
)";

class Database {
 public:
  Database(std::filesystem::path file, int flags) : file_(std::move(file)) {
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(file_.c_str(), &opened, flags, nullptr);
    handle_.reset(opened);
    check(code);
  }

  void execute(const std::string& sql) const {
    check(sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr));
  }
  void check(int code) const {
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
    throw Error(fmt::format("{}: {}", file_.string(),
                            handle_ ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(code)));
  }
  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close(handle); }
  };
  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Close> handle_;
};

/// A prepared statement, bound and run many times.
class Statement {
 public:
  Statement(const Database& database, const std::string& sql) : database_(database) {
    sqlite3_stmt* prepared = nullptr;
    database.check(sqlite3_prepare_v2(database.handle(), sql.c_str(), -1, &prepared, nullptr));
    statement_.reset(prepared);
  }
  /// "INSERT INTO table VALUES (?, …)" with so many values.
  static Statement insert(const Database& database, const std::string& table, int values) {
    std::string sql = "INSERT INTO " + table + " VALUES (?";
    for (int i = 1; i < values; ++i) sql += ", ?";
    return {database, sql + ")"};
  }

  /// Runs a statement without rows.
  template <typename... Values>
  void run(const Values&... values) {
    bind(values...);
    next();
  }
  template <typename... Values>
  void bind(const Values&... values) {
    database_.check(sqlite3_reset(statement_.get()));
    int at = 0;
    (database_.check(bind_value(++at, values)), ...);
  }
  /// Whether there is another row.
  bool next() {
    const int code = sqlite3_step(statement_.get());
    database_.check(code);
    return code == SQLITE_ROW;
  }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  double real(int column) const { return sqlite3_column_double(statement_.get(), column); }
  std::string text(int column) const {
    const auto* bytes = sqlite3_column_text(statement_.get(), column);
    return bytes ? reinterpret_cast<const char*>(bytes) : "";
  }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  int bind_value(int at, int64_t value) { return sqlite3_bind_int64(statement_.get(), at, value); }
  int bind_value(int at, int value) { return bind_value(at, static_cast<int64_t>(value)); }
  int bind_value(int at, double value) { return sqlite3_bind_double(statement_.get(), at, value); }
  int bind_value(int at, std::string_view value) {
    return sqlite3_bind_text(statement_.get(), at, value.data(), static_cast<int>(value.size()),
                             SQLITE_TRANSIENT);
  }
  int bind_value(int at, const std::string& value) {
    return bind_value(at, std::string_view(value));
  }
  int bind_value(int at, const char* value) { return bind_value(at, std::string_view(value)); }
  int bind_value(int at, std::nullptr_t) { return sqlite3_bind_null(statement_.get(), at); }
  /// Numbers, strings and null.
  int bind_value(int at, const Json& value) {
    if (value.is_null()) return bind_value(at, nullptr);
    if (value.is_string())
      return bind_value(at, std::string_view(value.get_ref<const std::string&>()));
    if (value.is_number_integer()) return bind_value(at, value.get<int64_t>());
    return bind_value(at, value.get<double>());
  }

  const Database& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Writer {
 public:
  Writer(const ReportInputs& inputs, const std::filesystem::path& file)
      : inputs_(inputs),
        database_(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX) {
    // One transaction into a file that nobody else reads: no journal, no waiting for the disk.
    database_.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;");
    database_.execute(kSchema);
    if (!inputs.flow.empty()) flow_.emplace(inputs.flow);
  }

  void write() {
    for (const ReportModel& model : inputs_.models) add_model(model);
    for (const std::filesystem::path& folder : inputs_.matches) add_matches(folder);
    if (flow_) add_edges();
    // For the other side of a match; a table is faster to fill without.
    database_.execute("CREATE INDEX match_b ON match (model_b, feature_b); COMMIT;");
  }

 private:
  void add_model(const ReportModel& model) {
    throw_if_interrupted();
    std::string parents;
    for (const std::string& parent : model.parents) {
      parents += (parents.empty() ? "" : ", ") + parent;
    }
    int64_t features = 0;
    if (!model.activations.empty()) features = add_features(model);
    Statement::insert(database_, "model", 6)
        .run(id_of(model.name, {}), model.name, parents, model.kind, model.method, features);
    add_json_rows(model, model.explanations, "rule", {"text", "score", "token_score", "group"});
    add_json_rows(model, model.language_model_explanations, "description",
                  {"explanation", "simulation_score", "detection", "fuzzing"});
  }

  int64_t add_features(const ReportModel& model) {
    const FeatureStatistics statistics = feature_statistics(ActivationShards(model.activations));
    const std::vector<uint8_t> usable =
        measurable(statistics, flow_ ? flow_->limits() : inputs_.limits);
    const int id = id_of(model.name, {});
    Statement insert = Statement::insert(database_, "feature", 8);
    for (int64_t j = 0; j < statistics.feature_count(); ++j) {
      const auto at = static_cast<size_t>(j);
      const Json documents = statistics.active_documents.empty()
                                 ? Json(nullptr)
                                 : Json(statistics.active_documents[at]);
      insert.run(id, j, statistics.active_tokens[at], documents, statistics.density(j),
                 static_cast<double>(statistics.maximum[at]), statistics.mean_active(j),
                 static_cast<int64_t>(usable[at]));
    }
    if (flow_) add_fates(model.name, statistics.feature_count());
    return statistics.feature_count();
  }

  // What a file says of each feature under "features".
  void add_json_rows(const ReportModel& model, const std::filesystem::path& file,
                     const std::string& table, const std::vector<const char*>& keys) {
    if (file.empty()) return;
    const Json json = read_stage_json(file);
    Statement insert = Statement::insert(database_, table, 6);
    try {
      for (const Json& row : json.at("features")) {
        insert.run(id_of(model.name, {}), row.at("feature").get<int64_t>(), row.at(keys[0]),
                   row.at(keys[1]), row.at(keys[2]), row.at(keys[3]));
      }
    } catch (const Json::exception& reason) {
      refuse_stage_file(file, reason);
    }
  }

  void add_matches(const std::filesystem::path& folder) {
    throw_if_interrupted();
    const Matches matches = load_matches(folder);
    const auto a = id_of(matches.a.model, folder), b = id_of(matches.b.model, folder);
    Statement insert = Statement::insert(database_, "match", 5);
    for (const FeaturePair& pair : matches.pairs) {
      insert.run(a, int64_t{pair.feature_a}, b, int64_t{pair.feature_b},
                 static_cast<double>(pair.correlation));
    }
  }

  void add_edges() {
    Statement insert = Statement::insert(database_, "edge", 8);
    const Json flow = flow_->summary({});
    for (const Json& edge : flow.at("family")) {
      const auto count = [&](const char* key) { return edge.at(key).get<int64_t>(); };
      for (const Json& at : edge.at("thresholds")) {
        const auto here = [&](const char* key) { return at.at(key).get<int64_t>(); };
        insert.run(id_of(edge.at("parent"), inputs_.flow), id_of(edge.at("child"), inputs_.flow),
                   at.at("threshold"), here("persisting_parent"),
                   count("measurable_parent") - here("persisting_parent"), here("persisting_child"),
                   count("measurable_child") - here("persisting_child"), here("one_to_one"));
      }
    }
  }

  void add_fates(const std::string& model, int64_t feature_count) {
    static const std::map<char, const char*> names = {{'p', "persisting"},
                                                      {'d', "disappearing"},
                                                      {'e', "emerging"},
                                                      {'u', "unmeasurable"},
                                                      {'x', "silent"}};
    Statement insert = Statement::insert(database_, "fate", 6);
    for (const EdgeClasses& edge : flow_->classes_of(model, feature_count)) {
      const std::map<int64_t, std::string> verdicts =
          flow_->verdicts_of(edge.parent, edge.child, edge.parent == model);
      for (int64_t j = 0; j < feature_count; ++j) {
        const auto verdict = verdicts.find(j);
        insert.run(id_of(edge.parent, inputs_.flow), id_of(edge.child, inputs_.flow),
                   id_of(model, {}), j, names.at(edge.classes[static_cast<size_t>(j)]),
                   verdict == verdicts.end() ? Json(nullptr) : Json(verdict->second));
      }
    }
  }

  int id_of(const std::string& model, const std::filesystem::path& where) const {
    return model_index(inputs_, model, where.string());
  }

  const ReportInputs& inputs_;
  Database database_;
  std::optional<FlowPayload> flow_;
};

}  // namespace

void write_results_database(const ReportInputs& inputs, const std::filesystem::path& file) {
  std::filesystem::path unfinished = file;
  unfinished += ".unfinished";
  std::filesystem::remove(unfinished);
  Writer(inputs, unfinished).write();
  std::filesystem::rename(unfinished, file);
}

struct ResultsDatabase::Connection {
  explicit Connection(const std::filesystem::path& file)
      : database(file, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX),
        feature(database,
                "SELECT model FROM feature JOIN model ON model.id = model WHERE name = ? AND "
                "feature = ?"),
        partners(database,
                 "SELECT name, other, correlation FROM ("
                 "SELECT model_b AS m, feature_b AS other, correlation FROM match "
                 "WHERE model_a = ?1 AND feature_a = ?2 UNION ALL "
                 "SELECT model_a, feature_a, correlation FROM match "
                 "WHERE model_b = ?1 AND feature_b = ?2) JOIN model ON model.id = m "
                 "ORDER BY correlation DESC, m, other") {}

  Database database;
  Statement feature, partners;
};

ResultsDatabase::ResultsDatabase(const std::filesystem::path& file)
    : connection_(std::make_unique<Connection>(file)) {}

ResultsDatabase::~ResultsDatabase() = default;

std::vector<Partner> ResultsDatabase::partners(const std::string& model, int64_t feature) const {
  connection_->feature.bind(model, feature);
  if (!connection_->feature.next()) {
    throw Error(
        fmt::format("no feature {} of a model {} in this report", feature, in_quotes(model)));
  }
  const int64_t id = connection_->feature.integer(0);
  Statement& rows = connection_->partners;
  rows.bind(id, feature);
  std::vector<Partner> partners;
  while (rows.next()) partners.push_back({rows.text(0), rows.integer(1), rows.real(2)});
  return partners;
}

}  // namespace featflow
