#include "merging/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/nearest.hpp"
#include "merging/interpolation.hpp"
#include "merging/task_vectors.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

constexpr std::array kMethods = {MergeMethod::kLinear,         MergeMethod::kSlerp,
                                 MergeMethod::kTaskArithmetic, MergeMethod::kTies,
                                 MergeMethod::kDareLinear,     MergeMethod::kDareTies};

}  // namespace

std::string_view merge_method_name(MergeMethod method) {
  switch (method) {
    case MergeMethod::kLinear:
      return "linear";
    case MergeMethod::kSlerp:
      return "slerp";
    case MergeMethod::kTaskArithmetic:
      return "task_arithmetic";
    case MergeMethod::kTies:
      return "ties";
    case MergeMethod::kDareLinear:
      return "dare_linear";
    case MergeMethod::kDareTies:
      return "dare_ties";
  }
  FEATFLOW_CHECK(false, "not a merge method");
}

MergeMethod parse_merge_method(std::string_view text, const std::string& where) {
  const MergeMethod nearest = *std::ranges::min_element(kMethods, {}, [&](MergeMethod method) {
    return edit_distance(text, merge_method_name(method));
  });
  if (merge_method_name(nearest) == text) return nearest;
  std::string known;
  for (const MergeMethod method : kMethods) {
    known += (known.empty() ? "" : ", ") + std::string(merge_method_name(method));
  }
  throw Error(fmt::format("{}: {} is not a merge method; did you mean \"{}\"? Methods: {}", where,
                          in_quotes(text), merge_method_name(nearest), known));
}

nlohmann::ordered_json to_json(const MergeOptions& options) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!needs_base(options.method)) return json;
  json["scale"] = options.scale;
  if (options.method == MergeMethod::kTaskArithmetic) return json;
  json["density"] = options.density;
  if (options.method == MergeMethod::kTies) return json;
  json["rescale"] = options.rescale == DareRescale::kL1Norm ? "l1_norm" : "density";
  json["seed"] = options.seed;
  return json;
}

nlohmann::ordered_json to_json(const std::vector<TensorReport>& reports) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const TensorReport& tensor : reports) {
    tensors.push_back({{"name", tensor.name},
                       {"cosine", tensor.cosine},
                       {"branch", tensor.branch},
                       {"norm_a", tensor.norm_a},
                       {"norm_b", tensor.norm_b},
                       {"norm_merged", tensor.norm_merged}});
    if (tensor.task_cosine) tensors.back()["task_cosine"] = *tensor.task_cosine;
    if (tensor.sign_conflicts) tensors.back()["sign_conflicts"] = *tensor.sign_conflicts;
  }
  return tensors;
}

DareRescale parse_dare_rescale(std::string_view text, const std::string& where) {
  if (text == "l1_norm") return DareRescale::kL1Norm;
  if (text == "density") return DareRescale::kDensity;
  throw Error(fmt::format("{}: {} is no way to rescale, expected \"l1_norm\" or \"density\"", where,
                          in_quotes(text)));
}

std::string merge_direction(const ParentNames& names, MergeMethod method) {
  if (needs_base(method)) {
    return fmt::format("the task vector of {} weighs 1 − t, that of {} t", names.a, names.b);
  }
  return fmt::format("t = 0 is {}, t = 1 is {}", names.a, names.b);
}

bool needs_base(MergeMethod method) {
  return method != MergeMethod::kLinear && method != MergeMethod::kSlerp;
}

double default_scale(MergeMethod method) {
  return needs_base(method) && method != MergeMethod::kTies ? 2 : 1;
}

void require_number(double t) {
  if (std::isfinite(t)) return;
  throw Error(
      fmt::format("merging: t is {}, expected a number (0 is the first parent, 1 the second)", t));
}

std::unique_ptr<MergeCurve> merge_curve(const Checkpoint& a, const Checkpoint& b,
                                        const Checkpoint* base, const MergeOptions& options,
                                        const ParentNames& names) {
  if (!needs_base(options.method)) {
    return std::make_unique<Interpolation>(a, b, options.method, names);
  }
  if (!base) {
    throw Error(
        fmt::format("merging {} with {}: {} adds what each has learned since a common base, "
                    "expected that base too",
                    in_quotes(names.a), in_quotes(names.b), merge_method_name(options.method)));
  }
  return std::make_unique<TaskVectors>(a, b, *base, options, names);
}

MergeResult merge(const Checkpoint& a, const Checkpoint& b, const Checkpoint* base, double t,
                  const MergeOptions& options, const ParentNames& names) {
  const auto curve = merge_curve(a, b, base, options, names);
  MergeResult result;
  curve->at(t, result.checkpoint);
  result.reports = curve->reports(result.checkpoint);
  return result;
}

void require_same_tokenizer(const std::filesystem::path& folder_a,
                            const std::filesystem::path& folder_b) {
  const std::filesystem::path file_a = folder_a / "tokenizer.model";
  const std::filesystem::path file_b = folder_b / "tokenizer.model";
  const bool in_a = std::filesystem::exists(file_a), in_b = std::filesystem::exists(file_b);
  if (!in_a && !in_b) {
    log_warning(
        fmt::format("neither {} nor {} has a tokenizer.model: whether their vocabularies "
                    "are the same cannot be told",
                    in_quotes(folder_a.string()), in_quotes(folder_b.string())));
    return;
  }
  if (in_a != in_b) {
    throw Error(
        fmt::format("{}: no such file, but {} exists; models to be merged must share one "
                    "tokenizer: copy it if they do",
                    in_quotes((in_a ? file_b : file_a).string()),
                    in_quotes((in_a ? file_a : file_b).string())));
  }
  if (read_file(file_a) != read_file(file_b)) {
    throw Error(
        fmt::format("{} and {} differ: the same token id means different text in the two "
                    "models; merge only models trained with one tokenizer",
                    in_quotes(file_a.string()), in_quotes(file_b.string())));
  }
}

}  // namespace featflow
