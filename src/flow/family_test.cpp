#include "flow/family.hpp"

#include <gmock/gmock.h>

#include "core/error.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(Family, OrdersParentsBeforeChildren) {
  const Family family({{"merged", {"lua", "stories"}, true},
                       {"lua", {"base"}, false},
                       {"base", {}, false},
                       {"stories", {"base"}, false}});
  ASSERT_EQ(family.size(), 4);
  EXPECT_EQ(family.name(0), "base");
  EXPECT_EQ(family.name(1), "lua");
  EXPECT_EQ(family.name(2), "stories");
  EXPECT_EQ(family.name(3), "merged");
  EXPECT_THAT(family.edges(), ElementsAre(Pair(0, 1), Pair(0, 2), Pair(1, 3), Pair(2, 3)));
  EXPECT_THAT(family.ancestries(),
              ElementsAre(Pair(0, 1), Pair(0, 2), Pair(0, 3), Pair(1, 3), Pair(2, 3)));
  EXPECT_THAT(family.paths(), ElementsAre(ElementsAre(0, 1, 3), ElementsAre(0, 2, 3)));
}

TEST(Family, MayHaveSeveralRootsAndLoneModels) {
  const Family family(
      {{"a", {}, false}, {"b", {}, false}, {"c", {"b", "a"}, true}, {"d", {}, false}});
  EXPECT_THAT(family.paths(), ElementsAre(ElementsAre(0, 2), ElementsAre(1, 2)));
  EXPECT_THAT(family.parents(2), ElementsAre(1, 0));
  EXPECT_TRUE(family.children(3).empty());
}

TEST(Family, RefusesWhatIsNoFamily) {
  EXPECT_THROW(Family({{"a", {}, false}, {"a", {}, false}}), Error);
  EXPECT_THROW(Family({{"a", {"b"}, false}}), Error);
  EXPECT_THROW(Family({{"a", {"b"}, false}, {"b", {"a"}, false}}), Error);
  EXPECT_THROW(Family({{"a", {"a"}, false}}), Error);
  EXPECT_THROW(Family({{"a", {}, true}}), Error);
  EXPECT_THROW(Family({{"a", {}, false}, {"b", {}, false}, {"c", {"a", "b"}, false}}), Error);
  EXPECT_THROW(Family({{"a", {}, false}, {"b", {"a", "a"}, true}}), Error);
}

}  // namespace
}  // namespace featflow
