// The vocabularies of 14 published models, cut down to what their known answers need (tools/check_tokenizers.py
// shrink).

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "text/testing/vocab.h"
#include "text/tokenizer.h"

namespace assay {
namespace {

VocabData KnownVocab(const nlohmann::json& json) {
  VocabData vocab;
  vocab.model = json.at("model").get<std::string>();
  vocab.pre = json.at("pre").get<std::string>();
  vocab.tokens = json.at("tokens").get<std::vector<std::string>>();
  vocab.token_types = json.at("token_type").get<std::vector<int64_t>>();
  vocab.scores = json.value("scores", std::vector<float>());
  vocab.merges = json.value("merges", std::vector<std::string>());
  return vocab;
}

TEST(KnownTokenizers, GiveTheKnownAnswers) {
  const nlohmann::json known = ReadTestData("known_tokenizers.json");
  ASSERT_EQ(known.size(), 14);
  for (const nlohmann::json& one : known) {
    const auto name = one.at("name").get<std::string>();
    const auto tokenizer = Tokenizer::Make(KnownVocab(one), name);
    const auto texts = one.at("texts").get<std::vector<std::string>>();
    const auto ids = one.at("ids").get<std::vector<std::vector<Token>>>();
    ASSERT_EQ(texts.size(), ids.size());
    ASSERT_GE(texts.size(), 46);
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::vector<Token> tokens = tokenizer->Encode(texts[i], false);
      EXPECT_EQ(tokens, ids[i]) << name << ", text " << i << ": " << texts[i];
      EXPECT_EQ(tokenizer->Decode(tokens, false), texts[i]) << name << ", text " << i;
    }
  }
}

}  // namespace
}  // namespace assay
