#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/half.h"
#include "gguf/gguf.h"

namespace assay {

// A copy of a model whose output is its embedding, in F16, with `vocab` tokens: the last ones left out, or more at the
// end. Those have twice the rows of the tokens `like`, in turn; without any they are padding, of rows of zeros.
inline void WriteWithVocabulary(const std::filesystem::path& source, const std::filesystem::path& copy, size_t vocab,
                                std::span<const int32_t> like) {
  const GgufFile file = GgufFile::Open(source);
  const std::span<const std::string> pieces = file.FindStrings("tokenizer.ggml.tokens");
  const std::vector<int64_t> file_types = file.FindInts("tokenizer.ggml.token_type");
  std::vector<std::string> tokens(pieces.begin(), pieces.end());
  std::vector<int32_t> types(file_types.begin(), file_types.end());
  types.resize(vocab, like.empty() ? 5 : 1);
  while (tokens.size() < vocab)
    tokens.push_back((like.empty() ? "[PAD" : "[more") + std::to_string(tokens.size()) + "]");
  tokens.resize(vocab);
  GgufMetadata metadata;
  for (const auto& [key, value] : file.metadata()) {
    if (!key.ends_with("_token_id")) metadata.emplace_back(key, value);  // they may be among those left out
  }
  SetMetadata(metadata, "tokenizer.ggml.tokens", GgufValue::Of(std::move(tokens)));
  SetMetadata(metadata, "tokenizer.ggml.token_type", GgufValue::Of(types));

  std::vector<GgufTensorInfo> infos;
  for (const GgufTensor& tensor : file.tensors()) infos.push_back({tensor.name, tensor.shape, tensor.format});
  for (GgufTensorInfo& info : infos) {
    if (info.name == "token_embd.weight") info.shape[1] = vocab;
  }
  GgufWriter writer(copy, metadata, infos);
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name != "token_embd.weight") {
      writer.WriteData(tensor.data);
      continue;
    }
    const size_t row = tensor.row_length() * sizeof(uint16_t);
    std::vector<uint8_t> rows(tensor.data.begin(), tensor.data.end());
    rows.resize(vocab * row);
    for (size_t i = tensor.rows(); i < vocab && !like.empty(); ++i) {
      const auto model = static_cast<size_t>(like[(i - tensor.rows()) % like.size()]);
      for (size_t at = 0; at < row; at += sizeof(uint16_t)) {
        uint16_t half = 0;
        std::memcpy(&half, &rows[model * row + at], sizeof(half));
        half = FloatToHalf(2.0F * HalfToFloat(half));
        std::memcpy(&rows[i * row + at], &half, sizeof(half));
      }
    }
    writer.WriteData(rows);
  }
  writer.Finish();
}

}  // namespace assay
