#include "explaining/chat_client.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "core/interrupt.hpp"
#include "core/log.hpp"

namespace featflow {
namespace {

constexpr size_t kQuotedBytes = 200;
constexpr size_t kShortestSecret = 8;  // characters of a key

void start_curl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw Error("libcurl cannot be started");
}

std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  std::string result = text;
  curl_free(text);
  return result;
}

std::string checked_base_url(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
  const auto refuse = [&](const std::string& why) {
    throw Error(fmt::format("--base-url: {}; expected an address such as https://host/v1", why));
  };
  const bool spaces =
      std::ranges::any_of(url, [](unsigned char c) { return c <= ' ' || c == 127; });
  if (spaces || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    refuse(in_quotes(url) + " is no address");
  }
  // Checked before the address is shown anywhere: what stands there is a secret.
  if (!part_of(parsed.get(), CURLUPART_USER).empty() ||
      !part_of(parsed.get(), CURLUPART_PASSWORD).empty()) {
    refuse("there is a user name or a password in it, and it would be shown in messages");
  }
  const std::string scheme = part_of(parsed.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") refuse(in_quotes(url) + " is not http or https");
  if (!part_of(parsed.get(), CURLUPART_QUERY).empty() ||
      !part_of(parsed.get(), CURLUPART_FRAGMENT).empty()) {
    refuse(in_quotes(url) + " has a query, behind which no path can be added");
  }
  return url;
}

/// Whether whoever carries the request can read it.
bool readable_on_the_way(const std::string& base_url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
  curl_url_set(parsed.get(), CURLUPART_URL, base_url.c_str(), 0);
  const std::string host = part_of(parsed.get(), CURLUPART_HOST);
  return part_of(parsed.get(), CURLUPART_SCHEME) == "http" && host != "localhost" &&
         host != "[::1]" && !host.starts_with("127.");
}

std::string key_from_environment(const std::string& variable) {
  const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
  std::string key = value == nullptr ? "" : value;
  for (const unsigned char c : key) {
    if (c <= ' ' || c >= 127) {
      throw Error(
          fmt::format("the API key in ${} has a space, a line break or another character that no "
                      "key has; set it again without",
                      variable));
    }
  }
  return key;
}

/// What a server says went wrong: {"error": {"message": …}}, {"error": …}, or the text itself.
std::string server_message(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error")) {
    const auto& error = json["error"];
    if (error.is_string()) return error.get<std::string>();
    if (error.is_object() && error.contains("message") && error["message"].is_string()) {
      return error["message"].get<std::string>();
    }
  }
  return body;
}

struct Received {
  std::string body;
  size_t limit = 0;
  bool too_long = false;
};

size_t receive(char* data, size_t size, size_t count, void* to) {
  auto& received = *static_cast<Received*>(to);
  if (received.body.size() + size * count > received.limit) {
    received.too_long = true;
    return 0;
  }
  received.body.append(data, size * count);
  return size * count;
}

int stop_if_interrupted(void*, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return interrupted() ? 1 : 0;
}

long milliseconds(double seconds) { return std::max(1L, std::lround(seconds * 1000)); }

}  // namespace

/// Handles keep their connection open for the next request.
struct ChatClient::Connections {
  std::mutex mutex;  // of the random generator too
  std::condition_variable returned;
  std::vector<CURL*> idle;
  int64_t under_way = 0;

  ~Connections() {
    for (CURL* handle : idle) curl_easy_cleanup(handle);
  }
};

struct ChatClient::Attempt {
  std::string body;     ///< Without the key.
  std::string problem;  ///< Empty if a reply came.
  long status = 0;
  double retry_after = 0;
  bool again = false;  ///< Another attempt may help.
  bool too_long = false;
};

ChatClient::ChatClient(ChatEndpoint endpoint, Rng rng)
    : endpoint_(std::move(endpoint)), rng_(rng), connections_(std::make_unique<Connections>()) {
  start_curl();
  endpoint_.base_url = checked_base_url(endpoint_.base_url);
  url_ = endpoint_.base_url + "/chat/completions";
  key_ = key_from_environment(endpoint_.api_key_variable);
  if (!key_.empty() && readable_on_the_way(endpoint_.base_url)) {
    log_warning(fmt::format("{}: the key in ${} is sent without encryption; https would hide it",
                            endpoint_.base_url, endpoint_.api_key_variable));
  }
  if (endpoint_.model.empty()) throw Error("no language model is named; expected --model NAME");
  if (endpoint_.concurrency < 1 || endpoint_.concurrency > 1000 || endpoint_.attempts < 1) {
    throw Error(fmt::format("concurrency {} and {} attempts: expected 1 to 1000, and 1 at least",
                            endpoint_.concurrency, endpoint_.attempts));
  }
  if (!(endpoint_.timeout_seconds > 0) || !(endpoint_.timeout_seconds < 1e6) ||
      !(endpoint_.connect_timeout_seconds > 0) || !(endpoint_.connect_timeout_seconds < 1e6)) {
    throw Error("the timeouts of requests must lie between 0 and a million seconds");
  }
}

ChatClient::~ChatClient() = default;

std::string ChatClient::redacted(std::string text) const {
  static constexpr std::string_view kInstead = "[key]";
  if (key_.size() < kShortestSecret) return text;
  std::string clean;
  size_t done = 0;
  for (size_t at = text.find(key_); at != std::string::npos; at = text.find(key_, done)) {
    clean.append(text, done, at - done).append(kInstead);
    done = at + key_.size();
  }
  return clean.append(text, done);
}

