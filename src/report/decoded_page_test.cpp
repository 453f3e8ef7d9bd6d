#include "report/decoded_page.hpp"

#include <zlib.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "storage/files.hpp"

namespace featflow {

// Tested against payload.hpp in report_test.cpp.

std::string gunzip(const std::string& bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) throw std::runtime_error("zlib");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out, block(1 << 16, '\0');
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(block, 0, block.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("not gzip");
  return out;
}

std::string from_base64(std::string_view text) {
  std::string out;
  uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    const int digit = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (digit < 0) throw std::runtime_error("not base64");
    group = group << 6 | static_cast<uint32_t>(digit);
    if ((bits += 6) >= 8) out += static_cast<char>(group >> (bits -= 8) & 255U);
  }
  return out;
}

DecodedPage::DecodedPage(const std::filesystem::path& file) : html_(read_file(file)) {}

nlohmann::ordered_json DecodedPage::chunk(int64_t number) const {
  const std::string opening = "<script type=\"application/octet-stream;base64\" id=\"chunk-" +
                              std::to_string(number) + "\">";
  const size_t begin = html_.find(opening);
  if (begin == std::string::npos) throw std::runtime_error("no chunk " + std::to_string(number));
  const size_t start = begin + opening.size();
  return nlohmann::ordered_json::parse(gunzip(
      from_base64(std::string_view(html_).substr(start, html_.find("</script>", start) - start))));
}

}  // namespace featflow
