#include "text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Split(std::string_view name, std::string_view text) {
  const PreTokenizer rules(name, "test");
  PreTokenizer::Pieces pieces(rules, text);
  std::vector<std::string> result;
  for (std::string_view piece; pieces.Next(piece);) result.emplace_back(piece);
  return result;
}

TEST(PreTokenizer, NumbersSplitByTheFamilysRule) {
  EXPECT_THAT(Split("qwen2", "x 12345"), ElementsAre("x", " ", "1", "2", "3", "4", "5"));
  EXPECT_THAT(Split("qwen35", "x 12345"), ElementsAre("x", " ", "1", "2", "3", "4", "5"));
  EXPECT_THAT(Split("llama-bpe", "x 12345"), ElementsAre("x", " ", "123", "45"));
  EXPECT_THAT(Split("gpt-2", "x 12345"), ElementsAre("x", " 12345"));
}

TEST(PreTokenizer, OnlyQwen35KeepsMarksWithTheirLetters) {
  const std::string text = "cafe\u0301s";
  EXPECT_THAT(Split("qwen35", text), ElementsAre(text));
  for (const char* name : {"qwen2", "llama-bpe"})
    EXPECT_THAT(Split(name, text), ElementsAre("cafe", "\u0301s")) << name;
  EXPECT_THAT(Split("gpt-2", text), ElementsAre("cafe", "\u0301", "s"));
}

TEST(PreTokenizer, ContractionsIgnoreCaseExceptInGpt2) {
  EXPECT_THAT(Split("qwen2", "WE'LL it's"), ElementsAre("WE", "'LL", " it", "'s"));
  EXPECT_THAT(Split("gpt-2", "WE'LL it's"), ElementsAre("WE", "'", "LL", " it", "'s"));
  // U+017F is a lower-case s: it folds like one where Hugging Face's patterns ignore case.
  EXPECT_THAT(Split("qwen2", "a'\u017Fx"), ElementsAre("a", "'\u017F", "x"));
}

TEST(PreTokenizer, NewLinesGatherWhatIsBeforeThem) {
  EXPECT_THAT(Split("qwen2", "a  \n\r\n  b;\n\n"), ElementsAre("a", "  \n\r\n", " ", " b", ";\n\n"));
  EXPECT_THAT(Split("gpt-2", "a  \n  b;\n\n"), ElementsAre("a", "  \n ", " b", ";", "\n\n"));
}

TEST(PreTokenizer, WhiteSpaceIsUnicodes) {
  // U+0085 and U+3000 are white space, U+180E has not been since Unicode 6.3: it is punctuation here.
  EXPECT_THAT(Split("qwen2", "!\u0085\u3000!"), ElementsAre("!", "\u0085", "\u3000", "!"));
  EXPECT_THAT(Split("qwen2", "!\u180E!"), ElementsAre("!\u180E!"));
}

TEST(PreTokenizer, BrokenBytesSplitAsReplacementCharacters) {
  EXPECT_THAT(Split("qwen2", "a \xFF\xC3(b \xED\xA0\x80"), ElementsAre("a", " \xFF\xC3(", "b", " \xED\xA0\x80"));
  EXPECT_THAT(Split("qwen2", "a \uFFFD\uFFFD(b"), ElementsAre("a", " \uFFFD\uFFFD(", "b"));
  EXPECT_THAT(Split("qwen2", "\xFFq"), ElementsAre("\xFFq"));
}

TEST(PreTokenizer, OtherNamesOfTheSameRules) {
  EXPECT_THAT(Split("deepseek-r1-qwen", "12"), ElementsAre("1", "2"));
  for (const char* name : {"llama3", "llama-v3"}) EXPECT_TRUE(PreTokenizer(name, "test").takes_whole_pieces()) << name;
}

TEST(PreTokenizer, AnUnknownNameIsRefusedWithTheKnownOnes) {
  for (const char* name : {"default", "", "QWEN2", "tekken"}) {
    try {
      const PreTokenizer accepted(name, "model.gguf");
      ADD_FAILURE() << name << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
      EXPECT_THAT(error.what(), HasSubstr(std::string("model.gguf: unknown pre-tokenizer \"") + name + "\""));
      EXPECT_THAT(error.what(), HasSubstr("qwen2, qwen35, llama-bpe, gpt-2"));
    }
  }
}

}  // namespace
}  // namespace assay
