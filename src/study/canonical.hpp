#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "study/fields.hpp"

namespace featflow {

/// Settings → JSON with sorted keys: what a fingerprint hashes. For .cpp files only (json.hpp).
class CanonicalJson {
 public:
  template <typename T>
  void operator()(const char* key, const T& value, Range = {}) {
    out_[key] = value;
  }
  template <typename T>
  void without_influence(const char*, const T&, Range = {}) {}
  template <typename T>
  void evaluation(const char*, const T&, Range = {}) {}

  nlohmann::json take() { return std::move(out_); }

 private:
  nlohmann::json out_ = nlohmann::json::object();
};

template <typename Settings>
nlohmann::json canonical(Settings settings) {
  CanonicalJson visitor;
  fields(settings, visitor);
  return visitor.take();
}

}  // namespace featflow
