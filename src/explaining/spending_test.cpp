#include "explaining/spending.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "core/error.hpp"
#include "explaining/reply_store.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Spending, BudgetsAreDollarsOrTokens) {
  EXPECT_EQ(parse_spending_limit("2.50").dollars, 2.5);
  EXPECT_EQ(parse_spending_limit("$3").dollars, 3);
  EXPECT_EQ(parse_spending_limit("200000t").tokens, 200'000);
  EXPECT_EQ(parse_spending_limit("1e6 tokens").tokens, 1'000'000);
  for (const char* text : {"", "-1", "0", "$", "t", "nan", "inf", "2 euros", "1e99"}) {
    EXPECT_THAT([&] { parse_spending_limit(text); }, ThrowsMessage<Error>(HasSubstr("--budget")))
        << text;
  }
}

TEST(Spending, CostIsKnownWithBothPrices) {
  EXPECT_EQ((TokenPrices{10, 30}.cost({100'000, 10'000})), 1.3);
  EXPECT_EQ((TokenPrices{10, {}}.cost({100, 10})), std::nullopt);
  EXPECT_THAT([] { Spending({}, {.dollars = 1, .tokens = {}}); },
              ThrowsMessage<Error>(HasSubstr("needs the prices")));
  EXPECT_THROW(Spending({-1, 1}, {}), Error);
  EXPECT_THROW(Spending({}, {.dollars = {}, .tokens = 0}), Error);
}

TEST(Spending, NothingIsReservedBeyondTheLimit) {
  Spending tokens({}, {.dollars = {}, .tokens = 100});
  EXPECT_TRUE(tokens.reserve({60, 20}));
  tokens.settle({60, 20}, {50, 10});
  EXPECT_FALSE(tokens.reserve({30, 11}));
  EXPECT_TRUE(tokens.reserve({30, 10}));
  tokens.settle({30, 10}, {});
  EXPECT_EQ(tokens.used().total(), 60);

  Spending dollars({10, 20}, {.dollars = 1, .tokens = {}});
  EXPECT_FALSE(dollars.reserve({60'000, 25'000}));
  EXPECT_TRUE(dollars.reserve({60'000, 20'000}));
  dollars.settle({60'000, 20'000}, {60'000, 20'000});
  const TokenPrices prices{10, 20};
  EXPECT_DOUBLE_EQ(*prices.cost(dollars.used()), 1);
}

// Eight at a time set aside four times what they use; all that fits is still spent.
TEST(Spending, ReservationsWaitForWhatOthersLeave) {
  Spending spending({}, {.dollars = {}, .tokens = 400});
  std::atomic<int> sent = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      while (spending.reserve({40, 0})) {
        ++sent;
        spending.settle({40, 0}, {10, 0});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(spending.used().total(), 400);
  EXPECT_EQ(sent, 37);  // Until less than 40 is left: 400 − 370.
}

TEST(ReplyStore, KeepsRepliesAcrossRuns) {
  const TemporaryFolder folder;
  const auto file = folder / "below" / "replies.jsonl";
  const std::string key = ReplyStore::key("http://a/v1", "m", "{}");
  EXPECT_NE(key, ReplyStore::key("http://a/v1", "m{", "}"));
  {
    ReplyStore store(file);
    EXPECT_EQ(store.find(key), std::nullopt);
    store.put(key, "m", "{}", {"two\nlines", {3, 4}, true});
  }
  const ReplyStore store(file);
  const auto reply = store.find(key);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->text, "two\nlines");
  EXPECT_EQ(reply->usage.total(), 7);
  EXPECT_TRUE(reply->usage_estimated);
}

TEST(ReplyStore, ATornLineIsCutOffAndOthersAreLeftAlone) {
  const TemporaryFolder folder;
  const auto file = folder / "replies.jsonl";
  { ReplyStore(file).put("one", "m", "{}", {"1", {}, false}); }
  const std::string whole = read_file(file);
  std::ofstream(file, std::ios::app) << "{\"key\": 5}\nnonsense\n" << whole.substr(0, 30);
  {
    ReplyStore store(file);
    EXPECT_EQ(store.size(), 1);
    store.put("two", "m", "{}", {"2", {}, false});
  }
  const ReplyStore store(file);
  EXPECT_EQ(store.size(), 2);
  EXPECT_EQ(store.find("two")->text, "2");
  EXPECT_THAT(read_file(file), HasSubstr("nonsense\n{\"key\":\"two\""));
}

}  // namespace
}  // namespace featflow
