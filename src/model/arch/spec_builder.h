#pragma once

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "model/model_spec.h"

namespace assay {

// What the architectures' builders share: typed, checked access to the hyperparameters below "<architecture>." and to
// tensors by name and shape, with a record of the tensors used, so that nothing in a file is ignored silently.
class SpecBuilder {
 public:
  // Reads what every architecture has: name, vocabulary, width, context, norm epsilon, embedding, output.
  explicit SpecBuilder(const GgufFile& file);

  // A hyperparameter in [1, 2^24]. Throws kBadFile when it is absent or out of range.
  int Int(std::string_view key) const;
  int IntOr(std::string_view key, int otherwise) const;
  float FloatOr(std::string_view key, float otherwise) const;
  float PositiveOr(std::string_view key, float otherwise) const;  // finite and above 0, else kBadFile

  // A tensor of exactly this shape (GGUF order). Need() throws kBadFile when it is absent; Maybe() gives null.
  const GgufTensor* Need(const std::string& name, std::initializer_list<int> shape);
  const GgufTensor* Maybe(const std::string& name, std::initializer_list<int> shape);

  // "blk.<layer>.<suffix>"
  static std::string Block(int layer, std::string_view suffix);

  // Linear rope scaling as a factor on positions (1 without scaling). Throws kUnsupported for other kinds.
  float RopeScale() const;

  // The divisors of the frequencies in rope_freqs.weight, if it is there: finite and above 0, else kBadFile.
  const GgufTensor* RopeFactors(int dimensions);

  // Attention with the usual tensor names; head counts and sizes from the hyperparameters. The caller sets window,
  // rope and scale where they differ from full attention with 1/sqrt(head_dim).
  AttentionSpec Attention(int layer, bool output_gate, bool head_norms);
  FfnSpec Ffn(int layer, FfnActivation activation);

  // Marks tensors below "blk.<layer>." as known and not executed (multi-token prediction heads).
  void SkipLayer(int layer);

  // Checks that every tensor of the file has been asked for, and gives the spec.
  ModelSpec Finish();

  ModelSpec spec;

 private:
  const GgufTensor* Find(const std::string& name, std::initializer_list<int> shape);
  std::string Key(std::string_view key) const { return prefix_ + std::string(key); }

  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string, std::less<>> used_;
  std::set<int> skipped_;
};

}  // namespace assay
