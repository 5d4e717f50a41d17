#include "chat/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "gguf/testing/gguf_bytes.h"

namespace assay {
namespace {

using testing::GgufBytes;
using ::testing::HasSubstr;

VocabData Vocab() {
  VocabData vocab;
  vocab.tokens = {"<s>", "</s>"};
  vocab.bos = 0;
  vocab.eos = 1;
  return vocab;
}

std::string Render(std::string_view source, const Conversation& conversation) {
  return RenderConversation(ChatTemplate(source, "t"), conversation, Vocab());
}

template <typename Run>
void ExpectError(ErrorKind kind, const std::string& part, const Run& run) {
  try {
    run();
    ADD_FAILURE() << "accepted, wanted: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(ConversationTest, OneTurnAsksForAnAnswer) {
  constexpr const char* kTemplate =
      "{{ bos_token }}{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
      "{% if add_generation_prompt %}>{% endif %}{{ unk_token is defined }}{{ tools is none }}";
  EXPECT_EQ(Render(kTemplate, AskConversation("", "Hi")), "<s>[user:Hi]>FalseTrue");
  EXPECT_EQ(Render(kTemplate, AskConversation("Be kind", "Hi")), "<s>[system:Be kind][user:Hi]>FalseTrue");
}

TEST(ConversationTest, ListsOfMessagesAndObjectsAreConversations) {
  constexpr const char* kTemplate =
      "{{ messages|length }}{{ add_generation_prompt }}{{ tools }}{{ thinking }}{{ deep }}";
  EXPECT_EQ(Render(kTemplate, ParseConversation(R"([{"role": "user", "content": "a"}])", "f")), "1TrueNone");
  const Conversation full = ParseConversation(
      R"({"messages": [{"role": "user"}], "add_generation_prompt": false, "tools": [1], "thinking": "x",
          "chat_template_kwargs": {"deep": 3}})",
      "f");
  EXPECT_EQ(Render(kTemplate, full), "1False[1]x3");
}

TEST(ConversationTest, MessagesAreNormalAsTransformersHasThem) {
  const Conversation conversation = ParseConversation(
      R"([{"role": "assistant", "content": null, "reasoning": "r"}, {"role": "user", "thinking": "t", "reasoning_content": null}])",
      "f");
  EXPECT_EQ(Render("{% for m in messages %}{{ m|tojson }}{% endfor %}", conversation),
            R"({"thinking": "r", "role": "assistant", "reasoning": "r", "reasoning_content": "r"})"
            R"({"thinking": "t", "role": "user", "reasoning_content": "t"})");
}

TEST(ConversationTest, WhatIsNoConversationIsRefusedByItsPlace) {
  for (const char* json : {"{", "7", "[]", "{}", R"({"messages": []})", R"({"messages": {}})", "[1]",
                           R"({"messages": [{}], "chat_template_kwargs": 1})"}) {
    ExpectError(ErrorKind::kBadFile, "chat.json: ", [&] { ParseConversation(json, "chat.json"); });
  }
}

TEST(ConversationTest, AFileWithoutTemplateSaysWhatToDo) {
  const GgufBytes bytes(0, 0);
  const GgufFile file = GgufFile::Parse(bytes.span(), "base.gguf");
  ExpectError(ErrorKind::kUnsupported, "base.gguf: has no chat template",
              [&] { TemplateFor(file, AskConversation("", "x")); });
  ExpectError(ErrorKind::kUnsupported, "--template FILE", [&] { TemplateFor(file, AskConversation("", "x")); });
}

TEST(ConversationTest, ToolsHaveTheirOwnTemplateWhereTheFileHasOne) {
  GgufBytes bytes(0, 2);
  bytes.Key("tokenizer.chat_template", GgufType::kString).Text("plain");
  bytes.Key("tokenizer.chat_template.tool_use", GgufType::kString).Text("tools");
  const GgufFile file = GgufFile::Parse(bytes.span(), "f");
  Conversation conversation = AskConversation("", "x");
  EXPECT_EQ(RenderConversation(TemplateFor(file, conversation), conversation, Vocab()), "plain");
  conversation["tools"] = Conversation::array();
  EXPECT_EQ(RenderConversation(TemplateFor(file, conversation), conversation, Vocab()), "tools");
}

TEST(ChatTemplateTest, ATemplatesRefusalIsItsMessageOnOneLine) {
  ExpectError(ErrorKind::kUnsupported, "t: the chat template refuses this conversation: no  tools",
              [] { Render("{{ raise_exception('no\n tools') }}", AskConversation("", "x")); });
}

TEST(ChatTemplateTest, ErrorsNameTheLine) {
  ExpectError(ErrorKind::kBadFile, "t: chat template, line 2: ", [] { ChatTemplate("a\n{% if %}", "t"); });
  ExpectError(ErrorKind::kBadFile, "t: chat template, line 3: 'x' is undefined",
              [] { Render("a\n\n{{ x.y }}", AskConversation("", "x")); });
  ExpectError(ErrorKind::kBadFile, "byte 1 is not UTF-8", [] { ChatTemplate("a\xFF", "t"); });
  ExpectError(ErrorKind::kUnsupported, "not UTF-8", [] { Render("a", AskConversation("", "x\xFF")); });
}

// Each would run or grow without end in a language without limits.
TEST(ChatTemplateTest, HostileTemplatesEndAtALimit) {
  for (const char* source : {
           "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
           "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
           "{{ 'x' * 1000000000000 }}",
           "{{ [0] * 1000000000000 }}",
           "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
           "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
           "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
           "{% set ns = namespace(s=[]) %}{% for i in range(999) %}{% set ns.s = [ns.s] %}{% endfor %}",
           "{% set ns = namespace(s=1) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
           "{% set n = namespace(s=1, t=1) %}{% for i in range(99) %}{% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] "
           "%}"
           "{% endfor %}{{ n.s == n.t }}",
           "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
           "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}",
           "{{ ('a' * 1000000)|list|join('b' * 1000000) }}",
           "{{ 'a'.ljust(1000000000000) }}",
           "{{ '%1000000000000d' % 1 }}",
           "{{ '{:1000000000000}'.format(1) }}",
           "{{ [1]|batch(1000000000000, 0)|list }}",
           "{{ [1]|slice(1000000000000)|list }}",
           "{{ [[1]]|tojson(indent=1000000000000) }}",
           "{% set ns = namespace(x=[]) %}{% for i in range(20000) %}{% set ns.x = [ns.x.index] %}{% endfor %}",
           "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
           "{{ 'a'|map(*(['map'] * 100000))|list }}",
           // Much time for few steps.
           "{% set a = 'a' * 60000000 %}{% for i in range(1000) %}{% set x = a.title() %}{% endfor %}",
           "{% set a = 'a' * 9000000 %}{% for i in range(99999) %}{% set x = {a: 1}[a] %}{% endfor %}",
           "{% set a = 'a' * 60000000 %}{% for i in range(99999) %}{% set x = a == a ~ '' %}{% endfor %}",
           "{% set a = 'a' * 30000000 %}{% for i in range(999) %}{% set x = ('b' ~ a[:15000000]) in a %}{% endfor %}",
           "{% set a = 'a' * 30000000 %}{{ a.rfind('b' ~ a[:15000000]) }}",
           "{% set a = ['a' * 9000000] * 99999 %}{{ a|sort|length }}",
       }) {
    SCOPED_TRACE(source);
    try {
      Render(source, AskConversation("", "x"));
      ADD_FAILURE() << "ran to its end";
    } catch (const Error& error) {
      EXPECT_EQ(ExitCode(error.kind()), 3) << error.what();
    }
  }
}

// What holds itself is let go; the leak checker looks.
TEST(ChatTemplateTest, CyclesAreLetGo) {
  EXPECT_EQ(Render("{% set ns = namespace() %}{% set ns.me = [ns] %}{% macro m() %}{{ m is defined }}{% endmacro %}"
                   "{% set ns.m = m %}{{ m() }}{% for x in [1] %}{% set ns.loop = loop %}{% set ns.f = loop.cycle %}"
                   "{% endfor %}{% macro c() %}{% set ns.c = caller %}{% endmacro %}{% call c() %}{% endcall %}"
                   "{{ ns.c() }}{{ ns.loop.index }}{% for i in range(20000) %}{% set ns.next = namespace(n=ns.next) %}"
                   "{% endfor %}",
                   AskConversation("", "x")),
            "True1");
}

TEST(ChatTemplateTest, DeepSourcesAreRefused) {
  for (const auto& [open, close] : {std::pair{"(", ")"}, {"[", "]"}, {"-", ""}, {"not ", ""}, {"a.b(", ")"}}) {
    std::string source = "{{ ";
    for (int i = 0; i < 100000; ++i) source += open;
    source += "1";
    for (int i = 0; i < 100000; ++i) source += close;
    ExpectError(ErrorKind::kBadFile, "nested too deep", [&] { ChatTemplate(source + " }}", "t"); });
  }
  std::string chain = "{{ 1", blocks;
  for (int i = 0; i < 100000; ++i) {
    chain += " + 1";
    blocks += "{% if 1 %}";
  }
  ExpectError(ErrorKind::kBadFile, "nested too deep", [&] { ChatTemplate(chain + " }}", "t"); });
  ExpectError(ErrorKind::kBadFile, "nested too deep", [&] { ChatTemplate(blocks, "t"); });
}

}  // namespace
}  // namespace assay
