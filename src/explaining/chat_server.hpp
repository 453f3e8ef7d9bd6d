#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace featflow {

/// A server that speaks chat completions on a free port of the loopback, in threads of its own. For
/// tests.
class ChatServer {
 public:
  struct Request {
    std::string body;
    std::string authorization;
  };
  struct Reply {
    int status = 200;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers = {};
    double delay_seconds = 0;
    bool cut = false;  ///< The connection is closed behind the first half of the body.
  };
  using Answer = std::function<Reply(const Request&)>;

  explicit ChatServer(const Answer& answer);
  ~ChatServer();

  std::string base_url() const;
  std::vector<Request> requests() const;  ///< In the order of their arrival.
  int64_t request_count() const { return static_cast<int64_t>(requests().size()); }
  int64_t most_at_once() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A chat completion with this content, and usage unless both are negative.
std::string chat_completion(const std::string& content, int64_t input_tokens = 100,
                            int64_t output_tokens = 10);

}  // namespace featflow
