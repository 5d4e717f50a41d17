#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "text/testing/vocab.h"
#include "text/tokenizer.h"

namespace assay {
namespace {

constexpr const char* kPreTokenizers[] = {"qwen35", "qwen2", "llama-bpe", "gpt-2"};

class Bpe : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = Tokenizer::Make(TinyBpeVocab(GetParam()), "tiny");
};

TEST_P(Bpe, GivesTheTokensOfHuggingFace) {
  const nlohmann::json cases = ReadTestData("tokenizer_cases.json").at("byte_level_bpe");
  const auto texts = cases.at("texts").get<std::vector<std::string>>();
  const auto ids = cases.at("ids").at(GetParam()).get<std::vector<std::vector<Token>>>();
  ASSERT_FALSE(texts.empty());
  ASSERT_EQ(texts.size(), ids.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer_->Encode(texts[i], true), ids[i]) << "text " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer_->Decode(ids[i], true), texts[i]);
  }
}

TEST_P(Bpe, AnyBytesComeBack) {
  Rng rng(20);
  for (int round = 0; round < 300; ++round) {
    std::string text(rng.Next() % 200, '\0');
    // Few distinct values make merges, spaces and broken characters meet; all 256 make the rest.
    const std::string_view some = "a e\n\r'1\xC3\xA9\xE2\x80\xFF";
    for (char& c : text) c = static_cast<char>(round % 2 ? some[rng.Next() % some.size()] : rng.Next() % 256);
    for (const bool special : {false, true}) {
      EXPECT_EQ(tokenizer_->Decode(tokenizer_->Encode(text, special), true), text) << "round " << round;
    }
  }
}

TEST_P(Bpe, LongRunsWithoutABreakComeBack) {
  // One piece, or very many, for some pre-tokenizer.
  for (const std::string unit : {"a", " ", "\n", " \n", "1", "\xFF", "\xE4\xB8\xAD", "'s"}) {
    std::string text;
    while (text.size() < (1 << 15)) text += unit;
    EXPECT_EQ(tokenizer_->Decode(tokenizer_->Encode(text, false), true), text) << unit;
  }
}

TEST_P(Bpe, ABrokenByteSplitsAsTheReplacementCharacterDoes) {
  const std::vector<Token> broken = tokenizer_->Encode("the \xFF other 1\xC3 one", false);
  std::vector<Token> replaced = tokenizer_->Encode("the \xEF\xBF\xBD other 1\xEF\xBF\xBD one", false);
  const std::vector<Token> replacement = tokenizer_->Encode("\xEF\xBF\xBD", false);
  const auto byte = [&](const char* text) { return tokenizer_->Encode(text, false).at(0); };
  for (const Token token : {byte("\xFF"), byte("\xC3")}) {
    const auto at = std::search(replaced.begin(), replaced.end(), replacement.begin(), replacement.end());
    ASSERT_NE(at, replaced.end());
    *at = token;
    replaced.erase(at + 1, at + static_cast<int64_t>(replacement.size()));
  }
  EXPECT_EQ(broken, replaced);
}

