#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "base/error.h"
#include "text/end_tokens.h"
#include "text/testing/vocab.h"

namespace assay {
namespace {

using testing::HasSubstr;

struct BadVocab {
  const char* message;
  ErrorKind kind;
  std::function<void(VocabData&)> spoil;
};

void ExpectRefused(const std::function<VocabData()>& make, const std::vector<BadVocab>& cases) {
  for (const BadVocab& bad : cases) {
    VocabData vocab = make();
    bad.spoil(vocab);
    try {
      Tokenizer::Make(std::move(vocab), "m.gguf");
      ADD_FAILURE() << "accepted; expected: " << bad.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), bad.kind) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(bad.message));
      EXPECT_THAT(error.what(), HasSubstr("m.gguf: "));
    }
  }
}

TEST(TokenizerMake, RefusesWhatNoVocabularyMayHave) {
  const auto make = [] { return TinyBpeVocab("qwen35"); };
  const ErrorKind bad = ErrorKind::kBadFile;
  ExpectRefused(
      make, {
                {"the vocabulary has no tokens", bad, [](VocabData& v) { v.tokens.clear(); }},
                {"4095 token types for 4096 tokens", bad, [](VocabData& v) { v.token_types.pop_back(); }},
                {"token 7 has type 9", bad, [](VocabData& v) { v.token_types[7] = 9; }},
                {"the BOS token is 4096, but the vocabulary has 4096 tokens", bad, [](VocabData& v) { v.bos = 4096; }},
                {"the EOS token is -1,", bad, [](VocabData& v) { v.eos = -1; }},
                {"the end-of-turn token is 5000", bad, [](VocabData& v) { v.eot = 5000; }},
                {"the unknown token is 5000", bad, [](VocabData& v) { v.unknown = 5000; }},
                {"the padding token is 5000", bad, [](VocabData& v) { v.padding = 5000; }},
                {"unknown tokenizer \"bert\" (tokenizer.ggml.model); known: gpt2, llama, gemma4",
                 ErrorKind::kUnsupported, [](VocabData& v) { v.model = "bert"; }},
                {"unknown pre-tokenizer \"tekkel\"", ErrorKind::kUnsupported, [](VocabData& v) { v.pre = "tekkel"; }},
            });
}

TEST(TokenizerMake, RefusesBrokenMerges) {
  const auto make = [] { return TinyBpeVocab("qwen35"); };
  const ErrorKind bad = ErrorKind::kBadFile;
  ExpectRefused(make,
                {
                    {"merge 3 of 3837 (\"ab\") is not two tokens", bad, [](VocabData& v) { v.merges[3] = "ab"; }},
                    {"merge 0 of 3837 (\"a b c\") is not two tokens", bad, [](VocabData& v) { v.merges[0] = "a b c"; }},
                    {"(\" a\") is not two tokens", bad, [](VocabData& v) { v.merges[0] = " a"; }},
                    {"(\"a \") is not two tokens", bad, [](VocabData& v) { v.merges[0] = "a "; }},
                    {"none of the 2 merges is of the vocabulary's tokens (the first: \"qqq a\")", bad,
                     [](VocabData& v) {
                       v.merges = {"qqq a", "q z"};
                     }},
                });
}

TEST(TokenizerMake, RefusesBrokenSpmVocabularies) {
  const ErrorKind bad = ErrorKind::kBadFile;
  ExpectRefused(TinySpmVocab,
                {
                    {"1499 scores for 1500 tokens", bad, [](VocabData& v) { v.scores.pop_back(); }},
                    {"the score of token 300 is not a number", bad, [](VocabData& v) { v.scores[300] = NAN; }},
                    {"neither an unknown token nor all byte tokens (first missing: <0x02>)", bad,
                     [](VocabData& v) { v.token_types[0] = v.token_types[8] = 1; }},
                });
}

TEST(Tokenizer, KnowsTheTokensThatEndAGeneration) {
  VocabData vocab = TinyBpeVocab("qwen35");
  const Token first = static_cast<Token>(vocab.tokens.size()) - 3;  // <|endoftext|>, <|im_start|>, <|im_end|>
  vocab.eos = first;
  vocab.eot = 5;
  const auto tokenizer = Tokenizer::Make(vocab, "tiny");
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(first));
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(first + 1));
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(first + 2));
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(5));
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(6));
}

