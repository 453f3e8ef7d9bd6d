#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "explaining/chat_client.hpp"
#include "explaining/reply_store.hpp"
#include "explaining/spending.hpp"

namespace featflow {

/// One question to a chat model.
struct ChatPrompt {
  std::string system, user;
  int64_t most_output_tokens = 512;
};

struct LanguageModelOptions {
  ChatEndpoint endpoint;
  TokenPrices prices;
  SpendingLimit limit;
  std::optional<double> temperature = 0.0;  ///< Nothing: the server's own.
  /// The reply's limit is sent as "max_completion_tokens", which some servers ask for, in place of
  /// "max_tokens".
  bool max_completion_tokens = false;
  /// More, for models that think before they answer.
  int64_t thinking_tokens = 0;
  std::filesystem::path replies;  ///< File of the ReplyStore.
  uint64_t seed = 0;              ///< Of the waits between attempts.
};

/// The limit of Spending is reached: nothing more is sent.
class BudgetReached : public Error {
 public:
  BudgetReached() : Error("the budget is used up") {}
};

/// What came of a question.
struct ChatAnswer {
  std::optional<std::string> text;  ///< Nothing: see `problem`.
  std::string problem;              ///< One line, without the server's address.
};

struct SessionTotals {
  int64_t requests = 0;  ///< That brought a reply; attempts that brought none are retries.
  int64_t cached = 0;    ///< Replies out of the store.
  int64_t retries = 0;
  int64_t failed_requests = 0;  ///< Every attempt failed.
  int64_t malformed = 0;        ///< Replies that are no chat completions; not stored.
  int64_t estimated_usage = 0;  ///< Replies whose server did not say what they used.
  TokenUsage used;              ///< By the requests of this run.
  TokenUsage used_by_all;       ///< By the cached replies too, when they were paid for.
};

/// What a server's reply says; each part is absent in what is no chat completion.
struct ChatCompletion {
  std::optional<std::string> text;  ///< choices[0].message.content
  std::optional<TokenUsage> usage;
};
ChatCompletion parse_chat_completion(const std::string& body);

/// A language model behind a store of its replies, under a limit of spending. Safe for any number
/// of threads.
class LanguageModelSession {
 public:
  explicit LanguageModelSession(const LanguageModelOptions& options);

  /// From the store, or else from the server, and then into the store. Throws BudgetReached,
  /// Interrupted, and Error for what no further request will mend (ChatClient::post); so too when
  /// kMostFailuresInARow requests failed one after the other.
  ChatAnswer ask(const ChatPrompt& prompt);
  /// From the store only.
  std::optional<std::string> stored(const ChatPrompt& prompt) const;

  /// What the prompt is expected to use: estimated_tokens of its body, and `output` tokens.
  TokenUsage expected(const ChatPrompt& prompt, int64_t output) const;
  /// Waiting requests give up.
  void abandon() { client_.abandon(); }

  SessionTotals totals() const;
  const TokenPrices& prices() const { return spending_.prices(); }
  const LanguageModelOptions& options() const { return options_; }

  static constexpr int64_t kMostFailuresInARow = 3;

 private:
  std::string body_of(const ChatPrompt& prompt) const;
  std::string key_of(const std::string& body) const;
  TokenUsage reservation(const ChatPrompt& prompt, const std::string& body) const;
  std::string send(const std::string& body, const TokenUsage& reserved);

  LanguageModelOptions options_;
  ChatClient client_;
  ReplyStore store_;
  Spending spending_;
  mutable std::mutex mutex_;  // of what follows
  SessionTotals totals_;
  int64_t counted_input_ = 0, estimated_input_ = 0;  // of requests that the server counted
  int64_t failures_in_a_row_ = 0;
};

}  // namespace featflow
