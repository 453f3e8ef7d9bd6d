#include "explaining/language_model_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/log.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

// A map: with members in order each look-up would be a walk, and the text is a stranger's.
using Received = nlohmann::json;

std::optional<int64_t> count_at(const Received& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_integer()) return {};
  const bool too_large = found->is_number_unsigned() && found->get<uint64_t>() > uint64_t{1} << 40;
  const auto count = found->get<int64_t>();
  if (too_large || count < 0 || count > int64_t{1} << 40) return {};
  return count;
}

}  // namespace

ChatCompletion parse_chat_completion(const std::string& body) {
  ChatCompletion completion;
  const Received json = Received::parse(body, nullptr, false);
  if (!json.is_object()) return completion;
  if (const auto usage = json.find("usage"); usage != json.end() && usage->is_object()) {
    const auto input = count_at(*usage, "prompt_tokens");
    const auto output = count_at(*usage, "completion_tokens");
    if (input && output) completion.usage = {*input, *output};
  }
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty()) return completion;
  const Received& choice = choices->front();
  if (!choice.is_object() || !choice.contains("message")) return completion;
  const Received& message = choice["message"];
  if (!message.is_object() || !message.contains("content")) return completion;
  if (message["content"].is_string()) completion.text = message["content"].get<std::string>();
  return completion;
}

LanguageModelSession::LanguageModelSession(const LanguageModelOptions& options)
    : options_(options),
      client_(options.endpoint, Rng(options.seed, "waits between attempts")),
      store_(options.replies),
      spending_(options.prices, options.limit) {}

std::string LanguageModelSession::body_of(const ChatPrompt& prompt) const {
  Json body = {{"model", options_.endpoint.model},
               {"messages",
                {{{"role", "system"}, {"content", prompt.system}},
                 {{"role", "user"}, {"content", prompt.user}}}}};
  if (options_.temperature) body["temperature"] = *options_.temperature;
  body[options_.max_completion_tokens ? "max_completion_tokens" : "max_tokens"] =
      prompt.most_output_tokens + options_.thinking_tokens;
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string LanguageModelSession::key_of(const std::string& body) const {
  return ReplyStore::key(client_.endpoint().base_url, options_.endpoint.model, body);
}

std::optional<std::string> LanguageModelSession::stored(const ChatPrompt& prompt) const {
  const auto reply = store_.find(key_of(body_of(prompt)));
  if (!reply) return {};
  return reply->text;
}

TokenUsage LanguageModelSession::expected(const ChatPrompt& prompt, int64_t output) const {
  return {estimated_tokens(std::ssize(prompt.system) + std::ssize(prompt.user)), output};
}

// The estimate is corrected by what the server's tokenizer has made of the prompts so far.
TokenUsage LanguageModelSession::reservation(const ChatPrompt& prompt,
                                             const std::string& body) const {
  const std::lock_guard lock(mutex_);
  const double ratio = estimated_input_ > 0 ? static_cast<double>(counted_input_) /
                                                  static_cast<double>(estimated_input_)
                                            : 1;
  const auto estimate = static_cast<double>(estimated_tokens(std::ssize(body)));
  return {static_cast<int64_t>(std::ceil(std::max(1.0, ratio) * estimate)),
          prompt.most_output_tokens + options_.thinking_tokens};
}

std::string LanguageModelSession::send(const std::string& body, const TokenUsage& reserved) {
  try {
    return client_.post(body);
  } catch (const UnusableReply&) {
    spending_.settle(reserved, reserved);  // the server has written it, and will bill for it
    throw;
  } catch (...) {
    spending_.settle(reserved, {});
    throw;
  }
}

ChatAnswer LanguageModelSession::ask(const ChatPrompt& prompt) {
  const std::string body = body_of(prompt), key = key_of(body);
  if (const auto reply = store_.find(key)) {
    const std::lock_guard lock(mutex_);
    ++totals_.cached;
    totals_.used_by_all += reply->usage;
    return {reply->text, {}};
  }
  const TokenUsage reserved = reservation(prompt, body);
  if (!spending_.reserve(reserved)) throw BudgetReached();

  std::string received;
  try {
    received = send(body, reserved);
  } catch (const RequestFailed& failure) {
    // Addresses are for the log: what is returned may be stored in results.
    log_warning(failure.what());
    const std::lock_guard lock(mutex_);
    ++totals_.failed_requests;
    if (++failures_in_a_row_ >= kMostFailuresInARow) {
      throw Error(
          fmt::format("{}; so did {} requests before it", failure.what(), failures_in_a_row_ - 1));
    }
    return {{}, "a request brought no reply"};
  } catch (const UnusableReply& reply) {
    log_warning(reply.what());
    const std::lock_guard lock(mutex_);
    ++totals_.requests;
    ++totals_.malformed;
    ++totals_.estimated_usage;
    totals_.used += reserved;
    totals_.used_by_all += reserved;
    if (++failures_in_a_row_ >= kMostFailuresInARow) {
      throw Error(
          fmt::format("{}; so did {} requests before it", reply.what(), failures_in_a_row_ - 1));
    }
    return {{},
            fmt::format("a reply had more than {} bytes", options_.endpoint.largest_reply_bytes)};
  }

  ChatCompletion completion = parse_chat_completion(received);
  if (completion.text) *completion.text = client_.redacted(std::move(*completion.text));
  const TokenUsage used = completion.usage.value_or(
      TokenUsage{estimated_tokens(std::ssize(body)),
                 estimated_tokens(std::ssize(completion.text.value_or(received)))});
  spending_.settle(reserved, used);
  if (completion.text) {
    store_.put(key, options_.endpoint.model, body, {*completion.text, used, !completion.usage});
  }
  const std::lock_guard lock(mutex_);
  failures_in_a_row_ = 0;
  ++totals_.requests;
  totals_.used += used;
  totals_.used_by_all += used;
  if (completion.usage) {
    counted_input_ += used.input;
    estimated_input_ += estimated_tokens(std::ssize(body));
  } else {
    ++totals_.estimated_usage;
  }
  if (completion.text) return {completion.text, {}};
  ++totals_.malformed;
  return {{},
          "the server's reply is no chat completion: " + in_quotes(client_.redacted(received), 80)};
}

SessionTotals LanguageModelSession::totals() const {
  const std::lock_guard lock(mutex_);
  SessionTotals totals = totals_;
  totals.retries = client_.retries();
  return totals;
}

}  // namespace featflow
