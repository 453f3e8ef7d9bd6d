#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace featflow {

enum class MergeMethod {
  kLinear,  ///< (1 − t)·a + t·b
  kSlerp,   ///< Spherical interpolation of each tensor (Shoemake 1985), as mergekit does it.
  // Sums of task vectors (task_vectors.hpp); these need the parents' common base.
  kTaskArithmetic,
  kTies,
  kDareLinear,
  kDareTies,
};
bool needs_base(MergeMethod method);

/// How DARE makes up for what it drops: to the task vector's L1 norm (mergekit), or by 1/density
/// (the paper).
enum class DareRescale { kL1Norm, kDensity };

/// λ such that t = ½ adds both task vectors whole (ties averages them, so 1).
double default_scale(MergeMethod method);

struct MergeOptions {
  MergeMethod method = MergeMethod::kSlerp;
  // Of the methods that need a base:
  double scale = 1;    ///< λ
  double density = 1;  ///< Share of each task vector that stays: ties, dare_*.
  DareRescale rescale = DareRescale::kL1Norm;
  uint64_t seed = 0;  ///< Of DARE's masks.
};

/// What the method has beside t, {} for one without: "scale", "density", "rescale", "seed".
nlohmann::ordered_json to_json(const MergeOptions& options);

std::string_view merge_method_name(MergeMethod method);  ///< "slerp", "task_arithmetic", …
/// Throws Error naming `where` and the nearest method if there is none of that name.
MergeMethod parse_merge_method(std::string_view text, const std::string& where);
DareRescale parse_dare_rescale(std::string_view text, const std::string& where);

/// What people call the two parents: for messages and reports only.
struct ParentNames {
  std::string a = "A";
  std::string b = "B";
};

/// "t = 0 is Lua, t = 1 is TinyStories": goes wherever a t is shown.
std::string merge_direction(const ParentNames& names, MergeMethod method);

struct TensorReport {
  std::string name;
  double cosine = 0;        ///< Of the angle between the two tensors, each flattened.
  std::string_view branch;  ///< "slerp", "lerp", "ties", …: the arithmetic really used.
  double norm_a = 0, norm_b = 0, norm_merged = 0;
  // Of the whole task vectors, where the method has a base:
  std::optional<double> task_cosine;
  std::optional<double> sign_conflicts;  ///< Share of opposite signs where neither is zero.
};

/// [{"name", "cosine", "branch", "norm_a", "norm_b", "norm_merged"}], as in merge.json and
/// sweep.json.
nlohmann::ordered_json to_json(const std::vector<TensorReport>& reports);

/// All merges of two models along t: what does not depend on t is computed once. Arithmetic is
/// float64, rounded once to float32 (task vectors are float32 themselves, as mergekit's); results
/// do not depend on the thread count.
class MergeCurve {
 public:
  virtual ~MergeCurve() = default;
  /// Writes the merged model into `out`, reusing its memory. The config is a's. Throws Error unless
  /// t is a number.
  virtual void at(double t, Checkpoint& out) const = 0;
  /// One report per tensor, by name. `merged` is what at() wrote: its norms are measured.
  virtual std::vector<TensorReport> reports(const Checkpoint& merged) const = 0;
};

/// Borrows the models. `base` may be null unless the method needs it. Throws Error naming the
/// tensor, both shapes and the likely cause if they differ in vocabulary, shapes or architecture,
/// or if a weight is NaN or infinite.
std::unique_ptr<MergeCurve> merge_curve(const Checkpoint& a, const Checkpoint& b,
                                        const Checkpoint* base, const MergeOptions& options,
                                        const ParentNames& names = {});
void require_number(double t);

struct MergeResult {
  Checkpoint checkpoint;
  std::vector<TensorReport> reports;
};

/// One merge, see MergeCurve.
MergeResult merge(const Checkpoint& a, const Checkpoint& b, const Checkpoint* base, double t,
                  const MergeOptions& options, const ParentNames& names = {});

/// Throws Error unless the two model folders hold the same tokenizer.model, byte for byte: equal
/// shapes do not make equal vocabularies. If neither folder has one, warns that it cannot tell.
void require_same_tokenizer(const std::filesystem::path& folder_a,
                            const std::filesystem::path& folder_b);

}  // namespace featflow
