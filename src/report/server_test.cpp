#include "report/server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr char kJson[] = "application/json";

/// A server on a free port of the loopback, and what it was asked.
class Running {
 public:
  Running() {
    write_file_atomic(folder_ / "report.html", "<title>größe</title>");
    ReportQueries queries;
    queries.annotate = [this](const std::string& text) { return annotate(text); };
    queries.matches = [](const FeatureName& name) {
      if (name.model == "nobody") throw Error("no such model");
      return std::vector<Partner>{{name.model + "'s child", name.feature + 1, 0.75}};
    };
    queries.paired = [](const FeatureName& a, const FeatureName& b) {
      return PairedActivations{a.feature * b.feature, {{0.1f, 0}, {2, 3}}};
    };
    server_.emplace(ServerConfig{.page = folder_ / "report.html", .host = "127.0.0.1", .port = 0},
                    queries);
    thread_ = std::thread([this] {
      annotating_ = std::this_thread::get_id();
      server_->run([this] { return stopped_.load(); });
    });
  }
  ~Running() {
    stopped_ = true;
    thread_.join();
  }
  int port() const { return server_->port(); }
  httplib::Client client() const { return httplib::Client("127.0.0.1", port()); }

 private:
  // One token per letter, on which the feature with the letter's number is active.
  std::vector<AnnotatedText> annotate(const std::string& text) {
    EXPECT_EQ(std::this_thread::get_id(), annotating_);
    if (text == "bad") throw Error("bad text");
    if (text == "bug") throw std::logic_error("a bug");
    std::vector<AnnotatedText> models;
    if (text.size() > 1000) return {{"Base", {{std::to_string(text.size()), {}}}}};
    for (const char* name : {"Base", "Lua"}) {
      AnnotatedText& model = models.emplace_back();
      model.model = name;
      for (const char letter : text) {
        model.tokens.push_back({std::string(1, letter), {{letter, 0.5f}, {7, 0.25f}}});
      }
    }
    return models;
  }

  TemporaryFolder folder_;
  std::optional<ReportServer> server_;
  std::atomic<bool> stopped_ = false;
  std::thread::id annotating_;
  std::thread thread_;
};

Running& running() {
  static Running server;
  return server;
}

void expect_refused(const httplib::Result& result, int status, const std::string& why) {
  ASSERT_TRUE(result) << httplib::to_string(result.error());
  EXPECT_EQ(result->status, status);
  EXPECT_THAT(json::parse(result->body)["error"].get<std::string>(), HasSubstr(why));
}

