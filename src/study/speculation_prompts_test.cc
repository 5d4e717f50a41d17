#include "study/speculation_prompts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "gguf/testing/gguf_bytes.h"
#include "text/testing/vocab.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

PromptSet Parse(std::string_view content) { return ParsePromptSet(content, "some/folder/mine.jsonl"); }

void ExpectBadLine(std::string_view content, const std::string& part) {
  try {
    Parse(content);
    ADD_FAILURE() << "accepted: " << content;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadFile);
    EXPECT_THAT(error.what(), HasSubstr("some/folder/mine.jsonl"));
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(PromptSetTest, PromptsComeWithTheirIdOrLine) {
  const PromptSet set = Parse("{\"id\": \"first\", \"prompt\": \"a\\nb\"}\n\n{\"prompt\": \"c\", \"more\": 1}");
  EXPECT_EQ(set.name, "mine");
  ASSERT_EQ(set.prompts.size(), 2U);
  EXPECT_EQ(set.prompts[0].id, "first");
  EXPECT_EQ(set.prompts[0].text, "a\nb");
  EXPECT_EQ(set.prompts[1].id, "3");
}

TEST(PromptSetTest, ErrorsNameTheLine) {
  ExpectBadLine("{\"prompt\": \"a\"}\n{\"prompt\": \"b\"\n", "line 2: not JSON");
  ExpectBadLine("{\"prompt\": \"a\"}\r\n\r\n[1]", "line 3: JSON, but no object");
  ExpectBadLine(R"({"text": "a"})", R"(line 1: no text in "prompt")");
  ExpectBadLine(R"({"prompt": ""})", "line 1");
  ExpectBadLine(R"({"prompt": 7})", "line 1");
  ExpectBadLine(R"({"prompt": "a", "id": 7})", R"("id" is no string)");
  ExpectBadLine("{\"prompt\": \"a\", \"id\": \"x\"}\n{\"prompt\": \"b\", \"id\": \"x\"}",
                "line 2: the id \"x\" is taken");
}

TEST(PromptSetTest, ConversationsKeepTheOrderOfTheirKeys) {
  const PromptSet set = Parse(
      R"({"id": "chat", "messages": [{"role": "user", "content": "a"}], "tools": [{"z": 1, "a": 2}], "thinking": true})");
  ASSERT_EQ(set.prompts.size(), 1U);
  EXPECT_EQ(set.prompts[0].id, "chat");
  EXPECT_EQ(set.prompts[0].conversation,
            R"({"messages":[{"role":"user","content":"a"}],"tools":[{"z":1,"a":2}],"thinking":true})");
  ExpectBadLine(R"({"messages": []})", "line 1: no conversation");
  ExpectBadLine(R"({"messages": [{"role": "user"}], "prompt": "a"})", "line 1: both");
}

TEST(PromptSetTest, ChatsAreTextsOfTheTargetsTemplate) {
  testing::GgufBytes bytes(0, 1);
  bytes.Key("tokenizer.chat_template", GgufType::kString)
      .Text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");
  const Model target{
      GgufFile::Parse(bytes.span(), "target.gguf"), {}, Tokenizer::Make(TinyBpeVocab("qwen35"), "target.gguf")};
  std::vector<PromptSet> sets = {Parse(R"({"messages": [{"role": "user", "content": "a"}]})"
                                       "\n"
                                       R"({"prompt": "b"})")};
  RenderChats(sets, target, {});
  EXPECT_EQ(sets[0].prompts[0].text, "<user>a");
  EXPECT_TRUE(sets[0].prompts[0].rendered);
  EXPECT_EQ(sets[0].prompts[1].text, "b");
  EXPECT_FALSE(sets[0].prompts[1].rendered);
  RenderChats(sets, target, {.all = true, .system = "s", .template_file = {}});
  EXPECT_EQ(sets[0].prompts[0].text, "<user>a");
  EXPECT_EQ(sets[0].prompts[1].text, "<system>s<user>b");
}

TEST(PromptSetTest, AFileWithoutPromptsIsAnError) {
  ExpectBadLine("", "holds no prompts");
  ExpectBadLine("\n  \n", "holds no prompts");
}

TEST(PromptSetTest, TheShippedSetsHaveEightPromptsAtLeast) {
  for (const std::string name : {"code", "text", "math"}) {
    const PromptSet set = ReadPromptSet(std::string(ASSAY_SOURCE_DIR) + "/models/prompts/" + name + ".jsonl");
    EXPECT_EQ(set.name, name);
    EXPECT_GE(set.prompts.size(), 8U);
  }
}

}  // namespace
}  // namespace assay
