#include "text/prompt.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "text/testing/vocab.h"

namespace assay {
namespace {

VocabData VocabWithBos(bool add_bos) {
  VocabData vocab = TinyBpeVocab("llama-bpe");
  vocab.bos = static_cast<Token>(vocab.tokens.size()) - 3;  // <|endoftext|>
  vocab.add_bos = add_bos;
  return vocab;
}

TEST(EncodePrompt, BeginsWithBosOnceWhenTheVocabularySaysSo) {
  const auto tokenizer = Tokenizer::Make(VocabWithBos(true), "t");
  const Token bos = *tokenizer->vocab().bos;
  std::vector<Token> expected = tokenizer->Encode("the", true);
  const size_t alone = expected.size();
  expected.insert(expected.begin(), bos);

  const EncodedPrompt plain = EncodePrompt(*tokenizer, "the");
  EXPECT_EQ(plain.tokens, expected);
  EXPECT_TRUE(plain.bos_added);
  EXPECT_FALSE(plain.bos_twice);

  const EncodedPrompt twice = EncodePrompt(*tokenizer, "<|endoftext|>the");
  EXPECT_EQ(twice.tokens, expected);
  EXPECT_FALSE(twice.bos_added);
  EXPECT_TRUE(twice.bos_twice);

  // Its name as plain text is no BOS.
  const EncodedPrompt named = EncodePrompt(*tokenizer, "<|endoftext|>", /*parse_special=*/false);
  EXPECT_TRUE(named.bos_added);
  EXPECT_GT(named.tokens.size(), 2);

  EXPECT_EQ(EncodePrompt(*tokenizer, "the", true, /*with_bos=*/false).tokens.size(), alone);
  EXPECT_EQ(EncodePrompt(*tokenizer, "").tokens, std::vector<Token>{bos});
}

TEST(EncodePrompt, AddsNoBosThatTheVocabularyDoesNotAdd) {
  const auto quiet = Tokenizer::Make(VocabWithBos(false), "t");
  EXPECT_EQ(EncodePrompt(*quiet, "the").tokens, quiet->Encode("the", true));
  EXPECT_FALSE(EncodePrompt(*quiet, "<|endoftext|>the").bos_twice);
  VocabData none = VocabWithBos(true);
  none.bos.reset();
  const auto without = Tokenizer::Make(std::move(none), "t");
  EXPECT_FALSE(EncodePrompt(*without, "the").bos_added);
}

}  // namespace
}  // namespace assay
