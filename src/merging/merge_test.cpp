#include "merging/merge.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <tuple>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Checkpoint model_of(const std::vector<std::pair<std::string, std::vector<float>>>& tensors) {
  Checkpoint model;
  for (const auto& [name, data] : tensors) {
    model.tensors[name] = {{std::ssize(data)}, data};
  }
  return model;
}

std::vector<float> merged(std::vector<float> a, std::vector<float> b, MergeMethod method, double t,
                          std::string_view branch, double cosine) {
  const MergeResult result =
      merge(model_of({{"w", std::move(a)}}), model_of({{"w", std::move(b)}}), nullptr, t, {method});
  EXPECT_EQ(result.reports.at(0).name, "w");
  EXPECT_EQ(result.reports.at(0).branch, branch);
  EXPECT_NEAR(result.reports.at(0).cosine, cosine, 1e-7);
  return result.checkpoint.tensors.at("w").data;
}

template <typename Function>
std::string error_of(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "no error";
}

MATCHER_P2(Near, expected, tolerance, "") {
  if (arg.size() != expected.size()) return false;
  for (size_t i = 0; i < arg.size(); ++i) {
    if (!(std::abs(arg[i] - expected[i]) <= tolerance)) {
      *result_listener << "element " << i << " is " << arg[i] << ", not " << expected[i];
      return false;
    }
  }
  return true;
}
auto near(std::vector<double> expected) { return Near(std::move(expected), 1e-6); }

constexpr MergeMethod kLinear = MergeMethod::kLinear, kSlerp = MergeMethod::kSlerp;

TEST(Merge, LinearByHand) {
  EXPECT_THAT(merged({1, 2}, {5, -2}, kLinear, 0.25, "lerp", 1 / std::sqrt(5. * 29)), near({2, 1}));
}

TEST(Merge, SlerpByHand) {
  // Orthogonal: the weights are sines of multiples of 90°, and apply to the original lengths.
  EXPECT_THAT(merged({1, 0}, {0, 2}, kSlerp, 0.5, "slerp", 0), near({0.70710678, 1.41421356}));
  EXPECT_THAT(merged({1, 0}, {0, 2}, kSlerp, 1. / 3, "slerp", 0), near({0.86602540, 1}));
  // 60° apart: both weights are sin 30° / sin 60° = 0.57735027 in the middle.
  EXPECT_THAT(merged({2, 0}, {0.5f, 0.8660254f}, kSlerp, 0.5, "slerp", 0.5),
              near({1.44337567, 0.5}));
  // 120° apart, t = 1/4: sin 90° / sin 120° = 1.15470054 and sin 30° / sin 120° = 0.57735027.
  EXPECT_THAT(merged({1, 0}, {-1, 1.7320508f}, kSlerp, 0.25, "slerp", -0.5), near({0.57735027, 1}));
}

TEST(Merge, SlerpIsLinearForParallelAndAntiparallel) {
  EXPECT_THAT(merged({1, 2}, {2, 4}, kSlerp, 0.25, "lerp", 1), near({1.25, 2.5}));
  EXPECT_THAT(merged({1, 2}, {-2, -4}, kSlerp, 0.25, "lerp", -1), near({0.25, 0.5}));
}

TEST(Merge, SlerpBranchesAtItsThreshold) {
  for (const double sign : {1., -1.}) {
    const auto at_cosine = [&](double cosine) {
      const double sine = std::sqrt(1 - cosine * cosine);
      return std::vector<float>{static_cast<float>(sign * cosine), static_cast<float>(sine)};
    };
    merged({1, 0}, at_cosine(0.99951), kSlerp, 0.5, "lerp", sign * 0.99951);
    merged({1, 0}, at_cosine(0.99949), kSlerp, 0.5, "slerp", sign * 0.99949);
  }
}

