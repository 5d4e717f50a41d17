#include "text/same_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

// A vocabulary and nothing that uses it.
class BareTokenizer : public Tokenizer {
 public:
  explicit BareTokenizer(VocabData vocab) : Tokenizer(std::move(vocab)) {}
  std::vector<Token> Encode(std::string_view, bool) const override { return {}; }
  std::string TokenBytes(Token, bool) const override { return {}; }
  std::string Decode(std::span<const Token>, bool) const override { return {}; }
};

VocabData VocabOfFour() {
  VocabData vocab;
  vocab.model = "gpt2";
  vocab.tokens = {"a", "b", "\n", "<bos>"};
  vocab.bos = 3;
  return vocab;
}

std::string DifferenceOf(const VocabData& a, const VocabData& b) {
  const bool same_digest = TokenizerDigest(BareTokenizer(a)) == TokenizerDigest(BareTokenizer(b));
  try {
    RequireSameTokenizer(BareTokenizer(a), "left.gguf", BareTokenizer(b), "right.gguf");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_FALSE(same_digest);
    return error.what();
  }
  EXPECT_TRUE(same_digest);
  return {};
}

TEST(RequireSameTokenizerTest, ShowsTheFirstDifference) {
  VocabData other = VocabOfFour();
  EXPECT_EQ(DifferenceOf(VocabOfFour(), other), "");
  other.tokens[1] = "x";
  EXPECT_THAT(DifferenceOf(VocabOfFour(), other), HasSubstr("token 1 is \"b\" and \"x\""));
  other = VocabOfFour();
  other.tokens.emplace_back("c");
  EXPECT_THAT(DifferenceOf(VocabOfFour(), other), HasSubstr("4 and 5 tokens"));
  other = VocabOfFour();
  other.add_bos = true;
  EXPECT_THAT(DifferenceOf(VocabOfFour(), other), HasSubstr("begin a text differently"));
  other = VocabOfFour();
  other.merges = {"a b"};
  EXPECT_THAT(DifferenceOf(VocabOfFour(), other), HasSubstr("other merges"));
  other = VocabOfFour();
  other.token_types = {1, 1, 1, 3};
  EXPECT_THAT(DifferenceOf(VocabOfFour(), other), HasSubstr("other token types"));
  other = VocabOfFour();
  other.pre = "an alias";
  other.eos = 2;
  EXPECT_EQ(DifferenceOf(VocabOfFour(), other), "");
}

// What is said of a draft.
std::string NoteOf(const VocabData& target, const VocabData& draft) {
  try {
    return RequireDraftVocabulary(BareTokenizer(target), "target.gguf", BareTokenizer(draft), "draft.gguf");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
}

VocabData WithMore(VocabData vocab, size_t count, TokenType type) {
  vocab.token_types.assign(vocab.tokens.size(), static_cast<int64_t>(TokenType::kNormal));
  for (size_t i = 0; i < count; ++i) {
    vocab.tokens.push_back("more" + std::to_string(i));
    vocab.token_types.push_back(static_cast<int64_t>(type));
  }
  return vocab;
}

TEST(RequireDraftVocabularyTest, IdsThatOneOfTheTwoLacksDoNotMatter) {
  const VocabData four = VocabOfFour();
  EXPECT_EQ(NoteOf(four, four), "");
  const VocabData seven = WithMore(four, 3, TokenType::kNormal);
  EXPECT_THAT(
      NoteOf(seven, four),
      HasSubstr(
          "target.gguf has 7 token ids, its draft draft.gguf has 4: those that both use are the same; 3 that only"));
  EXPECT_THAT(
      NoteOf(four, seven),
      HasSubstr(
          "target.gguf has 4 token ids, its draft draft.gguf has 7: those that both use are the same; 3 that only"));
  const VocabData padded = WithMore(four, 3, TokenType::kUnused);
  EXPECT_THAT(NoteOf(padded, four),
              EndsWith("7 token ids, its draft draft.gguf has 4: those that both use are the same"));
  EXPECT_THAT(NoteOf(seven, padded),
              HasSubstr("7 token ids, its draft draft.gguf has 7: those that both use are the same; 3 that only"));
  VocabData other_padding = padded;
  other_padding.tokens[5] = "[PAD5]";
  EXPECT_EQ(NoteOf(padded, other_padding), "");
  // Nobody reads a text with the draft's merges.
  VocabData other_merges = four;
  other_merges.merges = {"a b"};
  EXPECT_EQ(NoteOf(four, other_merges), "");
}

TEST(RequireDraftVocabularyTest, RefusesWhatIsNoVocabularyOfTheTargets) {
  const VocabData four = VocabOfFour();
  VocabData other = WithMore(four, 3, TokenType::kUnused);
  other.tokens[1] = "x";
  EXPECT_THAT(NoteOf(four, other), HasSubstr("token 1 is \"b\" and \"x\""));
  EXPECT_THAT(NoteOf(four, WithMore(four, 129, TokenType::kNormal)), HasSubstr("different tokenizers: 4 and 133"));
  EXPECT_THAT(NoteOf(WithMore(four, 129, TokenType::kNormal), four), HasSubstr("different tokenizers: 133 and 4"));
  EXPECT_THAT(NoteOf(WithMore(four, 128, TokenType::kNormal), four), HasSubstr("; 128 that only one"));
  EXPECT_THAT(NoteOf(WithMore(four, 1000, TokenType::kUnused), four), EndsWith("are the same"));
  other = four;
  other.add_bos = true;
  EXPECT_THAT(NoteOf(four, other), HasSubstr("begin a text differently"));
}

}  // namespace
}  // namespace assay
