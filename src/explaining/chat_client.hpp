#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "core/rng.hpp"

namespace featflow {

/// A server that speaks OpenAI's chat completions, on this machine or elsewhere.
struct ChatEndpoint {
  std::string base_url;  ///< "https://host/v1": /chat/completions is added.
  std::string model;
  /// Environment variable with the API key; a server that asks for none needs none.
  std::string api_key_variable = "OPENAI_API_KEY";
  int64_t concurrency = 4;  ///< Requests under way at once.
  double timeout_seconds = 120;
  double connect_timeout_seconds = 15;
  int64_t attempts = 6;  ///< Of one request, the first included.
  /// Wait before the second attempt; doubles each time up to the longest. Half of it is random.
  double first_wait_seconds = 1;
  double longest_wait_seconds = 60;
  double longest_retry_after_seconds = 600;  ///< A server that asks for more is given up.
  int64_t largest_reply_bytes = int64_t{4} << 20;
};

/// Every attempt at a request failed in a way that another time may not: 408, 429, 5xx, timeout,
/// connection refused or cut.
class RequestFailed : public Error {
 public:
  using Error::Error;
};

/// The server answered with what is no reply, for example something endless.
class UnusableReply : public Error {
 public:
  using Error::Error;
};

/// Nothing was sent, or sent again, since ChatClient::abandon().
class Abandoned : public Error {
 public:
  using Error::Error;
};

/// Sends chat requests to one endpoint and nowhere else: no redirect is followed, no proxy is used,
/// and the key is sent in the Authorization header only. Whatever comes back is cleared of the key
/// before anyone sees it. Safe for any number of threads.
class ChatClient {
 public:
  /// `rng` spreads the waits between attempts. Throws Error for a base_url that is no plain http or
  /// https address, a key with characters that no header may have, or limits out of range.
  ChatClient(ChatEndpoint endpoint, Rng rng);
  ~ChatClient();
  ChatClient(const ChatClient&) = delete;
  ChatClient& operator=(const ChatClient&) = delete;

  /// Body of the reply to POST base_url/chat/completions with a JSON body. Waits while
  /// `concurrency` requests are under way. Throws RequestFailed, UnusableReply, Interrupted after
  /// Ctrl-C (the request under way is dropped), or Error for what another attempt cannot mend:
  /// other 4xx, redirects, certificates. Messages are of one line and quote the server, escaped and
  /// shortened. The body is as it came: what is kept of it goes through `redacted`.
  std::string post(const std::string& body);

  /// Text without the key. A stand-in for one ("none", "x"), of fewer than 8 characters, is no
  /// secret and may be part of any word: it stays.
  std::string redacted(std::string text) const;
  /// Requests that wait for another attempt, and those to come, end with Abandoned; those under way
  /// are finished.
  void abandon() { abandoned_ = true; }

  const ChatEndpoint& endpoint() const { return endpoint_; }  ///< base_url without a last slash.
  int64_t retries() const { return retries_; }

 private:
  struct Connections;
  struct Attempt;

  Attempt attempt(const std::string& body);
  void wait(double seconds) const;
  double wait_before(int64_t attempt, double retry_after);
  [[noreturn]] void refuse(const Attempt& attempt) const;

  ChatEndpoint endpoint_;
  std::string key_, url_;
  Rng rng_;
  std::unique_ptr<Connections> connections_;
  std::atomic<int64_t> retries_ = 0;
  std::atomic<bool> abandoned_ = false;
};

}  // namespace featflow
