#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace featflow {

enum class MergeMethod {
  kLinear,  ///< (1 − t)·a + t·b
  kSlerp,   ///< Spherical interpolation of each tensor (Shoemake 1985), as mergekit does it.
};

std::string_view merge_method_name(MergeMethod method);  ///< "linear", "slerp".
/// Throws Error naming `where` and the nearest method if there is none of that name.
MergeMethod parse_merge_method(std::string_view text, const std::string& where);

/// What people call the two parents: for messages and reports only.
struct ParentNames {
  std::string a = "A";
  std::string b = "B";
};

/// "t = 0 is Lua, t = 1 is TinyStories": goes wherever a t is shown.
std::string merge_direction(const ParentNames& names);

struct TensorReport {
  std::string name;
  double cosine = 0;        ///< Of the angle between the two tensors, each flattened.
  std::string_view branch;  ///< "slerp" or "lerp": the arithmetic really used.
  double norm_a = 0, norm_b = 0, norm_merged = 0;
};

/// [{"name", "cosine", "branch", "norm_a", "norm_b", "norm_merged"}], as in merge.json and
/// sweep.json.
nlohmann::ordered_json to_json(const std::vector<TensorReport>& reports);

/// All merges of two models along t, one pass over the weights each: what does not depend on t
/// (norms, angles, branches) is computed once, in the constructor.
///
/// Each tensor is one flat vector, norm vectors and embeddings too. SLERP's branches are
/// mergekit's: the angle is that of normalised copies, u = v/‖v‖ (v itself if ‖v‖ ≤ 1e-8),
/// θ = acos(u_a·u_b), and its weights apply to the originals:
///
///   merged = sin((1 − t)θ)/sin θ · a + sin(tθ)/sin θ · b,    or, if |u_a·u_b| > 0.9995,
///   merged = (1 − t)·a + t·b.
///
/// Arithmetic is float64, rounded once to float32; results do not depend on the thread count.
class Merger {
 public:
  /// `a` and `b` are borrowed and must outlive the merger. Throws Error naming the tensor, both
  /// shapes and the likely cause if the models differ in vocabulary, shapes or architecture, or
  /// if a weight is NaN or infinite.
  Merger(const Checkpoint& a, const Checkpoint& b, MergeMethod method, ParentNames names = {});

  /// Writes the merged model into `out`, reusing its memory. t = 0 gives a and t = 1 gives b,
  /// bit for bit; t outside [0, 1] extrapolates. The config is a's.
  void at(double t, Checkpoint& out) const;

  /// One report per tensor, by name. `merged` is what at() wrote: its norms are measured.
  std::vector<TensorReport> reports(const Checkpoint& merged) const;

 private:
  struct TensorPair {
    std::string name;
    const Tensor* a;
    const Tensor* b;
    double norm_a, norm_b, cosine;
    bool slerp;
  };
  /// A part of one tensor: the unit of parallel work, and of the float64 partial sums.
  struct Chunk {
    size_t tensor;
    size_t begin, end;
  };

  const Checkpoint *a_, *b_;
  std::vector<TensorPair> pairs_;
  std::vector<Chunk> chunks_;
};

struct MergeResult {
  Checkpoint checkpoint;
  std::vector<TensorReport> reports;
};

/// One merge, see Merger.
MergeResult merge(const Checkpoint& a, const Checkpoint& b, MergeMethod method, double t,
                  const ParentNames& names = {});

/// Throws Error unless the two model folders hold the same tokenizer.model, byte for byte: equal
/// shapes do not make equal vocabularies. If neither folder has one, warns that it cannot tell.
void require_same_tokenizer(const std::filesystem::path& folder_a,
                            const std::filesystem::path& folder_b);

}  // namespace featflow
