#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "text/testing/vocab.h"
#include "text/tokenizer.h"

namespace assay {
namespace {

using Tokens = std::vector<Token>;

TEST(SpmTokenizer, GivesTheTokensOfSentencePiece) {
  const auto tokenizer = Tokenizer::Make(TinySpmVocab(), "tiny");
  const nlohmann::json cases = ReadTestData("tokenizer_cases.json").at("spm");
  const auto texts = cases.at("texts").get<std::vector<std::string>>();
  const auto ids = cases.at("ids").get<std::vector<Tokens>>();
  ASSERT_FALSE(texts.empty());
  ASSERT_EQ(texts.size(), ids.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer->Encode(texts[i], false), ids[i]) << "text " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer->Decode(ids[i], false), texts[i]);
  }
}

TEST(SpmTokenizer, AnyBytesComeBackThroughByteTokens) {
  for (const bool prefix : {false, true}) {
    VocabData vocab = TinySpmVocab();
    vocab.add_space_prefix = prefix;
    const auto tokenizer = Tokenizer::Make(std::move(vocab), "tiny");
    Rng rng(21);
    for (int round = 0; round < 300; ++round) {
      std::string text(rng.Next() % 100, '\0');
      const std::string_view some = "a e\n\xC3\xA9\xE2\x80\xFF";  // cannot spell U+2581, which decodes to a space
      for (char& c : text) c = some[rng.Next() % some.size()];
      EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, false), false), text) << "round " << round;
    }
  }
}

TEST(SpmTokenizer, LongRunsWithoutABreakComeBack) {
  const auto tokenizer = Tokenizer::Make(TinySpmVocab(), "tiny");
  for (const char c : {'a', ' ', '\xFF'}) {
    const std::string text(1 << 17, c);
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, false), false), text);
  }
}

// A vocabulary of a test's own: <unk>, </s>, <u> and the pieces, the best score first, from id 3.
VocabData SmallVocab(const std::vector<std::pair<std::string, TokenType>>& pieces) {
  VocabData vocab;
  vocab.model = "llama";
  vocab.tokens = {"<unk>", "</s>", "<u>"};
  vocab.token_types = {2, 3, 4};
  vocab.scores = {0, 0, 0};
  vocab.add_space_prefix = false;
  for (const auto& [text, type] : pieces) {
    vocab.scores.push_back(-static_cast<float>(vocab.tokens.size()));
    vocab.tokens.push_back(text);
    vocab.token_types.push_back(static_cast<int64_t>(type));
  }
  return vocab;
}

TEST(SpmTokenizer, UnknownCharactersInARunAreOneToken) {
  const auto tokenizer = Tokenizer::Make(SmallVocab({{"a", TokenType::kNormal}}), "t");
  EXPECT_EQ(tokenizer->Encode("xyaz\xFF\u4E2D", false), (Tokens{0, 3, 0}));
  EXPECT_EQ(tokenizer->Decode(Tokens{3, 0}, false), "a \u2047 ");
  EXPECT_EQ(tokenizer->Encode("a<unk>a", true), (Tokens{3, 0, 3}));
  EXPECT_EQ(tokenizer->Decode(Tokens{3, 0, 3}, true), "a<unk>a");
}

TEST(SpmTokenizer, UserDefinedTokensAreNeverCutAndControlTokensOnlyOnDemand) {
  const auto tokenizer = Tokenizer::Make(SmallVocab({{"a", TokenType::kNormal}, {"<", TokenType::kNormal}}), "t");
  EXPECT_EQ(tokenizer->Encode("a<u>a", false), (Tokens{3, 2, 3}));
  EXPECT_EQ(tokenizer->Encode("a</s>", true), (Tokens{3, 1}));
  EXPECT_EQ(tokenizer->Encode("a</s>", false), (Tokens{3, 4, 0}));
  EXPECT_EQ(tokenizer->Decode(Tokens{2, 1}, false), "<u>");
  EXPECT_EQ(tokenizer->Decode(Tokens{2, 1}, true), "<u></s>");
}

TEST(SpmTokenizer, AnUnusedPieceIsAStepButNoResult) {
  const TokenType normal = TokenType::kNormal;
  const auto tokenizer = Tokenizer::Make(
      SmallVocab({{"ab", TokenType::kUnused}, {"abc", normal}, {"a", normal}, {"b", normal}, {"c", normal}}), "t");
  EXPECT_EQ(tokenizer->Encode("abc", false), (Tokens{4}));
  EXPECT_EQ(tokenizer->Encode("abab", false), (Tokens{5, 6, 5, 6}));
}

