#include "matching/correlation.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <memory>

#include "benchmarks.hpp"
#include "core/blas.hpp"
#include "storage/temporary_folder.hpp"
#include "synthetic.hpp"

namespace featflow::bench {
namespace {

struct Sizes {
  int64_t tokens = 3'000'000, m = 16'384, l0 = 30;
  std::map<std::string, int64_t> map() const {
    return {{"tokens", tokens}, {"features of each", m}, {"L0", l0}};
  }
};

// From two folders of activations on disk to matches in memory.
Side match_files(const TemporaryFolder& folder, int64_t memory_mib) {
  return {fmt::format("FeatFlow, --memory {}MiB", memory_mib), [&folder, memory_mib] {
            set_up_side();
            return [&folder, memory_mib]() -> Facts {
              CorrelationOptions options;
              options.memory_bytes = memory_mib << 20;
              const Matches matches = correlate(ActivationShards(folder.path() / "a"),
                                                ActivationShards(folder.path() / "b"), options);
              return {{"pairs", static_cast<double>(matches.pairs.size())}};
            };
          }};
}

// AᵀB of dense [tokens, m] arrays, by a slice of 2,048 tokens.
Side dense_product(const Sizes& sizes) {
  constexpr int64_t kSlice = 2048;
  return {"dense product (by a slice)",
          [sizes] {
            set_up_side();
            auto a = std::make_shared<std::vector<float>>(normal_rows(kSlice, sizes.m, 1));
            auto b = std::make_shared<std::vector<float>>(normal_rows(kSlice, sizes.m, 2));
            auto products =
                std::make_shared<std::vector<float>>(static_cast<size_t>(sizes.m * sizes.m));
            return [=]() -> Facts {
              sgemm(Transpose::kYes, Transpose::kNo, sizes.m, sizes.m, kSlice, 1, a->data(),
                    sizes.m, b->data(), sizes.m, 0, products->data(), sizes.m);
              return {};
            };
          },
          static_cast<double>(sizes.tokens) / static_cast<double>(kSlice)};
}

void write_pair(const Sizes& sizes, const TemporaryFolder& folder) {
  run_apart([&] {
    set_up_side();
    write_planted_pair(sizes.tokens, sizes.m, sizes.m, static_cast<double>(sizes.l0),
                       folder.path() / "a", folder.path() / "b");
  });
}

}  // namespace

void correlation(Record& record) {
  Sizes sizes;
  if (record.quick()) sizes = {.tokens = 20'000, .m = 512, .l0 = 10};
  const TemporaryFolder folder;
  write_pair(sizes, folder);
  record.measure(
      {.name = fmt::format("{} tokens, {} × {} features", sizes.tokens, sizes.m, sizes.m),
       .sizes = sizes.map(),
       .sides = {match_files(folder, 2048), dense_product(sizes), match_files(folder, 512)},
       .comparisons = {{.what = "times faster than a dense product",
                        .numerator = 1,
                        .denominator = 0,
                        .at_least = 1000},
                       {.what = "times as long within 512 MiB", .numerator = 2, .denominator = 0}},
       .memory = {{.side = 0, .at_most_bytes = 2.0 * (1 << 30)},
                  // the working memory asked for, and the program itself with its libraries
                  {.side = 2, .at_most_bytes = 640.0 * (1 << 20)}},
       .rounds = 5});
}

void correlation_growth(Record& record) {
  const Sizes base = record.quick() ? Sizes{.tokens = 5000, .m = 256, .l0 = 10} : Sizes{};
  const auto measure = [&](const std::string& name, const Sizes& sizes) {
    const TemporaryFolder folder;
    write_pair(sizes, folder);
    record.measure(
        {.name = name, .sizes = sizes.map(), .sides = {match_files(folder, 2048)}, .rounds = 1});
  };
  for (const int64_t divisor : {30, 10, 3}) {
    Sizes sizes = base;
    sizes.tokens = base.tokens / divisor;
    measure(fmt::format("{} tokens", sizes.tokens), sizes);
  }
  Sizes fewer = base;
  fewer.tokens = base.tokens / 10;
  for (const int64_t l0 : {10, 100, 300}) {
    Sizes sizes = fewer;
    sizes.l0 = l0;
    measure(fmt::format("L0 {}", l0), sizes);
  }
  for (const int64_t factor : {1, 8, 16}) {
    Sizes sizes = fewer;
    sizes.m = base.m / 4 * factor;
    measure(fmt::format("{} features", sizes.m), sizes);
  }
}

}  // namespace featflow::bench
