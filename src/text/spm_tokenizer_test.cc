#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "text/test_vocab.h"
#include "text/tokenizer.h"

namespace assay {
namespace {

TEST(SpmTokenizer, GivesTheTokensOfSentencePiece) {
  const auto tokenizer = Tokenizer::Make(TinySpmVocab(), "tiny");
  const nlohmann::json cases = ReadTestData("tokenizer_cases.json").at("spm");
  const auto texts = cases.at("texts").get<std::vector<std::string>>();
  const auto ids = cases.at("ids").get<std::vector<std::vector<Token>>>();
  ASSERT_EQ(texts.size(), ids.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer->Encode(texts[i], false), ids[i]) << "text " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer->Decode(ids[i], false), texts[i]);
  }
}

}  // namespace
}  // namespace assay
