#include <gtest/gtest.h>

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

TEST(SpmTokenizer, TheSpacePrefixStandsOnceBeforeTheText) {
  const TokenType normal = TokenType::kNormal;
  VocabData vocab = SmallVocab({{"▁a", normal}, {"a", normal}, {"▁", normal}});
  vocab.add_space_prefix = true;
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "t");
  EXPECT_EQ(tokenizer->Encode("", false), Tokens{});
  EXPECT_EQ(tokenizer->Encode("a", false), (Tokens{3}));
  EXPECT_EQ(tokenizer->Encode("a<u>a", false), (Tokens{3, 2, 4}));
  EXPECT_EQ(tokenizer->Encode("<u>a", false), (Tokens{5, 2, 4}));
  EXPECT_EQ(tokenizer->Encode("</s>a", true), (Tokens{1, 4}));
  EXPECT_EQ(tokenizer->Decode(Tokens{3, 3}, false), "a a");
  EXPECT_EQ(tokenizer->Decode(Tokens{1, 3}, false), "a");
  EXPECT_EQ(tokenizer->TokenBytes(3, false), " a");
}

}  // namespace
}  // namespace assay
