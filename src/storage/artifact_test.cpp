#include "storage/artifact.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

ArtifactIdentity identity_of(const std::string& config) {
  return {.stage = "models",
          .name = "Lua",
          .version = 2,
          .config = config,
          .inputs = {{"corpus", "abc"}, {"tokenizer", "def"}}};
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class ArtifactTest : public testing::Test {
 protected:
  /// Builds and commits the artefact with one file of this content.
  void build(const ArtifactIdentity& identity, const std::string& content) {
    ArtifactBuilder builder(folder_, identity, old_);
    write_file_atomic(builder.partial_folder() / "data", content);
    builder.commit();
  }

  TemporaryFolder run_;
  const fs::path folder_ = run_ / "models" / "Lua";
  const fs::path partial_ = run_ / "models" / ".Lua.partial";
  const fs::path old_ = run_ / ".old";
};

TEST(ArtifactIdentity, FingerprintCoversWhatTheArtefactIsMadeOf) {
  const ArtifactIdentity base = identity_of(R"({"a":1,"b":0.1})");
  EXPECT_EQ(base.fingerprint().size(), 32u);
  const auto changed = [&](auto change) {
    ArtifactIdentity other = base;
    change(other);
    return other.fingerprint() != base.fingerprint();
  };
  EXPECT_TRUE(changed([](auto& i) { i.stage = "merges"; }));
  EXPECT_TRUE(changed([](auto& i) { i.version = 3; }));
  EXPECT_TRUE(changed([](auto& i) { i.config = R"({"a":1,"b":0.2})"; }));
  EXPECT_TRUE(changed([](auto& i) { i.inputs["corpus"] = "abd"; }));
  EXPECT_TRUE(changed([](auto& i) { i.inputs.erase("corpus"); }));
  EXPECT_TRUE(changed([](auto& i) { i.inputs = {{"corpus", "abctokenizer"}, {"", "def"}}; }));
  EXPECT_FALSE(changed([](auto& i) { i.name = "Other"; }));
  EXPECT_FALSE(changed([](auto& i) { i.config = "{ \"b\": 0.10, \"a\": 1 }"; }));
}

TEST_F(ArtifactTest, CommitPutsTheArtefactInPlace) {
  const ArtifactIdentity identity = identity_of(R"({"rate":0.0003,"layers":[1,2]})");
  {
    ArtifactBuilder builder(folder_, identity, old_);
    EXPECT_FALSE(builder.resumed());
    EXPECT_EQ(builder.partial_folder(), partial_);
    EXPECT_FALSE(read_artifact(folder_));
    EXPECT_FALSE(fs::exists(folder_));
    write_file_atomic(partial_ / "data", "x");
    write_file_atomic(partial_ / kCheckpointFile, "the state from which a stage goes on");
    EXPECT_TRUE(artifact_begun(folder_, identity));
    EXPECT_FALSE(artifact_begun(folder_, identity_of("{}")));
    builder.commit();
    EXPECT_FALSE(artifact_begun(folder_, identity));
  }
  EXPECT_FALSE(fs::exists(partial_));
  EXPECT_FALSE(fs::exists(folder_ / "identity.json"));
  EXPECT_FALSE(fs::exists(folder_ / kCheckpointFile));
  EXPECT_EQ(read_file(folder_ / "data"), "x");
  const auto read = read_artifact(folder_);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->stage, "models");
  EXPECT_EQ(read->name, "Lua");
  EXPECT_EQ(read->version, 2);
  EXPECT_EQ(read->config, R"({"layers":[1,2],"rate":0.0003})");
  EXPECT_EQ(read->inputs, identity.inputs);
  EXPECT_EQ(read->fingerprint(), identity.fingerprint());
}

TEST_F(ArtifactTest, PartialOfTheSameIdentityIsResumed) {
  {
    ArtifactBuilder builder(folder_, identity_of("{}"), old_);
    write_file_atomic(partial_ / "checkpoint", "step 7");
    create_folder(partial_ / "model");
    write_file_atomic(partial_ / "model" / ".weights.1-0.tmp", "cut off");
  }
  ArtifactBuilder builder(folder_, identity_of("{}"), old_);
  EXPECT_TRUE(builder.resumed());
  EXPECT_EQ(read_file(partial_ / "checkpoint"), "step 7");
  EXPECT_FALSE(fs::exists(partial_ / "model" / ".weights.1-0.tmp"));
}

TEST_F(ArtifactTest, PartialOfAnotherIdentityIsDeleted) {
  {
    ArtifactBuilder builder(folder_, identity_of("{}"), old_);
    write_file_atomic(partial_ / "checkpoint", "step 7");
  }
  ArtifactBuilder builder(folder_, identity_of(R"({"a":1})"), old_);
  EXPECT_FALSE(builder.resumed());
  EXPECT_FALSE(fs::exists(partial_ / "checkpoint"));
}

TEST_F(ArtifactTest, DamagedPartialIsDeleted) {
  create_folder(partial_);
  write_file_atomic(partial_ / "identity.json", "{");
  write_file_atomic(partial_ / "checkpoint", "?");
  ArtifactBuilder builder(folder_, identity_of("{}"), old_);
  EXPECT_FALSE(builder.resumed());
  EXPECT_FALSE(fs::exists(partial_ / "checkpoint"));
}