TEST(Merge, SlerpOfVectorsWithoutDirection) {
  // Zero: the dot product is 0, so the angle is taken as 90°.
  EXPECT_THAT(merged({0, 0}, {3, 4}, kSlerp, 0.5, "slerp", 0), near({2.12132034, 2.82842712}));
  EXPECT_THAT(merged({0, 0}, {0, 0}, kSlerp, 0.5, "slerp", 0), near({0, 0}));
  // Shorter than 1e-8: not normalised, although parallel.
  EXPECT_THAT(merged({9e-9f, 0}, {1, 0}, kSlerp, 0.5, "slerp", 9e-9), near({0.70710678, 0}));
  EXPECT_THAT(merged({2e-8f, 0}, {1, 0}, kSlerp, 0.5, "lerp", 1), near({0.5, 0}));
}

// mergekit's SLERP step by step in float64: normalised copies, then their dot product.
std::vector<double> reference_merge(const std::vector<float>& a, const std::vector<float>& b,
                                    MergeMethod method, double t) {
  const auto norm = [](const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x * x;
    return std::sqrt(sum);
  };
  const auto normalised = [&](std::vector<double> v) {
    const double length = norm(v);
    if (length > 1e-8) {
      for (double& x : v) x /= length;
    }
    return v;
  };
  const std::vector<double> v0(a.begin(), a.end()), v1(b.begin(), b.end());
  const std::vector<double> u0 = normalised(v0), u1 = normalised(v1);
  double dot = 0;
  for (size_t i = 0; i < u0.size(); ++i) dot += u0[i] * u1[i];
  std::vector<double> result;
  for (size_t i = 0; i < v0.size(); ++i) {
    if (method == kLinear || std::abs(dot) > 0.9995) {
      result.push_back((1 - t) * v0[i] + t * v1[i]);
    } else {
      const double theta_0 = std::acos(dot), theta_t = theta_0 * t;
      const double s0 = std::sin(theta_0 - theta_t) / std::sin(theta_0);
      const double s1 = std::sin(theta_t) / std::sin(theta_0);
      result.push_back(s0 * v0[i] + s1 * v1[i]);
    }
  }
  return result;
}

// Sizes on both sides of a chunk's; partner tensors from parallel to antiparallel.
std::pair<Checkpoint, Checkpoint> random_parents(uint64_t seed) {
  Rng rng(seed);
  Checkpoint a, b;
  int i = 0;
  for (const int64_t rows : {1, 3, 257, 1024, 1100}) {
    for (const double similarity : {-1., -0.5, 0., 0.9, 0.9999}) {
      const std::string name = "tensor" + std::to_string(i++);
      Tensor x{{rows, 64}, {}}, y{{rows, 64}, {}};
      for (int64_t j = 0; j < rows * 64; ++j) {
        x.data.push_back(static_cast<float>(rng.normal()));
        const double noise = std::sqrt(1 - similarity * similarity) * rng.normal();
        y.data.push_back(static_cast<float>(2 * (similarity * x.data.back() + noise)));
      }
      a.tensors[name] = std::move(x);
      b.tensors[name] = std::move(y);
    }
  }
  return {std::move(a), std::move(b)};
}

