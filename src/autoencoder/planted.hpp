#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "autoencoder/activation_source.hpp"
#include "autoencoder/autoencoder.hpp"

namespace featflow {

/// Planted truths, for tests of everything that looks for features: sparse combinations of known
/// directions. K truths in this order: ordinary ones with Zipf frequencies, `rare`, `duplicates`.
struct PlantedOptions {
  int64_t width = 64;           ///< n
  int64_t truths = 128;         ///< K, all kinds together.
  double mean_active = 4;       ///< Expected number of ordinary truths active per row.
  double zipf_exponent = 0.5;   ///< Frequency of the k-th ∝ (k + 1)^-exponent, at most 0.5.
  double correlated_share = 0;  ///< Share of the ordinary truths that come in pairs …
  double correlation = 0.8;     ///< … whose second, given the first, is active with this
                                ///< probability (and else never).
  int64_t rare = 0;             ///< Truths of frequency rare_frequency.
  double rare_frequency = 1e-3;
  int64_t duplicates = 0;        ///< Truths active on exactly the rows of an ordinary one (the
                                 ///< first for the first, …), with strengths of their own.
  int64_t domains = 1;           ///< Rows belong to domains in turn, by document …
  double domain_only_share = 0;  ///< … and this share of ordinary truths to one domain alone.
  int64_t document_rows = 64;    ///< Rows per document.
  uint64_t seed = 0;
};

/// The truths that the models of a planted family share.
struct PlantedTruths {
  PlantedOptions options;
  std::vector<float> directions;    ///< [K, n], unit norm
  std::vector<double> frequencies;  ///< [K] probability (given the leader, for followers; in its
                                    ///< own domain, for domain-only ones)
  std::vector<int32_t> leaders;     ///< [K] truth that must be active too, or -1
  std::vector<int32_t> domains;     ///< [K] the only domain it occurs in, or -1

  explicit PlantedTruths(const PlantedOptions& options);
  int64_t count() const { return options.truths; }
};

/// Rows x = Σ_k z_k D_k + noise of one planted model: only its `present` truths take part. z, the
/// strengths in [0.5, 1.5), depend on the row alone and not on the model, so the models of a
/// family see "the same text": truths present in two models persist, in the child alone emerge, in
/// the parent alone disappear.
class PlantedSource : public ActivationSource {
 public:
  struct Rows {
    int64_t batches = 100;
    int64_t batch_rows = 512;
    double noise = 0;   ///< Standard deviation of each element.
    uint64_t seed = 0;  ///< Another seed, another text.
    uint64_t noise_seed = 0;
  };

  /// `present` ascending; empty: all truths.
  PlantedSource(std::shared_ptr<const PlantedTruths> truths, const Rows& rows,
                std::vector<int32_t> present = {});

  int64_t width() const override { return truths_->options.width; }
  int64_t batch_count() const override { return rows_.batches; }
  int64_t batch(int64_t step, std::vector<float>& rows) override;

  const std::vector<int32_t>& present() const { return present_; }
  /// z of the present truths on the rows of a batch; feature k is truth k.
  SparseRows true_activations(int64_t step) const;
  /// Of a row counted from the first row of batch 0.
  int32_t document(int64_t row) const;
  int32_t domain(int64_t row) const;

 private:
  std::shared_ptr<const PlantedTruths> truths_;
  Rows rows_;
  std::vector<int32_t> present_;
};

/// How well an autoencoder found the truths of a source.
struct PlantedRecovery {
  std::vector<double> best_cosine;  ///< Per present truth: max_j cosine(D_k, d_j).
  double mean_max_cosine = 0;       ///< "MMCS"
  double share_above(double cosine) const;
};
PlantedRecovery planted_recovery(const Autoencoder& autoencoder, const PlantedTruths& truths,
                                 const std::vector<int32_t>& present);

}  // namespace featflow
