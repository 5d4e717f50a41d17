#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "text/tokenizer.h"

namespace assay {

inline nlohmann::json ReadTestData(const std::string& name) {
  return nlohmann::json::parse(ReadFile(std::string(ASSAY_SOURCE_DIR "/tests/data/") + name));
}

// The byte-level vocabulary of the tiny models, under any of the pre-tokenizers.
inline VocabData TinyBpeVocab(const std::string& pre) {
  const nlohmann::json json = ReadTestData("tiny_vocab.json");
  VocabData vocab;
  vocab.model = "gpt2";
  vocab.pre = pre;
  vocab.tokens = json.at("tokens").get<std::vector<std::string>>();
  vocab.token_types = json.at("token_type").get<std::vector<int64_t>>();
  vocab.merges = json.at("merges").get<std::vector<std::string>>();
  vocab.eos = json.at("eos_token_id").get<Token>();
  return vocab;
}

// The SentencePiece vocabulary of tokenizer_cases.json: byte fallback, control and user-defined tokens.
inline VocabData TinySpmVocab() {
  const nlohmann::json json = ReadTestData("tokenizer_cases.json").at("spm").at("vocab");
  VocabData vocab;
  vocab.model = "llama";
  vocab.tokens = json.at("tokens").get<std::vector<std::string>>();
  vocab.scores = json.at("scores").get<std::vector<float>>();
  vocab.token_types = json.at("token_type").get<std::vector<int64_t>>();
  vocab.add_space_prefix = json.at("add_space_prefix").get<bool>();
  return vocab;
}

}  // namespace assay