TEST_F(ArtifactTest, SupersededArtefactMovesAway) {
  const ArtifactIdentity first = identity_of(R"({"a":1})"), second = identity_of(R"({"a":2})");
  build(first, "1");
  build(second, "2");
  const fs::path moved = old_ / ("models-Lua-" + first.fingerprint().substr(0, 8));
  EXPECT_EQ(read_file(moved / "data"), "1");
  EXPECT_EQ(read_file(folder_ / "data"), "2");
  // Back and forth: the older one of that name is replaced.
  build(first, "3");
  build(second, "4");
  EXPECT_EQ(read_file(moved / "data"), "3");
  EXPECT_EQ(read_file(folder_ / "data"), "4");
}

TEST_F(ArtifactTest, ASupersededOneIsPutBackInsteadOfMadeAgain) {
  const ArtifactIdentity first = identity_of(R"({"a":1})"), second = identity_of(R"({"a":2})");
  EXPECT_FALSE(artifact_kept(folder_, first, old_));
  build(first, "1");
  build(second, "2");
  EXPECT_TRUE(artifact_kept(folder_, first, old_));
  EXPECT_FALSE(artifact_kept(folder_, second, old_));
  create_folder(partial_);  // what another run had begun is in nobody's way
  EXPECT_TRUE(recover_artifact(folder_, first, old_));
  EXPECT_EQ(read_file(folder_ / "data"), "1");
  EXPECT_FALSE(artifact_kept(folder_, first, old_));
  EXPECT_TRUE(artifact_kept(folder_, second, old_));
  // One that was damaged meanwhile is not trusted.
  write_file_atomic(old_ / ("models-Lua-" + second.fingerprint().substr(0, 8)) / "artifact.json",
                    "{}");
  EXPECT_FALSE(artifact_kept(folder_, second, old_));
  EXPECT_FALSE(recover_artifact(folder_, second, old_));
  EXPECT_EQ(read_file(folder_ / "data"), "1");
}

TEST_F(ArtifactTest, UnknownFolderInTheWayIsKept) {
  create_folder(folder_);
  write_file_atomic(folder_ / "mine", "notes");
  build(identity_of("{}"), "1");
  EXPECT_EQ(read_file(old_ / "models-Lua-unidentified" / "mine"), "notes");
}

TEST_F(ArtifactTest, CommitCutShortIsFinished) {
  const ArtifactIdentity old = identity_of(R"({"a":1})"), now = identity_of(R"({"a":2})");
  build(old, "1");
  EXPECT_TRUE(recover_artifact(folder_, old, old_));
  EXPECT_FALSE(recover_artifact(folder_, now, old_));
  { ArtifactBuilder builder(folder_, now, old_); }
  EXPECT_FALSE(recover_artifact(folder_, now, old_));  // begun, not whole
  write_file_atomic(partial_ / "data", "2");
  fs::rename(partial_ / "identity.json", partial_ / "artifact.json");  // killed here
  EXPECT_FALSE(recover_artifact(folder_, identity_of(R"({"a":3})"), old_));
  EXPECT_TRUE(recover_artifact(folder_, now, old_));
  EXPECT_EQ(read_file(folder_ / "data"), "2");
  EXPECT_FALSE(fs::exists(partial_));
  EXPECT_TRUE(fs::exists(old_ / ("models-Lua-" + old.fingerprint().substr(0, 8))));
  EXPECT_TRUE(recover_artifact(folder_, now, old_));
}

TEST_F(ArtifactTest, TrailingSlashAndTwoRunsGiveTheSameBytes) {
  ArtifactBuilder builder(folder_ / "", identity_of("{}"), old_);
  EXPECT_EQ(builder.partial_folder(), partial_);
  builder.commit();
  const std::string first = read_file(folder_ / "artifact.json");
  build(identity_of("{}"), "");
  EXPECT_EQ(read_file(folder_ / "artifact.json"), first);
}

TEST_F(ArtifactTest, DamagedArtefactIsNamed) {
  build(identity_of(R"({"a":1})"), "1");
  const fs::path file = folder_ / "artifact.json";
  std::string text = read_file(file);
  text.replace(text.find("\"a\": 1"), 6, "\"a\": 2");
  write_file_atomic(file, text);
  EXPECT_THAT(message_of([&] { read_artifact(folder_); }), HasSubstr("changed by hand"));
  const std::string deep = "{\"config\":" + std::string(100'000, '[');
  for (const std::string& damage : {std::string("{"), std::string("[]"), std::string("{}"), deep}) {
    write_file_atomic(file, damage);
    EXPECT_THAT(message_of([&] { read_artifact(folder_); }),
                testing::StartsWith(file.string() + ": damaged"));
  }
}

TEST(RunLock, NamesItsHolder) {
  const TemporaryFolder run;
  {
    const RunLock lock(run / "r");
    const std::string message = message_of([&] { RunLock second(run / "r"); });
    EXPECT_THAT(message, HasSubstr("the run is in use by 'process " + std::to_string(::getpid())));
    EXPECT_THAT(message, HasSubstr("storage_test"));
    EXPECT_THAT(message, testing::Not(HasSubstr("\n")));
  }
  EXPECT_EQ(message_of([&] { RunLock again(run / "r"); }), "no error");
  EXPECT_EQ(read_file(run / "r" / ".lock"), "");
}

TEST(RunLock, OfADeadProcessIsTakenOver) {
  const TemporaryFolder run;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const RunLock lock(run.path());
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(read_file(run / ".lock"), HasSubstr("process " + std::to_string(child)));
  EXPECT_EQ(message_of([&] { RunLock lock(run.path()); }), "no error");
}

}  // namespace
}  // namespace featflow