ChatClient::Attempt ChatClient::attempt(const std::string& body) {
  CURL* handle = nullptr;
  {
    std::unique_lock lock(connections_->mutex);
    while (connections_->under_way >= endpoint_.concurrency) {
      connections_->returned.wait_for(lock, std::chrono::milliseconds(100));
      throw_if_interrupted();
    }
    ++connections_->under_way;
    if (!connections_->idle.empty()) {
      handle = connections_->idle.back();
      connections_->idle.pop_back();
    }
  }
  if (handle == nullptr) handle = curl_easy_init();
  FEATFLOW_CHECK(handle != nullptr, "a handle of libcurl");
  curl_easy_reset(handle);

  Received received;
  received.limit = static_cast<size_t>(endpoint_.largest_reply_bytes);
  curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
  headers = curl_slist_append(headers, "Expect:");
  if (!key_.empty()) {
    headers = curl_slist_append(headers, ("Authorization: Bearer " + key_).c_str());
  }
  std::vector<char> error(CURL_ERROR_SIZE, '\0');
  curl_easy_setopt(handle, CURLOPT_URL, url_.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle, CURLOPT_PROXY, "");  // the environment may name one
  curl_easy_setopt(handle, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(handle, CURLOPT_POST, 1L);
  curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, milliseconds(endpoint_.timeout_seconds));
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                   milliseconds(endpoint_.connect_timeout_seconds));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &received);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, stop_if_interrupted);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error.data());
  const CURLcode code = curl_easy_perform(handle);

  Attempt result;
  curl_off_t retry_after = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &result.status);
  curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &retry_after);
  curl_easy_reset(handle);  // forgets the key's header, keeps the connection
  curl_slist_free_all(headers);
  {
    const std::lock_guard lock(connections_->mutex);
    connections_->idle.push_back(handle);
    --connections_->under_way;
  }
  connections_->returned.notify_one();

  throw_if_interrupted();
  result.retry_after = static_cast<double>(retry_after);
  result.body = std::move(received.body);
  result.too_long = received.too_long;
  if (result.too_long) {
    result.problem = fmt::format("more than {} bytes came", endpoint_.largest_reply_bytes);
  } else if (code != CURLE_OK) {
    const std::string why = error[0] != '\0' ? error.data() : curl_easy_strerror(code);
    result.problem = in_quotes(redacted(why), kQuotedBytes);
    result.again = code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_SSL_CACERT_BADFILE &&
                   code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL;
  } else if (result.status < 200 || result.status >= 300) {
    result.problem = fmt::format("HTTP {}: {}", result.status,
                                 in_quotes(redacted(server_message(result.body)), kQuotedBytes));
    result.again = result.status == 408 || result.status == 429 || result.status >= 500;
  }
  return result;
}

// Also where the server's wish is longer than what it can be given.
void ChatClient::refuse(const Attempt& attempt) const {
  std::string hint;
  if (attempt.status == 401 || attempt.status == 403) {
    hint = key_.empty() ? fmt::format("; ${} is not set", endpoint_.api_key_variable)
                        : fmt::format("; is the key in ${} right?", endpoint_.api_key_variable);
  } else if (attempt.status == 404) {
    hint = fmt::format("; is there a model {} at this address?", in_quotes(endpoint_.model));
  } else if (attempt.status >= 300 && attempt.status < 400) {
    hint = "; redirects are not followed: give the address that it leads to";
  }
  throw Error(fmt::format("{}: {}{}", url_, attempt.problem, hint));
}

void ChatClient::wait(double seconds) const {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end && !abandoned_) {
    throw_if_interrupted();
    std::this_thread::sleep_for(
        std::min<std::chrono::duration<double>>(end - Clock::now(), std::chrono::milliseconds(50)));
  }
}

double ChatClient::wait_before(int64_t attempt, double retry_after) {
  const double full = std::min(endpoint_.longest_wait_seconds,
                               endpoint_.first_wait_seconds *
                                   std::exp2(static_cast<double>(std::min<int64_t>(attempt, 60))));
  const std::lock_guard lock(connections_->mutex);
  // Behind what the server asked for, too, so that not all come back at once.
  return retry_after > 0 ? retry_after + rng_.uniform() * std::min(full, 0.25 * retry_after)
                         : full * (0.5 + 0.5 * rng_.uniform());
}

std::string ChatClient::post(const std::string& body) {
  for (int64_t tries = 1;; ++tries) {
    throw_if_interrupted();
    if (abandoned_) throw Abandoned(fmt::format("{}: given up", url_));
    Attempt last = attempt(body);
    if (last.problem.empty()) return std::move(last.body);
    if (last.too_long) throw UnusableReply(fmt::format("{}: {}", url_, last.problem));
    if (!last.again) refuse(last);
    if (last.retry_after > endpoint_.longest_retry_after_seconds) {
      throw Error(
          fmt::format("{}: {}; it asks to come back in {:.0f} s, which is more than {:.0f} s", url_,
                      last.problem, last.retry_after, endpoint_.longest_retry_after_seconds));
    }
    if (tries >= endpoint_.attempts) {
      throw RequestFailed(fmt::format("{}: {}; {} attempts failed", url_, last.problem, tries));
    }
    const double seconds = wait_before(tries - 1, last.retry_after);
    log_verbose(fmt::format("{}: {}; attempt {} of {} in {:.1f} s", url_, last.problem, tries + 1,
                            endpoint_.attempts, seconds));
    wait(seconds);
    if (!abandoned_) ++retries_;
  }
}

}  // namespace featflow
