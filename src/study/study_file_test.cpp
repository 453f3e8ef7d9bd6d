#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "study/canonical.hpp"
#include "study/settings.hpp"
#include "study/test_family.hpp"

namespace featflow {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Study parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_study(text, "study.toml", "/base", overrides);
}

std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse(text, overrides);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(StudyFile, ReadsAFamilyOfAnyShape) {
  const Study study = parse(kFamily);
  EXPECT_EQ(study.seed, 7u);
  std::vector<std::string> names;
  for (const ModelSettings& model : study.models) names.push_back(model.name);
  EXPECT_THAT(names, ElementsAre("Base", "Lua", "Stories", "Merged"));  // parents first
  EXPECT_EQ(study.model("Base").training.learning_rate, 1e-3);
  EXPECT_EQ(study.model("Lua").training.learning_rate, 2e-5);
  EXPECT_EQ(study.model("Lua").training.tokens, 1000);  // inherited from [training]
  EXPECT_TRUE(study.model("Merged").merge.balanced());
  EXPECT_THAT(study.corpora_seen("Base"), ElementsAre("english", "lua"));
  EXPECT_THAT(study.corpora_seen("Stories"), ElementsAre("english", "lua", "stories"));
  EXPECT_THAT(study.corpora_seen("Merged"), ElementsAre("english", "lua", "stories"));
  EXPECT_TRUE(study.is_ancestor("Base", "Merged"));
  EXPECT_FALSE(study.is_ancestor("Lua", "Stories"));
  EXPECT_EQ(study.autoencoder.tap, "blocks.0.mlp.hook_post");
  EXPECT_EQ(study.architecture.vocab_size, 512);
}