TEST(ReportServer, ServesTheReport) {
  const auto result = running().client().Get("/");
  ASSERT_TRUE(result) << httplib::to_string(result.error());
  EXPECT_EQ(result->status, 200);
  EXPECT_EQ(result->body, "<title>größe</title>");
  EXPECT_EQ(result->get_header_value("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(result->get_header_value("X-Content-Type-Options"), "nosniff");
  expect_refused(running().client().Get("/etc/passwd"), 404, "nothing at /etc/passwd");
  expect_refused(running().client().Get("/api/annotate"), 404, "nothing at");
}

TEST(ReportServer, GivesAReportLeaveToAskIt) {
  TemporaryFolder folder;
  write_file_atomic(folder / "report.html",
                    "<html><head><meta http-equiv=\"Content-Security-Policy\" "
                    "content=\"default-src 'none'; script-src 'sha256-x'\"></head></html>");
  ReportServer server({.page = folder / "report.html", .host = "127.0.0.1", .port = 0}, {});
  std::atomic<bool> stopped = false;
  std::thread thread([&] { server.run([&] { return stopped.load(); }); });
  const auto result = httplib::Client("127.0.0.1", server.port()).Get("/");
  stopped = true;
  thread.join();
  ASSERT_TRUE(result) << httplib::to_string(result.error());
  EXPECT_THAT(result->body, HasSubstr("default-src 'none'; connect-src 'self'; script-src"));
  EXPECT_THAT(result->body, HasSubstr("<meta name=\"featflow-served\""));
}

TEST(ReportServer, AnswersForFeatures) {
  httplib::Client client = running().client();
  const auto matches = client.Get("/api/matches/TIES%20%C3%BC/17");
  ASSERT_TRUE(matches) << httplib::to_string(matches.error());
  EXPECT_EQ(json::parse(matches->body),
            json::parse(R"({"matches": [{"model": "TIES ü's child", "feature": 18, "r": 0.75}]})"));
  const auto paired = client.Get("/api/paired/Base/6/Lua/7");
  ASSERT_TRUE(paired) << httplib::to_string(paired.error());
  EXPECT_EQ(json::parse(paired->body),
            json::parse(R"({"rows": 42, "points": [[0.1, 0], [2, 3]]})"));
  expect_refused(client.Get("/api/matches/nobody/1"), 400, "no such model");
  for (const char* path :
       {"/api/matches/Base", "/api/matches/Base/x", "/api/matches/Base/-1", "/api/matches/Base/1/2",
        "/api/paired/Base/1/Lua", "/api/matches/Base/12345678901234567890"}) {
    expect_refused(client.Get(path), 404, "nothing at");
  }
}

TEST(ReportServer, AnnotatesATextModelByModel) {
  const auto result = running().client().Post("/api/annotate", json{{"text", "ab"}}.dump(), kJson);
  ASSERT_TRUE(result) << httplib::to_string(result.error());
  EXPECT_EQ(result->status, 200);
  EXPECT_EQ(result->get_header_value("Content-Type"), kJson);
  const json models = json::parse(result->body)["models"];
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[1]["model"], "Lua");
  EXPECT_EQ(models[1]["tokens"], json::parse(R"([{"text": "a", "features": [[97, 0.5], [7, 0.25]]},
                            {"text": "b", "features": [[98, 0.5], [7, 0.25]]}])"));
}

TEST(ReportServer, AnswersManyAtOnce) {
  std::vector<std::thread> clients;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&right, i] {
      const std::string text(1, static_cast<char>('a' + i));
      const auto result =
          running().client().Post("/api/annotate", json{{"text", text}}.dump(), kJson);
      if (result && json::parse(result->body)["models"][0]["tokens"][0]["text"] == text) ++right;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 8);
}

TEST(ReportServer, SaysWhatIsWrongWithARequest) {
  httplib::Client client = running().client();
  for (const char* body : {"", "{", "[]", "{}", R"({"text": 1})", "{\"text\": \"\xff\"}"}) {
    expect_refused(client.Post("/api/annotate", body, kJson), 400, "expected {\"text\"");
  }
  expect_refused(client.Post("/api/annotate", R"({"text": "a"})", "text/plain"), 415,
                 "application/json");
  expect_refused(client.Post("/api/annotate", R"({"text": "bad"})", kJson), 400, "bad text");
  expect_refused(client.Post("/api/annotate", R"({"text": "bug"})", kJson), 500, "a bug");
}

TEST(ReportServer, TakesBodiesOf64KiB) {
  const auto body = [](int64_t size) {
    std::string text = R"({"text": ")";
    text.append(static_cast<size_t>(size) - text.size() - 2, 'x');
    return text + "\"}";
  };
  const auto result = running().client().Post("/api/annotate", body(kLargestRequest), kJson);
  ASSERT_TRUE(result) << httplib::to_string(result.error());
  EXPECT_EQ(result->status, 200);
  EXPECT_EQ(json::parse(result->body)["models"][0]["tokens"][0]["text"],
            std::to_string(kLargestRequest - 12));
  expect_refused(running().client().Post("/api/annotate", body(kLargestRequest + 1), kJson), 413,
                 "more than 65536 bytes");
}

TEST(ReportServer, IsKnownByItsAddressAndAsLocalhostOnly) {
  const auto status = [](const std::string& host) {
    const auto result = running().client().Get("/", httplib::Headers{{"Host", host}});
    return result ? result->status : -1;
  };
  const std::string port = ":" + std::to_string(running().port());
  for (const char* host : {"localhost", "127.0.0.1", "[::1]", "192.168.1.7"}) {
    EXPECT_EQ(status(host), 200) << host;
    EXPECT_EQ(status(host + port), 200) << host;
  }
  for (const char* host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a", "deadbeef"}) {
    EXPECT_EQ(status(host + port), 403) << host;
  }
  expect_refused(
      running().client().Post("/api/annotate", httplib::Headers{{"Host", "evil.example"}},
                              R"({"text": "a"})", kJson),
      403, "not known by that name");
}

TEST(ReportServer, APortIsOneServers) {
  EXPECT_THAT(
      [] {
        ReportServer(ServerConfig{.page = "", .host = "127.0.0.1", .port = running().port()}, {});
      },
      ThrowsMessage<Error>(
          HasSubstr("127.0.0.1:" + std::to_string(running().port()) + ": cannot listen there")));
  EXPECT_THAT([] { ReportServer(ServerConfig{.page = "", .host = "203.0.113.7", .port = 0}, {}); },
              ThrowsMessage<Error>(HasSubstr("203.0.113.7:0: cannot listen there")));
}

}  // namespace
}  // namespace featflow
