#include "features/feature_name.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"

namespace featflow {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<std::string> kModels = {"Base", "org/Lua"};

TEST(FeatureNameTest, IsModelAndNumber) {
  EXPECT_EQ(parse_feature_name("Base/12", kModels), (FeatureName{"Base", 12}));
  EXPECT_EQ(parse_feature_name("org/Lua/0", kModels), (FeatureName{"org/Lua", 0}));
}

TEST(FeatureNameTest, SaysWhatIsExpected) {
  for (const char* text : {"", "12", "Base", "Base/", "Base/-1", "Base/1x", "Base/1234567890"}) {
    EXPECT_THAT([&] { parse_feature_name(text, kModels); },
                ThrowsMessage<Error>(HasSubstr("expected MODEL/NUMBER, such as Base/12")))
        << text;
  }
  EXPECT_THAT([&] { parse_feature_name("Bse/12", kModels); },
              ThrowsMessage<Error>(HasSubstr("no such model; did you mean 'Base'?")));
}

}  // namespace
}  // namespace featflow
