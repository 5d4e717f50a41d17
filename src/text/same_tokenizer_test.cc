#include "text/same_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

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

}  // namespace
}  // namespace assay
