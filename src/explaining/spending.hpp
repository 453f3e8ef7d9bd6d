#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace featflow {

/// Tokens of a request and of its reply, as the server counts them.
struct TokenUsage {
  int64_t input = 0;
  int64_t output = 0;

  int64_t total() const { return input + output; }
  TokenUsage& operator+=(const TokenUsage& other);
};

/// Dollars per million tokens. Without both, cost is unknown.
struct TokenPrices {
  std::optional<double> input_per_million;
  std::optional<double> output_per_million;

  std::optional<double> cost(const TokenUsage& usage) const;
};

/// A cap on what real replies may use, in dollars, in tokens, in both or in neither.
struct SpendingLimit {
  std::optional<double> dollars;
  std::optional<int64_t> tokens;
};

/// "$2.50", "2.5" (dollars), "200000 tokens" or "200000t". Throws Error naming --budget.
SpendingLimit parse_spending_limit(std::string_view text);

/// Bytes of UTF-8 over 4, rounded up: what most tokenizers need for English. Code and numbers take
/// more.
int64_t estimated_tokens(int64_t bytes);

/// What the replies of one run have used, and whether one more request fits under the limit. Safe
/// for any number of threads.
class Spending {
 public:
  /// Throws Error for a limit in dollars without prices, and for what is not positive.
  Spending(TokenPrices prices, SpendingLimit limit);

  /// Sets aside what a request may use at most. While other requests are under way, waits for them
  /// rather than refuse what their unused part may leave room for. False if it does not fit:
  /// nothing more should be sent. Throws Interrupted.
  bool reserve(const TokenUsage& most);
  /// Ends a reservation with what the reply used.
  void settle(const TokenUsage& reserved, const TokenUsage& used);

  TokenUsage used() const;
  const TokenPrices& prices() const { return prices_; }

 private:
  bool fits(const TokenUsage& usage) const;

  TokenPrices prices_;
  SpendingLimit limit_;
  mutable std::mutex mutex_;
  std::condition_variable settled_;
  TokenUsage used_, reserved_;
  int64_t under_way_ = 0;
};

}  // namespace featflow
