#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <numeric>
#include <set>

#include "core/blas.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/median.hpp"
#include "core/nearest.hpp"
#include "core/parallel.hpp"
#include "core/process.hpp"
#include "core/rng.hpp"
#include "core/utf8.hpp"

namespace featflow {
namespace {

TEST(Utf8, AcceptsExactlyTheWellFormedSequences) {
  // Every code point encoded by hand; surrogates and everything overlong must be refused.
  for (uint32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 97) {
    std::string text;
    if (code < 0x80) {
      text = {static_cast<char>(code)};
    } else if (code < 0x800) {
      text = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
    } else if (code < 0x10000) {
      text = {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
              static_cast<char>(0x80 | (code & 0x3F))};
    } else {
      text = {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 0x3F)),
              static_cast<char>(0x80 | (code >> 6 & 0x3F)),
              static_cast<char>(0x80 | (code & 0x3F))};
    }
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    EXPECT_EQ(is_valid_utf8(text), !surrogate) << code;
    if (text.size() > 1) {
      EXPECT_FALSE(is_valid_utf8(text.substr(0, text.size() - 1)));
    }
  }
  for (const char* bad :
       {"\xC0\x80", "\xE0\x80\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xFF", "\x80"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
  }
  EXPECT_EQ(to_valid_utf8("a\xFF"
                          "b\xE2\x82"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Error, QuotedIsOneSafeLine) {
  EXPECT_EQ(in_quotes("plain"), "'plain'");
  EXPECT_EQ(in_quotes("a\nb\x1b\xff"), "'a\\x0ab\\x1b\\xff'");
  EXPECT_EQ(in_quotes(std::string(100, 'x'), 4), "'xxxx…'");
  EXPECT_TRUE(is_valid_utf8(in_quotes("abc\xE2\x82\xAC\xE2\x82\xAC", 5)));
  EXPECT_THROW(FEATFLOW_CHECK(1 == 2, "text"), InternalError);
}

TEST(Hash, KnownValueAndFields) {
  // XXH3-128 of the empty input, from the reference implementation's documentation.
  EXPECT_EQ(hash_hex(""), "99aa06d3014798d86001c324468d497f");
  Hasher a, b;
  a.field("ab"), a.field("c");
  b.field("a"), b.field("bc");
  EXPECT_NE(a.hex(), b.hex());
  const auto folder = std::filesystem::path(testing::TempDir()) / "featflow_hash_test";
  std::filesystem::create_directories(folder / "not a file");
  const auto path = folder / "q";
  std::ofstream(path) << std::string(3'000'000, 'q');
  EXPECT_EQ(hash_file(path), hash_hex(std::string(3'000'000, 'q')));
  EXPECT_THROW(hash_file("/nonexistent"), Error);
  const std::map<std::string, std::string> expected = {{"q", hash_file(path)}};
  EXPECT_EQ(hash_files(folder), expected);
  EXPECT_THROW(hash_files("/nonexistent"), Error);
}

TEST(Rng, MatchesTheReferenceGenerator) {
  // xoshiro256++ from state {1, 2, 3, 4}: first outputs of the authors' C code.
  Rng rng(0);
  rng.set_state({1, 2, 3, 4});
  EXPECT_EQ(rng.next(), 41943041u);
  EXPECT_EQ(rng.next(), 58720359u);
  EXPECT_EQ(rng.next(), 3588806011781223u);
}

TEST(Rng, MomentsAndRanges) {
  Rng rng(7, "moments");
  constexpr int kCount = 200'000;
  double sum = 0, squares = 0, fourth = 0, uniform = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = rng.normal();
    sum += x, squares += x * x, fourth += x * x * x * x;
    const double u = rng.uniform();
    ASSERT_TRUE(u >= 0 && u < 1);
    uniform += u;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.012);  // 5 standard errors
  EXPECT_NEAR(squares / kCount, 1, 0.016);
  EXPECT_NEAR(fourth / kCount, 3, 0.11);
  EXPECT_NEAR(uniform / kCount, 0.5, 0.0033);
  std::vector<int> counts(7);
  for (int i = 0; i < 70'000; ++i) ++counts[rng.below(7)];
  for (int count : counts) EXPECT_NEAR(count, 10'000, 500);
}

TEST(Rng, ShuffleIsAPermutationAndStreamsDiffer) {
  std::vector<int> items(1000);
  std::iota(items.begin(), items.end(), 0);
  auto shuffled = items;
  Rng(3, "a").shuffle(shuffled);
  EXPECT_NE(shuffled, items);
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, items);
  EXPECT_NE(Rng(3, "a").next(), Rng(3, "b").next());
  EXPECT_NE(Rng(3, "a").next(), Rng(4, "a").next());
}

TEST(Parallel, CoversEveryIndexOnceForAnyGrainAndThreadCount) {
  for (int threads : {1, 2, 5}) {
    set_thread_count(threads);
    for (int64_t grain : {1, 3, 64, 1000}) {
      std::vector<std::atomic<int>> seen(257);
      parallel_for(257, grain, [&](int64_t begin, int64_t end, int worker) {
        ASSERT_LT(worker, threads);
        ASSERT_LE(end - begin, grain);
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      for (const auto& count : seen) EXPECT_EQ(count, 1);
    }
  }
}

TEST(Parallel, RethrowsAndStaysUsableAndNests) {
  set_thread_count(2);
  EXPECT_THROW(parallel_for(100, 1,
                            [](int64_t i, int64_t, int) {
                              if (i == 37) throw Error("thirty-seven");
                            }),
               Error);
  std::atomic<int64_t> sum = 0;
  parallel_for(10, 1, [&](int64_t i, int64_t, int) {
    parallel_for(10, 2, [&](int64_t b, int64_t e, int) {
      for (int64_t j = b; j < e; ++j) sum += i * j;
    });
  });
  EXPECT_EQ(sum, 45 * 45);
  parallel_for(0, 1, [](int64_t, int64_t, int) { FAIL(); });
}

TEST(Blas, AgreesWithFloat64OnEveryTransposition) {
  Rng rng(11);
  const int64_t rows = 37, cols = 53, inner = 41;
  std::vector<float> a(static_cast<size_t>(rows * inner)), b(static_cast<size_t>(inner * cols));
  for (float& x : a) x = static_cast<float>(rng.normal());
  for (float& x : b) x = static_cast<float>(rng.normal());
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      std::vector<float> c(static_cast<size_t>(rows * cols), 1.0f);
      sgemm(a_transposed ? Transpose::kYes : Transpose::kNo,
            b_transposed ? Transpose::kYes : Transpose::kNo, rows, cols, inner, 0.5f, a.data(),
            a_transposed ? rows : inner, b.data(), b_transposed ? inner : cols, 2.0f, c.data(),
            cols);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < cols; ++j) {
          double sum = 0;
          for (int64_t k = 0; k < inner; ++k) {
            const auto ai = a_transposed ? k * rows + i : i * inner + k;
            const auto bi = b_transposed ? j * inner + k : k * cols + j;
            sum += static_cast<double>(a[static_cast<size_t>(ai)]) * b[static_cast<size_t>(bi)];
          }
          ASSERT_NEAR(c[static_cast<size_t>(i * cols + j)], 0.5 * sum + 2, 1e-5);
        }
      }
    }
  }
}

TEST(Median, OfWhatIsKnown) {
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({unknown, 4, unknown, 1, 2}), 2);
  EXPECT_TRUE(std::isnan(median({})));
  EXPECT_TRUE(std::isnan(median({unknown})));
}

TEST(Nearest, CountsExchangedNeighboursOnce) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("rnu", "run"), 1u);
  EXPECT_EQ(edit_distance("ca", "abc"), 3u);
  EXPECT_EQ(nearest("Lau", std::vector<std::string>{"Base", "Lua"}), "Lua");
  EXPECT_EQ(nearest("xyz", std::vector<std::string>{"Base", "Lua"}), "");
}

TEST(Process, HumanUnits) {
  EXPECT_EQ(human_bytes(512), "512 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(int64_t{3} << 30), "3.0 GiB");
  EXPECT_EQ(human_seconds(125), "2 min 5 s");
  EXPECT_EQ(human_seconds(1.5), "1.5 s");
  EXPECT_GT(peak_memory_bytes(), 0);
  EXPECT_GT(available_memory_bytes(), int64_t{1} << 20);
  EXPECT_GT(free_disk_bytes("/"), 0);
}

}  // namespace
}  // namespace featflow
