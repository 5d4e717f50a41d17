#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "text/test_vocab.h"
#include "text/tokenizer.h"

namespace assay {
namespace {

class BpeCases : public testing::TestWithParam<const char*> {};

TEST_P(BpeCases, GivesTheTokensOfHuggingFace) {
  const auto tokenizer = Tokenizer::Make(TinyBpeVocab(GetParam()), "tiny");
  const nlohmann::json cases = ReadTestData("tokenizer_cases.json").at("byte_level_bpe");
  const auto texts = cases.at("texts").get<std::vector<std::string>>();
  const auto ids = cases.at("ids").at(GetParam()).get<std::vector<std::vector<Token>>>();
  ASSERT_EQ(texts.size(), ids.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer->Encode(texts[i], true), ids[i]) << "text " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer->Decode(ids[i], true), texts[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(PreTokenizers, BpeCases, testing::Values("qwen35", "qwen2", "llama-bpe", "gpt-2"),
                         [](const auto& each) {
                           std::string name = each.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace assay