TEST(Tokenizer, EndsAtKnownNamesWhateverTheirType) {
  VocabData vocab = TinyBpeVocab("qwen35");
  const Token end = static_cast<Token>(vocab.tokens.size()) - 1;  // <|im_end|>
  vocab.token_types[static_cast<size_t>(end)] = static_cast<int64_t>(TokenType::kNormal);
  const auto tokenizer = Tokenizer::Make(vocab, "tiny");
  EXPECT_TRUE(tokenizer->IsEndOfGeneration(end));
  EXPECT_EQ(tokenizer->type(end), TokenType::kControl);
  EXPECT_EQ(tokenizer->Encode("a<|im_end|>", true).back(), end);
  EXPECT_EQ(tokenizer->TokenBytes(end, false), "");
}

TEST(Tokenizer, EndsAtTheIdsOfTheFile) {
  VocabData vocab = TinyBpeVocab("qwen35");
  vocab.eom = 6;
  vocab.fim_pad = 7;
  vocab.fim_separator = 8;
  const auto tokenizer = Tokenizer::Make(vocab, "tiny");
  for (const Token token : {6, 7, 8}) EXPECT_TRUE(tokenizer->IsEndOfGeneration(token));
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(9));
  EXPECT_EQ(tokenizer->type(6), TokenType::kNormal);
}

TEST(Tokenizer, ANameThatEndsLessThanATurnInItsFamilyDoesNotEnd) {
  const auto ends = [](std::vector<std::string> names) {
    VocabData vocab;
    vocab.tokens = std::move(names);
    vocab.token_types.assign(vocab.tokens.size(), static_cast<int64_t>(TokenType::kControl));
    return FindEndTokens(vocab);
  };
  using testing::ElementsAre;
  EXPECT_THAT(ends({"<|end|>", "<|return|>", "a"}), ElementsAre(0, 1));
  EXPECT_THAT(ends({"<|end|>", "<|return|>", "<|call|>"}), ElementsAre(1, 2));
  EXPECT_THAT(ends({"<|end|>", "<|flush|>", "<|calls|>"}), ElementsAre(1, 2));
  EXPECT_THAT(ends({"</s>", "<eos>"}), ElementsAre(0, 1));
  EXPECT_THAT(ends({"</s>", "<|tool_response>"}), ElementsAre(1));
  EXPECT_THAT(ends({"x", "<|file_sep|>", "<|repo_name|>", "<|fim_pad|>", "<|fim_prefix|>"}), ElementsAre(1, 2, 3));
}

TEST(Tokenizer, AddsBosAsTheFamilyDoesWhereTheFileDoesNotSay) {
  EXPECT_TRUE(AddsBosByDefault("llama", ""));
  EXPECT_TRUE(AddsBosByDefault("gemma4", ""));
  for (const char* pre : {"llama-bpe", "llama3", "llama-v3", "falcon3", "tekken", "chameleon"}) {
    EXPECT_TRUE(AddsBosByDefault("gpt2", pre)) << pre;
  }
  for (const char* pre : {"", "default", "qwen2", "gpt-2", "deepseek-v3", "no such rules"}) {
    EXPECT_FALSE(AddsBosByDefault("gpt2", pre)) << pre;
  }
}

TEST(Tokenizer, RefusesTokensOutsideTheVocabulary) {
  for (const VocabData& vocab : {TinyBpeVocab("qwen2"), TinySpmVocab()}) {
    const auto tokenizer = Tokenizer::Make(vocab, "tiny");
    EXPECT_THROW(tokenizer->TokenBytes(-1, true), Error);
    EXPECT_THROW(tokenizer->TokenBytes(tokenizer->size(), true), Error);
    EXPECT_THROW(tokenizer->Decode(std::vector<Token>{tokenizer->size()}, true), Error);
  }
}

}  // namespace
}  // namespace assay
