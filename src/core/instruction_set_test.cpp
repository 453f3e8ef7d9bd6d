#include "core/instruction_set.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "core/error.hpp"

namespace featflow {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const char* wanted, InstructionSet widest) {
  try {
    choose_instruction_set(wanted, widest);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(InstructionSet, IsTheWidestUnlessTheUserNamesANarrowerOne) {
  for (const auto widest :
       {InstructionSet::kBaseline, InstructionSet::kAvx2, InstructionSet::kAvx512}) {
    EXPECT_EQ(choose_instruction_set(nullptr, widest), widest);
    EXPECT_EQ(choose_instruction_set("", widest), widest);
    EXPECT_EQ(choose_instruction_set(instruction_set_name(widest), widest), widest);
    EXPECT_EQ(choose_instruction_set("baseline", widest), InstructionSet::kBaseline);
  }
  EXPECT_EQ(choose_instruction_set("avx2", InstructionSet::kAvx512), InstructionSet::kAvx2);
}

TEST(InstructionSet, SaysWhatIsWrongWithFeatflowCpu) {
  EXPECT_THAT(error_of("avx512", InstructionSet::kAvx2),
              AllOf(HasSubstr("FEATFLOW_CPU is avx512, but this processor ("),
                    HasSubstr("runs at most avx2")));
  EXPECT_THAT(error_of("avx2", InstructionSet::kBaseline), HasSubstr("runs at most baseline"));
  EXPECT_THAT(error_of("sse\n", InstructionSet::kAvx2),
              HasSubstr("FEATFLOW_CPU is 'sse\\x0a', expected baseline, avx2 or avx512"));
}

TEST(InstructionSet, PicksItsTable) {
  const int baseline = 0, avx2 = 1, avx512 = 2;
  EXPECT_EQ(choose(baseline, avx2, avx512), static_cast<int>(instruction_set()));
  if (std::getenv("FEATFLOW_CPU") == nullptr) {
    EXPECT_EQ(instruction_set(), widest_instruction_set());
  }
}

}  // namespace
}  // namespace featflow
