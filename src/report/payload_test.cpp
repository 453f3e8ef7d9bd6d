#include "report/payload.hpp"

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "report/decoded_page.hpp"

namespace featflow {
namespace {

TEST(Base64, AgreesWithTheStandard) {
  const std::vector<std::pair<std::string, std::string>> vectors = {
      {"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},
      {"foo", "Zm9v"},  {"foob", "Zm9vYg=="},  {"\xff\xfe", "//4="},
      {"\xfb", "+w=="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) EXPECT_EQ(base64(bytes), text);
}

TEST(Gzip, RoundTripsAndIsDeterministic) {
  Rng rng(3);
  for (const size_t size : {0U, 1U, 1000U, 300'000U}) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(rng.below(size % 7 ? 256 : 4));
    EXPECT_EQ(gunzip(gzip(bytes)), bytes);
    EXPECT_EQ(from_base64(base64(gzip(bytes))), gzip(bytes));
    EXPECT_EQ(gzip(bytes), gzip(bytes));
  }
}

}  // namespace
}  // namespace featflow
