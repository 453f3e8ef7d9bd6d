#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "features/feature_name.hpp"
#include "report/paired_activations.hpp"
#include "report/results_database.hpp"

namespace featflow {

/// The features that are active on each token of a text, by one model.
struct AnnotatedToken {
  std::string text;
  std::vector<std::pair<int32_t, float>> features;  ///< (feature, value), strongest first.
};
struct AnnotatedText {
  std::string model;
  std::vector<AnnotatedToken> tokens;
};

/// What a page asks of its server. Each is called from the thread of ReportServer::run, one at a
/// time; an Error of it is the answer (400).
struct ReportQueries {
  /// What a text activates, model by model.
  std::function<std::vector<AnnotatedText>(const std::string& text)> annotate;
  std::function<std::vector<Partner>(const FeatureName& feature)> matches;
  std::function<PairedActivations(const FeatureName& a, const FeatureName& b)> paired;
};

struct ServerConfig {
  std::filesystem::path page;  ///< The report, served at /.
  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: a free one.
};

/// Bytes of a request's body at most.
inline constexpr int64_t kLargestRequest = 64 * 1024;

/// A server of one report:
///   GET /               the page, marked so that it asks for what follows
///   POST /api/annotate  application/json {"text": "…"} →
///     {"models": [{"model", "tokens": [{"text", "features": [[feature, value], …]}]}]}
///   GET /api/matches/MODEL/FEATURE → {"matches": [{"model", "feature", "r"}]}, the best first
///   GET /api/paired/MODEL/FEATURE/MODEL/FEATURE → {"rows", "points": [[a, b], …]}
///     (paired_activations.hpp)
/// An error is {"error": "…"} with status 400 (no such JSON), 403, 404, 413 (beyond
/// kLargestRequest), 415 (another type, which a foreign page could post) or 500. A request whose
/// Host is neither the configured one, localhost nor an address is refused with 403, so that no
/// foreign name can be made to point here (DNS rebinding).
class ReportServer {
 public:
  /// Binds. Throws Error if the port is taken or the host is not of this machine.
  ReportServer(ServerConfig config, ReportQueries queries);
  ~ReportServer();

  int port() const;
  /// Serves until `stopped`, which is asked several times a second.
  void run(const std::function<bool()>& stopped);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace featflow