TEST(StudyFile, OverridesReplaceAndCreate) {
  const Study study = parse(kFamily, {"autoencoder.l1_coefficient=5e-4", "seed=9",
                                      "matching.tokens=10_000", "matching.memory=1GiB"});
  EXPECT_EQ(study.autoencoder.training.l1_coefficient, 5e-4);
  EXPECT_EQ(study.seed, 9u);
  EXPECT_EQ(study.matching.tokens, 10'000);
  EXPECT_EQ(study.matching.memory, "1GiB");
  EXPECT_EQ(study.controls.causal_features, 0);
  const Study checked =
      parse(kFamily, {"controls.causal_features=50", "controls.causal_blocks=16"});
  EXPECT_EQ(checked.controls.causal_features, 50);
  EXPECT_EQ(checked.controls.causal_blocks, 16);
  EXPECT_THAT(error_of(kFamily, {"controls.causal_blocks=0"}), HasSubstr("1 to 1000000"));
  EXPECT_THAT(error_of(kFamily, {"controls.causal_feature=3"}),
              HasSubstr("did you mean 'controls.causal_features'"));
  EXPECT_THAT(error_of(kFamily, {"autoencoder.l1=1"}), HasSubstr("--set"));
  EXPECT_THAT(error_of(kFamily, {"nonsense"}), HasSubstr("KEY=VALUE"));
  EXPECT_THAT(error_of(kFamily, {"seed.x=1"}), HasSubstr("not a table"));
}

TEST(StudyFile, UnknownKeysNameLineKeyAndTheNearest) {
  const std::string message = error_of(replaced(kFamily, "expansion", "expantion"));
  EXPECT_THAT(message, HasSubstr("study.toml:39"));
  EXPECT_THAT(message, HasSubstr("'autoencoder.expantion'"));
  EXPECT_THAT(message, HasSubstr("did you mean 'autoencoder.expansion'"));
  EXPECT_THAT(error_of(replaced(kFamily, "[training]", "[trainin]")), HasSubstr("'training'"));
}

TEST(StudyFile, RefusesWhatCannotBe) {
  const auto with = [](const std::string& from, const std::string& to) {
    return error_of(replaced(kFamily, from, to));
  };
  EXPECT_THAT(with("tokens = 1_000", "tokens = 1.5"), HasSubstr("a whole number"));
  EXPECT_THAT(with("tokens = 1_000", "tokens = -1"), HasSubstr("at least 1"));
  EXPECT_THAT(with("tokens = 1_000", "tokens = \"many\""), HasSubstr("a whole number"));
  EXPECT_THAT(with("learning_rate = 1e-3", "learning_rate = nan"), HasSubstr("0 to 10"));
  EXPECT_THAT(with("parent = \"Base\"", "parent = \"Bass\""), HasSubstr("'Bass' is not defined"));
  EXPECT_THAT(with("parent = \"Base\"", "parent = \"Merged\""), HasSubstr("descends from itself"));
  EXPECT_THAT(with("lua = 1.0", "luna = 1.0"), HasSubstr("corpus 'luna' is not defined"));
  EXPECT_THAT(with("t = \"balance\"", "t = 1.5"), HasSubstr("0 to 1, or \"balance\""));
  EXPECT_THAT(with("t = \"balance\"", "t = \"best\""), HasSubstr("0 to 1, or \"balance\""));
  EXPECT_THAT(with("[\"Lua\", \"Stories\"]", "[\"Lua\"]"), HasSubstr("expected two"));
  EXPECT_THAT(with("[\"Lua\", \"Stories\"]", "[\"Lua\", \"Lua\"]"),
              HasSubstr("both merge parents"));
  EXPECT_THAT(with("[model.Base]", "[model.\"../Base\"]"), HasSubstr("not usable as a folder"));
  EXPECT_THAT(with("num_attention_heads = 4", "num_attention_heads = 3"),
              HasSubstr("[architecture]"));
  EXPECT_THAT(with("name = \"tiny\"", "name = \"a/b\""), HasSubstr("not usable as a folder"));
  EXPECT_THAT(with("name = \"tiny\"", ""), HasSubstr("no name"));
  EXPECT_THAT(with("seed = 7", "seed = "), HasSubstr("not valid TOML"));
  EXPECT_THAT(error_of("name = \"x\""), HasSubstr("no models"));
  EXPECT_THAT(error_of(kFamily, {"matching.floor=0.9"}), HasSubstr("at most matching.threshold"));
  EXPECT_THAT(error_of(kFamily, {"matching.threshold=0"}), HasSubstr("matching.threshold"));
  EXPECT_THAT(error_of(kFamily, {"model.Merged.extension_share=0.1"}), HasSubstr("expected none"));
  EXPECT_THAT(error_of(kFamily, {"autoencoder.expansion=1_000_000_000_000"}),
              HasSubstr("1 to 1048576"));
}

TEST(StudyFile, ControlsStandBesideTheFamily) {
  const std::string text = std::string(kFamily) + R"(
[model.Twin]
corpora = { english = 0.5, lua = 0.5 }
control_of = "Base"
[model.Drift]
parent = "Base"
corpora = { english = 0.5, lua = 0.5 }
control_of = "Base"
[model.Random]
random_weights = true
corpora = { english = 1.0 }
control_of = "Base"
[controls]
ceilings = ["Base--Lua"]
nulls = ["all"]
)";
  const Study study = parse(text);
  EXPECT_EQ(study.models.size(), 7u);
  std::vector<std::string> members;
  for (const ModelSettings& model : study.family()) members.push_back(model.name);
  EXPECT_THAT(members, ElementsAre("Base", "Lua", "Stories", "Merged"));
  EXPECT_EQ(study.edges().size(), 4u);  // Base → Lua, Stories; both → Merged
  EXPECT_TRUE(names_edge(study.controls.ceilings, "Base", "Lua"));
  EXPECT_FALSE(names_edge(study.controls.ceilings, "Base", "Stories"));
  EXPECT_TRUE(names_edge(study.controls.nulls, "Stories", "Merged"));

  const auto with = [&](const std::string& from, const std::string& to) {
    return error_of(replaced(text, from, to));
  };
  EXPECT_THAT(with("\"Base--Lua\"", "\"Base--Lau\""), HasSubstr("did you mean 'Base--Lua'?"));
  EXPECT_THAT(with("\"Base--Lua\"", "\"Base--Drift\""), HasSubstr("no edge of the family"));
  EXPECT_THAT(error_of(text, {"controls.null_runs=3"}), HasSubstr("20 to 10000"));
  EXPECT_THAT(error_of(text, {"model.Twin.control_of=Bass"}), HasSubstr("'Bass' is not defined"));
  EXPECT_THAT(error_of(text, {"model.Twin.control_of=Drift"}), HasSubstr("is a control itself"));
  EXPECT_THAT(error_of(text, {"model.Stories.parent=Drift"}), HasSubstr("is a control"));
  EXPECT_THAT(error_of(kFamily, {"model.Base.random_weights=true"}), HasSubstr("no control_of"));
  EXPECT_THAT(error_of(text, {"model.Random.parent=Base"}), HasSubstr("one origin"));
}

