#include "explaining/chat_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "explaining/chat_server.hpp"
#include "explaining/language_model_session.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;
using Reply = ChatServer::Reply;

constexpr const char* kKeyVariable = "FEATFLOW_TEST_KEY";
constexpr const char* kKey = "sk-secret-0123456789";

class ChatClientTest : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv(kKeyVariable, kKey, 1); }
  void TearDown() override { ::unsetenv(kKeyVariable); }

  static ChatEndpoint endpoint(const std::string& base_url) {
    ChatEndpoint endpoint;
    endpoint.base_url = base_url;
    endpoint.model = "rules";
    endpoint.api_key_variable = kKeyVariable;
    endpoint.attempts = 3;
    endpoint.first_wait_seconds = 0.01;
    endpoint.timeout_seconds = 5;
    return endpoint;
  }
  static LanguageModelOptions options(const std::string& base_url, const TemporaryFolder& folder) {
    LanguageModelOptions options;
    options.endpoint = endpoint(base_url);
    options.replies = folder / "replies.jsonl";
    return options;
  }
};

/// The first replies one after the other, the last one from then on.
ChatServer::Answer replies(std::vector<Reply> list) {
  auto next = std::make_shared<std::atomic<size_t>>(0);
  return [list = std::move(list), next](const ChatServer::Request&) {
    return list[std::min((*next)++, list.size() - 1)];
  };
}

