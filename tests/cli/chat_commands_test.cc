// Conversations as users ask them: generate --chat, speculate with messages.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "run_assay.h"

namespace assay {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kModel = BundledPath("tiny-qwen35-draft.gguf");
constexpr const char* kTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

void ExpectError(const Outcome& outcome, int exit_code, const std::string& part) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(part));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
}

json Generate(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"generate", "-m", kModel, "-n", "3", "--json"});
  const Outcome outcome = RunAssay(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return json::parse(outcome.out, nullptr, false);
}

TEST(Chat, AChatIsTheTextThatItsTemplateMakes) {
  const std::string file = WriteTemporary("chatml.jinja", kTemplate);
  const json chat = Generate({"-p", "Hi", "--chat", "--system", "Be brief", "--template", file});
  const json text = Generate({"-p",
                              "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                              "<|im_start|>assistant\n"});
  EXPECT_EQ(chat["prompt_tokens"], text["prompt_tokens"]);
  EXPECT_EQ(chat["tokens"], text["tokens"]);
  EXPECT_GT(chat["prompt_tokens"], Generate({"-p", "Hi"})["prompt_tokens"]);
}

TEST(Chat, WhatCannotBeAskedIsSaid) {
  const std::string refuses = WriteTemporary("refuses.jinja", "{{ raise_exception('Only tools') }}");
  const std::string broken = WriteTemporary("broken.jinja", "a\n{% if %}");
  ExpectError(RunAssay({"generate", "-m", kModel, "-p", "Hi", "--chat"}), 3, "has no chat template");
  ExpectError(RunAssay({"generate", "-m", kModel, "-p", "Hi", "--chat", "--template", refuses}), 3,
              "refuses this conversation: Only tools");
  ExpectError(RunAssay({"generate", "-m", kModel, "-p", "Hi", "--chat", "--template", broken}), 3, "line 2");
  ExpectError(RunAssay({"generate", "-m", kModel, "-p", "Hi", "--system", "x"}), 2, "--chat");
  ExpectError(RunAssay({"generate", "-m", kModel, "-p", "Hi", "--template", broken}), 2, "--chat");
  const std::string set =
      WriteTemporary("chats.jsonl", R"({"id": "one", "messages": [{"role": "user", "content": "a"}]})");
  ExpectError(RunAssay({"speculate", "--target", kModel, "--draft", "ngram", "--prompts", set, "--db",
                        WriteTemporary("chat.db", "")}),
              3, "chats, prompt one: ");
}

TEST(Chat, PromptSetsHoldConversations) {
  const std::string file = WriteTemporary("chatml.jinja", kTemplate);
  const std::string set = WriteTemporary(
      "chats.jsonl",
      "{\"messages\": [{\"role\": \"user\", \"content\": \"It is a truth\"}]}\n{\"prompt\": \"Once upon\"}\n");
  const Outcome outcome =
      RunAssay({"speculate", "--target", kModel, "--draft", "ngram", "-k", "2", "--prompts", set, "-n", "8", "-r", "1",
                "--no-placebo", "--template", file, "--json", "--db", WriteTemporary("chat.db", "")});
  EXPECT_THAT(outcome.exit_code, ::testing::AnyOf(0, 4)) << outcome.err;  // a guard may find so little invalid
  const json document = json::parse(outcome.out, nullptr, false);
  ASSERT_EQ(document["runs"].size(), 1U) << outcome.out;
  EXPECT_EQ(document["runs"][0]["prompt_set"], "chats");
}

}  // namespace
}  // namespace assay
