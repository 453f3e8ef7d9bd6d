#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "study/canonical.hpp"
#include "study/settings.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kFamily = R"(
name = "tiny"
seed = 7

[corpus.english]
sources = ["english/*.jsonl"]
[corpus.lua]
sources = ["lua/*.jsonl"]
[corpus.stories]
sources = ["stories/*.jsonl"]

[tokenizer]
vocab_size = 512

[architecture]
hidden_size = 32
intermediate_size = 64
num_attention_heads = 4
num_key_value_heads = 2

[training]
tokens = 1_000
learning_rate = 1e-3

[model.Merged]
merge = { method = "slerp", parents = ["Lua", "Stories"], t = "balance" }
[model.Base]
corpora = { english = 0.5, lua = 0.5 }
[model.Lua]
parent = "Base"
corpora = { lua = 1.0 }
[model.Lua.training]
learning_rate = 2e-5
[model.Stories]
parent = "Base"
corpora = { stories = 1 }

[autoencoder]
expansion = 4
)";

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

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
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

  // Models of their own beside the merged one, whose own method is not repeated.
  const Study study = parse(merge("t = 0.5, scale = 3, compare = [\"ties\", \"slerp\", \"ties\"]"));
  const std::vector<ModelSettings> others = compared_merges(study.model("Merged"));
  ASSERT_EQ(others.size(), 1);
  EXPECT_EQ(others[0].name, "Merged+ties");
  EXPECT_EQ(others[0].merge.method, "ties");
  EXPECT_TRUE(others[0].merge.balanced());
  EXPECT_EQ(others[0].merge.density, 0.5);
  EXPECT_LT(others[0].merge.scale, 0);  // its default
  EXPECT_EQ(study.models.size(), 4);

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

TEST(Stages, MergesToCompareAreNoPartOfTheFamily) {
  std::string text = replaced(kFamily, "t = \"balance\"", "compare = [\"ties\"]");
  const auto folder = std::filesystem::path(testing::TempDir()) / "merges_to_compare";
  for (const char* corpus : {"english", "lua", "stories"}) {
    create_folder(folder / corpus);
    write_file_atomic(folder / corpus / "text.jsonl", "{\"text\": \"a\"}\n");
  }
  const auto stages_of = [&](const std::string& toml) {
    std::set<std::string> ids;
    const Study study = parse_study(toml, "study.toml", folder);
    const StageGraph graph = build_stages(study);
    for (const Stage& stage : graph.stages()) ids.insert(stage.id());
    return ids;
  };
  std::set<std::string> ids = stages_of(text);
  for (const char* added :
       {"sweep/Merged+ties", "model/Merged+ties", "evaluation/Merged+ties", "retained/Merged"}) {
    EXPECT_EQ(ids.erase(added), 1) << added;
  }
  EXPECT_EQ(ids, stages_of(kFamily));

  // Methods and rules that need a common base.
  const auto refusal = [&](const std::string& keys) -> std::string {
    try {
      stages_of(replaced(replaced(kFamily, "parent = \"Base\"\ncorpora = { lua", "corpora = { lua"),
                         "t = \"balance\"", keys));
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(refusal("compare = [\"ties\"]"),
              AllOf(HasSubstr("Merged+ties: ties adds"), HasSubstr("common base")));
  EXPECT_THAT(refusal("balance = \"gain\""),
              AllOf(HasSubstr("balance = \"gain\" measures"), HasSubstr("common base")));
  EXPECT_EQ(refusal("compare = [\"linear\"]"), "no error");
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
