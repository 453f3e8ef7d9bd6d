#include "study/stages.hpp"

namespace featflow {

std::vector<std::pair<std::string, std::string>> verdict_pairs(const Study& study,
                                                               const std::string& parent,
                                                               const std::string& child) {
  const std::string parent_again = further_autoencoder(study, parent, child).name;  // P′
  const std::string child_again = further_autoencoder(study, child, child).name;    // C′
  const std::string parent_twin = further_autoencoder(study, parent, parent).name;  // P″
  return {{parent, parent_again},
          {parent, child_again},
          {child, child_again},
          {parent_again, child},
          {parent, parent_twin}};
}

}  // namespace featflow