double seconds_of(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST_F(ChatClientTest, SendsTheBodyAndTheKeyAsTheProtocolSays) {
  const ChatServer server(replies({{200, "hello"}}));
  ChatClient client(endpoint(server.base_url() + "/"), Rng(1));
  EXPECT_EQ(client.post("{\"a\": 1}"), "hello");
  ASSERT_EQ(server.request_count(), 1);
  EXPECT_EQ(server.requests()[0].body, "{\"a\": 1}");
  EXPECT_EQ(server.requests()[0].authorization, std::string("Bearer ") + kKey);
  EXPECT_EQ(client.retries(), 0);

  ::unsetenv(kKeyVariable);  // A server of one's own asks for none.
  EXPECT_EQ(ChatClient(endpoint(server.base_url()), Rng(1)).post("{}"), "hello");
  EXPECT_EQ(server.requests()[1].authorization, "");
}

TEST_F(ChatClientTest, GoesOnAfterErrorsOfTheServer) {
  const ChatServer server(replies({{500, "oh"}, {503, "no"}, {200, "hello"}}));
  ChatClient client(endpoint(server.base_url()), Rng(1));
  EXPECT_EQ(client.post("{}"), "hello");
  EXPECT_EQ(server.request_count(), 3);
  EXPECT_EQ(client.retries(), 2);
}

TEST_F(ChatClientTest, WaitsAsLongAsTheServerAsks) {
  const ChatServer server(replies({{429, "slower", {{"Retry-After", "1"}}}, {200, "hello"}}));
  ChatClient client(endpoint(server.base_url()), Rng(1));
  EXPECT_GE(seconds_of([&] { EXPECT_EQ(client.post("{}"), "hello"); }), 1);
  EXPECT_EQ(server.request_count(), 2);

  const ChatServer tomorrow(replies({{429, "spent", {{"Retry-After", "86400"}}}}));
  EXPECT_THAT([&] { ChatClient(endpoint(tomorrow.base_url()), Rng(1)).post("{}"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("HTTP 429: 'spent'"), HasSubstr("86400 s"))));
  EXPECT_EQ(tomorrow.request_count(), 1);
}

TEST_F(ChatClientTest, TriesAgainWhenTheServerHangs) {
  const ChatServer server(
      replies({{.status = 200, .body = "late", .delay_seconds = 30}, {200, "hello"}}));
  ChatEndpoint impatient = endpoint(server.base_url());
  impatient.timeout_seconds = 0.5;
  ChatClient client(impatient, Rng(1));
  EXPECT_LT(seconds_of([&] { EXPECT_EQ(client.post("{}"), "hello"); }), 20);
  EXPECT_EQ(client.retries(), 1);
}

TEST_F(ChatClientTest, TriesAgainWhenTheConnectionIsCut) {
  const ChatServer server(
      replies({{.status = 200, .body = "half of it", .cut = true}, {200, "hello"}}));
  ChatClient client(endpoint(server.base_url()), Rng(1));
  EXPECT_EQ(client.post("{}"), "hello");
  EXPECT_EQ(client.retries(), 1);
}

TEST_F(ChatClientTest, GivesUpAfterTheLastAttempt) {
  const ChatServer server(replies({{500, "{\"error\": {\"message\": \"out of\\nmemory\"}}"}}));
  EXPECT_THAT([&] { ChatClient(endpoint(server.base_url()), Rng(1)).post("{}"); },
              ThrowsMessage<RequestFailed>(AllOf(HasSubstr("HTTP 500: 'out of\\x0amemory'"),
                                                 HasSubstr("3 attempts failed"))));
  EXPECT_EQ(server.request_count(), 3);

  std::string closed;
  {
    const ChatServer gone(replies({{200, ""}}));
    closed = gone.base_url();
  }
  EXPECT_THAT([&] { ChatClient(endpoint(closed), Rng(1)).post("{}"); },
              ThrowsMessage<RequestFailed>(HasSubstr("127.0.0.1")));
}

TEST_F(ChatClientTest, WhatCannotBeMendedFailsAtOnce) {
  for (const int status : {400, 401, 403, 404, 422}) {
    const ChatServer server(replies({{status, R"({"error": "bad sk-secret-0123456789"})"}}));
    EXPECT_THAT([&] { ChatClient(endpoint(server.base_url()), Rng(1)).post("{}"); },
                ThrowsMessage<Error>(AllOf(HasSubstr(std::to_string(status) + ": 'bad [key]'"),
                                           Not(HasSubstr(kKey)), Not(HasSubstr("\n")))));
    EXPECT_EQ(server.request_count(), 1);
  }
}

TEST_F(ChatClientTest, LongMessagesAreShortened) {
  const ChatServer server(replies({{400, std::string(100'000, 'x') + "\n"}}));
  try {
    ChatClient(endpoint(server.base_url()), Rng(1)).post("{}");
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 400U);
  }
}

TEST_F(ChatClientTest, RedirectsAreNotFollowed) {
  const ChatServer other(replies({{200, "stolen"}}));
  const ChatServer server(
      replies({{307, "", {{"Location", other.base_url() + "/chat/completions"}}}}));
  EXPECT_THAT([&] { ChatClient(endpoint(server.base_url()), Rng(1)).post("{}"); },
              ThrowsMessage<Error>(HasSubstr("redirects are not followed")));
  EXPECT_EQ(other.request_count(), 0);
}

TEST_F(ChatClientTest, EndlessRepliesAreCutOff) {
  const ChatServer server(replies({{200, std::string(300'000, 'x')}}));
  ChatEndpoint small = endpoint(server.base_url());
  small.largest_reply_bytes = 100'000;
  EXPECT_THAT([&] { ChatClient(small, Rng(1)).post("{}"); },
              ThrowsMessage<UnusableReply>(HasSubstr("more than 100000 bytes")));
  EXPECT_EQ(server.request_count(), 1);
}

TEST_F(ChatClientTest, NoMoreRequestsAtOnceThanAllowed) {
  const ChatServer server(replies({{.status = 200, .body = "x", .delay_seconds = 0.05}}));
  ChatEndpoint two = endpoint(server.base_url());
  two.concurrency = 2;
  ChatClient client(two, Rng(1));
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { client.post("{}"); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server.request_count(), 8);
  EXPECT_EQ(server.most_at_once(), 2);
}

TEST_F(ChatClientTest, RefusesWhatIsNoAddress) {
  for (const char* url : {"", "host/v1", "ftp://host/v1", "file:///etc/passwd", "http://",
                          "http://host/v1?a=b", "http://ho st/v1", "http://host/\nX: y"}) {
    EXPECT_THAT([&] { ChatClient(endpoint(url), Rng(1)); },
                ThrowsMessage<Error>(HasSubstr("--base-url")))
        << url;
  }
  EXPECT_THAT([&] { ChatClient(endpoint("http://me:hidden@host/v1"), Rng(1)); },
              ThrowsMessage<Error>(AllOf(HasSubstr("password"), Not(HasSubstr("hidden")))));
  ::setenv(kKeyVariable, "sk-secret\r\nX-Other: 1", 1);
  EXPECT_THAT([&] { ChatClient(endpoint("http://127.0.0.1:1"), Rng(1)); },
              ThrowsMessage<Error>(AllOf(HasSubstr(kKeyVariable), Not(HasSubstr("sk-secret")))));
}

TEST_F(ChatClientTest, ASessionKeepsRepliesAndCountsWhatTheyUse) {
  const TemporaryFolder folder;
  const ChatServer server(replies({{200, chat_completion("yes", 70, 3)}}));
  const ChatPrompt prompt = {"system", "user", 20};
  {
    LanguageModelSession session(options(server.base_url(), folder));
    EXPECT_EQ(session.stored(prompt), std::nullopt);
    EXPECT_EQ(session.ask(prompt).text, "yes");
    EXPECT_EQ(session.ask(prompt).text, "yes");
    EXPECT_EQ(session.totals().requests, 1);
    EXPECT_EQ(session.totals().cached, 1);
    EXPECT_EQ(session.totals().used.input, 70);
    EXPECT_EQ(session.totals().used.output, 3);
  }
  // Lines whose counts nobody could add up are no replies.
  const std::filesystem::path store = options(server.base_url(), folder).replies;
  write_file_atomic(store, read_file(store) +
                               R"({"key": "k", "reply": "r", "input_tokens": 9000000000000000000, )"
                               R"("output_tokens": 1, "usage_estimated": false})"
                               "\n");
  LanguageModelSession session(options(server.base_url(), folder));
  EXPECT_EQ(session.ask(prompt).text, "yes");
  EXPECT_EQ(session.totals().used.total(), 0);
  EXPECT_EQ(session.totals().used_by_all.total(), 73);
  EXPECT_EQ(server.request_count(), 1);
  LanguageModelOptions warmer = options(server.base_url(), folder);
  warmer.temperature = 1;
  EXPECT_EQ(LanguageModelSession(warmer).stored(prompt), std::nullopt);
}

TEST_F(ChatClientTest, RepliesThatAreNoCompletionsAreCountedAndNotKept) {
  const std::vector<std::string> bodies = {"",
                                           "<html>",
                                           "[]",
                                           "{\"choices\": []}",
                                           "{\"choices\": [5]}",
                                           "{\"choices\": [{\"message\": {\"content\": null}}]}",
                                           "{\"choices\": [{\"message\": {\"content\": \"cut",
                                           std::string(1000, '[')};
  for (const std::string& body : bodies) {
    const TemporaryFolder folder;
    const ChatServer server(replies({{200, body}}));
    LanguageModelSession session(options(server.base_url(), folder));
    const ChatAnswer answer = session.ask({"s", "u", 20});
    EXPECT_EQ(answer.text, std::nullopt);
    EXPECT_THAT(answer.problem, HasSubstr("no chat completion"));
    EXPECT_EQ(session.totals().malformed, 1);
    EXPECT_EQ(session.stored({"s", "u", 20}), std::nullopt);
    EXPECT_EQ(server.request_count(), 1);
  }
}

TEST_F(ChatClientTest, UsageThatIsMissingOrAbsurdIsEstimated) {
  for (const std::string& body :
       {chat_completion("abcdefgh", -1, -1), chat_completion("abcdefgh", -5, 3)}) {
    const TemporaryFolder folder;
    const ChatServer server(replies({{200, body}}));
    LanguageModelSession session(options(server.base_url(), folder));
    session.ask({"s", std::string(400, 'x'), 20});
    EXPECT_EQ(session.totals().estimated_usage, 1);
    EXPECT_EQ(session.totals().used.output, 2);
    EXPECT_GT(session.totals().used.input, 100);
  }
}

TEST_F(ChatClientTest, ASessionSurvivesEndlessReplies) {
  const TemporaryFolder folder;
  const ChatServer server(replies({{200, chat_completion(std::string(300'000, 'x'))}}));
  LanguageModelOptions small = options(server.base_url(), folder);
  small.endpoint.largest_reply_bytes = 100'000;
  LanguageModelSession session(small);
  EXPECT_EQ(session.ask({"s", "u", 20}).problem, "a reply had more than 100000 bytes");
  EXPECT_EQ(session.totals().malformed, 1);
  EXPECT_EQ(session.stored({"s", "u", 20}), std::nullopt);
  // They were written and will be billed: as much as was set aside counts, and they come to an end.
  EXPECT_EQ(session.totals().used.output, 20);
  EXPECT_EQ(session.ask({"s", "v", 20}).text, std::nullopt);
  EXPECT_THAT(
      [&] {
        session.ask({"s", "w", 20});
      },
      ThrowsMessage<Error>(AllOf(HasSubstr("more than 100000 bytes"), HasSubstr("2 requests"))));
  EXPECT_EQ(session.totals().used.output, 60);
}

TEST_F(ChatClientTest, ASessionEndsWhenNothingComesThrough) {
  const TemporaryFolder folder;
  const ChatServer server(replies({{500, "down"}}));
  LanguageModelSession session(options(server.base_url(), folder));
  EXPECT_EQ(session.ask({"s", "1", 20}).problem, "a request brought no reply");
  EXPECT_EQ(session.ask({"s", "2", 20}).text, std::nullopt);
  EXPECT_THAT(
      [&] {
        session.ask({"s", "3", 20});
      },
      ThrowsMessage<Error>(AllOf(HasSubstr("'down'"), HasSubstr("2 requests"))));
  EXPECT_EQ(session.totals().failed_requests, 3);
}

TEST_F(ChatClientTest, TheKeyIsInNoReply) {
  const TemporaryFolder folder;
  // As text, and spelled so that only a JSON parser sees it.
  const ChatServer server(
      replies({{200, R"({"choices": [{"message": {"content": "sk-secret-0123456789 )"
                     R"(sk\u002dsecret-0123456789"}}]})"}}));
  LanguageModelSession session(options(server.base_url(), folder));
  EXPECT_EQ(session.ask({"s", "u", 20}).text, "[key] [key]");
  EXPECT_THAT(read_file(folder / "replies.jsonl"), Not(HasSubstr("secret")));
}

TEST_F(ChatClientTest, AStandInForAKeyIsNoSecret) {
  const TemporaryFolder folder;
  const ChatServer server(replies({{200, chat_completion("none of a message")}}));
  for (const char* key : {"a", "none"}) {
    ::setenv(kKeyVariable, key, 1);
    LanguageModelSession session(options(server.base_url(), folder));
    EXPECT_EQ(session.ask({"s", key, 20}).text, "none of a message");
  }
}

}  // namespace
}  // namespace featflow
