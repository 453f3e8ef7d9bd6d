#include "explaining/path_groups.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using nlohmann::json;

constexpr int32_t kFeatures = 12;

json edge_of(const std::string& parent, const std::string& child, const json& links) {
  std::set<int32_t> parents, children;
  json disappearing = json::array(), emerging = json::array();
  for (const json& link : links) {
    parents.insert(link[0].get<int32_t>());
    children.insert(link[1].get<int32_t>());
  }
  for (int32_t j = 0; j < kFeatures; ++j) {
    if (!parents.contains(j)) disappearing.push_back(j);
    if (!children.contains(j)) emerging.push_back(j);
  }
  return {{"parent", parent},
          {"child", child},
          {"links", links},
          {"parent_features", {{"persisting", parents}, {"disappearing", disappearing}}},
          {"child_features", {{"persisting", children}, {"emerging", emerging}}}};
}

class PathGroups : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.path() / "flow.json";

  void write(const json& flow) const { write_file_atomic(file_, flow.dump()); }
};

TEST_F(PathGroups, SharesAlongEdgesAndPaths) {
  write({{"family",
          {edge_of("a", "b", {{0, 1, 0.9}, {2, 3, 0.9}}), edge_of("b", "c", {{1, 5, 0.8}})}},
         {"paths", json::array({{{"models", {"a", "b", "c"}}}, {{"models", {"a", "b"}}}})}});
  std::vector<FeatureGroup> groups(kFeatures, FeatureGroup::kLanguage);
  groups[0] = FeatureGroup::kCode;
  const auto shares = path_groups(file_, "a", groups);
  ASSERT_EQ(shares.size(), 3);
  EXPECT_EQ(shares[0].first, "a → b: persisting");
  EXPECT_THAT(shares[0].second, ::testing::ElementsAre(0, 0, 0.5, 0.5));
  EXPECT_EQ(shares[1].first, "a → b: disappearing");
  EXPECT_THAT(shares[1].second, ::testing::ElementsAre(0, 0, 0, 1));
  EXPECT_EQ(shares[2].first, "a → b → c: the whole path");
  EXPECT_THAT(shares[2].second, ::testing::ElementsAre(0, 0, 1, 0));
  EXPECT_EQ(path_groups(file_, "b", groups).size(), 4);
}

TEST_F(PathGroups, AFileOfAnotherKindIsRefused) {
  write({{"family", 3}});
  EXPECT_THROW(path_groups(file_, "a", {}), Error);
  write({{"family", {edge_of("a", "b", {{0, 1, 0.9}})}}, {"paths", json::array()}});
  EXPECT_THROW(path_groups(file_, "a", {FeatureGroup::kCode}), Error);
}

}  // namespace
}  // namespace featflow
