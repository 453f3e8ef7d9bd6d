#include "report/server.hpp"

#include <fmt/format.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.hpp"
#include "report/payload.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kJson[] = "application/json";

void answer(httplib::Response& response, int status, const Json& json) {
  response.status = status;
  response.set_content(compact_json(json), kJson);
}

/// A whole body that httplib sends as it is: it would compress one given to set_content, for every
/// request anew.
void send(httplib::Response& response, std::string body, const char* type) {
  const auto held = std::make_shared<const std::string>(std::move(body));
  response.set_content_provider(held->size(), type,
                                [held](size_t offset, size_t length, httplib::DataSink& sink) {
                                  sink.write(held->data() + offset, length);
                                  return true;
                                });
}

void refuse(httplib::Response& response, int status, const std::string& why) {
  answer(response, status, {{"error", why}});
}

/// The page with leave to ask this server, and the mark by which it knows that it may. A report
/// from a file may load nothing.
std::string served(std::string page) {
  constexpr std::string_view kNothing = "default-src 'none';", kHead = "<head>";
  const size_t policy = page.find(kNothing), head = page.find(kHead);
  if (policy == std::string::npos || head == std::string::npos) return page;
  page.insert(policy + kNothing.size(), " connect-src 'self';");
  page.insert(head + kHead.size(), "\n<meta name=\"featflow-served\" content=\"1\">");
  return page;
}

/// The name in groups i and i + 1 of the path's match.
FeatureName feature_name(const httplib::Request& request, size_t i) {
  return {request.matches[i], std::stoll(request.matches[i + 1])};
}

/// "localhost:8080", "[::1]:8080" → without the port and the brackets.
std::string host_name(const std::string& host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

bool is_address(const std::string& host) {
  const auto only = [&](std::string_view letters) {
    return host.find_first_not_of(letters) == std::string::npos;
  };
  return !host.empty() && (only("0123456789.") || (host.find(':') != std::string::npos &&
                                                   only("0123456789abcdefABCDEF:.")));
}

/// The float's shortest decimals.
double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

Json to_json(const PairedActivations& paired) {
  Json points = Json::array();
  for (const auto& [a, b] : paired.points) points.push_back({shortest(a), shortest(b)});
  return {{"rows", paired.rows}, {"points", std::move(points)}};
}

Json to_json(const std::vector<Partner>& partners) {
  Json matches = Json::array();
  for (const Partner& partner : partners) {
    matches.push_back(
        {{"model", partner.model}, {"feature", partner.feature}, {"r", partner.correlation}});
  }
  return {{"matches", std::move(matches)}};
}

Json to_json(const std::vector<AnnotatedText>& annotated) {
  Json models = Json::array();
  for (const AnnotatedText& text : annotated) {
    Json tokens = Json::array();
    for (const AnnotatedToken& token : text.tokens) {
      Json features = Json::array();
      for (const auto& [feature, value] : token.features) {
        features.push_back({feature, shortest(value)});
      }
      tokens.push_back({{"text", token.text}, {"features", std::move(features)}});
    }
    models.push_back({{"model", text.model}, {"tokens", std::move(tokens)}});
  }
  return {{"models", std::move(models)}};
}

}  // namespace

struct ReportServer::Impl {
  struct Task {
    std::function<Json()> answer;
    std::promise<Json> result;
  };

  ServerConfig config;
  ReportQueries queries;
  httplib::Server server;
  std::mutex mutex;
  std::condition_variable wanted;
  std::deque<std::shared_ptr<Task>> tasks;
  bool closing = false;

  bool known_host(const std::string& header) const {
    const std::string host = host_name(header);
    return host == config.host || host == "localhost" || is_address(host);
  }

  void annotate_request(const httplib::Request& request, httplib::Response& response) {
    if (!request.get_header_value("Content-Type").starts_with(kJson)) {
      return refuse(response, 415, "expected application/json");
    }
    const Json json = Json::parse(request.body, nullptr, false);
    if (!json.is_object() || !json.contains("text") || !json["text"].is_string()) {
      return refuse(response, 400, "expected {\"text\": \"…\"}");
    }
    answer_with(response, [this, text = json["text"].get<std::string>()] {
      return to_json(queries.annotate(text));
    });
  }

  /// Has the thread of run() find the answer.
  void answer_with(httplib::Response& response, std::function<Json()> find) {
    const auto task = std::make_shared<Task>();
    task->answer = std::move(find);
    std::future<Json> result = task->result.get_future();
    {
      const std::lock_guard lock(mutex);
      if (closing) return refuse(response, 503, "the server ends");
      tasks.push_back(task);
    }
    wanted.notify_one();
    try {
      send(response, compact_json(result.get()), kJson);
    } catch (const Error& error) {
      refuse(response, 400, error.what());
    }
  }