TEST(Merge, RandomTensorsAgreeWithAFloat64Reference) {
  const auto [a, b] = random_parents(1);
  for (const MergeMethod method : {kLinear, kSlerp}) {
    const auto merger = merge_curve(a, b, nullptr, {method});
    Checkpoint out;
    for (const double t : {-0.1, 0.003, 0.58, 0.99, 1.1}) {
      merger->at(t, out);
      const std::vector<TensorReport> reports = merger->reports(out);
      ASSERT_EQ(reports.size(), a.tensors.size());
      std::set<std::string_view> branches;
      for (const TensorReport& report : reports) {
        const std::vector<float>& x = a.tensors.at(report.name).data;
        const std::vector<float>& y = b.tensors.at(report.name).data;
        const Tensor& z = out.tensors.at(report.name);
        EXPECT_EQ(z.shape, a.tensors.at(report.name).shape);
        EXPECT_THAT(z.data, near(reference_merge(x, y, method, t))) << report.name << ' ' << t;

        long double xx = 0, yy = 0, xy = 0, zz = 0;
        for (size_t i = 0; i < x.size(); ++i) {
          xx += static_cast<long double>(x[i]) * x[i];
          yy += static_cast<long double>(y[i]) * y[i];
          xy += static_cast<long double>(x[i]) * y[i];
          zz += static_cast<long double>(z.data[i]) * z.data[i];
        }
        EXPECT_NEAR(report.norm_a, std::sqrt(xx), 1e-11 * report.norm_a);
        EXPECT_NEAR(report.norm_b, std::sqrt(yy), 1e-11 * report.norm_b);
        EXPECT_NEAR(report.norm_merged, std::sqrt(zz), 1e-11 * report.norm_merged);
        EXPECT_NEAR(report.cosine, xy / std::sqrt(xx * yy), 1e-12);
        branches.insert(report.branch);
      }
      EXPECT_EQ(branches.size(), method == kSlerp ? 2 : 1);
    }
  }
}

TEST(Merge, EndsAreTheParentsBitForBit) {
  auto [a, b] = random_parents(2);
  a.tensors["tensor0"].data[0] = -0.0f;  // 1 · −0 + 0 · 3 = +0, but the parent has −0
  b.tensors["tensor0"].data[0] = 3;
  for (const MergeMethod method : {kLinear, kSlerp}) {
    const MergeResult at_0 = merge(a, b, nullptr, 0, {method}),
                      at_1 = merge(a, b, nullptr, 1, {method});
    for (const auto& [name, tensor] : a.tensors) {
      const auto same = [](const std::vector<float>& x, const std::vector<float>& y) {
        return x.size() == y.size() && std::memcmp(x.data(), y.data(), 4 * x.size()) == 0;
      };
      EXPECT_TRUE(same(at_0.checkpoint.tensors.at(name).data, tensor.data)) << name;
      EXPECT_TRUE(same(at_1.checkpoint.tensors.at(name).data, b.tensors.at(name).data)) << name;
    }
  }
}

TEST(Merge, ThreadsDoNotMatter) {
  const auto [a, b] = random_parents(3);
  const int threads = thread_count();
  set_thread_count(1);
  const MergeResult expected = merge(a, b, nullptr, 0.37, {kSlerp});
  for (const int count : {2, 5}) {
    set_thread_count(count);
    const MergeResult result = merge(a, b, nullptr, 0.37, {kSlerp});
    for (size_t i = 0; i < expected.reports.size(); ++i) {
      const TensorReport &x = expected.reports[i], &y = result.reports[i];
      EXPECT_EQ(std::tie(x.cosine, x.norm_a, x.norm_b, x.norm_merged),
                std::tie(y.cosine, y.norm_a, y.norm_b, y.norm_merged));
      EXPECT_EQ(expected.checkpoint.tensors.at(x.name).data,
                result.checkpoint.tensors.at(x.name).data);
    }
  }
  set_thread_count(threads);
}

TEST(Merge, OutputOfAnotherModelIsReplaced) {
  Checkpoint a = model_of({{"w", {1, 2}}});
  a.config.eos_token_id = 7;
  const Checkpoint b = model_of({{"w", {3, 4}}});
  Checkpoint out = model_of({{"stale", {1}}, {"w", {1, 2, 3, 4, 5}}});
  merge_curve(a, b, nullptr, {kLinear})->at(0.5, out);
  EXPECT_EQ(out.tensors.size(), 1);
  EXPECT_EQ(out.tensors.at("w").shape, std::vector<int64_t>{2});
  EXPECT_EQ(out.tensors.at("w").data, (std::vector<float>{2, 3}));
  EXPECT_EQ(out.config.eos_token_id, 7);
}