TEST(StudyFile, MergesToCompare) {
  const auto merge = [](const std::string& more) {
    return replaced(kFamily, "t = \"balance\"", more);
  };
  const MergeSettings read =
      parse(
          merge(
              "t = 0.5, balance = \"gain\", compare = [\"ties\", \"slerp\", \"linear\", \"ties\"], "
              "density = 0.9, compare_density = 0.2, retained_tokens = 1000"))
          .model("Merged")
          .merge;
  EXPECT_EQ(read.balance, "gain");
  EXPECT_EQ(read.retained_tokens, 1000);
  EXPECT_FALSE(read.balanced());

  EXPECT_THAT(error_of(merge("compare = [\"linear\", \"tis\"]")),
              AllOf(HasSubstr("study.toml:26: model.Merged.merge.compare: 'tis'"),
                    HasSubstr("did you mean \"ties\"")));
  EXPECT_THAT(error_of(merge("compare = \"ties\"")), HasSubstr("an array"));
  EXPECT_THAT(error_of(merge("compare_density = 0")),
              HasSubstr("model.Merged.merge.compare_density"));
  EXPECT_THAT(error_of(merge("balance = \"gian\"")),
              AllOf(HasSubstr("model.Merged.merge.balance: 'gian'"), HasSubstr("\"gain\"")));
  EXPECT_THAT(error_of(merge("t = 0.5, balance = \"gain\"")), HasSubstr("beside t = 0.5"));
  EXPECT_THAT(error_of(merge("comparison = []")), HasSubstr("'model.Merged.merge.compare"));
}

TEST(StudyFile, CanonicalConfigIgnoresWhatHasNoInfluence) {
  const Study a = parse(kFamily);
  const Study b = parse(kFamily, {"training.checkpoint_every=7", "autoencoder.checkpoint_every=9",
                                  "autoencoder.l1_table=[1e-4]"});
  const Study c = parse(kFamily, {"autoencoder.l1_coefficient=1e-4"});
  EXPECT_EQ(canonical(a.autoencoder), canonical(b.autoencoder));
  EXPECT_EQ(canonical(a.model("Lua").training), canonical(b.model("Lua").training));
  EXPECT_NE(canonical(a.autoencoder), canonical(c.autoencoder));
}

TEST(Settings, ParseBytes) {
  EXPECT_EQ(parse_bytes("2GiB", "x"), int64_t{2} << 30);
  EXPECT_EQ(parse_bytes("1.5MiB", "x"), 3 << 19);
  EXPECT_EQ(parse_bytes("1000", "x"), 1000);
  for (const char* bad : {"", "GiB", "2GB", "-1", "nan", "2 GiB x", "1e30GiB"}) {
    EXPECT_THROW(parse_bytes(bad, "x"), Error) << bad;
  }
}

}  // namespace
}  // namespace featflow