TEST(SpmTokenizer, APieceThatSpansWordsIsFound) {
  const TokenType normal = TokenType::kNormal;
  const auto tokenizer =
      Tokenizer::Make(SmallVocab({{"a▁", normal}, {"a▁a", normal}, {"a", normal}, {"▁", normal}}), "t");
  EXPECT_EQ(tokenizer->Encode("a a", false), (Tokens{4}));
}

TEST(SpmTokenizer, TheSpacePrefixStandsBeforeTheTextAndBehindControlTokens) {
  const TokenType normal = TokenType::kNormal;
  VocabData vocab = SmallVocab({{"▁a", normal}, {"a", normal}, {"▁", normal}});
  vocab.add_space_prefix = true;
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "t");
  EXPECT_EQ(tokenizer->Encode("", false), Tokens{});
  EXPECT_EQ(tokenizer->Encode("a", false), (Tokens{3}));
  EXPECT_EQ(tokenizer->Encode("a<u>a", false), (Tokens{3, 2, 4}));
  EXPECT_EQ(tokenizer->Encode("<u>a", false), (Tokens{5, 2, 4}));
  EXPECT_EQ(tokenizer->Encode("</s>a", true), (Tokens{1, 3}));
  EXPECT_EQ(tokenizer->Encode("a</s></s> a<unk>", true), (Tokens{3, 1, 1, 5, 3, 0}));
  EXPECT_EQ(tokenizer->Encode("</s><u>a", true), (Tokens{1, 5, 2, 4}));
  EXPECT_EQ(tokenizer->Decode(Tokens{3, 3}, false), "a a");
  EXPECT_EQ(tokenizer->Decode(Tokens{1, 3}, false), "a");
  EXPECT_EQ(tokenizer->Decode(Tokens{1, 3, 1, 3}, true), "</s>a</s>a");
  EXPECT_EQ(tokenizer->Decode(Tokens{3, 1, 3}, false), "a a");
  EXPECT_EQ(tokenizer->TokenBytes(3, false), " a");
}

// "gemma4": characters merge by ranks, whatever stands between words; bytes are the fallback.
VocabData MergedVocab() {
  VocabData vocab;
  vocab.model = "gemma4";
  vocab.tokens = {"<unk>", "a", "b", "▁", "▁a", "ab", "▁ab", "\n", "\n\n", "b▁a"};
  vocab.token_types = {2, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  vocab.merges = {"a b", "▁ ab", "▁ a", "\n \n", "no token"};
  for (int byte = 0; byte < 256; ++byte) {
    char name[7];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(byte));
    vocab.tokens.emplace_back(name);
    vocab.token_types.push_back(static_cast<int64_t>(TokenType::kByte));
  }
  return vocab;
}

TEST(SpmTokenizer, MergesOfTheFileGoByRank) {
  const auto tokenizer = Tokenizer::Make(MergedVocab(), "t");
  EXPECT_EQ(tokenizer->Encode("ab ab a", false), (Tokens{5, 6, 4}));
  EXPECT_EQ(tokenizer->Encode("b a", false), (Tokens{2, 4}));  // "b▁a" is a token that no merge makes
  EXPECT_EQ(tokenizer->Encode("\n\n\n", false), (Tokens{8, 7}));
  EXPECT_EQ(tokenizer->Encode("\u00E9", false), (Tokens{10 + 0xC3, 10 + 0xA9}));
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(" ab\xFF b", false), false), " ab\xFF b");
  VocabData spelled = MergedVocab();
  spelled.model = "gpt2";
  spelled.pre = "sarvam-moe";
  EXPECT_EQ(Tokenizer::Make(std::move(spelled), "t")->Encode("ab ab a", false), (Tokens{5, 6, 4}));
}

// Words met before are copied, but not the unknown token of a run that began in the word before.
TEST(SpmTokenizer, RepeatedWordsBehindUnknownCharactersAreTheSame) {
  const TokenType normal = TokenType::kNormal;
  const auto tokenizer = Tokenizer::Make(SmallVocab({{"▁", normal}, {"a", normal}, {"▁a", normal}}), "t");
  EXPECT_EQ(tokenizer->Encode("xa xa xa", false), (Tokens{0, 4, 3, 0, 4, 3, 0, 4}));
  VocabData no_mark = SmallVocab({{"a", normal}});
  EXPECT_EQ(Tokenizer::Make(std::move(no_mark), "t")->Encode("a a xa xa a", false),
            (Tokens{3, 0, 3, 0, 3, 0, 3, 0, 3}));
}

}  // namespace
}  // namespace assay