TEST_P(Bpe, ThreadsShareATokenizer) {
  const auto text = ReadTestData("tokenizer_cases.json").at("byte_level_bpe").at("texts").dump();
  const std::vector<Token> expected = tokenizer_->Encode(text, true);
  std::vector<std::vector<Token>> results(4);
  std::vector<std::thread> threads;
  threads.reserve(results.size());
  for (auto& result : results) threads.emplace_back([&] { result = tokenizer_->Encode(text, true); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

INSTANTIATE_TEST_SUITE_P(PreTokenizers, Bpe, testing::ValuesIn(kPreTokenizers), [](const auto& each) {
  std::string name = each.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// The 256 bytes as tokens 0 to 255 of the tiny vocabulary has them, without merges.
VocabData ByteVocab(const std::string& pre) {
  VocabData vocab = TinyBpeVocab(pre);
  vocab.tokens.resize(256);
  vocab.token_types.assign(256, 1);
  vocab.merges.clear();
  vocab.eos.reset();
  return vocab;
}

Token AddToken(VocabData& vocab, const std::string& text, TokenType type) {
  vocab.tokens.push_back(text);
  vocab.token_types.push_back(static_cast<int64_t>(type));
  return static_cast<Token>(vocab.tokens.size() - 1);
}

TEST(BpeTokenizer, LowestRankMergesFirstAndTheLeftmostAmongEquals) {
  VocabData vocab = ByteVocab("gpt-2");
  const Token bc = AddToken(vocab, "bc", TokenType::kNormal);
  const Token ab = AddToken(vocab, "ab", TokenType::kNormal);
  const Token aa = AddToken(vocab, "aa", TokenType::kNormal);
  vocab.merges = {"b c", "a b", "a a"};
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "t");
  const Token a = tokenizer->Encode("a", false).at(0);
  EXPECT_EQ(tokenizer->Encode("abc", false), (std::vector<Token>{a, bc}));
  EXPECT_EQ(tokenizer->Encode("aab", false), (std::vector<Token>{a, ab}));
  EXPECT_EQ(tokenizer->Encode("aaa", false), (std::vector<Token>{aa, a}));
}

TEST(BpeTokenizer, OnlyLlamaTakesAWholePieceThatMergesDoNotReach) {
  for (const char* pre : kPreTokenizers) {
    VocabData vocab = ByteVocab(pre);
    const Token word = AddToken(vocab, "word", TokenType::kNormal);
    const std::vector<Token> tokens = Tokenizer::Make(std::move(vocab), "t")->Encode("word", false);
    if (std::string_view(pre) == "llama-bpe") {
      EXPECT_EQ(tokens, std::vector<Token>{word});
    } else {
      EXPECT_EQ(tokens.size(), 4) << pre;
    }
  }
}

TEST(BpeTokenizer, SpecialTokensAreTakenLeftmostAndLongest) {
  VocabData vocab = ByteVocab("qwen2");
  const Token end = AddToken(vocab, "<|end|>", TokenType::kControl);
  const Token ends = AddToken(vocab, "<|end|>s", TokenType::kControl);
  const Token think = AddToken(vocab, "<think>", TokenType::kUserDefined);
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "t");
  EXPECT_EQ(tokenizer->Encode("<|end|>s<|end|><think>", true), (std::vector<Token>{ends, end, think}));
  EXPECT_EQ(tokenizer->Encode("<<|end|>", true).back(), end);
  EXPECT_EQ(tokenizer->Encode("<|end|", true).size(), 6);
  // Text that must not command the model: control tokens are plain text there, user-defined ones are not.
  EXPECT_EQ(tokenizer->Encode("<|end|>", false).size(), 7);
  EXPECT_EQ(tokenizer->Encode("<think>", false), std::vector<Token>{think});
}

TEST(BpeTokenizer, ControlTokensAreShownOnDemand) {
  VocabData vocab = ByteVocab("qwen2");
  const Token end = AddToken(vocab, "<|end|>", TokenType::kControl);
  const Token think = AddToken(vocab, "<think>", TokenType::kUserDefined);
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "t");
  const std::vector<Token> tokens = {think, end};
  EXPECT_EQ(tokenizer->Decode(tokens, true), "<think><|end|>");
  EXPECT_EQ(tokenizer->Decode(tokens, false), "<think>");
  EXPECT_EQ(tokenizer->TokenBytes(end, true), "<|end|>");
  EXPECT_EQ(tokenizer->TokenBytes(end, false), "");
}

TEST(BpeTokenizer, OnlyATextThatNeedsAByteWithoutATokenIsRefused) {
  VocabData vocab = ByteVocab("qwen2");
  const Token four = Tokenizer::Make(vocab, "t")->Encode("\x04", false).at(0);
  vocab.tokens[four] = "another";
  AddToken(vocab, "<\x04>", TokenType::kControl);
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "m.gguf");
  EXPECT_EQ(tokenizer->Encode("abc", false).size(), 3);
  EXPECT_EQ(tokenizer->Encode("ab<\x04>", true).size(), 3);
  try {
    tokenizer->Encode("ab \x04", false);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_STREQ(error.what(), "m.gguf: byte 0x04 at 3 of the text has no token in this vocabulary; take it out");
  }
}

TEST(BpeTokenizer, MergesThatMakeNoTokenNeverApply) {
  VocabData vocab = ByteVocab("gpt-2");
  const Token ab = AddToken(vocab, "ab", TokenType::kNormal);
  vocab.merges = {"b c", "qq a", "a b"};  // neither bc nor qq is a token
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "t");
  EXPECT_EQ(tokenizer->Encode("ab", false), std::vector<Token>{ab});
  EXPECT_EQ(tokenizer->Encode("abc", false).size(), 2);
}

TEST(BpeTokenizer, OfEqualPiecesTheFirstIsUsed) {
  VocabData vocab = ByteVocab("gpt-2");
  const Token ab = AddToken(vocab, "ab", TokenType::kNormal);
  const Token again = AddToken(vocab, "ab", TokenType::kNormal);
  vocab.merges = {"a b"};
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "t");
  EXPECT_EQ(tokenizer->Encode("ab", false), std::vector<Token>{ab});
  EXPECT_EQ(tokenizer->Decode(std::vector<Token>{again}, false), "ab");
}

// Converters pad a vocabulary to the embedding's rows with names that are no part of the model's own tokenizer.
TEST(BpeTokenizer, PaddingIsNeverFoundInATextAndTheUnknownTokenOnDemand) {
  VocabData vocab = ByteVocab("gpt-2");
  const Token unknown = AddToken(vocab, "<unk>", TokenType::kUnknown);
  AddToken(vocab, "[PAD257]", TokenType::kUserDefined);
  const Token other = AddToken(vocab, "[PAD300]", TokenType::kUserDefined);
  const auto tokenizer = Tokenizer::Make(std::move(vocab), "t");
  EXPECT_EQ(tokenizer->Encode("[PAD257]", true).size(), 8);
  EXPECT_EQ(tokenizer->Encode("[PAD300]", true), std::vector<Token>{other});
  EXPECT_EQ(tokenizer->Encode("<unk>", true), std::vector<Token>{unknown});
  EXPECT_EQ(tokenizer->Encode("<unk>", false).size(), 5);
}

TEST(BpeTokenizer, WithoutANameOfRulesItIsDefault) {
  VocabData vocab = TinyBpeVocab("");
  EXPECT_EQ(Tokenizer::Make(vocab, "t")->vocab().pre, "default");
  EXPECT_EQ(Tokenizer::Make(vocab, "t")->Encode("It's 12345", false),
            Tokenizer::Make(TinyBpeVocab("default"), "t")->Encode("It's 12345", false));
}

TEST(BpeTokenizer, AMegabyteOfOneLetterIsNotQuadratic) {
  const auto tokenizer = Tokenizer::Make(TinyBpeVocab("qwen35"), "tiny");
  const std::string text(1 << 20, 'a');
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, false), true), text);
}

}  // namespace
}  // namespace assay
