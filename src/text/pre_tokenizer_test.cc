#include "text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
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

TEST(PreTokenizer, DigitsAreCutOutBeforeTheRest) {
  EXPECT_THAT(Split("starcoder", " 12a\u00BD"), ElementsAre(" ", "1", "2", "a", "\u00BD"));
  EXPECT_THAT(Split("deepseek-v3", " 1234\u4E2D\u6587x"), ElementsAre(" ", "123", "4", "\u4E2D\u6587", "x"));
}

TEST(PreTokenizer, ThreesOfDigitsCountFromTheEnd) {
  EXPECT_THAT(Split("afmoe", "a1234567b"), ElementsAre("a", "1", "234", "567", "b"));
  EXPECT_THAT(Split("afmoe", "123456 12"), ElementsAre("123", "456", " ", "12"));
  EXPECT_THAT(Split("afmoe", "\u0661\u0662\u0663\u0664"), ElementsAre("\u0661", "\u0662\u0663\u0664"));
  // A number that a word follows is cut from its beginning.
  EXPECT_THAT(Split("tiny_aya", "1234 1234a"), ElementsAre("1", "234", " ", "123", "4", "a"));
  // What is no decimal digit stays with the digits that are left over, and with those before it.
  EXPECT_THAT(Split("superbpe", "a 1234567"), ElementsAre("a ", "1", "234", "567"));
  EXPECT_THAT(Split("superbpe", "\u00BD1234"), ElementsAre("\u00BD1", "234"));
  EXPECT_THAT(Split("superbpe", "\u00BD123\u00BD12"), ElementsAre("\u00BD", "123\u00BD12"));
}

TEST(PreTokenizer, WhatNoPatternMatchesIsAPieceOfItsOwn) {
  EXPECT_THAT(Split("bloom", "Hi, (you)..."), ElementsAre("Hi", ", (", "you", ")..."));
  EXPECT_THAT(Split("deepseek-v3", "\u0001\u0002a"), ElementsAre("\u0001", "\u0002a"));
}

TEST(PreTokenizer, CapitalsBeginWordsInTheFamiliesThatSeeCase) {
  EXPECT_THAT(Split("gpt-4o", "camelCaseHTTP don't 2024"),
              ElementsAre("camel", "Case", "HTTP", " don't", " ", "202", "4"));
  EXPECT_THAT(Split("tekken", "camelCase don't"), ElementsAre("camel", "Case", " don", "'t"));
  EXPECT_THAT(Split("kimi-k2", "abc\u4E2D\u6587def"), ElementsAre("abc", "\u4E2D\u6587", "def"));
}

TEST(PreTokenizer, PunctuationIsWhatItWasInUnicode8) {
  EXPECT_THAT(Split("falcon", "a$+b c"), ElementsAre("a", "$+", "b", " c"));
  EXPECT_THAT(Split("chameleon", "a$+b"), ElementsAre("a", "$", "+", "b"));
  EXPECT_THAT(Split("chameleon", "\u2E42\u2E42\u2E43\u2E43"), ElementsAre("\u2E42", "\u2E42", "\u2E43\u2E43"));
}

TEST(PreTokenizer, BrokenBytesAreNoPunctuationEither) {
  EXPECT_THAT(Split("deepseek-coder", "#\xFF#"), ElementsAre("#", "\xFF", "#"));
  EXPECT_THAT(Split("deepseek-coder", "#\uFFFD#"), ElementsAre("#", "\uFFFD", "#"));
}

// Of all families: the pieces are the text, none is empty, and a long run of one kind ends in due time.
TEST(PreTokenizer, PiecesAreTheText) {
  std::string text =
      "It's 2024:\r\n\t caf\u00E9s\u0301 \u4E2D\u6587\u3042 \u00BD123456\u0661 \xFF\xE4\xB8 'LL\u017F ..\u2028 ";
  for (const char c : {' ', '7', 'a', 'A', '\n', '.', '\xFF'}) text += std::string(5000, c) + "\u4E2D";
  for (const PreTokenizerFamily& family : PreTokenizerFamilies()) {
    if (family.is_spelled) continue;
    std::string joined;
    for (const std::string& piece : Split(family.names.substr(0, family.names.find(' ')), text)) {
      EXPECT_FALSE(piece.empty()) << family.names;
      joined += piece;
    }
    EXPECT_EQ(joined, text) << family.names;
  }
}

TEST(PreTokenizer, EachNameIsOfOneFamily) {
  std::set<std::string> names;
  for (const PreTokenizerFamily& family : PreTokenizerFamilies()) {
    std::istringstream words{std::string(family.names)};
    for (std::string name; words >> name;) {
      EXPECT_TRUE(names.insert(name).second) << name;
      EXPECT_EQ(FindPreTokenizerFamily(name), &family) << name;
    }
  }
  EXPECT_EQ(FindPreTokenizerFamily("gpt"), nullptr);
  EXPECT_EQ(FindPreTokenizerFamily(""), nullptr);
}

TEST(PreTokenizer, AnUnknownNameIsRefusedWithTheKnownOnes) {
  for (const char* name : {"", "QWEN2", "qwen2 megrez"}) {
    try {
      const PreTokenizer accepted(name, "model.gguf");
      ADD_FAILURE() << name << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
      EXPECT_THAT(error.what(), HasSubstr(std::string("model.gguf: unknown pre-tokenizer \"") + name + "\""));
      EXPECT_THAT(error.what(), HasSubstr("qwen35 seed-coder"));
    }
  }
}

}  // namespace
}  // namespace assay