TEST(Merge, RefusesModelsThatDoNotFit) {
  const ParentNames names{"Lua", "Tiny\nStories"};
  const auto refusal = [&](const Checkpoint& a, const Checkpoint& b) {
    return error_of([&] { merge_curve(a, b, nullptr, {kSlerp}, names); });
  };
  Checkpoint a, b;
  a.tensors["lm_head.weight"] = {{3, 2}, std::vector<float>(6)};
  b.tensors["lm_head.weight"] = {{4, 2}, std::vector<float>(8)};
  a.config.vocab_size = 3;
  b.config.vocab_size = 4;
  EXPECT_THAT(refusal(a, b), AllOf(HasSubstr("'lm_head.weight' is [3, 2] in 'Lua' and [4, 2] in "),
                                   HasSubstr("vocab_size is 3 and 4")));
  // One element count, another shape.
  b = a;
  b.tensors["lm_head.weight"].shape = {2, 3};
  EXPECT_THAT(refusal(a, b), HasSubstr("is [3, 2] in 'Lua' and [2, 3] in 'Tiny\\x0aStories'"));
  // A tensor on one side only, either way round.
  b = a;
  b.tensors["lm_head.bias"] = {{2}, {0, 0}};
  EXPECT_THAT(refusal(a, b), HasSubstr("'Lua' has no tensor 'lm_head.bias', [2] in the other"));
  EXPECT_THAT(refusal(b, a), HasSubstr("has no tensor 'lm_head.bias', [2] in the other"));
  // The same shapes, but cut into other heads or rotated otherwise.
  b = a;
  b.config.num_attention_heads = 8;
  EXPECT_THAT(refusal(a, b), HasSubstr("num_attention_heads is 16 and 8"));
  b = a;
  b.config.rope_theta = 1e6;
  EXPECT_THAT(refusal(a, b), HasSubstr("rope_theta is 10000 and 1000000"));
  // Weights of a diverged run.
  for (const float bad : {std::nanf(""), -std::numeric_limits<float>::infinity()}) {
    b = a;
    b.tensors["lm_head.weight"].data[4] = bad;
    EXPECT_THAT(refusal(a, b), HasSubstr("'lm_head.weight' of 'Tiny\\x0aStories' holds NaN"));
    EXPECT_THAT(refusal(b, a), HasSubstr("'lm_head.weight' of 'Lua' holds NaN"));
  }
  EXPECT_EQ(refusal(a, a), "no error");
}

TEST(Merge, MethodNames) {
  for (const MergeMethod method : {kLinear, kSlerp}) {
    EXPECT_EQ(parse_merge_method(merge_method_name(method), "x"), method);
  }
  EXPECT_THAT(error_of([] { parse_merge_method("slurp", "study.toml: merge.method"); }),
              AllOf(HasSubstr("study.toml: merge.method: 'slurp'"), HasSubstr("\"slerp\"?")));
  EXPECT_THAT(error_of([] { parse_merge_method("liner", "x"); }), HasSubstr("\"linear\"?"));
  EXPECT_THAT(error_of([] { parse_merge_method("", "x"); }), HasSubstr("Methods: linear, slerp"));
  EXPECT_EQ(merge_direction({"Lua", "TinyStories"}, kSlerp), "t = 0 is Lua, t = 1 is TinyStories");
}

TEST(Merge, TokenizersMustBeTheSame) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / "merge_tokenizers";
  std::filesystem::remove_all(folder);
  for (const char* name : {"a", "b"}) create_folder(folder / name);
  const auto compare = [&] {
    return error_of([&] { require_same_tokenizer(folder / "a", folder / "b"); });
  };
  EXPECT_EQ(compare(), "no error");  // neither: a warning
  write_file_atomic(folder / "a" / "tokenizer.model", std::string("one\0x", 5));
  EXPECT_THAT(compare(), AllOf(HasSubstr("b/tokenizer.model': no such file")));
  write_file_atomic(folder / "b" / "tokenizer.model", std::string("one\0y", 5));
  EXPECT_THAT(compare(), HasSubstr("differ"));
  write_file_atomic(folder / "b" / "tokenizer.model", std::string("one\0x", 5));
  EXPECT_EQ(compare(), "no error");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace featflow
