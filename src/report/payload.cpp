#include "report/payload.hpp"

#include <zlib.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.hpp"
#include "report/report_template.hpp"

namespace featflow {

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int kGzipWrapper = 16;  // added to the window's bits
  FEATFLOW_CHECK(
      deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + kGzipWrapper, 9, Z_DEFAULT_STRATEGY) == Z_OK,
      "zlib did not start");
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  FEATFLOW_CHECK(status == Z_STREAM_END, "zlib did not finish");
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t given = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < given ? static_cast<uint8_t>(bytes[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += k <= given ? kDigits[group >> (18 - 6 * k) & 63U] : '=';
    }
  }
  return out;
}

std::string compact_json(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string encode_chunk(const nlohmann::ordered_json& json) {
  return base64(gzip(compact_json(json)));
}

int64_t Payload::reserve() {
  chunks_.emplace_back();
  return static_cast<int64_t>(chunks_.size()) - 1;
}

void Payload::set(int64_t chunk, const nlohmann::ordered_json& json) {
  chunks_.at(static_cast<size_t>(chunk)) = encode_chunk(json);
}

int64_t Payload::add(const nlohmann::ordered_json& json) { return add_encoded(encode_chunk(json)); }

int64_t Payload::add_encoded(std::string chunk) {
  chunks_.push_back(std::move(chunk));
  return static_cast<int64_t>(chunks_.size()) - 1;
}

std::string Payload::html() const {
  std::string out;
  for (size_t i = 0; i < chunks_.size(); ++i) {
    FEATFLOW_CHECK(!chunks_[i].empty(), "a chunk was reserved and not written");
    out += "<script type=\"application/octet-stream;base64\" id=\"chunk-" + std::to_string(i) +
           "\">" + chunks_[i] + "</script>\n";
  }
  return out;
}

std::string Payload::page(std::string_view front_end) const {
  const size_t marker = front_end.find(kChunksMarker);
  FEATFLOW_CHECK(marker != std::string_view::npos, "the front end has no place for the data");
  return std::string(front_end.substr(0, marker)) + html() +
         std::string(front_end.substr(marker + kChunksMarker.size()));
}

}  // namespace featflow
