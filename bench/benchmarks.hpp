#pragma once

#include "record.hpp"

namespace featflow::bench {

// Each measures its rows into `record`; with record.quick() at sizes that take a second or two, to
// show that it runs at all.

void autoencoder_step(Record& record);       ///< At the paper's sizes, against LibTorch and sgemm.
void autoencoder_growth(Record& record);     ///< … against L0, features and batch.
void autoencoder_training(Record& record);   ///< With the model that makes the activations.
void correlation(Record& record);            ///< All pairs of 3M tokens, from files to matches.
void correlation_growth(Record& record);     ///< … against tokens, L0 and features.
void language_model_step(Record& record);    ///< At vocabulary 32,000, against eager LibTorch.
void language_model_growth(Record& record);  ///< … against vocabulary.
void merge_curve(Record& record);            ///< A point of a sweep, against memory bandwidth.

}  // namespace featflow::bench
