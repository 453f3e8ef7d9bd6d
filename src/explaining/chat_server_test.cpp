#include "explaining/chat_server.hpp"

#include <gtest/gtest.h>
#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

namespace featflow {

struct ChatServer::Impl {
  httplib::Server server;
  std::thread thread;
  int port = 0;
  std::atomic<bool> stopping = false;
  std::mutex mutex;
  std::vector<Request> requests;
  int64_t at_once = 0, most_at_once = 0;
};

ChatServer::ChatServer(const Answer& answer) : impl_(std::make_unique<Impl>()) {
  impl_->server.new_task_queue = [] { return new httplib::ThreadPool(12); };
  impl_->server.Post(
      "/v1/chat/completions", [this, answer](const httplib::Request& from, httplib::Response& to) {
        const Request request{from.body, from.get_header_value("Authorization")};
        {
          const std::lock_guard lock(impl_->mutex);
          impl_->requests.push_back(request);
          impl_->most_at_once = std::max(impl_->most_at_once, ++impl_->at_once);
        }
        const Reply reply = answer(request);
        const auto end =
            std::chrono::steady_clock::now() + std::chrono::duration<double>(reply.delay_seconds);
        while (std::chrono::steady_clock::now() < end && !impl_->stopping) {
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        {
          const std::lock_guard lock(impl_->mutex);
          --impl_->at_once;
        }
        to.status = reply.status;
        for (const auto& [name, value] : reply.headers) to.set_header(name, value);
        if (!reply.cut) {
          to.set_content(reply.body, "application/json");
          return;
        }
        to.set_content_provider(reply.body.size(), "application/json",
                                [body = reply.body](size_t, size_t, httplib::DataSink& sink) {
                                  sink.write(body.data(), body.size() / 2);
                                  return false;
                                });
      });
  impl_->port = impl_->server.bind_to_any_port("127.0.0.1");
  impl_->thread = std::thread([this] { impl_->server.listen_after_bind(); });
  while (!impl_->server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

ChatServer::~ChatServer() {
  impl_->stopping = true;
  impl_->server.stop();
  impl_->thread.join();
}

std::string ChatServer::base_url() const {
  return "http://127.0.0.1:" + std::to_string(impl_->port) + "/v1";
}

std::vector<ChatServer::Request> ChatServer::requests() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->requests;
}

int64_t ChatServer::most_at_once() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->most_at_once;
}

std::string chat_completion(const std::string& content, int64_t input_tokens,
                            int64_t output_tokens) {
  nlohmann::json json = {{"object", "chat.completion"},
                         {"choices",
                          {{{"index", 0},
                            {"message", {{"role", "assistant"}, {"content", content}}},
                            {"finish_reason", "stop"}}}}};
  if (input_tokens >= 0 || output_tokens >= 0) {
    json["usage"] = {{"prompt_tokens", input_tokens}, {"completion_tokens", output_tokens}};
  }
  return json.dump();
}

}  // namespace featflow