  void set_up() {
    // Without SO_REUSEPORT, httplib's own choice, by which two servers would share a port.
    server.set_socket_options([](auto socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server.set_keep_alive_timeout(1);  // seconds; the end waits for open connections
    server.set_write_timeout(60);      // of slow readers: a page has megabytes
    server.set_payload_max_length(static_cast<size_t>(kLargestRequest));
    server.set_default_headers({{"X-Content-Type-Options", "nosniff"},
                                {"X-Frame-Options", "DENY"},
                                {"Cache-Control", "no-store"}});
    server.set_pre_routing_handler(
        [this](const httplib::Request& request, httplib::Response& response) {
          if (known_host(request.get_header_value("Host"))) {
            return httplib::Server::HandlerResponse::Unhandled;
          }
          refuse(response, 403, "this server is not known by that name");
          return httplib::Server::HandlerResponse::Handled;
        });
    server.Get("/", [this](const httplib::Request&, httplib::Response& response) {
      send(response, served(read_file(config.page)), "text/html; charset=utf-8");
    });
    server.Get("/api/matches/([^/]+)/(\\d{1,9})",
               [this](const httplib::Request& request, httplib::Response& response) {
                 answer_with(response, [this, feature = feature_name(request, 1)] {
                   return to_json(queries.matches(feature));
                 });
               });
    server.Get("/api/paired/([^/]+)/(\\d{1,9})/([^/]+)/(\\d{1,9})",
               [this](const httplib::Request& request, httplib::Response& response) {
                 answer_with(response,
                             [this, a = feature_name(request, 1), b = feature_name(request, 3)] {
                               return to_json(queries.paired(a, b));
                             });
               });
    server.Post("/api/annotate",
                [this](const httplib::Request& request, httplib::Response& response) {
                  annotate_request(request, response);
                });
    server.set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, const std::exception_ptr& thrown) {
          try {
            std::rethrow_exception(thrown);
          } catch (const std::exception& error) {
            refuse(response, 500, error.what());
          }
        });
    server.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      refuse(response, response.status,
             response.status == 413   ? fmt::format("more than {} bytes", kLargestRequest)
             : response.status == 404 ? fmt::format("nothing at {}", request.path)
                                      : "refused");
    });
  }

  void run_tasks(std::unique_lock<std::mutex>& lock, const std::function<bool()>& stopped) {
    while (!tasks.empty() && !stopped()) {
      const std::shared_ptr<Task> task = tasks.front();
      tasks.pop_front();
      lock.unlock();
      try {
        task->result.set_value(task->answer());
      } catch (...) {
        task->result.set_exception(std::current_exception());
      }
      lock.lock();
    }
  }
};

ReportServer::ReportServer(ServerConfig config, ReportQueries queries)
    : impl_(std::make_unique<Impl>()) {
  impl_->config = std::move(config);
  impl_->queries = std::move(queries);
  impl_->set_up();
  ServerConfig& own = impl_->config;
  const bool bound = own.port == 0 ? (own.port = impl_->server.bind_to_any_port(own.host)) > 0
                                   : impl_->server.bind_to_port(own.host, own.port);
  if (!bound) {
    throw Error(
        fmt::format("{}:{}: cannot listen there, expected a free port of this machine; is "
                    "it taken? --port 0 chooses a free one",
                    own.host, std::max(0, own.port)));
  }
}

ReportServer::~ReportServer() = default;

int ReportServer::port() const { return impl_->config.port; }

void ReportServer::run(const std::function<bool()>& stopped) {
  std::atomic<bool> ended = false;
  std::thread listener([this, &ended] {
    impl_->server.listen_after_bind();
    ended = true;
  });
  std::unique_lock lock(impl_->mutex);
  while (!ended && !stopped()) {
    impl_->wanted.wait_for(lock, std::chrono::milliseconds(100),
                           [this] { return !impl_->tasks.empty(); });
    impl_->run_tasks(lock, stopped);
  }
  impl_->closing = true;
  for (const auto& task : impl_->tasks) {
    task->result.set_exception(std::make_exception_ptr(Error("the server ends")));
  }
  impl_->tasks.clear();
  lock.unlock();
  while (!ended && !impl_->server.is_running()) std::this_thread::yield();  // else stop() is lost
  impl_->server.stop();
  listener.join();
}

}  // namespace featflow
